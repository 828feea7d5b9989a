"""One softmax regression that all peers are asked about, and our own answers to it."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from estimators.gradient.engine import Engine
from estimators.gradient.objective import CrossEntropy, Instances, Objective
from estimators.gradient.record import CurvatureOptions, Estimator
from estimators.gradient.source import gradient_source

N, N_TEST, DAMPING = 40, 7, 0.05
PARAMETERS = 18
RANK = 12
"""Of the mean Hessian: a shift of all logits changes nothing, which takes away 6 of 18 directions."""


def softmax_regression():
    """Module, training and test instances."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 3))
    x = torch.randn(N + N_TEST, 5)
    y = torch.randint(3, (N + N_TEST,))
    return module, Instances(x[:N], y[:N]), Instances(x[N:], y[N:])


def pairs(instances):
    """As a data set of PyTorch's."""
    return TensorDataset(instances.features, instances.labels)


def loader(instances):
    """All of them in one batch."""
    return DataLoader(pairs(instances), batch_size=len(instances), shuffle=False)


def ours(case, curvature, *, weights="instances", **options):
    """Our values [n, n_test] in float64."""
    module, train, test = case
    record = Estimator(name="x", curvature=curvature, options=CurvatureOptions(**options), weights=weights)
    source = gradient_source(Objective(module, CrossEntropy(), deletion="sum"), train, dtype=torch.float64)
    return Engine(record, source, train, test).values()


def near(found, expected, tolerance=1e-5):
    """Whether they differ by at most `tolerance` of the largest."""
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
