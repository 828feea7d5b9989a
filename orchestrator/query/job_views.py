"""The views of a job: `campaigns`, `chunks`, `failures`, `train` and `test`."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from estimators.arrays import AnyArray, ByteArray
from orchestrator.data.datasets import LoadedData
from orchestrator.plan import PLAN_FILE, PlanFacts
from orchestrator.results import DRAWS_TAG, StoredJob


def campaigns_table(stored: StoredJob) -> pa.Table:
    """One row a campaign of the store, also of one that the job file no longer names."""
    rows = []
    for run in stored.runs:
        chunks = run.chunk_store()
        facts = PlanFacts.decode(chunks.get(PLAN_FILE)) if PLAN_FILE in chunks.names() else None
        written = stored.store.trained_by(run.campaign_id)
        rows.append(
            {
                "campaign": run.campaign_id,
                "name": run.name,
                "in_job": run.campaign_id in stored.wanted,
                "state": run.status.lower(),
                "design": "" if facts is None else facts.design,
                "parameters": "{}" if facts is None else json.dumps(facts.parameters.given()),
                "seed": None if facts is None else facts.seed,
                "draws": int(run.tags.get(DRAWS_TAG, "0")),
                "together": None if facts is None else facts.together,
                "losses": [] if facts is None else list(facts.losses),
                "rows_written": written.rows,
                "bytes": written.bytes,
                "seconds": written.seconds,
                "run_id": run.run_id,
            }
        )
    texts = dict.fromkeys(("campaign", "name", "state", "design", "parameters", "run_id"), pa.string())
    whole = dict.fromkeys(("draws", "together", "rows_written", "bytes"), pa.int64())
    kinds = texts | whole | {"in_job": pa.bool_(), "seed": pa.uint64(), "seconds": pa.float64()}
    kinds["losses"] = pa.list_(pa.string())
    order = list(rows[0]) if rows else list(kinds)
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, kinds[name]) for name in order]))


def chunks_table(stored: StoredJob) -> pa.Table:
    """One row a chunk file that is in the store."""
    files = stored.store.file_facts()
    return pa.table(
        {
            "campaign": pa.array([file.campaign for file in files], pa.string()),
            "file": pa.array([file.name for file in files], pa.string()),
            "rows": pa.array([facts.rows for facts in files.values()], pa.int64()),
            "failed": pa.array([facts.failed for facts in files.values()], pa.int64()),
            "seconds": pa.array([facts.seconds for facts in files.values()], pa.float64()),
            "bytes": pa.array([facts.bytes for facts in files.values()], pa.int64()),
            "numeric_class": pa.array([facts.numeric_class for facts in files.values()], pa.string()),
            "together": pa.array([facts.together for facts in files.values()], pa.int64()),
            "losses": pa.array([list(facts.losses) for facts in files.values()], pa.list_(pa.string())),
        }
    )


def failures_table(stored: StoredJob) -> pa.Table:
    """One row a retrain that failed for good and was not stored since."""
    failures = stored.store.failures()
    places = [stored.store.place(row) for row in failures]
    return pa.table(
        {
            "key": pa.array([row.key.hex() for row in failures], pa.string()),
            "replicate": pa.array([row.replicate for row in failures], pa.int32()),
            "campaign": pa.array([None if place is None else place.file.campaign for place in places], pa.string()),
            "file": pa.array([None if place is None else place.file.name for place in places], pa.string()),
            "reason": pa.array(list(failures.values()), pa.string()),
        }
    )


def train_table(loaded: LoadedData) -> pa.Table:
    """One row a row of the training data; train_index is its player's (its own where there are no groups)."""
    data = loaded.dataset
    places = np.arange(data.rows) if data.groups is None else data.groups
    identities = loaded.train_identities[places]
    own: dict[str, object] = {"train_index": places.astype(np.int32), "identity": _hex(identities)}
    own |= {"name": _names(loaded.train_names, data.rows), "label": _labels(data.train_labels, data.classes)}
    if loaded.known_label_errors is not None:
        own["known_label_error"] = loaded.known_label_errors[places]
    return _with_columns(own, loaded.train_frame)


def test_table(loaded: LoadedData) -> pa.Table:
    """One row a test instance."""
    data = loaded.dataset
    own: dict[str, object] = {"test_index": np.arange(data.n_test, dtype=np.int32)}
    own |= {"identity": _hex(loaded.test_identities), "name": _names(loaded.test_names, data.n_test)}
    own["label"] = _labels(data.test_labels, data.classes)
    return _with_columns(own, loaded.test_frame)


def _hex(identities: ByteArray) -> list[str]:
    return [row.tobytes().hex() for row in identities]


def _names(names: tuple[str, ...], rows: int) -> list[str]:
    return list(names) if len(names) == rows else [str(row) for row in range(rows)]


def _labels(labels: AnyArray, classes: Sequence[object]) -> pa.Array:
    if len(classes):
        return pa.array([str(classes[label]) for label in labels.tolist()], pa.string())
    return pa.array(np.asarray(labels, dtype=np.float64))


def _with_columns(own: dict[str, object], frame: pd.DataFrame | None) -> pa.Table:
    """Our columns, then the user's; one of a name that is taken (SQL ignores case) is called `user_<name>`."""
    columns = dict(own)
    for name in () if frame is None else [str(column) for column in frame.columns]:
        taken = {known.casefold() for known in columns}
        free = name
        while free.casefold() in taken:
            free = f"user_{free}"
        columns[free] = _user_column(frame[name])  # type: ignore[index]
    return pa.table(columns)


def _user_column(column: pd.Series) -> pa.Array:
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return pa.array([None if pd.isna(value) is True else str(value) for value in column], pa.string())
