"""The engine against double loops of autograd gradients in float64: every record, and every way to ask."""

import numpy as np
import pytest
import torch
from gradient_models import case
from oracles import gradients as oracle

from estimators.errors import EstimatorError
from estimators.gradient.engine import BlockName, Engine
from estimators.gradient.record import CurvatureOptions, Estimator
from estimators.gradient.source import gradient_source
from estimators.gradient.trajectory import Checkpoint

EXACT = {"rtol": 1e-10, "atol": 1e-12}
N, N_TEST = 11, 4


def trajectory(objective, count=3):
    generator = torch.Generator().manual_seed(5)
    found = []
    for t in range(count):
        moved = {
            name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            for name, tensor in objective.module.named_parameters()
        }
        batch = torch.tensor([0, 3, 4, 9]) if t % 2 else torch.tensor([10, 1, 3])
        found.append(Checkpoint({k: v.detach() for k, v in moved.items()}, 0.1 * (t + 1), batch, steps=t + 2))
    return tuple(found)


def gradients_along(objective, layout, instances, checkpoints):
    own = dict(objective.module.named_parameters())
    found = []
    for checkpoint in checkpoints:
        with torch.no_grad():
            for name, tensor in checkpoint.parameters.items():
                own[name].copy_(tensor)
        found.append(oracle.rows(objective, layout, instances))
    return found


def material(name="perceptron", **options):
    objective, train, test = case(name, N, N_TEST, **options)
    return gradient_source(objective, train, block_rows=4), train, test


