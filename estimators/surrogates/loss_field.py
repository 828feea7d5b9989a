"""Losses of subsets that were not trained, drawn from a Gaussian process that a few retrains fit.

Covariances are those of `kernels`, times sqrt(h(S) h(T)): h, a smooth function of the size, says how much more losses
vary on small subsets than on large ones (log h is linear in the logs of members and of others; it is fitted to squared
leave-one-out residuals by a gamma regression, then the scales once more). One set of scales serves all columns. Draws
are conditional on the retrains, which keep their losses, by adding to an unconditional draw what the process predicts
of the gap (Journel and Huijbregts 1978, conditioning by kriging); the columns of a draw are correlated as the whitened
rows of the retrains are.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.retrains import EndRows
from estimators.surrogates.gaussian_process import JITTER, Scales, conditioned, fitted_scales
from estimators.surrogates.kernels import Component, SemivalueLaw, covariance, linear, of_size, products

ORDERS = (0.8, 2.5)
"""Mean orders of interaction that are tried."""

END_NOISE = 1e-6
COLUMNS_TO_FIT = 32
SHRINKAGE = 2.0
"""How many retrains' worth of doubt there is that losses vary with the size."""


@dataclass(frozen=True, slots=True)
class LossField:
    """known [m, n]: different subsets trained; noise [m]: of each up to a scale; whitened [m, c]: their losses.

    factor [m, m]: the lower Cholesky factor of their covariance. slopes [3]: of log h. centre, spread [c]: of a column.
    """

    known: BoolArray
    noise: FloatArray
    scaled: FloatArray
    whitened: FloatArray
    factor: FloatArray
    parts: Sequence[Component]
    scales: Scales
    slopes: FloatArray
    centre: FloatArray
    spread: FloatArray

    def drawn(self, planned: BoolArray, rng: np.random.Generator) -> FloatArray:
        """Losses [K, c] of planned subsets [K, n], a subset met again with the same; those known as they are."""
        packed, known = np.packbits(planned, axis=1), np.packbits(self.known, axis=1)
        _, first, place = np.unique(np.concatenate([known, packed]), axis=0, return_index=True, return_inverse=True)
        place, m = place.ravel(), len(known)
        new = first >= m  # the first of equal subsets is the known one, where one is
        every = np.concatenate([self.known, planned[first[new] - m]])
        where = np.empty(len(first), dtype=np.int64)
        where[new], where[~new] = m + np.arange(new.sum()), first[~new]
        losses = self._conditioned(every, rng)
        losses *= np.sqrt(_level(every, self.slopes))[:, None]
        found: FloatArray = losses[where[place[m:]]] * self.spread + self.centre
        return found

    def _conditioned(self, every: BoolArray, rng: np.random.Generator) -> FloatArray:
        m, noise = len(self.known), np.ones(len(every))
        noise[:m] = self.noise
        among = _covariance(self.parts, self.scales, every, noise)
        free = _root(among) @ (rng.normal(size=(len(every), m)) @ self.whitened)
        gap = cho_solve((self.factor, True), self.scaled - free[:m])
        return np.concatenate([self.scaled, free[m:] + among[m:, :m] @ gap])


def fitted_field(members: BoolArray, losses: FloatArray, ends: EndRows) -> LossField:
    """The field of retrains: members [m, n], losses [m, c], and the end rows of the same columns."""
    known, values, noise = _different(members, losses, ends)
    centre, spread = losses.mean(axis=0), losses.std(axis=0, ddof=1)
    scaled = (values - centre) / np.where(spread > 0.0, spread, 1.0)
    drawn, slopes = (known.sum(axis=1) > 0) & (known.sum(axis=1) < known.shape[1]), np.zeros(3)
    live = np.flatnonzero(np.ptp(scaled[drawn], axis=0) > 0.0) if drawn.any() else np.zeros(0, dtype=np.int64)
    shown = scaled[:, live[np.unique(np.linspace(0, len(live) - 1, min(len(live), COLUMNS_TO_FIT)).astype(np.int64))]]
    parts, scales = _scales(known, shown, noise, drawn)
    if shown.shape[1]:
        slopes = _slopes(known, shown, noise, drawn, parts, scales)
        parts, scales = _scales(known, shown / np.sqrt(_level(known, slopes))[:, None], noise, drawn)
    scaled = scaled / np.sqrt(_level(known, slopes))[:, None]
    factor = _root(_covariance(parts, scales, known, noise))
    whitened = solve_triangular(factor, scaled, lower=True) / np.sqrt(len(known))
    return LossField(known, noise, scaled, whitened, factor, parts, scales, slopes, centre, spread)


