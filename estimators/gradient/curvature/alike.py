"""Blocks of instances whose inputs are zero at the same places, so that a block has few live inputs.

Bisection along the first principal direction of which inputs are not zero (Boley, Data Mining and Knowledge Discovery
1998), within classes where there are any. On MNIST, blocks of 100 have 0.49 of the inputs live, in order of class 0.57.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from estimators.gradient.objective import Instances

TOGETHER = 4096
"""Instances bisected at once."""
POWERS = 2
"""Steps of the power method: a rough direction parts as well as a fine one."""
SPARSE = 0.9
"""Share of inputs that are not zero, above which instances stay as they are."""


def alike(instances: Instances, rows: int) -> Iterator[Instances]:
    """All instances, features [n, din], in blocks of at most `rows`; the same blocks whenever asked."""
    for group in _classes(instances):
        for at in range(0, len(group), TOGETHER):
            positions = group[at : at + TOGETHER]
            places = (instances.features.index_select(0, positions) != 0).to(torch.float32)
            for block in _bisected(places, positions, rows):
                yield instances[block]


def _classes(instances: Instances) -> list[Tensor]:
    """Positions by class, or all of them."""
    labels = instances.labels
    whole = torch.arange(len(labels), device=labels.device)
    if labels.ndim != 1 or labels.is_floating_point():
        return [whole]
    order = labels.argsort(stable=True)
    ends = torch.unique(labels, return_counts=True)[1].cumsum(0)[:-1].tolist()
    return list(order.tensor_split(ends))


def _bisected(places: Tensor, positions: Tensor, rows: int) -> Iterator[Tensor]:
    """Positions [m] in parts of at most `rows`, nearly equal ones. places: which inputs are not zero, [m, din]."""
    parts = -(-len(positions) // rows)
    if parts <= 1:
        yield positions
        return
    if float(places.mean()) <= SPARSE:
        order = _along_first_direction(places).argsort(stable=True)
        positions, places = positions[order], places.index_select(0, order)
    left = len(positions) * (parts // 2) // parts
    yield from _bisected(places[:left], positions[:left], rows)
    yield from _bisected(places[left:], positions[left:], rows)


def _along_first_direction(places: Tensor) -> Tensor:
    """Coordinates [m] of rows [m, din] along their first principal direction, nearly, up to sign and scale."""
    centred = places - places.mean(dim=0)
    direction = centred[centred.square().sum(dim=1).argmax()]
    for _ in range(POWERS):
        direction = centred.T @ (centred @ direction)
        direction = direction / direction.norm().clamp(min=torch.finfo(torch.float32).tiny)
    return centred @ direction
