"""Kept models asked for new test instances and other losses: equal to a campaign with these, and nothing done twice."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from test_run import a_job, cancer, carried_out, files_of

from orchestrator.errors import Interrupted, JobError, StoreRefused
from orchestrator.extension.extend import extend
from orchestrator.extension.reading import open_on_test_set
from orchestrator.keeping.verification import bad_files, repair
from orchestrator.kept_models import kept_models
from orchestrator.results import stored_job
from orchestrator.signals import StopRequest
from workers.chunk_file import decode_keys
from workers.learners.logistic_regression import LogisticRegressionLearner
from workers.model_file import models_of_chunk

pytestmark = pytest.mark.usefixtures("tracking_database")

KEEPING = {"kind": "logistic_regression", "c": 0.1, "keep": True}
CAMPAIGNS = [
    {"design": "bernoulli", "probability": 0.5, "retrains": 40},
    {"design": "uniform", "fraction": 0.7, "retrains": 20},
]


def new_tests():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X[300:313], y[300:313]


def side_files(folder: Path) -> set[str]:
    """Side files on the new tests."""
    paths = [*folder.rglob("side-*.parquet")]
    headers = {path.name: decode_keys(path.read_bytes(), name=path.name).header for path in paths}
    assert {header.kind for header in headers.values()} == {"side"}
    return {name for name, header in headers.items() if header.n_test == 13}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """One job for all tests that only add to it."""
    result, _ = carried_out(a_job(tmp_path_factory.mktemp("kept"), learner=KEEPING, campaigns=CAMPAIGNS))
    return result


def test_new_test_instances_are_worth_what_a_campaign_with_them_says(kept, tmp_path):
    before = files_of(kept.job.folder)
    X, y = new_tests()
    extended = kept.extend(test=(X, y), name="later")
    data = {**cancer(), "X_test": X, "y_test": y}
    direct, _ = carried_out(a_job(tmp_path, data=data, learner=KEEPING, campaigns=CAMPAIGNS))
    for value in ("banzhaf", "downsampling"):
        for loss in ("cross_entropy", "zero_one"):
            found, expected = extended.values(value, loss=loss), direct.values(value, loss=loss)
            np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(found.standard_errors, expected.standard_errors, rtol=1e-4, atol=1e-7)
            assert found.values.shape == (60, 13)
    assert before <= files_of(kept.job.folder)
    again = open_on_test_set(kept.job, "later")
    assert again.values("banzhaf").values.tobytes() == extended.values("banzhaf").values.tobytes()
    assert kept.values("banzhaf").values.shape == (60, 20)  # the job's own results are as they were


def test_other_losses_of_the_jobs_own_tests_and_training_instances(kept, tmp_path):
    extended = kept.extend(losses=("margin",))
    learner = {**KEEPING, "losses": ["margin"]}
    direct, _ = carried_out(a_job(tmp_path, learner=learner, campaigns=CAMPAIGNS))
    for value in ("banzhaf", "memorization"):
        found, expected = extended.values(value), direct.values(value)
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-5)
    assert extended.test_set == "margin"
    with pytest.raises(JobError, match=r"there is no test set `margins`(.|\n)*margin"):
        open_on_test_set(kept.job, "margins")


def test_models_are_read_back_by_their_rows(kept):
    campaign = kept.campaign("bernoulli")
    members = campaign.plan.design.draws(0, 40)
    found = [*kept_models(campaign, draws=(0, 3, 17))]
    X = np.c_[cancer()["X_test"], np.ones(20)]
    for draw, (row, state) in zip((0, 3, 17), found, strict=True):
        assert row == campaign.plan.draw_rows(draw, draw + 1).ids[0]
        logit = X @ state["coefficients"][0]
        losses = np.log1p(np.exp(-(2 * cancer()["y_test"] - 1) * logit))
        stored = campaign.store.read([row], "cross_entropy")
        np.testing.assert_allclose(stored.losses[0], losses, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(stored.members[0], members[draw])
    assert len([*kept_models(campaign)]) == 40


def test_nothing_is_done_twice_and_what_is_lost_is_done_again(kept, monkeypatch):
    X, y = new_tests()
    first = kept.extend(test=(X, y)).values("banzhaf")
    files = side_files(kept.job.folder)
    asked = []
    losses_of = LogisticRegressionLearner.losses_of
    monkeypatch.setattr(
        LogisticRegressionLearner,
        "losses_of",
        lambda self, models: asked.append(len(models["offsets"])) or losses_of(self, models),
    )
    kept.extend(test=(X, y))
    assert not asked
    assert side_files(kept.job.folder) == files
    lost = next(path for path in (kept.job.folder).rglob("*.parquet") if path.name == min(files))
    lost.unlink()
    assert kept.extend(test=(X, y)).values("banzhaf").values.tobytes() == first.values.tobytes()
    assert 0 < sum(asked) < 64
    assert len(side_files(kept.job.folder)) == len(files)


def test_stopped_in_the_middle_it_goes_on(kept):
    X, y = new_tests()
    stopping = StopRequest()
    stopping.count = 2
    with pytest.raises(Interrupted, match="0 of 62 models"):
        extend(kept.job, test=(X + 1, y), name="shifted", stopping=stopping)
    with pytest.raises(JobError, match="there is no test set"):
        open_on_test_set(kept.job, "shifted")
    assert kept.extend(test=(X + 1, y), name="shifted").values("banzhaf").values.shape == (60, 13)


def test_retrains_without_models_are_refused_with_the_mend_and_keep_alone_changes_no_store(tmp_path):
    plain, _ = carried_out(a_job(tmp_path))
    job = a_job(tmp_path, learner=KEEPING)
    keeping, said = carried_out(job)
    assert "42 of 42 retrains are in the store already" in said
    assert keeping.values("banzhaf").values.tobytes() == plain.values("banzhaf").values.tobytes()
    with pytest.raises(StoreRefused, match=r"42 of 42 retrains were stored without(.|\n)*keep: true"):
        keeping.extend(losses=("margin",))
    with pytest.raises(StoreRefused, match="without their models"):
        next(kept_models(keeping.campaigns[0]))
    assert not [path for path in tmp_path.rglob("*") if models_of_chunk(path.name)]


def test_rows_that_failed_stay_failed(tmp_path, monkeypatch):
    trained = LogisticRegressionLearner.trained

    def sometimes(self, members, seeds):
        if (members[:, :3].sum(axis=1) == 3).any():
            raise ValueError("no three of these")
        return trained(self, members, seeds)

    def others_pass(self, members, seeds):  # the smoke retrain's groups, and D itself
        alone = len(members) == 1 and not members.all()
        return sometimes(self, members, seeds) if alone else trained(self, members, seeds)

    monkeypatch.setattr(LogisticRegressionLearner, "trained", others_pass)
    learner = {**KEEPING, "together": 1}
    result, _ = carried_out(a_job(tmp_path, learner=learner, tolerance=0.5))
    failed = len(result.campaigns[0].store.failed(result.campaigns[0].plan.row_ids()))
    assert failed
    monkeypatch.undo()
    extended = result.extend(test=new_tests())
    campaign = extended.campaigns[0]
    assert len(campaign.store.failed(campaign.plan.row_ids())) == failed
    assert f"{failed} of 40 retrains failed" in " ".join(extended.values("banzhaf").notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing to extend by"),
        ({"losses": ("absolute_error",)}, "absolute_error cannot be kept"),
        ({"test": (np.zeros((3, 30)), np.array([0, 1, 2]))}, "labels 2 stand in no class"),
        ({"test": (np.zeros((3, 29)), np.array([0, 1, 1]))}, "give both sets the same features"),
        ({"losses": ("margin",), "name": "../x"}, "cannot name a test set"),
        ({"test": Path("nowhere.npz")}, "there is no file"),
    ],
)
def test_what_cannot_be_meant_is_said(kept, changes, words):
    with pytest.raises(Exception, match=words) as caught:
        extend(kept.job, **changes)
    assert getattr(caught.value, "exit_code", 2) == 2


def flipped(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:400] + bytes([content[400] ^ 1]) + content[401:])


def test_bad_models_and_side_files_are_found_set_aside_and_made_again_and_nothing_else(tmp_path, monkeypatch):
    job = a_job(tmp_path, learner={**KEEPING, "together": 8})
    result, _ = carried_out(job)
    before = result.extend(test=new_tests(), name="later").values("banzhaf")
    models, side = min(tmp_path.rglob("models-*")), min(tmp_path.rglob("side-*"))
    flipped(models)
    flipped(side)
    stored = stored_job(job)
    bad = list(bad_files(stored))
    assert {each.name for each in bad} == {models.name, side.name}
    with stored.tracker.lease():
        places = [Path(place) for place in repair(stored, bad)]
    chunk = next(path for path in places if path.suffix == ".parquet" and path.name != side.name)
    assert {path.parent.name for path in places} == {"quarantine"}
    assert len(places) == 3  # the chunk of the models goes with them: models come from retrains alone
    rows = decode_keys(chunk.read_bytes(), name=chunk.name).keys
    again, said = carried_out(job)
    assert f"{42 - len(rows)} of 42 retrains are in the store already" in said
    asked = []
    losses_of = LogisticRegressionLearner.losses_of
    monkeypatch.setattr(
        LogisticRegressionLearner,
        "losses_of",
        lambda self, kept: asked.append(len(kept["offsets"])) or losses_of(self, kept),
    )
    after = again.extend(test=new_tests(), name="later").values("banzhaf")
    assert after.values.tobytes() == before.values.tobytes()
    assert 0 < sum(asked) < 42
    assert list(bad_files(stored_job(job))) == []
