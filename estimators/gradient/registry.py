"""All gradient methods by name."""

from collections.abc import Mapping
from types import MappingProxyType

from estimators.gradient.methods import INFLUENCE, TRAJECTORIES, GradientMethod
from estimators.gradient.other_methods import OTHERS
from estimators.gradient.unroll.methods import UNROLLED
from estimators.naming import entry_named

GRADIENTS: Mapping[str, GradientMethod] = MappingProxyType(
    {method.name: method for method in (*INFLUENCE, *TRAJECTORIES, *OTHERS, *UNROLLED)}
)


def gradient_method(name: str) -> GradientMethod:
    """The method of that name; raises UnknownName with the nearest ones."""
    return entry_named(name, GRADIENTS, kind="gradient method")
