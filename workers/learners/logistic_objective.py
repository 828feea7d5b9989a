"""The objectives of K logistic regressions side by side, each on its own subset.

Objective k: sum_i w_i loss_i / S + ||coefficients||^2 / (2 c S) with S = sum_i w_i over the members, scikit-learn's
objective divided by S. Two classes: one logit; more: softmax over the classes that the subset has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, BoolArray, Float32Array, FloatArray, IntArray
from workers.learners.fixed_products import ROWS, padded, padded_to
from workers.learners.linear_data import LinearData
from workers.learners.linear_links import SoftmaxResiduals, logistic_residuals
from workers.learners.linear_rows import OwnRows, Rows, SharedRows
from workers.learners.preconditioners import applied

LARGEST: Final = 1e15
SHARED_COST: Final = {1: 1 / 16, 2: 1 / 6}
SHARED_COST_OF_MORE: Final = 1 / 1.5
"""Work on a row that all models share, over work on an own copy of it: by the number of logits."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One subset's logistic regression.

    held: [n] the members of positive weight, as `TrainingRows` stand. size: how many. total: sum of their weights.
    absent: [C] classes left out of the softmax.
    """

    held: BoolArray
    size: int
    total: float
    absent: BoolArray


@dataclass(frozen=True, slots=True)
class LogisticObjectives:
    """A problems side by side in one precision.

    penalties: [A, D], on each logit's parameters. absent: [A, C]. inverses: see `preconditioners.applied`.
    """

    rows: Rows
    penalties: AnyArray
    absent: BoolArray
    inverses: AnyArray

    def gradients(self, parameters: AnyArray) -> AnyArray:
        """See `batched_minimiser.Objectives`."""
        binary = parameters.shape[1] == 1
        sums = self.rows.sums(parameters, logistic_residuals if binary else SoftmaxResiduals(self.absent))
        sums += self.penalties[:, None, :] * parameters
        return sums

    def preconditioned(self, vectors: AnyArray) -> AnyArray:
        """See `batched_minimiser.Objectives`."""
        return applied(self.inverses, vectors)

    def select(self, problems: IntArray) -> "LogisticObjectives":
        """See `batched_minimiser.Objectives`."""
        return LogisticObjectives(
            self.rows.select(problems), self.penalties[problems], self.absent[problems], self.inverses[problems]
        )


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """All training rows as logistic regressions read them: sorted by class, then by identity.

    features: [n, D], n and D padded, with the intercept's column; for two classes times -1 where the class is 0.
    across: [columns, n], the same without padding of D. single, single_across: both in float32. labels: [n]. weights:
    [rows] without padding, as order: which training row stands here. bounds: [C - 1], where classes 1, 2, ... begin.
    penalised: [D] 1 for coefficients, 0 for the intercept. logits: B, 1 for two classes, else C. columns: of D, those
    that are no padding. shareable: all features are finite and of a size that float32 squares; else every subset has
    its own copy in float64, and no other's rows can touch it.
    """

    features: FloatArray
    across: FloatArray
    single: Float32Array
    single_across: Float32Array
    labels: IntArray
    weights: FloatArray
    order: IntArray
    bounds: IntArray
    penalised: FloatArray
    logits: int
    columns: int
    shareable: bool

    def objectives(
        self, problems: Sequence[Problem], penalty: float, inverses: AnyArray, dtype: type[np.floating]
    ) -> LogisticObjectives:
        """Objectives of problems that go together (`kind` is the same), in float32 or float64.

        penalty: 1 / c. inverses: their preconditioner.
        """
        totals = np.array([problem.total for problem in problems])
        own = self.kind(problems[0])
        return LogisticObjectives(
            rows=self._own(problems, own, dtype) if own else self._shared(problems, dtype),
            penalties=((penalty / totals)[:, None] * self.penalised).astype(dtype),
            absent=np.stack([problem.absent for problem in problems]),
            inverses=inverses.astype(dtype, copy=False),
        )

    def kind(self, problem: Problem) -> int:
        """Padded length of the problem's own copy of its rows, or 0 where it shares: by m, n and the logits alone."""
        m = problem.size
        if self.shareable and m >= SHARED_COST.get(self.logits, SHARED_COST_OF_MORE) * len(self.labels):
            return 0
        return padded(m, max(16, 1 << max(0, m.bit_length() - 3)))

    def _shared(self, problems: Sequence[Problem], dtype: type[np.floating]) -> SharedRows:
        features, across = (self.single, self.single_across) if dtype == np.float32 else (self.features, self.across)
        shares = np.zeros((padded(len(problems), ROWS), len(features)), dtype=dtype)
        weights = self.weights.astype(dtype)
        for row, problem in zip(shares, problems, strict=False):
            own = row[: len(weights)]
            np.multiply(problem.held, weights, out=own)
            np.multiply(own, 1.0 / problem.total, out=own)
        return SharedRows(features, across, self.labels, shares, len(problems))

    def _own(self, problems: Sequence[Problem], length: int, dtype: type[np.floating]) -> OwnRows:
        features = np.zeros((len(problems), length, self.features.shape[1]), dtype=dtype)
        labels = np.zeros((len(problems), length), dtype=np.int64)
        shares = np.zeros((len(problems), length), dtype=dtype)
        source = self.single if dtype == np.float32 else self.features
        for k, problem in enumerate(problems):
            m, held = problem.size, np.flatnonzero(problem.held)
            features[k, :m], labels[k, :m] = source[held], self.labels[held]
            shares[k, :m] = self.weights[held] / problem.total
        return OwnRows(features, labels, shares)

    def problems(self, members: BoolArray, *, fit_intercept: bool) -> list[Problem]:
        """What each row of members [K, n] asks for."""
        held = np.take(members, self.order, axis=1) & (self.weights > 0.0)
        counts = np.stack([np.count_nonzero(part, axis=1) for part in np.split(held, self.bounds, axis=1)], axis=1)
        sizes = counts.sum(axis=1)
        absent = (counts == 0) & fit_intercept & (sizes > 0)[:, None]
        plain = bool((self.weights == 1.0).all())
        totals = sizes.astype(np.float64) if plain else [float(self.weights[own].sum()) for own in held]
        return [Problem(*each) for each in zip(held, sizes.tolist(), totals, absent, strict=True)]


def training_rows(data: LinearData, classes: int, *, fit_intercept: bool) -> TrainingRows:
    """The training rows of a data set whose features have the intercept's column, if any, at their end."""
    order = data.order[np.argsort(data.labels[data.order], kind="stable")]
    features, labels = data.features[data.n_test :][order], data.labels[order]
    penalised = np.ones(features.shape[1])
    penalised[-1] = 0.0 if fit_intercept else 1.0
    if classes == 2:
        features = features * np.where(labels == 1, 1.0, -1.0)[:, None]
    size, rows = padded(features.shape[1]), padded(len(labels))
    wide = padded_to(np.ascontiguousarray(padded_to(features.T, size).T), rows)
    single = np.clip(wide, -LARGEST, LARGEST).astype(np.float32)
    return TrainingRows(
        features=wide,
        across=np.ascontiguousarray(wide[:, : features.shape[1]].T),
        single=single,
        single_across=np.ascontiguousarray(single[:, : features.shape[1]].T),
        labels=np.append(labels, np.full(rows - len(labels), classes - 1)),
        weights=data.weights[order],
        order=order,
        bounds=np.searchsorted(labels, np.arange(1, classes)),
        penalised=padded_to(penalised, size),
        logits=1 if classes == 2 else classes,
        columns=features.shape[1],
        shareable=bool((np.abs(features) < LARGEST).all()),
    )
