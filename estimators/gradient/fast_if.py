"""FastIF: influence on the nearest training instances only (Guo, Rajani, Hase, Bansal and Xiong, EMNLP 2021)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.errors import EstimatorError
from estimators.gradient.engine import Engine
from estimators.gradient.forms import Outer
from estimators.gradient.objective import Instances
from estimators.gradient.source import GradientSource


@dataclass(frozen=True, slots=True)
class PartialInfluence:
    """values: [n, n_test], NaN where nothing was computed. computed: [n, n_test], which pairs were."""

    values: FloatArray
    computed: BoolArray


def last_features(source: GradientSource, instances: Instances) -> Tensor:
    """What the last linear layer gets, [n, h]. Raises EstimatorError where the model has none."""
    places = [k for k, layer in enumerate(source.model_layout.layers) if layer.form == "outer"]
    if not places:
        raise EstimatorError("the model has no linear layer whose inputs could serve as features")
    found = []
    for rows in source.blocks(instances):
        layer = rows.layers[places[-1]]
        assert isinstance(layer, Outer)
        found.append(layer.inputs.mean(dim=1))
    return torch.cat(found)


def nearest(features: Tensor, test_features: Tensor, count: int) -> IntArray:
    """The `count` training instances nearest in Euclidean distance to each test instance, [count, n_test]."""
    kept = min(count, len(features))
    blocks = (test_features[at : at + 1024] for at in range(0, len(test_features), 1024))
    columns = [torch.cdist(block, features).topk(kept, dim=1, largest=False).indices for block in blocks]
    found: IntArray = torch.cat(columns).T.cpu().numpy()
    return found


def fast_influence(engine: Engine, candidates: IntArray) -> PartialInfluence:
    """The engine's values for candidate pairs only; `candidates` [k, n_test] are training positions.

    Gradients are taken of training instances that are some test instance's candidate.
    """
    n, n_test = len(engine.train), len(engine.test)
    computed = np.zeros((n, n_test), dtype=np.bool_)
    np.put_along_axis(computed, candidates, values=True, axis=0)
    wanted = np.flatnonzero(computed.any(axis=1))
    values = np.full((n, n_test), np.nan)
    values[wanted] = 0.0
    for name in engine.names():
        rows = wanted[(wanted >= name.rows) & (wanted < name.rows + engine.source.block_rows)]
        if len(rows):
            found = engine.rows_of(name, rows)
            values[rows, name.columns : name.columns + found.shape[1]] += found
    values[~computed] = np.nan
    return PartialInfluence(values, computed)
