"""What a few retrains tell of the scales of a field of losses: a posterior, and points that stand for it.

Parameters: the log of the variance over the rows; logs of the shares that four components have of it, over that of
noise (those of `kernels`, interactions in two parts, one the same on the complement and one opposite: pairs tell them
apart, and they tell what pairs are good for); and two slopes of log h, the level of variance as a function of the size.
So the variance, which rows
tell well, is apart from its shares, which they may not. The prior is normal and wide. Columns of losses vary together
and have heavy tails, so their likelihood is raised to the power c' / c, with c the number of columns and c' that of
independent normal columns whose mean squares, once whitened, would vary as much from row to row (a composite
likelihood put to scale; Pauli, Racugno and Ventura, Statistica Sinica 2011). The posterior is that of Laplace, no wider
than the prior; its points are those of the cubature of degree 3, turned at random (Genz and Monahan, J. Comput. Appl.
Math. 1999).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.optimize import minimize

from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.surrogates.gaussian_process import JITTER
from estimators.surrogates.kernels import Component, SemivalueLaw, linear, of_size, products

ORDERS = (0.8, 2.5)
"""Mean orders of interaction that are tried."""

PRIOR_MEAN = np.array([0.0, np.log(2.0), np.log(0.5), np.log(0.5), np.log(0.5), 0.0, 0.0])
"""Of the variance; of what is single instances', the size's, interactions' (opposite, same), over noise; of slopes."""

PRIOR_SPREAD = np.array([1.0, 2.0, 2.0, 2.0, 2.0, 0.7, 0.7])
SHARES, SLOPES = slice(1, 5), slice(5, 7)
PRIOR_ROWS = 16.0
"""How many rows' worth of doubt there is that a row tells as much as one normal column would."""

STEPS = 40
DIFFERENCE = 0.05


@dataclass(frozen=True, slots=True)
class FieldScales:
    """One setting: variances of the components and of the noise, and slopes [2] of log h."""

    components: tuple[float, ...]
    noise: float
    slopes: FloatArray


@dataclass(frozen=True, slots=True)
class ScalesPosterior:
    """units [4]: variance that each part has at scale 1; mode [7], root [7, 7]: of the covariance of parameters.

    columns: c', the independent normal columns that the losses amount to.
    """

    parts: Sequence[Component]
    units: FloatArray
    mode: FloatArray
    root: FloatArray
    columns: float

    def best(self) -> FieldScales:
        """The likeliest setting."""
        return self._setting(self.mode)

    def points(self, rng: np.random.Generator) -> list[FieldScales]:
        """Settings of equal weight, with the mean and the covariance of the posterior."""
        count = len(self.mode)
        turned = self.root @ np.linalg.qr(rng.normal(size=(count, count)))[0] * np.sqrt(count)
        return [self._setting(self.mode + sign * step) for step in turned.T for sign in (1.0, -1.0)]

    def _setting(self, parameters: FloatArray) -> FieldScales:
        variances = _variances(parameters)
        return FieldScales(tuple((variances[:-1] / self.units).tolist()), float(variances[-1]), parameters[SLOPES])


def scales_posterior(members: BoolArray, losses: FloatArray, noise: FloatArray, distances: IntArray) -> ScalesPosterior:
    """The posterior from rows: members [m, n], losses [m, c] of unit variance, noise [m] up to a scale.

    distances [m, m]: in how many instances rows differ.
    """
    n, sizes = members.shape[1], members.sum(axis=1)
    any_law = SemivalueLaw(np.full(n, 1.0 / n), np.array([0.5]), np.ones(1))  # covariances do not depend on it
    found = []
    for order in ORDERS:
        parts = [linear(any_law), of_size(any_law, np.ones(1, np.int64)), *_halves(products(any_law, order))]
        among = [part.among(distances, sizes) for part in parts]
        units = np.array([max(float(np.diag(each).mean() - each.mean()), 1e-6) for each in among])
        fit = _Fit([each / unit for each, unit in zip(among, units, strict=True)], losses, noise, size_places(members))
        value, mode, root, columns = fit.laplace()
        found.append((value, ScalesPosterior(parts, units, mode, root, columns)))
    return min(found, key=lambda each: each[0])[1]


def size_places(members: BoolArray) -> FloatArray:
    """Logs of the shares of members and of others, 0 at one half, [m, 2]; D and the empty set as their neighbours."""
    n = members.shape[1]
    sizes = np.clip(members.sum(axis=1), 1, max(n - 1, 1))
    places: FloatArray = np.log(2.0 * np.stack([sizes, np.maximum(n - sizes, 1)], axis=1) / n)
    return places


def effective_columns(squares: FloatArray) -> float:
    """How many independent normal columns vary as much in their mean squares; squares [m, c], of rows about 1."""
    of_rows = squares.mean(axis=1) / squares.mean()
    variance = (float(np.sum((of_rows - 1.0) ** 2)) + 2.0 * PRIOR_ROWS) / (len(squares) - 1.0 + PRIOR_ROWS)
    return min(2.0 / variance, float(squares.shape[1]))


