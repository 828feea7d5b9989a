"""Products of a curvature with many vectors, for chains of linear layers and functions of single numbers.

The R-operator (Pearlmutter, Neural Computation 1994) for a block of directions: every layer is one matrix product for
all of them, and nothing is taped. Other models differentiate their gradient by autograd (`products`).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from estimators.gradient.curvature.alike import alike
from estimators.gradient.curvature.linear_chain import Chain
from estimators.gradient.curvature.moves import Moves
from estimators.gradient.curvature.passed import Passed
from estimators.gradient.layout import Layout
from estimators.gradient.objective import Instances, Objective

ROWS = 256
DIRECTIONS = 64
"""Instances and directions at once: what a product makes of them stays in the cache."""
BLOCKS = 8
"""Blocks whose sums are taken in the vectors' own type before they go into float64."""


class ChainProducts:
    """Means over instances of C_i v at the chain's present parameters: of the losses' Hessians, or Gauss-Newton's.

    keep: hold on to what the instances' passes gave. Inputs that are zero throughout a block (borders of images, words
    not met) are left out of its products; instances that share such inputs stand together.
    """

    def __init__(
        self, chain: Chain, objective: Objective, layout: Layout, instances: Instances, *, hessian: bool, keep: bool
    ) -> None:
        self._chain, self._objective, self._layout = chain, objective, layout
        self._hessian, self._keep = hessian, keep
        self._instances = instances
        self._kept: list[Passed] = []

    def __call__(self, vectors: Tensor, *, rough: bool = False) -> Tensor:
        """Means [k, p] for vectors [k, p], summed in float64. rough: wide matrix products in bfloat16."""
        found = torch.empty_like(vectors)
        for at in range(0, len(vectors), DIRECTIONS):
            self._write(found[at : at + DIRECTIONS], vectors[at : at + DIRECTIONS], rough=rough)
        return found

    def _write(self, found: Tensor, vectors: Tensor, *, rough: bool) -> None:
        moves = [
            Moves.of(layer, weight, bias, first=at == 0, rough=rough)
            for at, (layer, (weight, bias)) in enumerate(zip(self._chain.layers, self._parts(vectors), strict=True))
        ]
        for number, passed in enumerate(self._passed(), start=1):
            self._add(passed, moves)
            if number % BLOCKS == 0:
                for each in moves:
                    each.settle()
        for each, (weight, bias) in zip(moves, self._parts(found), strict=True):
            each.write(weight, bias, scale=1 / len(self._instances))

    def _parts(self, vectors: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Weight and bias of each layer (views)."""
        parts = iter(self._layout.unflatten(vectors))
        for layer in self._chain.layers:
            yield next(parts), None if layer.bias is None else next(parts)

    def _passed(self) -> Iterator[Passed]:
        if self._kept:
            yield from self._kept
            return
        found = []
        for block in alike(self._instances, ROWS):
            passed = Passed.of(self._chain, self._objective, block)
            if self._keep:
                found.append(passed)
            yield passed
        self._kept = found

    def _add(self, passed: Passed, moves: list[Moves]) -> None:
        """Adds one block's sums, from its derivatives along the directions: forwards, then backwards."""
        before: list[Tensor | None] = [None]
        steps = []
        for at, each in enumerate(moves):
            step = each.forwards(passed.inputs[at], passed.live if at == 0 else None)
            given = before[at]
            if given is not None:
                step += each.onwards(given)
            steps.append(step)
            if at + 1 < len(moves):  # in place where the step is not asked for again
                before.append(step.mul_(passed.first[at]) if passed.bends[at] is None else step * passed.first[at])
        back = self._chain.curved(passed.outputs, steps[-1])
        if passed.weights is not None:
            back = back * passed.weights[:, None, None]
        for at in range(len(moves) - 1, -1, -1):
            moves[at].add(passed.inputs[at], back, passed.live if at == 0 else None)
            given = before[at]
            if given is not None:
                if self._hessian:
                    moves[at].add_crossed(passed.slopes[at], given)
                back = self._pulled(passed, at, back, moves[at], steps[at - 1])

    def _pulled(self, passed: Passed, at: int, back: Tensor, moves: Moves, step: Tensor) -> Tensor:
        """The derivative of the slopes one layer further back."""
        pulled = moves.pulled(back)
        if self._hessian:
            pulled += moves.backwards(passed.slopes[at])
        pulled *= passed.first[at - 1]
        bend = passed.bends[at - 1]
        if self._hessian and bend is not None:
            pulled += bend * step
        return pulled
