"""A user's module read as a chain of layers, where it is one: each layer's output feeds the next and nothing else.

The reading is loose: the trial afterwards compares the chain's outputs and gradients with autograd's on the module.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import fx, nn
from torch.nn import functional

from workers.learners.torch_dropout import CountedDropout


class Cast(nn.Module):
    """Inputs to the parameters' type."""


class Squeeze(nn.Module):
    """Drops a last dimension of one."""


@dataclass(frozen=True, slots=True)
class Link:
    """One layer: `name`, its place in the module ("" for a function), and a module that does the same."""

    name: str
    layer: nn.Module


class NotAChainError(Exception):
    """Why the module is no chain of layers."""


_FUNCTIONS: Final[Mapping[object, Callable[[], nn.Module]]] = {
    torch.relu: nn.ReLU,
    functional.relu: nn.ReLU,
    "relu": nn.ReLU,
    torch.tanh: nn.Tanh,
    functional.tanh: nn.Tanh,
    "tanh": nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    functional.sigmoid: nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    functional.gelu: nn.GELU,
    functional.silu: nn.SiLU,
    functional.elu: nn.ELU,
    functional.leaky_relu: nn.LeakyReLU,
    functional.softplus: nn.Softplus,
    "float": Cast,
    "double": Cast,
}
_FLATTENING: Final = (torch.flatten, "flatten")
_SHAPING: Final = (torch.reshape, "view", "reshape")
_ASIDE: Final = ("size", "dim", getattr, operator.getitem)
_HOOKS: Final = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers of PyTorch's own are not looked into, nor is ours."""
        return isinstance(m, CountedDropout) or super().is_leaf_module(m, module_qualified_name)


def chain_of(module: nn.Module) -> tuple[Link, ...]:
    """The layers of the module in the order of their use.

    Raises:
        NotAChainError: it branches, calls what has no hand-written form, or cannot be traced.
    """
    try:
        graph = _Tracer().trace(module)
    except Exception as error:
        raise NotAChainError(f"it cannot be traced ({type(error).__name__})") from error
    links: list[Link] = []
    current: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder":
            if current is not None:
                raise NotAChainError("it takes several inputs")
            current = node
        elif node.op == "output":
            if node.args[0] is not current:
                raise NotAChainError("it returns something other than its last layer's output")
        elif not _is_aside(node):
            if not node.args or node.args[0] is not current:
                raise NotAChainError(f"{node.name} does not take the output of the layer before it alone")
            links.append(_link(node, module))
            current = node
    return tuple(links)


def _is_aside(node: fx.Node) -> bool:
    """Shapes and types, which only views and casts use."""
    return node.op == "get_attr" or node.target in _ASIDE


def _link(node: fx.Node, module: nn.Module) -> Link:
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        if len(node.args) != 1 or node.kwargs or any(getattr(layer, hooks, None) for hooks in _HOOKS):
            raise NotAChainError(f"{node.target} has other arguments, or hooks")
        return Link(str(node.target), layer)
    rest = node.args[1:]
    if node.target in _FUNCTIONS and not rest and set(node.kwargs) <= {"inplace"}:
        return Link("", _FUNCTIONS[node.target]())
    if node.target in _FLATTENING and (*rest, *node.kwargs.values()) == (1,):
        return Link("", nn.Flatten())
    if node.target in _SHAPING and isinstance(rest[0], fx.Node) and rest[1:] == (-1,):
        return Link("", nn.Flatten())
    if node.target == "to" and len(rest) == 1 and not node.kwargs:
        return Link("", Cast())
    if node.target == "squeeze" and rest == (-1,):
        return Link("", Squeeze())
    raise NotAChainError(f"{node.name} has no hand-written form")
