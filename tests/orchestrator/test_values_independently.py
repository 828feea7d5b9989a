"""The values of a finished job against plain NumPy on its chunk files (`oracles/stored_losses.py`)."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from oracles.stored_losses import (
    Known,
    draws_by_size,
    draws_in_order,
    out_minus_in,
    own_held_out,
    own_out_minus_in,
    read_rows,
)
from sklearn.datasets import load_breast_cancer

from orchestrator import JobResult, load_job, run
from orchestrator.cli import cli
from orchestrator.progress import Screen

JOB = """
name: tiny
data: {{train: data.npz, test: test.npz}}
learner: {{kind: logistic_regression, c: 0.1, losses: [cross_entropy, zero_one], train_losses: true}}
campaigns:
  - {{name: u, design: uniform, size: {size}, retrains: {retrains}}}
  - {{name: b, design: bernoulli, probability: 0.5, retrains: {retrains}}}
cluster: {{address: in_process}}
"""


def carried_out(folder: Path, *, n: int, retrains: int) -> JobResult:
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    chosen = np.concatenate([np.flatnonzero(y == label)[: n // 2] for label in (0, 1)])
    np.savez(folder / "data.npz", X=X[chosen], y=y[chosen])
    np.savez(folder / "test.npz", X=X[300:309], y=y[300:309])
    (folder / "job.yaml").write_text(JOB.format(size=n // 2, retrains=retrains), encoding="utf-8")
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        return run(load_job(folder / "job.yaml"), screen=Screen(log))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, template_database: Path) -> JobResult:
    """A job of 40 instances: no subset is drawn twice."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "apportion.db").write_bytes(template_database.read_bytes())
    return carried_out(folder, n=40, retrains=300)


def chunks_of(result: JobResult, campaign: str) -> Path:
    """The folder of a campaign's chunks, found as a stranger finds it: by what its files say."""
    wanted = result.campaign(campaign).id
    for folder in result.job.folder.glob("apportion-artifacts/*/*/artifacts/chunks"):
        if f'"{wanted}"' in (folder / "plan.json").read_text(encoding="utf-8"):
            return folder
    raise AssertionError(f"no chunks of {campaign}")


def exported(result: JobResult, *options: str, ending: str = "npz") -> Path:
    out = result.job.folder / f"values.{ending}"
    done = CliRunner().invoke(cli, ["values", str(result.job.folder / "job.yaml"), *options, "-o", str(out)])
    assert done.exit_code == 0, done.output
    return out


def agrees(path: Path, expected: Known) -> None:
    with np.load(path) as found:
        np.testing.assert_allclose(found["values"], expected.values, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found["standard_errors"], expected.standard_errors, rtol=1e-9)


@pytest.mark.parametrize(("campaign", "value"), [("u", "downsampling"), ("b", "banzhaf_sample_reuse")])
def test_exported_influence_is_what_plain_numpy_makes_of_the_chunks(
    finished: JobResult, campaign: str, value: str
) -> None:
    rows = draws_by_size(read_rows(chunks_of(finished, campaign), 40, "cross_entropy"))
    assert len(rows.members) == 300
    expected = out_minus_in(rows.members, rows.losses)
    agrees(exported(finished, "--value", value), expected)
    mean = out_minus_in(rows.members, rows.losses.mean(axis=1, keepdims=True))
    per_instance = Known(mean.values[:, 0], mean.standard_errors[:, 0], mean.degrees_of_freedom[:, 0])
    agrees(exported(finished, "--value", value, "--per-instance"), per_instance)
    long = pq.read_table(exported(finished, "--value", value, ending="parquet")).to_pandas()
    place = long["train_index"].to_numpy(), long["test_index"].to_numpy()
    np.testing.assert_allclose(long["influence"], expected.values[place], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("campaign", "value"), [("u", "downsampling"), ("b", "banzhaf_sample_reuse")])
def test_degrees_of_freedom_and_certain_signs_are_welchs_and_benjamini_hochbergs(
    finished: JobResult, campaign: str, value: str
) -> None:
    rows = draws_by_size(read_rows(chunks_of(finished, campaign), 40, "cross_entropy"))
    expected = out_minus_in(rows.members, rows.losses)
    influence = finished.values(value)
    np.testing.assert_allclose(influence.degrees_of_freedom, expected.degrees_of_freedom, rtol=1e-9)
    certain = expected.signs_certain()
    assert 0 < certain.sum() < certain.size
    np.testing.assert_array_equal(influence.certain(), certain)


@pytest.mark.parametrize("campaign", ["u", "b"])
def test_values_of_an_instances_own_loss_are_what_plain_numpy_makes_of_the_chunks(
    finished: JobResult, campaign: str
) -> None:
    rows = draws_by_size(read_rows(chunks_of(finished, campaign), 40, "cross_entropy", with_train=True))
    for value, definition in (("memorization", own_out_minus_in), ("held_out_loss", own_held_out)):
        expected = definition(rows.members, rows.train_losses)
        agrees(exported(finished, "--value", value, "--campaign", campaign), expected)
        found = finished.values(value, campaign=campaign)
        np.testing.assert_allclose(found.degrees_of_freedom, expected.degrees_of_freedom, rtol=1e-9)
        if value == "memorization":
            np.testing.assert_array_equal(found.certain(), expected.signs_certain())


@pytest.mark.parametrize(("campaign", "value"), [("u", "downsampling"), ("b", "banzhaf_sample_reuse")])
def test_a_subset_counts_as_often_as_it_was_drawn_and_end_rows_do_not_count(
    tmp_path: Path, tracking_database: Path, campaign: str, value: str
) -> None:
    del tracking_database
    result = carried_out(tmp_path, n=6, retrains=80)
    chosen = result.campaign(campaign)
    drawn = chosen.plan.design.draws(0, 80)
    stored = (
        read_rows(chunks_of(result, "u"), 6, "cross_entropy"),
        read_rows(chunks_of(result, "b"), 6, "cross_entropy"),
    )
    distinct = np.unique(drawn, axis=0)
    assert len(distinct) < 64 < len(drawn)
    rows = stored[0] if campaign == "u" else _joined(*stored)  # the second campaign spares what the first has
    taken = draws_in_order(rows, drawn)
    expected = out_minus_in(taken.members, taken.losses)
    agrees(exported(result, "--value", value, "--campaign", campaign), expected)
    once = out_minus_in(distinct, draws_in_order(rows, distinct).losses)
    assert np.abs(once.values - expected.values).max() > 1e-3, "counting each subset once would not be noticed"


def _joined(a: object, b: object) -> object:
    return type(a)(
        np.concatenate([a.members, b.members]),
        np.concatenate([a.replicates, b.replicates]),
        np.concatenate([a.losses, b.losses]),
        None,
    )
