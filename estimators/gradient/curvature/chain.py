"""Products of a curvature with many vectors, for chains of linear layers and functions of single numbers.

The R-operator (Pearlmutter, Neural Computation 1994) for a block of directions: every layer is one matrix product for
all of them, and nothing is taped. Other models differentiate their gradient by autograd (`products`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from estimators.gradient.curvature.alike import alike
from estimators.gradient.layout import Layout
from estimators.gradient.objective import Instances, Objective

ELEMENTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus),
    *(nn.Identity, nn.Dropout),
)
ROWS = 128
DIRECTIONS = 64
"""Instances and directions at once: what a product makes of them stays in the cache."""
BLOCKS = 6
"""Blocks whose sums are taken in the vectors' own type before they go into float64."""
LIVE = 0.9
"""Share of inputs that are not zero throughout, above which all are kept."""
Curved = Callable[[Tensor, Tensor], Tensor]
"""Outputs [b, C] and directions [k, b, C] to the loss's second derivative in the outputs times the directions."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Linear layers in order and the functions after them; after the last one there is none."""

    layers: tuple[nn.Linear, ...]
    functions: tuple[nn.Sequential, ...]
    curved: Curved

    @classmethod
    def of(cls, objective: Objective, layout: Layout) -> Self | None:
        """The objective's model as a chain with all parameters chosen, or None."""
        curved = getattr(objective.loss, "curved", None)
        if curved is None or any(layer.form != "outer" for layer in layout.layers):
            return None
        layers: list[nn.Linear] = []
        functions: list[list[nn.Module]] = []
        for part in _parts(objective.module):
            if type(part) is nn.Linear:
                layers.append(part)
                functions.append([])
            elif layers and type(part) in ELEMENTWISE:
                functions[-1].append(part)
            else:
                return None
        own = [id(p) for layer in layers for p in layer.parameters()]
        chosen = [id(objective.module.get_parameter(name)) for name in layout.parameters]
        if own != chosen or functions[-1] or _hooked(objective.module):
            return None
        return cls(tuple(layers), tuple(nn.Sequential(*each) for each in functions), curved)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for part in module:
            yield from _parts(part)
    else:
        yield module


def _hooked(module: nn.Module) -> bool:
    """Whether some part does more than its forward says (spectral normalisation, pruning)."""
    return any(part._forward_pre_hooks or part._forward_hooks for part in module.modules())  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class _Passed:
    """A block of b instances passed forwards and backwards; lists run over layers.

    inputs: [b, din], with a 1 for the bias. first: derivatives of the functions, [b, 1, dout], 1 after the last layer.
    slopes: of the losses in each layer's outputs, [b, dout]. bends: slopes of the functions' values times their second
    derivatives, or None where those are zero. live: which inputs of the first layer are not zero for all of the block
    (None: taken as all).
    """

    outputs: Tensor
    weights: Tensor | None
    inputs: list[Tensor]
    first: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor | None]
    live: Tensor | None

    @classmethod
    def of(cls, chain: Chain, objective: Objective, block: Instances) -> Self:
        """One pass."""
        inputs, first, second, given = [], [], [], block.features
        for layer, function in zip(chain.layers, chain.functions, strict=True):
            inputs.append(given)
            given, once, twice = _derivatives(function, layer(given).detach())
            first.append(once)
            second.append(twice)
        outputs = given.requires_grad_()
        losses = objective.loss(outputs, block.labels)
        losses = losses if block.weights is None else losses * block.weights
        slopes: list[Tensor] = list(torch.autograd.grad(losses.sum(), outputs))
        bends: list[Tensor | None] = [None]
        for at in range(len(chain.layers) - 1, 0, -1):
            back = slopes[0] @ chain.layers[at].weight.detach()
            bend = second[at - 1]
            slopes.insert(0, back * first[at - 1])
            bends.insert(0, None if bend is None else (back * bend)[:, None])
        pairs = zip(inputs, chain.layers, strict=True)
        inputs = [given if layer.bias is None else functional.pad(given, (0, 1), value=1.0) for given, layer in pairs]
        live = _live(inputs[0])
        inputs[0] = inputs[0] if live is None else inputs[0].index_select(1, live)
        first = [once[:, None] if once.ndim else once for once in first]
        return cls(outputs.detach()[:, None], block.weights, inputs, first, slopes, bends, live)


def _live(inputs: Tensor) -> Tensor | None:
    live = (inputs != 0).any(dim=0).nonzero()[:, 0]
    return live if len(live) <= LIVE * inputs.shape[1] else None