def _different(members: BoolArray, losses: FloatArray, ends: EndRows) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Each subset once, D and the empty one first, with its losses and its noise up to a scale."""
    n = members.shape[1]
    full = np.asarray(ends.full, dtype=np.float64).mean(axis=0, keepdims=True)
    known = np.concatenate([np.ones((1, n), dtype=np.bool_), np.zeros((1, n), dtype=np.bool_), members])
    values = np.concatenate([full, np.asarray(ends.empty, dtype=np.float64)[None], losses])
    noise = np.ones(len(known))
    noise[:2] = (END_NOISE, END_NOISE) if ends.deterministic else (1.0 / len(ends.full), 1.0)
    _, first = np.unique(np.packbits(known, axis=1), axis=0, return_index=True)
    first = np.sort(first)
    return known[first], values[first], noise[first]


def _scales(
    known: BoolArray, shown: FloatArray, noise: FloatArray, drawn: BoolArray
) -> tuple[Sequence[Component], Scales]:
    """The components whose likelihood is best, and their scales; shown [m, c]: columns to fit to."""
    n, sizes, distances = known.shape[1], known.sum(axis=1), _distances(known, known)
    any_law = SemivalueLaw(np.full(n, 1.0 / n), np.array([0.5]), np.ones(1))  # covariances do not depend on it
    choices = [[linear(any_law), of_size(any_law, np.ones(1, np.int64)), products(any_law, order)] for order in ORDERS]
    if not shown.shape[1]:
        return choices[0], Scales((1.0, 1.0, 1.0), 1.0, 0.0)
    unit = shown / shown[drawn].std(axis=0, ddof=1)
    found = [(parts, fitted_scales([part.among(distances, sizes) for part in parts], noise, unit)) for parts in choices]
    return min(found, key=lambda each: each[1].loss)


def _slopes(
    known: BoolArray,
    shown: FloatArray,
    noise: FloatArray,
    drawn: BoolArray,
    parts: Sequence[Component],
    scales: Scales,
) -> FloatArray:
    """Of log h, from squared leave-one-out residuals over what the process expects them to be."""
    sizes, distances = known.sum(axis=1), _distances(known, known)
    unit = shown / shown[drawn].std(axis=0, ddof=1)
    units = np.where(drawn, np.arange(len(known)), -1)
    among = covariance(parts, scales.components, distances, sizes)
    process = conditioned(among, scales.noise * noise, units)
    left_out = process.left_out(process.coefficients(np.asfortranarray(unit)))
    squares = (left_out**2 / process.predicted[:, None]).mean(axis=1)[drawn]
    return _gamma_regression(_places(known[drawn]), np.maximum(squares, 1e-8))


def _gamma_regression(x: FloatArray, y: FloatArray) -> FloatArray:
    """Coefficients of log E y = x b by Newton steps; all but the first shrunk by `SHRINKAGE`."""
    b, shrinkage = np.zeros(x.shape[1]), np.full(x.shape[1], SHRINKAGE)
    b[0], shrinkage[0] = np.log(y.mean()), 1e-9
    for _ in range(30):
        ratio = y / np.exp(x @ b)
        slope = x.T @ (ratio - 1.0) - shrinkage * b
        curvature = x.T @ (x * np.minimum(ratio, 3.0)[:, None]) + np.diag(shrinkage)
        step = np.clip(np.linalg.solve(curvature, slope), -1.0, 1.0)
        b += step
        if np.abs(step).max() < 1e-4:
            break
    return b


def _level(members: BoolArray, slopes: FloatArray) -> FloatArray:
    """The function h at each row of members, [m]."""
    level: FloatArray = np.exp(_places(members) @ slopes)
    return level


def _places(members: BoolArray) -> FloatArray:
    """1, and the logs of the shares of members and of others, 0 at one half, [m, 3]."""
    n, sizes = members.shape[1], members.sum(axis=1)
    shares = (np.stack([sizes, n - sizes], axis=1) + 0.5) / (n + 1.0)
    return np.concatenate([np.ones((len(members), 1)), np.log(2.0 * shares)], axis=1)


def _covariance(parts: Sequence[Component], scales: Scales, members: BoolArray, noise: FloatArray) -> FloatArray:
    found = covariance(parts, scales.components, _distances(members, members), members.sum(axis=1))
    found[np.diag_indices_from(found)] += scales.noise * noise + JITTER * float(np.mean(np.diag(found)))
    return found


def _root(covariances: FloatArray) -> FloatArray:
    """The lower Cholesky factor, of covariances that rounding may have left without one."""
    floor = float(np.mean(np.diag(covariances)))
    for jitter in (0.0, 1e-8, 1e-6):
        raised = covariances + jitter * floor * np.eye(len(covariances))
        with suppress(np.linalg.LinAlgError):
            root: FloatArray = cholesky(raised, lower=True)
            return root
    raise np.linalg.LinAlgError("covariances of losses are not positive definite")


def _distances(a: BoolArray, b: BoolArray) -> IntArray:
    """In how many instances rows of a [A, n] and b [B, n] differ, [A, B]."""
    common = np.rint(a.astype(np.float32) @ b.astype(np.float32).T).astype(np.int64)
    distances: IntArray = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - 2 * common
    return distances
