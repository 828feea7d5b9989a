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
from estimators.gradient.trak_scores import ModelScores, averaged

SMALL = 1e-3
"""Of the Gram matrix's mean diagonal: the damping where none is said and the matrix is singular."""
ROUNDINGS = 10
"""Squared pivots below this many roundings of the mean diagonal are noise: the matrix is singular."""


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
    damping: float | None = 0.0,
    output: Literal["margin", "loss"] = "margin",
) -> FloatArray:
    """Attributions [n, n_test] float64, averaged over models; scale `ranking`.

    models: trained on random subsets (the paper's ensemble) or on everything; of each the features of all n training
    instances are taken, whether it has seen them or not (the paper's algorithm 1). margin: positive raises the log odds
    of the test instance's label. loss: times 1 - p of the test instance, the slope of its cross-entropy in the log
    odds. projection: None takes whole gradients. damping: added to Phi^T Phi; None: nothing, or
    a thousandth of its mean diagonal where it is singular (two logits or more, whose common shift moves nothing).

    Raises:
        EstimatorError: no models, or a singular Gram matrix without damping.
    """
    if not models:
        raise EstimatorError("TRAK needs one model or more")
    found = (
        model_scores(source, train, test, parameters, number, projection=projection, damping=damping)
        for number, parameters in enumerate(models)
    )
    return averaged(found, output=output)[0]


def model_scores(
    source: GradientSource,
    train: Instances,
    test: Instances,
    parameters: Mapping[str, Tensor],
    number: int,
    *,
    projection: Projection | None = None,
    damping: float | None = 0.0,
) -> ModelScores:
    """One model's part; number: its place, from which its projection is drawn. Raises as `trak`."""
    given = replace(source, objective=replace(source.objective, loss=LogOdds()))
    given.load(parameters)
    if projection is not None:
        given = given.projected(replace(projection, seed=projection.seed + number))
    train_side, test_side = _features(given, train), _features(given, test)
    factor, damping = _factor(train_side.phi, damping)
    solved = _solved(factor, test_side.phi)
    own = (train_side.phi * _solved(factor, train_side.phi)).double().sum(dim=1)
    parts = ((train_side.phi @ solved.T).double(), own, train_side.doubt, test_side.doubt)
    products, self_products, doubt, test_doubt = (part.cpu().numpy() for part in parts)
    return ModelScores(products, self_products, doubt, test_doubt, damping=damping)


def _features(source: GradientSource, instances: Instances) -> Features:
    blocks = [(rows.dense(), torch.sigmoid(-rows.losses.double())) for rows in source.blocks(instances)]
    return Features(torch.cat([phi for phi, _ in blocks]), torch.cat([doubt for _, doubt in blocks]))


def _factor(phi: Tensor, damping: float | None) -> tuple[Tensor, float]:
    """The Cholesky factor of Phi^T Phi + damping, float64, and the damping that was taken."""
    gram = (phi.T @ phi).double()
    gram.diagonal().add_(damping or 0.0)
    factor, failed = torch.linalg.cholesky_ex(gram)
    typical = float(gram.diagonal().mean())
    least = ROUNDINGS * torch.finfo(phi.dtype).eps * typical
    if damping is None and typical > 0 and (int(failed) or float(factor.diagonal().min()) ** 2 < least):
        return _factor(phi, SMALL * typical)
    if int(failed):
        raise EstimatorError(
            f"TRAK's Gram matrix [{len(gram)}, {len(gram)}] is singular: give a damping above 0, or project to fewer "
            f"dimensions than the {len(phi)} training instances"
        )
    lower: Tensor = factor
    return lower, damping or 0.0


def _solved(factor: Tensor, right: Tensor) -> Tensor:
    """(Phi^T Phi + damping)^-1 times rows [m, k], in float64."""
    found: Tensor = torch.cholesky_solve(right.double().T, factor).T.to(right.dtype)
    return found