def _halves(component: Component) -> list[Component]:
    """The parts of a covariance by distance that change sign with the complement, and that do not."""
    near = component.by_distance
    if near is None:
        raise ValueError("a covariance by distance is needed")
    return [replace(component, by_distance=(near + sign * near[::-1]) / 2.0) for sign in (-1.0, 1.0)]


def _variances(parameters: FloatArray) -> FloatArray:
    """Of the components and of noise, [5]."""
    logs = np.append(parameters[SHARES], 0.0)
    shares = np.exp(logs - logs.max())
    variances: FloatArray = np.exp(parameters[0]) * shares / shares.sum()
    return variances


@dataclass(frozen=True, slots=True)
class _Fit:
    """among: covariances [m, m] of the parts at unit variance; losses [m, c]; noise [m]; places [m, 2]."""

    among: Sequence[FloatArray]
    losses: FloatArray
    noise: FloatArray
    places: FloatArray

    def laplace(self) -> tuple[float, FloatArray, FloatArray, float]:
        """Minus the log posterior at its mode, the mode, a root of the covariance there, and c'."""
        columns = self.losses.shape[1]
        if not columns:
            return 0.0, PRIOR_MEAN, np.zeros((len(PRIOR_MEAN), len(PRIOR_MEAN))), 1.0
        mode, effective, value = PRIOR_MEAN, min(4.0, columns), 0.0
        for _ in range(2):
            found = minimize(
                self._objective,
                mode,
                args=(effective / columns,),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": STEPS},
            )
            mode, value = found.x, float(found.fun)
            effective = effective_columns(self._whitened(mode) ** 2)
        return value, mode, self._root(mode, effective / columns), effective

    def _covariance(self, parameters: FloatArray) -> FloatArray:
        variances = _variances(parameters)
        covariance = sum(variance * each for variance, each in zip(variances[:-1], self.among, strict=True))
        found: FloatArray = np.asarray(covariance)
        found[np.diag_indices_from(found)] += variances[-1] * self.noise + JITTER * float(variances.sum())
        return found

    def _level(self, parameters: FloatArray) -> FloatArray:
        """The losses over sqrt h, [m, c]."""
        level: FloatArray = self.losses * np.exp(-0.5 * (self.places @ parameters[SLOPES]))[:, None]
        return level

    def _whitened(self, parameters: FloatArray) -> FloatArray:
        root = cholesky(self._covariance(parameters), lower=True)
        whitened: FloatArray = solve_triangular(root, self._level(parameters), lower=True)
        return whitened

    def _objective(self, parameters: FloatArray, power: float) -> tuple[float, FloatArray]:
        """Minus the log posterior, and its gradient."""
        off = (parameters - PRIOR_MEAN) / PRIOR_SPREAD
        factor, failed = dpotrf(self._covariance(parameters).T, lower=1, overwrite_a=1)
        if failed:
            return 1e12, np.zeros(len(parameters))
        level, columns = self._level(parameters), self.losses.shape[1]
        alpha, _ = dpotrs(factor, level, lower=1)
        half_log_determinant = float(np.log(np.diag(factor)).sum() + 0.5 * (self.places @ parameters[SLOPES]).sum())
        value = 0.5 * float(np.sum(level * alpha)) + columns * half_log_determinant
        inverse, _ = dpotri(factor, lower=1)
        lower = np.tril(inverse)
        slope = columns * (lower + np.tril(lower, -1).T) - alpha @ alpha.T
        variances = _variances(parameters)
        of_scales = [0.5 * float(np.vdot(slope, each)) for each in self.among] + [
            0.5 * float(np.diag(slope) @ self.noise)
        ]
        of_slopes = 0.5 * self.places.T @ (columns - (level * alpha).sum(axis=1))
        of_logs = np.array(of_scales) * variances
        of_shares = of_logs[:-1] - of_logs.sum() * variances[:-1] / variances.sum()
        gradient = np.concatenate([[of_logs.sum()], of_shares, of_slopes])
        return power * value + 0.5 * float(off @ off), power * gradient + off / PRIOR_SPREAD

    def _root(self, mode: FloatArray, power: float) -> FloatArray:
        """A root of the inverse curvature, by differences of gradients; nowhere wider than the prior."""
        steps = DIFFERENCE * np.eye(len(mode))
        rows = [self._objective(mode + step, power)[1] - self._objective(mode - step, power)[1] for step in steps]
        curvature = np.array(rows) / (2.0 * DIFFERENCE) * np.outer(PRIOR_SPREAD, PRIOR_SPREAD)
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2.0)
        root: FloatArray = PRIOR_SPREAD[:, None] * vectors / np.sqrt(np.maximum(values, 1.0))
        return root
