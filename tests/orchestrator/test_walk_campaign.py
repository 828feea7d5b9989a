"""A campaign of walks from end to end: G-Shapley by hand, resumed, beside retrains that it never meets."""

from pathlib import Path

import numpy as np
import pytest
from test_run import a_job, cancer, carried_out

from estimators.errors import EstimatorError
from orchestrator.errors import JobError
from orchestrator.keeping.verification import bad_files, repair
from orchestrator.pilot import forecast
from orchestrator.preparation import prepare, smoke
from orchestrator.results import open_result, stored_job
from workers.chunk_file import decode_keys

pytestmark = pytest.mark.usefixtures("tracking_database")

CAMPAIGNS = [
    {"design": "walk", "retrains": 12, "learning_rate": 0.05},
    {"design": "bernoulli", "probability": 0.5, "retrains": 20},
]
UNTIL = {"until": {"value": "g_shapley", "below": 1, "at_most": 9}}


def g_shapley_by_hand(data, orders, rate):
    """Marginals of the cross-entropy on each test instance, averaged over walks; one logit, as for two classes."""
    features, test = (np.c_[data[part], np.ones(len(data[part]))] for part in ("X", "X_test"))
    signs = 2 * data["y_test"] - 1
    total = np.zeros((len(features), len(test)))
    for order in orders:
        theta = np.zeros(features.shape[1])
        before = np.log1p(np.exp(-signs * (test @ theta)))
        for i in order:
            theta = theta - rate * (1 / (1 + np.exp(-features[i] @ theta)) - data["y"][i]) * features[i]
            after = np.log1p(np.exp(-signs * (test @ theta)))
            total[i] += before - after
            before = after
    return total / len(orders)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    return carried_out(a_job(tmp_path_factory.mktemp("walked"), campaigns=CAMPAIGNS))[0]


def test_values_are_those_of_a_loop_written_by_hand(walked):
    campaign = walked.campaign("walk")
    found = walked.values("g_shapley")
    expected = g_shapley_by_hand(cancer(), campaign.plan.design.orders(0, 12), 0.05)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=2e-7)
    np.testing.assert_allclose(found.mean.values, expected.mean(axis=1), rtol=1e-3, atol=2e-7)
    assert (found.standard_errors > 0).all()
    assert found.retrains == 12


def test_walks_and_retrains_of_one_store_do_not_meet(walked):
    kinds = {}
    for path in walked.job.folder.rglob("*-*-*.parquet"):
        if path.name.startswith("identities"):
            continue
        keys = decode_keys(path.read_bytes())
        kinds.setdefault(keys.header.kind, set()).update(keys.keys)
    assert len(kinds["walks"]) == 12
    assert not kinds["walks"] & kinds["retrains"]
    with pytest.raises(EstimatorError, match="banzhaf cannot be computed from design walk"):
        walked.campaign("walk").values("banzhaf")
    with pytest.raises(EstimatorError, match="run design walk"):
        walked.campaign("bernoulli").values("g_shapley")
    assert len(walked.store) == len(kinds["retrains"])
    assert "G-Shapley" in walked.report.read_text(encoding="utf-8")


def test_lost_walks_are_walked_again_to_the_same_bits(walked):
    before = walked.values("g_shapley")
    walks = [
        path
        for path in walked.job.folder.rglob("walks-*.parquet")
        if decode_keys(path.read_bytes()).header.kind == "walks"
    ]
    walks[0].unlink()
    again, said = carried_out(walked.job)
    assert "retrains are in the store already" in said
    assert again.values("g_shapley").values.tobytes() == before.values.tobytes()
    victim = min(walked.job.folder.rglob("walks-*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-30])
    stored = stored_job(walked.job)
    [bad] = bad_files(stored)
    assert bad.name == victim.name
    with stored.tracker.lease():
        assert [Path(place).parent.name for place in repair(stored, [bad])] == ["quarantine"]
    again, said = carried_out(walked.job)
    assert "0 of 14 retrains" not in said
    assert again.values("g_shapley").values.tobytes() == before.values.tobytes()
    raised = walked.job.model_copy(
        update={"campaigns": (walked.job.campaigns[0].model_copy(update={"retrains": 14}), walked.job.campaigns[1])}
    )
    more = carried_out(raised)[0].values("g_shapley")
    assert more.retrains == 14
    assert open_result(raised).values("g_shapley").values.tobytes() == more.values.tobytes()


def test_a_plan_says_what_walks_cost(tmp_path):
    prepared = prepare(a_job(tmp_path, campaigns=CAMPAIGNS[:1]), print)
    [found] = forecast(prepared, smoke(prepared), 1, print)
    assert found.retrains == 14
    assert found.seconds > 0
    assert {error.value for error in found.errors} == {"g_shapley"}
    assert all(error.instance.error > 0 for error in found.errors)


@pytest.mark.slow
def test_errors_of_g_shapley_come_out_within_a_quarter_of_what_a_few_walks_predict(tmp_path):
    job = a_job(tmp_path, campaigns=[{"design": "walk", "retrains": 200, "learning_rate": 0.05}], values=["g_shapley"])
    prepared = prepare(job, print)
    [found] = forecast(prepared, smoke(prepared), 1, print)
    delivered = carried_out(job)[0].values("g_shapley")
    predicted = {error.loss: error for error in found.errors}[delivered.loss]
    assert predicted.pair.error == pytest.approx(delivered.standard_errors.mean(), rel=0.25)
    assert predicted.instance.error == pytest.approx(delivered.mean.standard_errors.mean(), rel=0.25)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learner": {"kind": "scikit_learn", "estimator": "sklearn.svm.SVC"}}, "takes no single training steps"),
        ({"campaigns": [{"design": "walk", "retrains": 1}]}, "needs 2 at least"),
        ({"campaigns": [{"design": "walk", "retrains": 5, "size": 3}]}, "has no `size`"),
        (
            {
                "campaigns": [
                    {"design": "walk", "retrains": {"until": {"value": "g_shapley", "below": 1, "at_most": 9}}}
                ]
            },
            "walks have no `until`",
        ),
        ({"values": ["banzhaf"], "campaigns": CAMPAIGNS[:1]}, "no campaign of the job gives banzhaf"),
    ],
)
def test_walks_that_cannot_be_are_refused_before_anything_is_spent(tmp_path, changes, words):
    with pytest.raises(JobError, match=words):
        prepare(a_job(tmp_path, **({"campaigns": CAMPAIGNS} | changes)), print)
