"""The semivalues by name: the size probabilities of each, and which mixture of independent inclusion it is."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from estimators.aggregators.semivalues import beta_sizes, weighted_banzhaf_sizes
from estimators.methods.value_method import Options
from estimators.surrogates.kernels import SemivalueLaw, beta_mixture


def beta_law(n: int, options: Options) -> SemivalueLaw:
    """Beta Shapley of options alpha and beta."""
    alpha, beta = options["alpha"], options["beta"]
    return SemivalueLaw(beta_sizes(n, alpha, beta), *beta_mixture(n, alpha, beta))


def shapley_law(n: int, options: Options) -> SemivalueLaw:
    """Shapley: Beta(1, 1)."""
    del options
    return beta_law(n, {"alpha": 1.0, "beta": 1.0})


def weighted_banzhaf_law(n: int, options: Options) -> SemivalueLaw:
    """Weighted Banzhaf of option probability."""
    share = options["probability"]
    return SemivalueLaw(weighted_banzhaf_sizes(n, share), np.array([share]), np.ones(1))


def banzhaf_law(n: int, options: Options) -> SemivalueLaw:
    """Banzhaf: weighted Banzhaf of 1/2."""
    del options
    return weighted_banzhaf_law(n, {"probability": 0.5})


LAWS: Mapping[str, Callable[[int, Options], SemivalueLaw]] = MappingProxyType(
    {
        "shapley": shapley_law,
        "beta_shapley": beta_law,
        "banzhaf": banzhaf_law,
        "weighted_banzhaf": weighted_banzhaf_law,
    }
)
