"""TRAK: one Newton step of leave-one-out for a linearised, projected classifier, over several models.

Park, Georgiev, Ilyas, Leclerc and Madry, ICML 2023.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from estimators.arrays import FloatArray
from estimators.errors import EstimatorError
from estimators.gradient.objective import Instances, LogOdds
from estimators.gradient.record import Projection
from estimators.gradient.source import GradientSource


@dataclass(frozen=True, slots=True)
class Features:
    """One model's features [rows, k] of gradients of the log odds f, and 1 - p = 1 / (1 + e^f) [rows] float64."""

    phi: Tensor
    doubt: Tensor


def trak(
    source: GradientSource,
    train: Instances,
    test: Instances,
    models: Sequence[Mapping[str, Tensor]],
    *,
    projection: Projection | None = None,
    damping: float = 0.0,
    output: Literal["margin", "loss"] = "margin",
) -> FloatArray:
    """Attributions [n, n_test] float64, averaged over models; scale `ranking`.

    margin: positive raises the log odds of the test instance's label. loss: times 1 - p of the test instance, the slope
    of its cross-entropy in the log odds. projection: None takes whole gradients. damping: added to Phi^T Phi.

    Raises:
        EstimatorError: no models, or a singular Gram matrix without damping.
    """
    if not models:
        raise EstimatorError("TRAK needs one model or more")
    lifted = replace(source, objective=replace(source.objective, loss=LogOdds()))
    total: Tensor | None = None
    weights, slopes = _zeros(len(train)), _zeros(len(test))
    for number, parameters in enumerate(models):
        lifted.load(parameters)
        given = lifted
        if projection is not None:
            given = lifted.projected(replace(projection, seed=projection.seed + number))
        train_side, test_side = _features(given, train), _features(given, test)
        scores = train_side.phi @ _solved(train_side.phi, test_side.phi, damping).T
        total = scores.double() if total is None else total.add_(scores)
        weights += train_side.doubt.cpu() / len(models)
        slopes += test_side.doubt.cpu() / len(models)
    assert total is not None
    found = total.cpu().div_(len(models)).mul_(weights[:, None])
    values: FloatArray = (found if output == "margin" else found.mul_(slopes)).numpy()
    return values


def _zeros(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.float64)


def _features(source: GradientSource, instances: Instances) -> Features:
    blocks = [(rows.dense(), torch.sigmoid(-rows.losses.double())) for rows in source.blocks(instances)]
    return Features(torch.cat([phi for phi, _ in blocks]), torch.cat([doubt for _, doubt in blocks]))


def _solved(phi: Tensor, right: Tensor, damping: float) -> Tensor:
    """(Phi^T Phi + damping)^-1 times rows [m, k], in float64."""
    gram = (phi.T @ phi).double()
    gram.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if int(failed):
        raise EstimatorError(
            f"TRAK's Gram matrix [{len(gram)}, {len(gram)}] is singular: give a damping above 0, or project to fewer "
            f"dimensions than the {len(phi)} training instances"
        )
    return torch.cholesky_solve(right.double().T, factor).T.to(phi.dtype)