def _derivatives(function: nn.Sequential, given: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Values of an elementwise function, its first derivative, and its second (None where zero everywhere)."""
    if not len(function):
        return given, torch.ones((), dtype=given.dtype, device=given.device), None
    leaf = given.clone().requires_grad_()
    with torch.enable_grad():
        values = function(leaf.clone())
        (first,) = torch.autograd.grad(values.sum(), leaf, create_graph=True)
        second = None
        if first.requires_grad:
            (second,) = torch.autograd.grad(first.sum(), leaf, materialize_grads=True)
    return values.detach(), first.detach(), second if second is not None and bool(second.any()) else None


class ChainProducts:
    """Sums over instances of C_i v at the chain's present parameters: of the losses' Hessians, or Gauss-Newton's.

    keep: hold on to what the instances' passes gave. Inputs that are zero throughout a block (borders of images, words
    not met) are left out of its products; instances that share such inputs stand together.
    """

    def __init__(
        self, chain: Chain, objective: Objective, layout: Layout, instances: Instances, *, hessian: bool, keep: bool
    ) -> None:
        self._chain, self._objective, self._layout = chain, objective, layout
        self._hessian, self._keep = hessian, keep
        self._instances = instances
        self._kept: list[_Passed] = []

    def __call__(self, vectors: Tensor) -> Tensor:
        """Sums [k, p] float64 for vectors [k, p]."""
        found = [self._sums(vectors[at : at + DIRECTIONS]) for at in range(0, len(vectors), DIRECTIONS)]
        return torch.cat(found)

    def _sums(self, vectors: Tensor) -> Tensor:
        parts = iter(self._layout.unflatten(vectors))
        moves = [
            _Moves.of(next(parts), None if layer.bias is None else next(parts), first=at == 0)
            for at, layer in enumerate(self._chain.layers)
        ]
        for number, passed in enumerate(self._passed(), start=1):
            self._add(passed, moves)
            if number % BLOCKS == 0:
                for each in moves:
                    each.settle()
        return torch.cat([part for each in moves for part in each.sums()], dim=1)

    def _passed(self) -> Iterator[_Passed]:
        if self._kept:
            yield from self._kept
            return
        found = []
        for block in alike(self._instances, ROWS):
            passed = _Passed.of(self._chain, self._objective, block)
            if self._keep:
                found.append(passed)
            yield passed
        self._kept = found

    def _add(self, passed: _Passed, moves: list["_Moves"]) -> None:
        """Adds one block's sums, from its derivatives along the directions: forwards, then backwards."""
        before: list[Tensor | None] = [None]
        steps = []
        for at, layer in enumerate(self._chain.layers):
            step = moves[at].forwards(passed.inputs[at], passed.live if at == 0 else None)
            given = before[at]
            if given is not None:
                step += given @ layer.weight.detach().T
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

    def _pulled(self, passed: _Passed, at: int, back: Tensor, moves: "_Moves", step: Tensor) -> Tensor:
        """The derivative of the slopes one layer further back."""
        pulled = back @ self._chain.layers[at].weight.detach()
        if self._hessian:
            pulled += moves.backwards(passed.slopes[at])
        pulled *= passed.first[at - 1]
        bend = passed.bends[at - 1]
        if self._hessian and bend is not None:
            pulled += bend * step
        return pulled


@dataclass(frozen=True, slots=True)
class _Moves:
    """Directions of one layer's weight, laid out for one product a block, and float64 sums in the same layouts.

    into: [din, k dout], with the bias as a last row. out_of: [dout, k din], empty of the first layer. part: of
    sum_into, not yet settled.
    """

    count: int
    biased: bool
    into: Tensor
    out_of: Tensor
    part: Tensor
    sum_into: Tensor
    sum_out_of: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, *, first: bool) -> Self:
        """Of directions [k, dout, din] and [k, dout]."""
        into = weight.permute(2, 0, 1).flatten(1)
        if bias is not None:
            into = torch.cat([into, bias.reshape(1, -1)])
        out_of = weight.new_empty(0) if first else weight.permute(1, 0, 2).flatten(1)
        sums = [torch.zeros_like(each, dtype=torch.float64) for each in (into, out_of)]
        return cls(len(weight), bias is not None, into, out_of, torch.zeros_like(into), *sums)

    def forwards(self, inputs: Tensor, live: Tensor | None) -> Tensor:
        """What the layer's outputs gain by the directions alone, [b, k, dout]."""
        found = inputs @ (self.into if live is None else self.into.index_select(0, live))
        return found.view(len(inputs), self.count, -1)

    def backwards(self, slopes: Tensor) -> Tensor:
        """What the slopes of the layer's inputs gain by the directions alone, [b, k, din]."""
        return (slopes @ self.out_of).view(len(slopes), self.count, -1)

    def add(self, inputs: Tensor, back: Tensor, live: Tensor | None) -> None:
        """Inputs times derivatives of slopes [b, k, dout]."""
        if live is None:
            self.part.addmm_(inputs.T, back.flatten(1))
        else:
            self.part.index_add_(0, live, inputs.T @ back.flatten(1))

    def add_crossed(self, slopes: Tensor, moved: Tensor) -> None:
        """Slopes times derivatives of inputs [b, k, din]."""
        self.sum_out_of.add_(slopes.T @ moved.flatten(1))

    def settle(self) -> None:
        """Takes what was added since into the float64 sum."""
        self.sum_into.add_(self.part)
        self.part.zero_()

    def sums(self) -> Iterator[Tensor]:
        """The sums as rows [k, ...], weight and bias."""
        self.settle()
        total = self.sum_into.view(len(self.sum_into), self.count, -1)
        weight = (total[:-1] if self.biased else total).permute(1, 2, 0)
        if len(self.sum_out_of):
            weight = weight + self.sum_out_of.view(weight.shape[1], self.count, -1).transpose(0, 1)
        yield weight.flatten(1)
        if self.biased:
            yield total[-1]
