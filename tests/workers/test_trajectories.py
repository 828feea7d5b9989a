"""Recorded runs: the steps that were taken, the same bytes again, and what the gradient estimators make of them."""

import itertools

import numpy as np
import pytest
import torch
from learner_data import assert_same_bits, classification_data, regression_data
from torch import nn

from estimators.gradient.engine import Engine
from estimators.gradient.record import Estimator
from estimators.gradient.registry import gradient_method
from estimators.gradient.source import gradient_source
from estimators.gradient.unroll.influence import hydra, sgd_influence
from workers.errors import ChunkError, LearnerError
from workers.gradient_problem import gradient_problem
from workers.learner_specs import LogisticRegressionSpec, OptimizerSpec, RidgeSpec, ScheduleSpec, TorchSpec
from workers.learners import make_learner
from workers.learners.torch_learner import TorchLearner
from workers.recording import checkpoints_of, fast_hydra_trajectory, recorder_of, run_of
from workers.trajectory import read_trajectory, trajectory_file, trajectory_mode, trajectory_stored

DATA = classification_data(n=50, n_test=6)
EVERYONE = np.ones(50, dtype=bool)
ALL = trajectory_mode("all")


class Net(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(dropout), nn.Linear(6, 3))

    def forward(self, x):
        return self.layers(x)


def learner(optimizer=None, **options):
    settings = {"epochs": 4, "batch_size": 16, "schedule": ScheduleSpec(name="cosine", warmup=0.1), "together": 1}
    rule = OptimizerSpec(lr=0.3, momentum=0.9) if optimizer is None else optimizer
    return TorchLearner(TorchSpec(model="test:Net", optimizer=rule, **{**settings, **options}), DATA, Net, device="cpu")


