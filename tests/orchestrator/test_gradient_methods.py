"""Every gradient method is reached from a job, or refused by name with the reason; each against its own oracle."""

import shutil

import numpy as np
import pytest
import torch
from good_job import JOB, write_good_job
from oracles import gradients as oracle

from estimators.gradient.head import fit_head, local_jacobian_expansion
from estimators.gradient.layout import layout_of
from estimators.gradient.registry import GRADIENTS
from estimators.gradient.representer import representer
from orchestrator import load_job, open_result, run
from orchestrator.cli import run_command
from orchestrator.group_influence import group_influence
from orchestrator.results import stored_job
from workers.errors import LearnerError
from workers.gradient_problem import gradient_problem
from workers.gradient_served import served_method
from workers.gradient_specs import GradientSpec

EXACT = "curvature: exact, matrix: hessian, damping: 0.0, dtype: float64"
ENTRIES = f"""\
gradients:
  - {{method: influence_function, {EXACT}}}
  - {{method: fast_if, nearest: 8, {EXACT}}}
  - {{method: fast_if, name: all near, nearest: 40, {EXACT}}}
  - {{method: group_influence, name: first, form: first, groups: source, {EXACT}}}
  - {{method: group_influence, name: neumann, form: neumann, groups: source, {EXACT}}}
  - {{method: group_influence, name: basu, groups: source, {EXACT}}}
  - {{method: group_influence, name: newton, form: newton, groups: source, losses: measured, {EXACT}}}
  - {{method: gradient_dot}}
  - {{method: gradient_dot, name: rough, dtype: bfloat16}}
  - {{method: representer_point, penalty: 0.02}}
  - {{method: representer_l1}}
  - {{method: representer_nuclear}}
  - {{method: representer_lje, dtype: float64}}
  - {{method: influence_function, name: stochastic, curvature: lissa, damping: 0.1, batch: 8, depth: 400, scaling: 2.0}}
  - {{method: influence_function, name: series, curvature: lissa, damping: 0.1, depth: 400, scaling: 2.0}}
"""


@pytest.fixture(scope="module")
def job(template_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    path = write_good_job(folder)
    shutil.copy(template_database, folder / "apportion.db")
    np.savez(folder / "train.npz", **dict(np.load(folder / "train.npz")), source=np.arange(40) % 10)
    head, _, tail = JOB.partition("  - {design: uniform")
    text = f"{head}  - {{design: leave_m_out, group: source}}\n{tail.partition(chr(10))[2]}"
    path.write_text(text.replace("values: [downsampling, banzhaf]\n", "") + ENTRIES)
    run(load_job(path))
    return load_job(path)


@pytest.fixture(scope="module")
def material(job):
    """The job's problem at the learner's optimum, and its features with a 1 appended."""
    learner = stored_job(job).prepared.learner()
    problem = gradient_problem(learner)
    models = learner.trained(np.ones((1, learner.n), dtype=bool), np.zeros(1, dtype=np.uint64))
    problem.objective.module.load_state_dict(problem.state(models, 0))
    sides = [torch.cat([each.features, torch.ones(len(each), 1)], dim=1).double() for each in both(problem)]
    return problem, sides


def both(problem):
    return problem.train, problem.test


def slopes(outputs, labels):
    return torch.softmax(outputs, dim=1) - torch.nn.functional.one_hot(labels, outputs.shape[1])


def test_influence_on_the_nearest_is_influence_and_unknown_elsewhere(job, material):
    result, (problem, _) = open_result(job), material
    exact, found = result.values("influence_function").values, result.values("fast_if").values
    known = np.isfinite(found)
    order = torch.cdist(problem.test.features, problem.train.features).argsort(dim=1)[:, :8].numpy()
    expected = np.zeros_like(known)
    np.put_along_axis(expected, order.T, values=True, axis=0)
    np.testing.assert_array_equal(known, expected)
    np.testing.assert_allclose(found[known], exact[known], rtol=1e-10)
    np.testing.assert_allclose(result.values("all near").values, exact, rtol=1e-10)
    assert result.gradient("all near").facts["smallest recall of the 10 strongest"] == 1.0
    assert 0.0 < result.gradient("fast_if").facts["smallest recall of the 10 strongest"] < 1.0


def test_groups_left_out_are_foreseen_the_better_the_higher_the_order(job, material):
    result, (problem, _) = open_result(job), material
    truth = group_influence(result, "source").values[:, :-1]
    gaps = {}
    for name in ("first", "neumann", "basu", "newton"):
        found = result.gradient(name)
        assert found.group_names == tuple(str(g) for g in range(10))
        gaps[name] = np.linalg.norm(found.groups - truth) / np.linalg.norm(truth)
    assert gaps["newton"] < gaps["neumann"] < gaps["first"]
    assert gaps["basu"] < gaps["first"]
    exact = result.values("influence_function").values
    sums = np.stack([exact[np.arange(40) % 10 == g].sum(axis=0) for g in range(10)])
    np.testing.assert_allclose(result.gradient("first").groups, sums, rtol=1e-9, atol=1e-15)
    layout = layout_of(problem.objective.module)
    whole = oracle.hessian(problem.objective, layout, problem.train)
    inside = problem.train[torch.arange(40) % 10 == 3]
    bend = oracle.hessian(problem.objective, layout, inside) - torch.diag(problem.objective.penalties(layout))
    total = oracle.rows(problem.objective, layout, inside).sum(dim=0)
    first = torch.linalg.solve(whole, total / 40)
    again = torch.linalg.solve(whole, 4 * bend @ first / 40)
    columns = oracle.rows(problem.objective, layout, problem.test)
    np.testing.assert_allclose(result.gradient("neumann").groups[3], (columns @ (first + again)).numpy(), rtol=1e-8)


def test_representer_points_are_those_of_the_refitted_layer(job, material):
    problem, (train, test) = material
    head = fit_head(train, problem.train.labels, 2, penalty=0.02).theta
    outputs = test @ head.T
    made = representer(
        train.numpy(),
        test.numpy(),
        slopes(train @ head.T, problem.train.labels).numpy(),
        outputs.numpy(),
        penalty=0.02,
    )
    expected = made.on_losses(slopes(outputs, problem.test.labels).numpy())
    found = open_result(job).gradient("representer_point")
    np.testing.assert_allclose(found.influence.values, expected, atol=1e-5 * np.abs(expected).max())
    assert found.facts["residual"] <= found.facts["tolerance"] == 1e-6
    own = -(made.alphas * slopes(train @ head.T, problem.train.labels).numpy()).sum(axis=1)
    own *= train.square().sum(dim=1).numpy()
    np.testing.assert_allclose(found.self_influence.values, own, atol=1e-5 * own.max())


@pytest.mark.parametrize("norm", ["l1", "nuclear"])
def test_high_dimensional_representers_sum_to_what_the_layer_says(job, material, norm):
    problem, (train, test) = material
    theta, step = torch.zeros(2, 4, dtype=torch.float64), 2.0 / torch.linalg.eigvalsh(train.T @ train / 40).max()
    for _ in range(5000):  # plain proximal descent
        moved = theta - step * slopes(train @ theta.T, problem.train.labels).T @ train / 40
        if norm == "l1":
            theta = moved.sign() * (moved.abs() - step * 0.01).clamp(min=0)
        else:
            u, s, vt = torch.linalg.svd(moved, full_matrices=False)
            theta = (u * (s - step * 0.01).clamp(min=0)) @ vt
    outputs = test @ theta.T
    total = -(slopes(outputs, problem.test.labels) * outputs).sum(dim=1).numpy()
    values = open_result(job).values(f"representer_{norm}").values
    np.testing.assert_allclose(values.sum(axis=0), total, atol=1e-5 * np.abs(total).max())


def test_local_jacobian_expansion_starts_from_the_models_own_layer(job, material):
    problem, (train, test) = material
    linear = problem.objective.module.linear
    theta = torch.cat([linear.weight, linear.bias[:, None]], dim=1).detach()
    theta = torch.cat([torch.zeros_like(theta), theta])
    weights = local_jacobian_expansion(theta, train, problem.train.labels, 2, penalty=0.01)
    logits = torch.einsum("ich,jh->ijc", weights, test)
    expected = -(logits * slopes(test @ theta.T, problem.test.labels)).sum(dim=2).numpy()
    found = open_result(job).values("representer_lje").values
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())


