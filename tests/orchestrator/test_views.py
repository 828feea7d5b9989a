"""Values on functions of the stored losses and on averages over tests, from a job to the command line."""

import numpy as np
import pytest
from good_job import arrays

from orchestrator import Job, arrays_data, run
from orchestrator.cli import run_command
from orchestrator.comparing import signal_to_noise

pytestmark = pytest.mark.usefixtures("tracking_database")

OF = "clip(cross_entropy, 0.5)"


@pytest.fixture
def result(tmp_path):
    data = arrays()
    job = Job(
        name="views",
        data=arrays_data(**data, test_groups=np.arange(10) % 3),
        learner={"kind": "logistic_regression", "c": 1.0, "train_losses": True},
        campaigns=[{"design": "bernoulli", "probability": 0.5, "retrains": 60}],
        values=[
            "banzhaf",
            {"value": "banzhaf", "of": OF, "over": "class"},
            {"value": "memorization", "of": "rank(zero_one)"},
        ],
        cluster={"address": "in_process"},
        folder=tmp_path,
    )
    return run(job)


def by_hand(campaign, losses):
    """Mean without less mean with each instance, of losses [draws, columns]."""
    members = np.concatenate([block.members for block in campaign.retrains("cross_entropy", 0, campaign.plan.draws)])
    kept = members.astype(float)
    return ((1 - kept).T @ losses) / (1 - kept).sum(0)[:, None] - (kept.T @ losses) / kept.sum(0)[:, None]


def rows(campaign, loss="cross_entropy"):
    return np.concatenate([block.losses for block in campaign.retrains(loss, 0, campaign.plan.draws)]).astype(float)


def test_a_value_on_a_function_and_an_average_is_the_value_of_the_losses_made_so(result):
    campaign, labels = result.campaigns[0], result.loaded.dataset.test_labels
    clipped = np.minimum(rows(campaign), 0.5)
    each = result.values("banzhaf_sample_reuse", of=OF)
    np.testing.assert_allclose(each.values, by_hand(campaign, clipped), rtol=1e-9, atol=1e-12)
    assert each.loss == OF
    by_class = result.values(f"banzhaf_sample_reuse of {OF} over class")
    means = np.stack([clipped[:, labels == code].mean(axis=1) for code in (0, 1)], axis=1)
    np.testing.assert_allclose(by_class.values, by_hand(campaign, means), rtol=1e-9, atol=1e-12)
    assert by_class.loss == f"{OF} over class"
    assert by_class.notes[0].startswith("columns are means over each class of tests: 0, 1")
    groups = result.values("banzhaf_sample_reuse", over="group")
    means = np.stack([rows(campaign)[:, np.arange(10) % 3 == g].mean(axis=1) for g in range(3)], axis=1)
    np.testing.assert_allclose(groups.values, by_hand(campaign, means), rtol=1e-9, atol=1e-12)


def test_two_losses_in_one_function(result):
    campaign = result.campaigns[0]
    both = result.values("banzhaf_sample_reuse", of="cross_entropy + 2 * zero_one")
    np.testing.assert_allclose(
        both.values, by_hand(campaign, rows(campaign) + 2 * rows(campaign, "zero_one")), rtol=1e-9, atol=1e-12
    )


def test_the_command_line_takes_functions_and_compares_them(tmp_path, monkeypatch, capsys):
    from good_job import write_good_job

    path = write_good_job(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command(["run", path.name]) == 0
    capsys.readouterr()
    assert run_command(["values", path.name, "--value", "banzhaf", "--of", "1 - probability", "--over", "test"]) == 0
    assert "banzhaf on 1 - probability over test" in capsys.readouterr().out
    assert (
        run_command(["values", path.name, "--value", "banzhaf", "--compare-transforms", "--of", "log(zero_one)"]) == 0
    )
    said = capsys.readouterr().out
    assert "rank(cross_entropy)" in said
    assert "log(zero_one) is not finite" in said
    assert run_command(["values", path.name, "--value", "banzhaf", "--of", "clip(cros_entropy, 1)"]) == 2
    assert "did you mean cross_entropy" in capsys.readouterr().err


def test_signal_to_noise_is_the_spread_of_the_true_values_in_standard_errors():
    rng = np.random.default_rng(1)
    truth, errors = rng.normal(scale=3.0, size=20_000), np.full(20_000, 1.5)
    assert signal_to_noise(truth + rng.normal(scale=1.5, size=20_000), errors) == pytest.approx(2.0, rel=0.03)
    assert signal_to_noise(rng.normal(scale=1.5, size=20_000), errors) < 0.2
    assert np.isnan(signal_to_noise(truth[:1], errors[:1]))
