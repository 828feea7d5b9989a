"""A small job that is right in everything, and its data: what the tests of bad input spoil."""

from pathlib import Path

import numpy as np
import pandas as pd

JOB = """\
name: good
seed: 7
data: {train: train.npz, test: test.npz}
learner: {kind: logistic_regression, c: 1.0}
campaigns:
  - {design: uniform, fraction: 0.7, retrains: 20}
  - {design: bernoulli, probability: 0.5, retrains: 30}
values: [downsampling, banzhaf]
store: {tracking_uri: "sqlite:///apportion.db"}
cluster: {address: in_process}
workers: {cpus: 1, gpus: 0}
"""

ROWS, TESTS, COLUMNS = 40, 10, 3


def arrays() -> dict[str, np.ndarray]:
    """X [40, 3], y (2 classes), X_test [10, 3], y_test."""
    generator = np.random.default_rng(5)
    X = generator.normal(size=(ROWS + TESTS, COLUMNS))
    y = (X[:, 0] + 0.3 * generator.normal(size=ROWS + TESTS) > 0).astype(np.int64)
    y[:2] = 0, 1
    return {"X": X[:ROWS], "y": y[:ROWS], "X_test": X[ROWS:], "y_test": y[ROWS:]}


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same as tables, with a text column `colour`, a group, a weight, an id and known label errors."""
    generator = np.random.default_rng(6)
    data = arrays()
    tables = []
    for features, labels, start in ((data["X"], data["y"], 0), (data["X_test"], data["y_test"], ROWS)):
        rows = len(labels)
        table = pd.DataFrame(features, columns=["height", "width", "depth"])
        table["colour"] = generator.choice(["red", "green"], rows)
        table["patient"] = [f"p{row % 8}" for row in range(rows)]
        table["weight"] = generator.uniform(0.5, 2.0, rows)
        table["id"] = [f"row-{start + row}" for row in range(rows)]
        table["flipped"] = np.arange(rows) % 10 == 0
        table["species"] = np.where(labels == 1, "cat", "dog")
        tables.append(table)
    return tables[0], tables[1]


TABLE_DATA = "{train: train.csv, test: test.csv, label: species, group: patient, weight: weight, id: id}"


def write_good_job(folder: Path) -> Path:
    """The job file and all its data files; returns the job file's path."""
    data = arrays()
    np.savez(folder / "train.npz", X=data["X"], y=data["y"])
    np.savez(folder / "test.npz", X=data["X_test"], y=data["y_test"])
    for name, table in zip(("train", "test"), frames(), strict=True):
        table.to_csv(folder / f"{name}.csv", index=False)
        table.to_parquet(folder / f"{name}.parquet")
    path = folder / "job.yaml"
    path.write_text(JOB)
    return path
