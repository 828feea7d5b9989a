"""Blocks of instances that are zero at the same places: all instances once, the same again, fewer live inputs."""

import pytest
import torch
from torch import Tensor

from estimators.gradient.curvature.alike import alike
from estimators.gradient.objective import Instances

ROWS = 16


def _instances(*, classes: bool, zeros: float = 0.8) -> Instances:
    """200 instances of six kinds, each with inputs of its own, their number as first input."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(6, (200,), generator=generator)
    own = torch.rand(6, 50, generator=generator) > zeros
    features = torch.rand(200, 50, generator=generator) * own[kinds]
    features[:, 0] = torch.arange(200) + 1.0
    return Instances(features, kinds % 2 if classes else torch.rand(200, generator=generator))


def _live(blocks: list[Instances]) -> float:
    found: Tensor = torch.stack([(b.features != 0).any(dim=0).sum() * len(b) for b in blocks]).sum()
    return float(found)


@pytest.mark.parametrize("classes", [True, False])
def test_every_instance_stands_in_one_block_with_few_live_inputs(classes: bool) -> None:
    given = _instances(classes=classes)
    blocks = list(alike(given, ROWS))
    assert max(map(len, blocks)) <= ROWS
    numbers = torch.cat([block.features[:, 0] for block in blocks])
    assert torch.equal(numbers.sort().values, given.features[:, 0])
    labels = torch.cat([block.labels for block in blocks])
    assert torch.equal(labels, given.labels[numbers.long() - 1])
    assert _live(blocks) < 0.75 * _live(list(given.blocks(ROWS)))
    again = list(alike(given, ROWS))
    assert all(torch.equal(one.features, other.features) for one, other in zip(blocks, again, strict=True))


def test_instances_without_zeros_keep_their_order() -> None:
    given = _instances(classes=False, zeros=0.0)
    numbers = torch.cat([block.features[:, 0] for block in alike(given, ROWS)])
    assert torch.equal(numbers, given.features[:, 0])
