"""A changed training set: what is still true of it is reused, what is not is trained, and nothing else."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from good_job import arrays
from scipy.special import gammaln

from orchestrator import Job, arrays_data, open_result, run
from orchestrator.cli import run_command
from orchestrator.errors import StoreRefused
from orchestrator.extension.reading import open_on_test_set
from orchestrator.keeping.garbage import garbage
from orchestrator.keeping.verification import bad_files
from orchestrator.progress import Screen
from orchestrator.results import stored_job
from orchestrator.store.cached_rows import CachedRows

pytestmark = pytest.mark.usefixtures("tracking_database")
DATA = arrays()
N = 40
BERNOULLI = {"design": "bernoulli", "probability": 0.5, "retrains": 200}


def the_job(folder: Path, X, y, *, campaigns=None, versions=True, train_losses=False, weights=None, **learner) -> Job:
    data = arrays_data(X, y, DATA["X_test"], DATA["y_test"], weights=weights)
    return Job.model_validate(
        {
            "name": "versions",
            "seed": 7,
            "data": data.model_copy(update={"versions": versions}),
            "learner": {"kind": "logistic_regression", "c": 1.0, "train_losses": train_losses} | learner,
            "campaigns": campaigns or [BERNOULLI],
            "cluster": {"address": "in_process"},
            "folder": folder,
        }
    )


def carry_out(job: Job):
    said = io.StringIO()
    result = run(job, screen=Screen(said))
    found = re.search(r"([\d,]+) of ([\d,]+) retrains are in the store already", said.getvalue())
    return result, (int(found[1]), int(found[2])) if found else (0, 0)


def appended(count: int):
    rng = np.random.default_rng(11)
    return np.vstack([DATA["X"], rng.normal(size=(count, 3))]), np.append(DATA["y"], rng.integers(0, 2, count))


def all_fresh(job: Job, tmp_path: Path, template: Path):
    """The same rows from a store that never saw another version."""
    folder = tmp_path / "fresh"
    folder.mkdir()
    shutil.copy(template, folder / "apportion.db")
    return job.model_copy(update={"folder": folder})


def losses_by_key(result, loss="cross_entropy"):
    campaign = result.campaigns[0]
    rows = list(dict.fromkeys(campaign.plan.row_ids()))
    read = campaign.store.read(rows, loss)
    return {row: read.losses[place] for place, row in enumerate(rows)}


def test_an_appended_instance_leaves_the_rows_that_cannot_hold_it(tmp_path, template_database):
    X, y = appended(1)
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"]))
    job = the_job(tmp_path, X, y)
    result, (stored, planned) = carry_out(job)
    members = np.vstack([rows.members for rows in result.campaigns[0].plan.blocks_of_draws()])
    without = int((~members[:, N]).sum())
    assert members.shape == (200, 41)
    assert stored == without + 1, "the rows without the new instance, and the empty subset"
    assert planned == 200 + 2
    assert 0.35 < without / 200 < 0.65, "Pr(not in S) is 1/2; 4 standard deviations"

    fresh = losses_by_key(carry_out_rows(job, result, tmp_path, template_database))
    for row, losses in losses_by_key(result).items():
        np.testing.assert_array_equal(losses, fresh[row])
    assert result.values("banzhaf").values.shape == (41, 10)
    assert carry_out(job)[1] == (202, 202), "run again, nothing is trained"
    assert open_result(job).campaigns[0].plan.design.label.endswith("draws of an earlier training set")


def carry_out_rows(job: Job, result, tmp_path: Path, template: Path):
    """The same subsets trained in a store of their own."""
    members = np.vstack([rows.members for rows in result.campaigns[0].plan.blocks_of_draws()])
    n = members.shape[1]
    law = gammaln(n + 1) - gammaln(np.arange(n + 1) + 1) - gammaln(n - np.arange(n + 1) + 1) - n * np.log(2)
    np.savez(tmp_path / "subsets.npz", members=members, log_size_law=law)
    fresh = all_fresh(job, tmp_path, template)
    shutil.copy(tmp_path / "subsets.npz", fresh.folder / "subsets.npz")
    spec = [{"design": "subsets_from_file", "file": "subsets.npz"}]
    made = Job.model_validate({**dict(fresh), "campaigns": spec, "folder": fresh.folder})
    return carry_out(made)[0]


@pytest.mark.parametrize("train_losses", [True, False])
def test_a_reordered_file_trains_nothing_at_all(tmp_path, train_losses):
    job = the_job(tmp_path, DATA["X"], DATA["y"], train_losses=train_losses)
    first, _ = carry_out(job)
    order = np.random.default_rng(2).permutation(N)
    second, (stored, planned) = carry_out(
        the_job(tmp_path, DATA["X"][order], DATA["y"][order], train_losses=train_losses)
    )
    assert (stored, planned) == (202, 202)
    then, now = (next(each.campaigns[0].retrains("cross_entropy", 0, 200)) for each in (first, second))
    np.testing.assert_array_equal(now.members, then.members[:, order])
    np.testing.assert_array_equal(now.losses, then.losses)
    before, after = first.values("banzhaf"), second.values("banzhaf")
    assert (np.abs(after.values - before.values[order]) < 0.5 * before.standard_errors[order]).all()
    if train_losses:
        campaign = second.campaigns[0]
        rows = campaign.plan.row_ids()[:60]
        now = campaign.store.read(rows, "cross_entropy", with_train=True)
        then = first.campaigns[0].store.read(rows, "cross_entropy", with_train=True)
        np.testing.assert_array_equal(now.train_losses, then.train_losses[:, order])
        np.testing.assert_array_equal(now.members, then.members[:, order])


def test_a_mended_label_leaves_the_rows_without_it_and_the_cache_knows_which(tmp_path):
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"]))
    y = DATA["y"].copy()
    y[5] = 1 - y[5]
    job = the_job(tmp_path, DATA["X"], y)
    result, (stored, planned) = carry_out(job)
    members = np.vstack([rows.members for rows in result.campaigns[0].plan.blocks_of_draws()])
    pool = result.campaigns[0].plan.design.pool
    taken = result.campaigns[0].plan.design.taken(200)
    assert taken <= len(pool) < 200
    assert stored == taken + 1
    assert planned == 202
    assert not pool[:, 5].any()

    rows: CachedRows = open_result(job).store.rows
    held = np.unpackbits(rows.members, axis=1, count=N, bitorder="little")
    assert np.array_equal(held.sum(axis=1), rows.sizes), "no row of a subset that held the old label"
    assert len(rows) == 202 + (len(pool) - taken)
    assert members[:, 5].any()
    assert list(bad_files(stored_job(job))) == []
    assert garbage(stored_job(job)) == [], "rows of an earlier version stay its campaign's"


def test_three_versions_go_on_from_each_other(tmp_path):
    for count in (0, 1, 2):
        X, y = appended(count) if count else (DATA["X"], DATA["y"])
        result, (stored, planned) = carry_out(the_job(tmp_path, X, y))
        if count:
            assert stored == result.campaigns[0].plan.design.taken(200) + 1 > 70
    assert planned == 202


def test_a_design_that_lists_its_subsets_reuses_them_by_name(tmp_path):
    campaigns = [{"design": "leave_one_out"}]
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"], campaigns=campaigns))
    y = DATA["y"].copy()
    y[5] = 1 - y[5]
    _, (stored, planned) = carry_out(the_job(tmp_path, DATA["X"], y, campaigns=campaigns))
    assert stored == 2, "D without the mended instance, and the empty subset"
    assert planned == 42


def test_a_uniform_design_of_another_size_goes_on_from_nothing(tmp_path, capsys, monkeypatch):
    fraction, size = (
        [{"design": "uniform", "retrains": 50, key: value}] for key, value in (("fraction", 0.5), ("size", 20))
    )
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"], campaigns=fraction))
    X, y = appended(1)
    job = the_job(tmp_path, X, y, campaigns=size)
    monkeypatch.setattr("orchestrator.commands.plan.load_job", lambda path: job)
    assert run_command(["plan", "job.yaml"]) == 0
    told = re.search(r"(\d+) of 50 drawn retrains are in the store already, (\d+) draws go on", capsys.readouterr().out)
    assert told
    result, (stored, _) = carry_out(job)
    assert int(told[1]) == int(told[2]) == result.campaigns[0].plan.design.taken(50) == stored - 1
    _, (stored, _) = carry_out(the_job(tmp_path, X, y, campaigns=fraction))
    assert stored == 2, "21 of 41 is another law than 20 of 40: D and the empty subset alone are there"


def test_rows_that_lack_losses_on_new_instances_are_not_used_where_those_are_kept(tmp_path):
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"], train_losses=True))
    X, y = appended(1)
    _, found = carry_out(the_job(tmp_path, X, y, train_losses=True))
    assert found == (0, 0)


def test_another_training_set_is_refused_without_the_flag_and_another_kind_with_it(tmp_path):
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"], versions=False))
    X, y = appended(1)
    with pytest.raises(StoreRefused, match="versions: true"):
        carry_out(the_job(tmp_path, X, y, versions=False))
    with pytest.raises(StoreRefused, match="is no version of the store's"):
        carry_out(the_job(tmp_path, X, y, weights=np.ones(len(y))))
    with pytest.raises(StoreRefused, match="learner"):
        carry_out(the_job(tmp_path, X, y, c=3.0))


def test_another_loss_adds_its_rows_and_leaves_the_others(tmp_path):
    one = the_job(tmp_path, DATA["X"], DATA["y"], losses=["cross_entropy"], versions=False)
    both = the_job(tmp_path, DATA["X"], DATA["y"], losses=["cross_entropy", "zero_one"], versions=False)
    first, _ = carry_out(one)
    second, found = carry_out(both)
    assert found == (0, 0), "every row lacks the loss"
    for row, losses in losses_by_key(second).items():
        np.testing.assert_array_equal(losses, losses_by_key(first)[row])
    assert carry_out(both)[1] == (202, 202)
    assert carry_out(one)[1] == (202, 202)
    longer = the_job(
        tmp_path, DATA["X"], DATA["y"], losses=["zero_one"], versions=False, campaigns=[{**BERNOULLI, "retrains": 220}]
    )
    assert carry_out(longer)[1] == (202, 222), "fewer losses: what holds more will do"


def test_kept_models_of_all_versions_are_asked_for_new_tests(tmp_path, template_database):
    """Equal to what a store that never saw another version says, from the models that were trained before."""
    tests = (DATA["X_test"] + 0.5, DATA["y_test"])
    carry_out(the_job(tmp_path, DATA["X"], DATA["y"], keep=True))
    before = open_result(the_job(tmp_path, DATA["X"], DATA["y"], keep=True)).extend(test=tests, name="later")
    assert before.values("banzhaf").values.shape == (N, 10)
    job = the_job(tmp_path, *appended(1), keep=True)
    result, found = carry_out(job)
    assert 0 < found[0] < found[1], "some rows are of the earlier version"
    extended = result.extend(test=tests, name="later")
    fresh, _ = carry_out(all_fresh(job, tmp_path, template_database))
    by_row = losses_by_key(extended)
    campaign = fresh.extend(test=tests, name="later").campaigns[0]
    rows = list(dict.fromkeys(campaign.plan.row_ids()))
    expected = dict(zip(rows, campaign.store.read(rows, "cross_entropy").losses, strict=True))
    shared = set(by_row) & set(expected)
    assert len(shared) >= 2, "D and the empty subset at least"
    for row in shared:
        np.testing.assert_array_equal(by_row[row], expected[row])
    assert extended.values("banzhaf").values.shape == (N + 1, 10)
    again = open_on_test_set(job, "later").values("banzhaf")
    assert again.values.tobytes() == extended.values("banzhaf").values.tobytes()
    own = result.extend(losses=("margin",)).campaigns[0]
    assert own.store.read(own.row_ids(), "margin", with_train=False).losses.shape == (len(own.row_ids()), 10)
