"""Exchangeable covariances of a loss as a function of the subset, and of its semivalues with it.

With x_i = 1 for members and -1 for others, and h the number of instances in which S and T differ,

    linear      sum_i x_i(S) x_i(T) / n = (n - 2 h) / n                      effects of single instances
    size        1 + exp(-(u(|S|) - u(|T|))^2 / 2),  u = log((s + 1)/(n - s + 1)) / 0.8   any smooth function of the size
    products    prod_i (1 + r x_i(S) x_i(T)) / (1 + r)^n, mean order m = n r / (1 + r)   interactions of all orders

A semivalue is linear in the loss, so it has a covariance with the loss on T; since no instance is told from another
that covariance has two values for each size of T, with i in T and without. For a mixture over t of independent
inclusion with probability t, the products give 2 r x_i(T) E_t (1 + r q)^a (1 - r q)^b / (1 + r)^n with q = 2 t - 1,
and a and b the members and non-members of T other than i.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import roots_jacobi

from estimators.arrays import FloatArray, IntArray

MOST_NODES = 64
SIZE_SCALE = 0.8
LEAST_MASS = 1e-14


@dataclass(frozen=True, slots=True)
class SemivalueLaw:
    """A semivalue: p [n], and shares t [m] with weights [m] whose mixture of Binomial(n - 1, t) is p."""

    p: FloatArray
    shares: FloatArray
    weights: FloatArray

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.p)

    @property
    def symmetric(self) -> bool:
        """Whether p reads the same from both ends, so that only the odd part of the loss matters."""
        return bool(np.allclose(self.p, self.p[::-1], rtol=1e-9, atol=0.0))


def beta_mixture(n: int, alpha: float, beta: float) -> tuple[FloatArray, FloatArray]:
    """Gauss-Jacobi shares and weights of t ~ Beta(beta, alpha), exact for n up to 128."""
    nodes = min(max(4, n // 2 + 1), MOST_NODES)
    places, weights = roots_jacobi(nodes, alpha - 1.0, beta - 1.0)
    return (1.0 + places) / 2.0, weights / weights.sum()


@dataclass(frozen=True, slots=True)
class Component:
    """One covariance of losses: by_distance [n + 1], or a function of places [n + 1] of the sizes.

    inside, outside [n + 1]: that of the semivalue of i with the loss on T, by the size of T, with i in T and without.
    mirrored: half the difference to the complement is meant.
    """

    by_distance: FloatArray | None
    places: FloatArray | None
    inside: FloatArray
    outside: FloatArray
    mirrored: bool = False

    def among(self, distances: IntArray, sizes: IntArray) -> FloatArray:
        """Covariances [m, m] of losses on subsets of sizes [m] that differ in distances [m, m]."""
        return self.by_distance.take(distances) if self.by_distance is not None else self._among_sizes(sizes)

    def _among_sizes(self, sizes: IntArray) -> FloatArray:
        if self.places is None:
            raise ValueError("a component has covariances by distance or by places of sizes")
        met, place = np.unique(sizes, return_inverse=True)  # few sizes among many subsets
        left, right = self.places[met][:, None], self.places[met][None, :]
        table = (_alike(left, right) - _alike(left, -right)) / 2.0 if self.mirrored else _alike(left, right)
        return table[place].take(place, axis=1)


def covariance(parts: Sequence[Component], scales: Sequence[float], distances: IntArray, sizes: IntArray) -> FloatArray:
    """The covariances [m, m] of the sum of components, each times its scale; as few [m, m] arrays as can be.

    Right where the distances are; others, which may be anything, do no harm.
    """
    by_distance = sum(
        scale * part.by_distance for scale, part in zip(scales, parts, strict=True) if part.by_distance is not None
    )
    found: FloatArray = np.asarray(by_distance).take(distances, mode="clip")
    for scale, part in zip(scales, parts, strict=True):
        if part.by_distance is None:
            of_sizes = part.among(distances, sizes)
            of_sizes *= scale
            found += of_sizes
    return found


def _alike(a: FloatArray, b: FloatArray) -> FloatArray:
    covariance: FloatArray = 1.0 + np.exp(-0.5 * (a - b) ** 2)
    return covariance


def folded(component: Component) -> Component:
    """The covariance of v(S) - v(D without S) over 2, and of the semivalue with it; for pairs of complements."""
    by_distance = component.by_distance
    return Component(
        by_distance=None if by_distance is None else (by_distance - by_distance[::-1]) / 2.0,
        places=component.places,
        inside=(component.inside - component.outside[::-1]) / 2.0,
        outside=(component.outside - component.inside[::-1]) / 2.0,
        mirrored=True,
    )


def linear(law: SemivalueLaw) -> Component:
    """Effects of single instances."""
    n = law.n
    effect = np.full(n + 1, 2.0 / n)
    return Component((n - 2.0 * np.arange(n + 1)) / n, None, effect, -effect)


def of_size(law: SemivalueLaw, sizes: IntArray) -> Component:
    """A smooth function of the size; its effect is worked out for the sizes [m] met, and their complements'."""
    n = law.n
    every = np.arange(n + 1)
    places = np.log((every + 1.0) / (n - every + 1.0)) / SIZE_SCALE
    effect = np.full(n + 1, np.nan)
    joined = np.flatnonzero(law.p > LEAST_MASS * law.p.max())
    for size in np.unique(np.concatenate([sizes, n - sizes])).tolist():
        step = _alike(places[joined + 1], places[size]) - _alike(places[joined], places[size])
        effect[size] = law.p[joined] @ step
    return Component(None, places, effect, effect)


def products(law: SemivalueLaw, order: float) -> Component:
    """Interactions of all orders, of mean order `order`."""
    n = law.n
    r = min(order / max(n - order, 1e-9), 0.6) if order < n else 0.6
    distances = np.arange(n + 1)
    by_distance = np.exp(distances * (np.log1p(-r) - np.log1p(r)))
    q = (2.0 * law.shares - 1.0)[:, None]
    sizes = np.arange(n + 1)[None, :]

    def effect(members: IntArray) -> FloatArray:
        others = n - 1 - members
        log_mean = members * np.log1p(r * q) + others * np.log1p(-r * q) - n * np.log1p(r)
        return np.asarray(2.0 * r * (law.weights @ np.exp(np.where(members * others < 0, -np.inf, log_mean))))

    inside, outside = effect(sizes - 1), -effect(np.minimum(sizes, n - 1))
    inside[0] = outside[n] = 0.0
    return Component(by_distance, None, inside, outside)
