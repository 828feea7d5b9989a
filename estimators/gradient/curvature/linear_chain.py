"""Models that are chains of linear layers and functions of single numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from estimators.gradient.layout import Layout
from estimators.gradient.objective import Objective

ELEMENTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus),
    *(nn.Identity, nn.Dropout),
)
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
