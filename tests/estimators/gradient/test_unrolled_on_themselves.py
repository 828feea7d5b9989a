"""Influence of training instances on their own losses by unrolled methods: the diagonal of the set against itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded_runs import batches_of, descent_on_a_quadratic, instances, recorded

from estimators.gradient.source import gradient_source
from estimators.gradient.trajectory import Checkpoint
from estimators.gradient.unroll.in_run import in_run_shapley, own_in_run_shapley, own_tracin_ideal, tracin_ideal
from estimators.gradient.unroll.source import own_source_influence, segments_of, source_influence
from estimators.gradient.unroll.steps import StepRule

N = 14
PLAIN = instances(N, 3)
WEIGHTED = replace(PLAIN, weights=torch.linspace(0.5, 1.5, N, dtype=torch.float64))
RATES = [0.3 * 0.95**t for t in range(8)]


@pytest.mark.parametrize("train", [PLAIN, WEIGHTED], ids=["plain", "weighted"])
@pytest.mark.parametrize("order", [1, 2])
def test_in_run_shapley(train, order):
    run = recorded(StepRule(), train, batches_of(N, 4, 8), RATES)
    scale = 1.0 if train.weights is None else train.weights.numpy()  # a test's loss has no weight, one's own has
    expected = np.diagonal(in_run_shapley(run, PLAIN, order=order)) * scale
    np.testing.assert_allclose(own_in_run_shapley(run, order=order), expected, rtol=1e-11, atol=1e-15)


def test_ideal_tracin():
    order = [torch.tensor([i]) for i in (3, 1, 4, 1, 5, 9, 2, 6)]
    run = recorded(StepRule(), PLAIN, order, RATES)
    np.testing.assert_allclose(own_tracin_ideal(run), np.diagonal(tracin_ideal(run, PLAIN)), rtol=1e-12)


def test_source():
    run, train, _ = descent_on_a_quadratic()
    source, segments, end = gradient_source(run.objective, train), segments_of(run.steps, 3), Checkpoint(run.final)
    rows = torch.tensor([7, 2, 3])
    expected = np.diagonal(source_influence(source, train, train, segments, end, curvature="exact"))[rows.numpy()]
    own = own_source_influence(source, train, rows, segments, end, curvature="exact")
    np.testing.assert_allclose(own, expected, rtol=1e-11, atol=1e-15)