def test_lissa_takes_batches_and_says_how_far_from_solved_it_is(job):
    result = open_result(job)
    whole, some = result.gradient("series"), result.gradient("stochastic")
    assert whole.facts["residual"] < 1e-5 < some.facts["residual"]
    assert whole.warnings == ()
    assert any("residual" in warning and "above its tolerance" in warning for warning in some.warnings)
    assert np.corrcoef(whole.influence.values.ravel(), some.influence.values.ravel())[0, 1] > 0.9


def test_bfloat16_is_a_choice_that_costs_its_own_roundings(job):
    result = open_result(job)
    exact, rough = (result.gradient(name) for name in ("gradient_dot", "rough"))
    difference = np.linalg.norm(rough.influence.values - exact.influence.values)
    assert 0 < difference < 0.02 * np.linalg.norm(exact.influence.values)
    assert rough.self_influence.values.dtype == np.float64
    np.testing.assert_allclose(rough.self_influence.values, exact.self_influence.values, rtol=0.1)


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_method_is_carried_out_by_a_job_or_refused_with_the_reason(name, capsys):
    method = GRADIENTS[name]
    spec = GradientSpec(method=name, groups="class" if method.runner == "groups" else None)
    if method.refused:
        with pytest.raises(LearnerError, match=f"{name} is for Python"):
            served_method(spec)
    else:
        assert served_method(spec) is method
    assert (method.runner == "python") == bool(method.refused)
    assert run_command(["methods"]) == 0
    said = capsys.readouterr().out
    assert name in said
    assert method.paper in said
    assert method.equation in said


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{method: tracin_vae}", ["for Python", "encoder"]),
        ("{method: dfbeta}", ["for Python", "ridge_leave_one_out"]),
        ("{method: group_influence}", ["groups: COLUMN"]),
        ("{method: fast_if, gives: mean}", ["gives its matrix only"]),
        ("{method: pbrf, self_influence: true}", ["no influence on an instance's own loss"]),
        ("{method: influence_function, batch: 8}", ["takes no `batch`", "curvature: lissa"]),
        ("{method: influence_function, nearest: 8}", ["takes no `nearest`", "fast_if"]),
        ("{method: gradient_dot, penalty: 0.1}", ["takes no `penalty`"]),
        ("{method: influence_function, strongest: 5}", ["takes no `strongest`", "gives: strongest"]),
    ],
)
def test_options_that_nothing_reads_are_refused(tmp_path, capsys, entry, words):
    path = write_good_job(tmp_path)
    path.write_text(JOB + f"gradients:\n  - {entry}\n")
    assert run_command(["plan", str(path)]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said