RULES = {
    "sgd": OptimizerSpec(lr=0.3),
    "momentum": OptimizerSpec(lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": OptimizerSpec(lr=0.1, momentum=0.9, nesterov=True),
    "adam": OptimizerSpec(name="adam", lr=0.01, weight_decay=0.01),
    "adamw": OptimizerSpec(name="adamw", lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_step_recorded_is_the_step_that_was_taken(rule):
    mine = learner(rule)
    run = mine.recorded(EVERYONE, 7, ALL)
    assert run.whole
    assert len(run) == 16
    assert_same_bits({k: v[-1:] for k, v in run.models.items()}, dict(mine.trained(EVERYONE[None], np.uint64([7]))))
    np.testing.assert_array_equal(np.sort(np.concatenate(run.batches[:4])), np.arange(50))
    np.testing.assert_allclose(run.rates, mine.setting.rates(mine.setting.stream(EVERYONE, 7)))
    problem = gradient_problem(mine)
    unrolled = run_of(problem, run)
    for at in range(len(run)):  # raises where a step does not replay
        unrolled.check(at, unrolled.step(at)(unrolled.parameters(at), unrolled.moments(at), unrolled.ones(at))[0])


def test_recorded_again_it_is_the_same_file_and_reads_back():
    run = learner().recorded(EVERYONE, 3, ALL)
    name, content = trajectory_file("0" * 16, run)
    assert (name, content) == trajectory_file("0" * 16, learner().recorded(EVERYONE, 3, ALL))
    found = read_trajectory(name, content)
    assert_same_bits(dict(found.models), dict(run.models))
    assert_same_bits(dict(found.optimizer), dict(run.optimizer))
    assert all((a == b).all() for a, b in zip(found.batches, run.batches, strict=True))
    assert found.facts == run.facts
    assert trajectory_stored([name, "plan.json"], "0" * 16) == name
    assert trajectory_stored([name], "1" * 16) is None
    with pytest.raises(ChunkError, match="damaged"):
        read_trajectory(name, content[:-1] + b"x")


def test_checkpoints_every_so_many_epochs_are_those_of_the_whole_run():
    whole, few = (
        learner().recorded(EVERYONE, 3, ALL),
        learner().recorded(EVERYONE, 3, trajectory_mode("every 3 epochs")),
    )
    assert few.steps.tolist() == [0, 12]
    assert few.spans.tolist() == [12, 4]
    for name, models in few.models.items():
        np.testing.assert_array_equal(models, whole.models[name][[0, 12, 16]])
    for name, state in few.optimizer.items():
        np.testing.assert_array_equal(state, whole.optimizer[name][[0, 12]])


def test_checkpoints_by_losses_stand_where_the_training_loss_has_fallen_by_a_tenth():
    mine = learner(epochs=12)
    run = mine.recorded(EVERYONE, 3, trajectory_mode("losses"))
    problem = gradient_problem(mine)
    losses = []
    for at in range(len(run)):
        problem.objective.module.load_state_dict(problem.state(run.models, at))
        losses.append(float(problem.objective.losses(problem.train).mean().detach()))
    assert 2 < len(run) < 12
    assert (run.steps % 4 == 0).all()
    assert all(later <= 0.9 * earlier * (1 + 1e-5) for earlier, later in itertools.pairwise(losses))
    assert run.spans.sum() == 48


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_a_recorded_run_is_unrolled_backwards_and_forwards_alike(name):
    problem, run = gradient_problem(learner(RULES[name])), learner(RULES[name]).recorded(EVERYONE, 7, ALL)
    unrolled = run_of(problem, run)
    backwards, some = sgd_influence(unrolled, problem.test).values, torch.tensor([3, 14])
    forwards = hydra(unrolled, problem.test, some).values
    np.testing.assert_allclose(backwards[[3, 14]], forwards, atol=1e-4 * np.abs(backwards).max())


def test_fast_hydra_and_tracin_run_on_recorded_steps():
    mine = learner(RULES["sgd"])
    problem, run = gradient_problem(mine), mine.recorded(EVERYONE, 7, ALL)
    source = gradient_source(problem.objective, problem.train)

    def values(record, trajectory):
        return Engine(record, source, problem.train, problem.test, trajectory).values()

    fast = values(gradient_method("hydra_fast").estimator, fast_hydra_trajectory(problem, run))
    last = values(
        Estimator(name="by hand", weights="batch", test_at="last"),
        (*checkpoints_of(problem, run, names_batches=True), fast_hydra_trajectory(problem, run)[-1]),
    )
    np.testing.assert_allclose(fast, last, atol=1e-12)
    with pytest.raises(LearnerError, match="steps of SGD"):
        fast_hydra_trajectory(problem, learner(RULES["adam"]).recorded(EVERYONE, 7, ALL))


def test_linear_learners_give_their_optimum_and_no_steps():
    logistic = make_learner(LogisticRegressionSpec(c=1.0), DATA, None, device="cpu")
    ridge = make_learner(RidgeSpec(alpha=1.0), regression_data(n=50, n_test=6), None, device="cpu")
    for mine in (logistic, ridge):
        run = recorder_of(mine).recorded(EVERYONE, 7, ALL)
        assert_same_bits({k: v[:1] for k, v in run.models.items()}, dict(mine.trained(EVERYONE[None], np.uint64([7]))))
        problem = gradient_problem(mine)
        (checkpoint,) = checkpoints_of(problem, run)
        problem.objective.module.load_state_dict(checkpoint.parameters)
        with pytest.raises(LearnerError, match="takes no steps"):
            run_of(problem, run)


def test_what_cannot_be_recorded_or_unrolled_is_said():
    for text in ("every", "every 0 epochs", "every -1 epochs", "some", "30 epochs"):
        with pytest.raises(LearnerError, match="every 30 epochs"):
            trajectory_mode(text)
    assert trajectory_mode("every epoch").epochs == 1
    with pytest.raises(LearnerError, match="takes no step"):
        learner().recorded(np.zeros(50, dtype=bool), 1, ALL)
    with pytest.raises(LearnerError, match="records no run"):
        recorder_of(object())
    few = learner().recorded(EVERYONE, 3, trajectory_mode("every epoch"))
    with pytest.raises(LearnerError, match="trajectory: all"):
        run_of(gradient_problem(learner()), few)
