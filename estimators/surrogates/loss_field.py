"""Losses of subsets that were not trained, drawn from a Gaussian process that a few retrains fit.

Covariances are those of `kernels`, times sqrt(h(S) h(T)): h, a function of the size whose log is linear in the logs of
members and of others, says how much more losses vary on small subsets than on large ones. One setting of all scales
serves all columns; `field_scales` says how sure the retrains are of it. Draws are conditional on the retrains, which
keep their losses; the columns of a draw are correlated as the whitened rows of the retrains are.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.retrains import EndRows
from estimators.surrogates.field_scales import FieldScales, ScalesPosterior, scales_posterior, size_places
from estimators.surrogates.gaussian_process import JITTER
from estimators.surrogates.kernels import covariance

ENDS, END_NOISE = 2, 1e-6
"""D and the empty subset stand first among those known, with next to no noise."""

ROWS_TO_FIT = 256
ROWS_TO_KEEP = 512
"""Retrains by which the scales are told, and on which draws are conditional; of more, some evenly spaced."""


@dataclass(frozen=True, slots=True)
class LossField:
    """known [m, n]: different subsets trained; noise [m]: of each up to a scale; scaled [m, c]: their losses.

    fitted [r]: the rows of `known` by which the scales are told. centre, spread [c]: of a column, spread 0 where it
    never varied.
    """

    known: BoolArray
    noise: FloatArray
    scaled: FloatArray
    fitted: IntArray
    scales: ScalesPosterior
    centre: FloatArray
    spread: FloatArray

    def draws(
        self, planned: BoolArray, settings: Sequence[FieldScales], seed: int, *, anew: bool = False
    ) -> Iterator[FloatArray]:
        """Of each setting losses [K, c] of planned subsets [K, n], by the same random numbers.

        A subset met again has the same losses, one that is known its own; anew: as if the end rows alone were known.
        """
        m = ENDS if anew else len(self.known)
        every, where = _different(self.known[:m], planned)
        noise = np.append(self.noise[:m], np.ones(len(every) - m))
        distances, seen = _distances(every), _distances(self.known)
        for setting in settings:
            level = np.exp(0.5 * (size_places(every) @ setting.slopes))[:, None]
            root = _root(self._covariance(setting, every, distances, noise))
            whitened = solve_triangular(root[:m, :m], self.scaled[:m] / level[:m], lower=True)
            alike = self._alike(setting, seen) if anew else _unit_columns(whitened[self.fitted])
            fresh = np.random.default_rng(seed).normal(size=(len(root) - m, len(alike))) @ alike
            losses = np.concatenate([self.scaled[:m], (root[m:, :m] @ whitened + root[m:, m:] @ fresh) * level[m:]])
            drawn: FloatArray = losses[where] * self.spread + self.centre
            yield drawn

    def _covariance(
        self, setting: FieldScales, members: BoolArray, distances: IntArray, noise: FloatArray
    ) -> FloatArray:
        found = covariance(self.scales.parts, setting.components, distances, members.sum(axis=1))
        found[np.diag_indices_from(found)] += setting.noise * noise + JITTER * float(np.mean(np.diag(found)))
        return found

    def _alike(self, setting: FieldScales, distances: IntArray) -> FloatArray:
        """How columns vary together: the whitened rows that were fitted, each column of unit length."""
        root = _root(self._covariance(setting, self.known, distances, self.noise))
        level = np.exp(0.5 * (size_places(self.known) @ setting.slopes))[:, None]
        return _unit_columns(solve_triangular(root, self.scaled / level, lower=True)[self.fitted])


def fitted_field(members: BoolArray, losses: FloatArray, ends: EndRows, weights: FloatArray | None = None) -> LossField:
    """The field of retrains: members [m, n], losses [m, c], and the end rows of the same columns.

    weights [c]: what each column counts for where the scales are told; the same where none are given.
    """
    kept = _spaced(len(members), ROWS_TO_KEEP)
    known, values, noise = _different_rows(members[kept], losses[kept], ends)
    centre, spread = losses.mean(axis=0), losses.std(axis=0)
    scaled = (values - centre) / np.where(spread > 0.0, spread, 1.0)
    sizes = known.sum(axis=1)
    drawn = np.flatnonzero((sizes > 0) & (sizes < known.shape[1]))
    fitted = drawn[_spaced(len(drawn), ROWS_TO_FIT)]
    varied = np.ptp(scaled[fitted], axis=0) > 0.0 if len(fitted) else np.zeros(len(centre), dtype=np.bool_)
    weights = np.ones(len(centre)) if weights is None else weights
    live = np.flatnonzero(varied & (weights > 0.0))
    counts = weights[live]
    shown = scaled[np.ix_(fitted, live)]
    shown = shown / shown.std(axis=0) * np.sqrt(counts * len(live) / counts.sum())
    scales = scales_posterior(known[fitted], shown, noise[fitted], _distances(known[fitted]))
    return LossField(known, noise, scaled, fitted, scales, centre, spread)


def _different(known: BoolArray, planned: BoolArray) -> tuple[BoolArray, IntArray]:
    """The known subsets, then the others planned, each once; and where each planned one is among them, [K]."""
    packed, m = np.packbits(np.concatenate([known, planned]), axis=1), len(known)
    _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    new = first >= m  # the first of equal subsets is the known one, where one is
    where = np.where(new, m + np.cumsum(new) - 1, first)
    return np.concatenate([known, planned[first[new] - m]]), where[place.ravel()[m:]]


def _unit_columns(rows: FloatArray) -> FloatArray:
    unit: FloatArray = rows / np.sqrt(np.maximum((rows**2).sum(axis=0), 1e-300))
    return unit


def _spaced(count: int, most: int) -> IntArray:
    """At most `most` of the places 0..count-1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _different_rows(members: BoolArray, losses: FloatArray, ends: EndRows) -> tuple[BoolArray, FloatArray, FloatArray]:
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


def _root(covariances: FloatArray) -> FloatArray:
    """The lower Cholesky factor, of covariances that rounding may have left without one."""
    floor = float(np.mean(np.diag(covariances)))
    for jitter in (0.0, 1e-8, 1e-6):
        raised = covariances + jitter * floor * np.eye(len(covariances)) if jitter else covariances
        with suppress(np.linalg.LinAlgError):
            root: FloatArray = cholesky(raised, lower=True)
            return root
    raise np.linalg.LinAlgError("covariances of losses are not positive definite")


def _distances(members: BoolArray) -> IntArray:
    """In how many instances rows of members [m, n] differ, [m, m]."""
    held, sizes = members.astype(np.float32), members.sum(axis=1)
    distances: IntArray = sizes[:, None] + sizes[None, :] - 2 * np.rint(held @ held.T).astype(np.int64)
    return distances
