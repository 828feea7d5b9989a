"""How far a model is from a stationary point of its training objective, which influence functions take it to be at."""

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from estimators.gradient.objective import Instances
from estimators.gradient.source import GradientSource


def stationarity(source: GradientSource, train: Instances, parameters: Mapping[str, Tensor]) -> dict[str, float]:
    """`stationarity`: ||grad J|| over the root mean square of ||g_i||; 0 at a minimum, 1 where all gradients agree.

    J with its penalty, over the chosen parameters; gradients g_i of single losses without it. NaN where all are 0.
    """
    objective = replace(source.objective, module=copy.deepcopy(source.objective.module))
    own = replace(source, objective=objective, projector=None)
    own.load(parameters)
    total: Tensor | None = None
    squares = 0.0
    for rows in own.blocks(train):
        weights = torch.ones(1, len(rows), dtype=rows.losses.dtype, device=own.device)
        part = rows.mix(weights)[0].double()
        total = part if total is None else total + part
        squares += float(rows.squared_norms().sum())
    assert total is not None
    slope = total / len(train) + (own.penalties() * objective.theta(own.layout)).double()
    typical = (squares / len(train)) ** 0.5
    return {"stationarity": float(slope.norm()) / typical if typical > 0 else float("nan")}