def influence_function(**options):
    normalise = options.pop("normalise", "none")
    given = CurvatureOptions(damping=0.4, matrix="gauss_newton", **options)
    return Estimator(name="influence_function", curvature="exact", options=given, normalise=normalise)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("perceptron", "rate"), ("perceptron", "batch"), ("perceptron", "visits"), ("sequence", "batch")],
)
def test_tracin_is_the_loop_over_checkpoints(name, weights):
    source, train, test = material(name)
    objective, _, _ = case(name, N, N_TEST)
    checkpoints = trajectory(objective)
    engine = Engine(Estimator(name="tracin", weights=weights), source, train, test, checkpoints)
    rows, columns = (gradients_along(objective, source.layout, each, checkpoints) for each in (train, test))
    exact = np.zeros((N, N_TEST))
    for t, checkpoint in enumerate(checkpoints):
        factor = np.full(N, checkpoint.rate)
        if weights == "batch":
            inside = np.isin(np.arange(N), checkpoint.batch.numpy())
            factor = inside * checkpoint.rate / len(checkpoint.batch)
        if weights == "visits":
            factor *= checkpoint.steps / N
        exact += factor[:, None] * (rows[t] @ columns[t].T).numpy()
    np.testing.assert_allclose(engine.values(), exact, rtol=1e-10, atol=1e-12)
    assert np.count_nonzero(engine.values()[[2, 5, 6, 7, 8]]) == (0 if weights == "batch" else 5 * N_TEST)
    own = np.diag(Engine(engine.estimator, source, train, train, checkpoints).values())
    np.testing.assert_allclose(engine.self_influence(), own, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("deletion", ["sum", "mean"])
def test_influence_functions_read_the_deletion_from_the_objective(deletion):
    source, train, test = material(penalty=0.1, deletion=deletion)
    engine = Engine(influence_function(), source, train, test)
    rows, columns = (oracle.rows(source.objective, source.layout, each) for each in (train, test))
    matrix = oracle.gauss_newton(source.objective, source.layout, train)
    matrix += 0.5 * torch.eye(len(matrix), dtype=torch.float64)
    drop = rows + 0.1 * source.objective.theta(source.layout) if deletion == "mean" else rows
    exact = (drop @ torch.linalg.inv(matrix) @ columns.T / N).numpy()
    np.testing.assert_allclose(engine.values(), exact, **EXACT)
    own = (drop @ torch.linalg.inv(matrix) * rows).sum(dim=1).numpy() / N
    np.testing.assert_allclose(engine.self_influence(), own, **EXACT)
    np.testing.assert_allclose(engine.joint(), exact.sum(axis=1), **EXACT)
    assert engine.facts["damping"] == 0.4


@pytest.mark.parametrize("normalise", ["train", "both", "layers", "relative_theta", "relative_loss"])
def test_normalisations(normalise):
    source, train, test = material()
    curvature = "identity" if normalise == "layers" else "exact"
    options = CurvatureOptions(damping=0.4, matrix="gauss_newton")
    record = Estimator(name="x", curvature=curvature, options=options, normalise=normalise)
    engine = Engine(record, source, train, test)
    rows, columns = (oracle.rows(source.objective, source.layout, each) for each in (train, test))
    matrix = oracle.gauss_newton(source.objective, source.layout, train)
    inverse = torch.linalg.inv(matrix + 0.4 * torch.eye(len(matrix), dtype=torch.float64))
    if normalise == "layers":
        pairs = zip(source.layout.split(rows), source.layout.split(columns), strict=True)
        exact = sum((a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T for a, b in pairs)
        own = torch.full((N,), 2.0, dtype=torch.float64)
    else:
        exact = rows @ inverse @ columns.T
        own = (rows @ inverse * rows).sum(dim=1)
        by = {
            "train": rows.norm(dim=1),
            "both": rows.norm(dim=1),
            "relative_theta": (rows @ inverse).norm(dim=1),
            "relative_loss": own.sqrt(),
        }[normalise]
        exact, own = exact / by[:, None], own / by
        if normalise == "both":
            exact, own = exact / columns.norm(dim=1), own / rows.norm(dim=1)
    np.testing.assert_allclose(engine.values(), exact.numpy() / N, **EXACT)
    np.testing.assert_allclose(engine.self_influence(), own.numpy() / N, **EXACT)
    np.testing.assert_allclose(engine.joint(), exact.numpy().sum(axis=1) / N, **EXACT)


def test_a_zero_gradient_has_no_influence_instead_of_nan():
    source, train, test = material("untied text")
    blank = Estimator(name="x", weights="rate", normalise="both")
    only_padding = source.moved(train)
    only_padding.features[0] = 0
    embedding = gradient_source(source.objective, train, layers=("embed.*",), block_rows=4)
    values = Engine(blank, embedding, only_padding, test).values()
    assert np.isfinite(values).all()
    assert not values[0].any()


def test_test_gradients_may_stand_at_the_last_checkpoint():
    source, train, test = material()
    objective, _, _ = case("perceptron", N, N_TEST)
    checkpoints = trajectory(objective)
    engine = Engine(Estimator(name="x", weights="batch", test_at="last"), source, train, test, checkpoints)
    rows, columns = (gradients_along(objective, source.layout, each, checkpoints) for each in (train, test))
    exact = torch.zeros(N, N_TEST, dtype=torch.float64)
    for t, checkpoint in enumerate(checkpoints):
        exact[checkpoint.batch] += checkpoint.rate / len(checkpoint.batch) * (rows[t] @ columns[-1].T)[checkpoint.batch]
    np.testing.assert_allclose(engine.values(), exact.numpy(), **EXACT)


@pytest.mark.parametrize("record", [Estimator(name="tracin", weights="rate"), influence_function()])
def test_blocks_groups_and_top_lists_are_views_of_the_matrix(record, monkeypatch):
    monkeypatch.setattr("estimators.gradient.engine.SIDE_FLOATS", 39 * 3)  # three columns at a time
    source, train, test = material()
    objective, _, _ = case("perceptron", N, N_TEST)
    checkpoints = trajectory(objective, 2)
    engine = Engine(record, source, train, test, checkpoints)
    values = engine.values()
    names = list(engine.names())
    assert len(names) == 2 * 3 * (1 if record.curvature == "identity" else 2)
    other = Engine(record, source, train, test, checkpoints)
    again = np.zeros_like(values)
    for name in sorted(names, key=lambda each: (each.rows, -each.columns, -each.checkpoint)):  # another order
        part = other.block(name)
        again[name.rows : name.rows + len(part), name.columns : name.columns + part.shape[1]] += part
    np.testing.assert_allclose(again, values, rtol=1e-13, atol=1e-14)
    assert np.array_equal(other.block(BlockName(1, 0, 4)), engine.block(BlockName(1, 0, 4)))  # the same bits
    members = np.random.default_rng(0).random((3, N)) < 0.5
    np.testing.assert_allclose(engine.groups(members.astype(float)), members @ values, **EXACT)
    top = engine.strongest(3)
    expected = np.argsort(-values, axis=0, kind="stable")[:3]
    assert np.array_equal(top.indices, expected)
    np.testing.assert_allclose(top.values, np.take_along_axis(values, expected, axis=0), **EXACT)
    assert engine.stretch > engine.source.block_rows
    assert not engine._stages
    monkeypatch.setattr("estimators.gradient.engine.SUMS", 1)
    few = Engine(record, source, train, test, checkpoints)
    assert few.stretch == few.source.block_rows
    assert np.array_equal(few.strongest(3).values, top.values)
    worst = engine.strongest(2, opponents=True)
    assert np.array_equal(worst.indices, np.argsort(values, axis=0, kind="stable")[:2])


def test_what_does_not_fit_is_refused():
    source, train, test = material()
    with pytest.raises(EstimatorError, match="needs every step's batch"):
        Engine(Estimator(name="tracin", weights="batch"), source, train, test)
    wrong = Checkpoint({"fc9.weight": torch.zeros(1)})
    with pytest.raises(EstimatorError, match=r"another model: fc1\.bias.*fc9\.weight"):
        Engine(Estimator(name="x", weights="rate"), source, train, test, (wrong,)).values()
