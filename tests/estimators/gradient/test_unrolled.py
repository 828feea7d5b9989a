"""Unrolled methods in float64: autograd through the whole run, telescoping, brute-force Shapley values, quadratics."""

import itertools
import math

import numpy as np
import pytest
import torch
from recorded_runs import batches_of, by_jacrev, descent_on_a_quadratic, instances, recorded, tanh_net
from torch.func import functional_call

from estimators.errors import EstimatorError
from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.record import CurvatureOptions, Estimator
from estimators.gradient.registry import gradient_method
from estimators.gradient.source import gradient_source
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.unroll.in_run import in_run_shapley, tracin_ideal
from estimators.gradient.unroll.influence import effective_rates, hydra, sgd_influence
from estimators.gradient.unroll.run import Run
from estimators.gradient.unroll.source import Segment, segments_of, source_influence
from estimators.gradient.unroll.steps import StepRule

N, TESTS, STEPS = 14, 5, 12
TRAIN, TEST = instances(N, 3), instances(TESTS, 4)
BATCHES, RATES = batches_of(N, 4, STEPS), [0.3 * 0.95**t for t in range(STEPS)]
RULES = {
    "sgd": StepRule(),
    "decay": StepRule(weight_decay=0.05),
    "momentum": StepRule(momentum=0.9),
    "nesterov": StepRule(momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": StepRule(name="adam", weight_decay=0.01),
    "adamw": StepRule(name="adamw", weight_decay=0.1),
}


def rates_of(rule):
    return RATES if rule.name == "sgd" else [0.1 * rate for rate in RATES]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_backwards_and_forwards_are_autograd_through_the_run(rule):
    exact = by_jacrev(rule, TRAIN, TEST, BATCHES, rates_of(rule))
    run = recorded(rule, TRAIN, BATCHES, rates_of(rule))
    scale = np.abs(exact).max()
    backwards = sgd_influence(run, TEST)
    np.testing.assert_allclose(backwards.values, exact, atol=1e-11 * scale)
    assert backwards.growth >= 1.0
    forwards = hydra(run, TEST)
    np.testing.assert_allclose(forwards.values, exact, atol=1e-11 * scale)
    some = torch.tensor([7, 2])
    np.testing.assert_allclose(hydra(run, TEST, some).values, exact[[7, 2]], atol=1e-11 * scale)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_the_derivative_is_that_of_training_anew_with_another_weight(name):
    rule, step = RULES[name], 1e-4
    run = recorded(rule, TRAIN, BATCHES, rates_of(rule))
    values = sgd_influence(run, TEST).values
    losses = []
    for change in (step, -step):
        weights = torch.ones(N, dtype=torch.float64)
        weights[5] += change
        other = recorded(rule, TRAIN, BATCHES, rates_of(rule), weights=weights)
        losses.append(other.test_losses(TEST, dict(other.final)).detach().numpy())
    slope = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose(values[5], -slope, rtol=1e-5, atol=1e-8)


def test_clipped_gradients_are_differentiated_too():
    run = recorded(StepRule(clip_norm=0.2), TRAIN, BATCHES, RATES)
    np.testing.assert_allclose(sgd_influence(run, TEST).values, hydra(run, TEST).values, atol=1e-13)


def test_a_run_that_the_rule_does_not_replay_is_refused():
    run = recorded(RULES["momentum"], TRAIN, BATCHES, RATES)
    for method in (sgd_influence, hydra):
        with pytest.raises(EstimatorError, match="does not replay"):
            method(Run(run.objective, StepRule(), TRAIN, run.steps, run.final), TEST)
    bare = tuple(Checkpoint(each.parameters) for each in run.steps)
    with pytest.raises(EstimatorError, match="every: all"):
        Run(run.objective, run.rule, TRAIN, bare, run.final)


def engine_values(run, name, trajectory):
    source = gradient_source(run.objective, TRAIN)
    return Engine(gradient_method(name).estimator, source, TRAIN, TEST, trajectory).values()


def with_rates(run, rates):
    steps = tuple(Checkpoint(each.parameters, rate, each.batch) for each, rate in zip(run.steps, rates, strict=True))
    return (*steps, Checkpoint(run.final, 0.0, torch.zeros(0, dtype=torch.int64), 0))


@pytest.mark.parametrize("name", ["sgd", "decay", "momentum"])
def test_fast_hydra_is_the_recursion_without_curvature(name):
    """Loops over instances of v <- mu v + lam h + 1[i in B] g / b, h <- h - eta v, and g_j at the end."""
    rule = RULES[name]
    run = recorded(rule, TRAIN, BATCHES, RATES)
    moved = dict.fromkeys(range(N), 0.0)
    velocity = dict(moved)
    for at, (batch, rate) in enumerate(zip(BATCHES, RATES, strict=True)):
        for i in range(N):
            push = 0.0
            if i in batch.tolist():
                push = flat_gradient(run, run.parameters(at), TRAIN[i : i + 1]) / len(batch)
            velocity[i] = rule.momentum * velocity[i] + rule.weight_decay * moved[i] + push
            moved[i] = moved[i] - rate * velocity[i]
    tests = torch.stack([flat_gradient(run, run.final, TEST[j : j + 1]) for j in range(TESTS)])
    by_hand = np.array([(-tests @ moved[i]).numpy() for i in range(N)])
    rates = effective_rates(np.array(RATES), momentum=rule.momentum, penalty=rule.weight_decay)
    found = engine_values(run, "hydra_fast", with_rates(run, rates.tolist()))
    np.testing.assert_allclose(found, by_hand, atol=1e-13)
    exact = sgd_influence(run, TEST).values
    assert np.linalg.norm(found - exact) > 0.05 * np.linalg.norm(exact)  # it is another number, and says so


def flat_gradient(run, parameters, one):
    found = torch.func.grad(
        lambda p: CrossEntropy()(functional_call(run.objective.module, p, (one.features,)), one.labels).sum()
    )(dict(parameters))
    return torch.cat([found[name].flatten() for name in run.final])


def test_ideal_tracin_telescopes_and_first_order_is_its_limit():
    order = [torch.tensor([i]) for i in (3, 1, 4, 1, 5, 9, 2, 6)]
    errors = []
    for rate in (0.1, 0.05):
        run = recorded(StepRule(), TRAIN, order, [rate] * len(order))
        ideal = tracin_ideal(run, TEST)
        first, last = (run.test_losses(TEST, run.parameters(at)).detach().numpy() for at in (0, len(order)))
        np.testing.assert_allclose(ideal.sum(axis=0), first - last, atol=1e-12)
        assert (ideal[[0, 7, 8]] == 0).all()
        errors.append(np.abs(ideal - in_run_shapley(run, TEST, order=1)).max())
    assert 3.0 < errors[0] / errors[1] < 5.0  # of second order in the step
    with pytest.raises(EstimatorError, match="batches of one"):
        tracin_ideal(recorded(StepRule(), TRAIN, BATCHES, RATES), TEST)


def test_in_run_values_are_the_engines_tracin_and_the_brute_force_shapley_value():
    run = recorded(StepRule(), TRAIN, BATCHES[:2], RATES[:2])
    first = in_run_shapley(run, TEST, order=1)
    np.testing.assert_allclose(first, engine_values(run, "tracin", run.steps), atol=1e-13)
    np.testing.assert_allclose(first, engine_values(run, "in_run_shapley_first", run.steps), atol=1e-13)
    expected = np.zeros((N, TESTS))
    for at in range(2):
        for j in range(TESTS):
            expected[BATCHES[at].numpy(), j] += shapley_of_a_quadratic_step(run, at, j)
    second = in_run_shapley(run, TEST, order=2)
    np.testing.assert_allclose(second, expected, atol=1e-13)
    assert np.abs(second - first).max() > 1e-3 * np.abs(first).max()
    with pytest.raises(EstimatorError, match="1 or 2"):
        in_run_shapley(run, TEST, order=3)


def shapley_of_a_quadratic_step(run, at, j):
    """By all coalitions, of U(S) = (eta/b) g_j s - (1/2)(eta/b)^2 s H_j s with s the sum of S's gradients."""
    here, one = run.parameters(at), TEST[j : j + 1]
    shapes = {name: each.shape for name, each in here.items()}
    flat = torch.cat([each.flatten() for each in here.values()])

    def loss(vector):
        parts = vector.split([math.prod(shape) for shape in shapes.values()])
        named = {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
        return CrossEntropy()(functional_call(run.objective.module, named, (one.features,)), one.labels).sum()

    gradient, curvature = torch.func.grad(loss)(flat), torch.func.hessian(loss)(flat)
    batch = BATCHES[at]
    own = torch.stack([flat_gradient(run, here, TRAIN[i : i + 1]) for i in batch.tolist()])
    factor, b = RATES[at] / len(batch), len(batch)

    def worth(coalition):
        total = own[list(coalition)].sum(dim=0) if coalition else torch.zeros_like(flat)
        return float(factor * gradient @ total - 0.5 * factor**2 * total @ curvature @ total)

    found = np.zeros(b)
    for player in range(b):
        others = [k for k in range(b) if k != player]
        for size in range(b):
            weight = math.factorial(size) * math.factorial(b - size - 1) / math.factorial(b)
            for coalition in itertools.combinations(others, size):
                found[player] += weight * (worth((*coalition, player)) - worth(coalition))
    return found


def quadratic_source(run, train, test, segments, **options):
    source = gradient_source(run.objective, train)
    return source_influence(source, train, test, segments, Checkpoint(run.final), curvature="exact", **options)


def test_source_with_a_segment_a_step_is_the_derivative_of_descent_on_a_quadratic():
    run, train, test = descent_on_a_quadratic()
    segments = tuple(Segment((each,), each.rate, 1) for each in run.steps)
    found = quadratic_source(run, train, test, segments, decay="steps")
    np.testing.assert_allclose(found, sgd_influence(run, test).values, atol=1e-12)
    errors = []
    for count in (1, 2, 4, 8):
        near = quadratic_source(run, train, test, segments_of(run.steps, count), decay="steps")
        errors.append(np.abs(near - found).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12 < errors[-2]


def test_source_has_influence_functions_and_tracin_as_its_limits():
    run, train, test = descent_on_a_quadratic(steps=400, rate=0.2)
    end = Checkpoint(run.final)
    endless = quadratic_source(run, train, test, (Segment((end,), 0.2, 10**7),))
    source = gradient_source(Objective(run.objective.module, run.objective.loss, deletion="sum"), train)
    source.load(run.final)
    record = Estimator(name="exact", curvature="exact", options=CurvatureOptions(damping=1e-12))
    exact = Engine(record, source, train, test, (end,)).values()
    np.testing.assert_allclose(endless, exact, atol=1e-8 * np.abs(exact).max())
    short = quadratic_source(run, train, test, (Segment((end,), 1e-9, 5),))
    dots = Engine(Estimator(name="dots", weights="rate"), source, train, test, (end,)).values()
    np.testing.assert_allclose(short, 5e-9 / len(train) * dots, rtol=1e-7)


def test_source_takes_no_curvature_without_a_spectrum_and_no_more_segments_than_checkpoints():
    run, train, test = descent_on_a_quadratic(steps=3)
    source = gradient_source(run.objective, train)
    with pytest.raises(EstimatorError, match="known spectrum"):
        source_influence(
            source, train, test, segments_of(run.steps, 1), Checkpoint(run.final), curvature="conjugate_gradient"
        )
    with pytest.raises(EstimatorError, match="4 segments"):
        segments_of(run.steps, 4)


def test_buffers_are_not_trained_and_frozen_parameters_stay():
    module = tanh_net()
    module[0].weight.requires_grad_(False)
    run = recorded(StepRule(), TRAIN, BATCHES, RATES, module=module)
    trained = Run(run.objective, run.rule, TRAIN, run.steps, {k: v for k, v in run.final.items() if k != "0.weight"})
    assert np.isfinite(sgd_influence(trained, Instances(TEST.features, TEST.labels)).values).all()
