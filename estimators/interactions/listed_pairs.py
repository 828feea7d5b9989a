"""Interactions of listed pairs on every test instance.

    value[pair] = mean over rows of w[k, pair] (v[k] - g(S_k)),    v = -loss

with w the pair's weight of the row (`estimators.interactions.indices`) and g a linear function of membership, which no
pair interacts in: it takes spread away and biases nothing. g is a LASSO, fitted for each of four folds of the rows on
the other three. Standard error: the spread of w (v - g) over units, by a second pass over the rows, and the noise of
the end rows where they enter; degrees of freedom 2 U / (3 k - 1) for U units, at most U - 1, with k = E w^4 / (E w^2)^2
by the design's law: where few rows carry most of the weight, they tell the error (decision 76). From all 2^n subsets
the value is exact, its error that of a learner which depends on its seed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from estimators.aggregators.notes import OWN_NOISE, own_noise, own_noise_note
from estimators.aggregators.size_weights import inclusion_of
from estimators.aggregators.sparse_fit import corrections_of, cross_fit_of, effects_of, no_fit, residual_variance
from estimators.aggregators.sparse_spread import SparseSpread
from estimators.aggregators.sparse_sums import SparseSums, merged_sparse_sums, no_sums, sums_of_rows
from estimators.arrays import BoolArray, FloatArray, IntArray
from estimators.designs.protocol import Design
from estimators.influence import InstanceValues
from estimators.interactions.indices import (
    InteractionIndex,
    PairWeights,
    end_shares,
    law_of,
    pair_weights,
    row_share,
)
from estimators.interactions.pair_values import PairValues
from estimators.interactions.seen_pairs import missing_subsets, unseen_notes, unseen_pairs
from estimators.methods.laws import lists_all_subsets
from estimators.retrains import EndRows, Retrains
from estimators.surrogates.lasso import CrossFit


@dataclass(frozen=True, slots=True)
class PairFeatures:
    """pairs [P, 2]; inclusion: Pr(i in S); weights by size and by how many of the pair are in the row."""

    pairs: IntArray
    inclusion: float
    weights: PairWeights

    @property
    def targets(self) -> int:
        """One value a pair."""
        return len(self.pairs)

    def x(self, members: BoolArray) -> FloatArray:
        """Centred members [K, n]."""
        centred: FloatArray = members.astype(np.float64) - self.inclusion
        return centred

    def w(self, members: BoolArray) -> FloatArray:
        """Weights [K, P]."""
        sizes = members.sum(axis=1)
        first, second = members[:, self.pairs[:, 0]], members[:, self.pairs[:, 1]]
        both, one, none = (each[sizes][:, None] for each in (self.weights.both, self.weights.one, self.weights.none))
        weights: FloatArray = np.where(first & second, both, np.where(first | second, one, none))
        return weights


@dataclass(frozen=True, slots=True)
class ListedPairs:
    """Aggregator of an index for `pairs` on `loss`. compared: of how many pairs these are the strongest."""

    index: InteractionIndex
    loss: str
    design: Design
    ends: EndRows
    pairs: IntArray
    compared: int

    @property
    def features(self) -> PairFeatures:
        """How rows become numbers."""
        n, law = self.design.n, law_of(self.design)
        return PairFeatures(self.pairs, inclusion_of(law), pair_weights(self.index.sizes(n), law))

    def empty(self) -> SparseSums:
        """Sums over no rows."""
        return no_sums(self.design.n, len(self.pairs), self.ends.full.shape[1] + 1)

    def update(self, state: SparseSums, retrains: Retrains) -> SparseSums:
        """The sums with a further block of retrains."""
        return merged_sparse_sums(state, sums_of_rows(retrains, self.effects(retrains), self.features))

    def merge(self, a: SparseSums, b: SparseSums) -> SparseSums:
        """Sums over both."""
        return merged_sparse_sums(a, b)

    def finish(self, state: SparseSums) -> PairValues:
        """Interactions; errors take residuals and weights as independent."""
        fit = self._fit(state)
        mean_square = state.ww.sum(axis=0)[:, None] / max(state.rows, 1)
        spread = np.sqrt(mean_square * residual_variance(state, fit) / max(state.rows, 1))
        return self.result(state, fit, lambda columns: spread[:, columns])

    def second(self, state: SparseSums) -> SparseSpread[PairValues]:
        """The second pass, which takes the spread over units."""
        return SparseSpread(self, state, self._fit(state))

    def effects(self, retrains: Retrains) -> FloatArray:
        """Minus the losses, less those of D, [K, n_test + 1]."""
        return effects_of(retrains, self.ends)

    def parts(self, state: SparseSums, fit: CrossFit) -> tuple[FloatArray, FloatArray]:
        """By fold: what the end rows add, and sums over rows of w times the residual, [F, P, c]."""
        corrections = corrections_of(state, fit)
        ends = end_terms(self.index, self.design, self.ends, fit)  # [F, c]
        return np.broadcast_to(ends[:, None, :], corrections.shape), corrections

    def result(self, state: SparseSums, fit: CrossFit, errors: Callable[[slice], FloatArray]) -> PairValues:
        """Interactions with errors [P, columns] of a slice of columns."""
        ends, corrections = self.parts(state, fit)
        values = (np.einsum("f,fpc->pc", state.fit.counts, ends) + corrections.sum(axis=0)) / max(state.rows, 1)
        found, units = errors(slice(None)), max(state.units, 0)
        if lists_all_subsets(self.design):
            found = self._noise(state)
        else:
            found = np.hypot(found, end_noise(self.index, self.design, self.ends)[None, :])
        unseen, missing = self._unseen(state)
        values = np.where(unseen, np.nan, values)
        found = np.where(unseen, np.inf, np.where(state.units < 2, np.nan, found))
        degrees = np.where(unseen, 0.0, np.full(values.shape, self._degrees(units)))
        mean = InstanceValues(
            value=self.index.name,
            loss=self.loss,
            values=values[:, -1],
            standard_errors=found[:, -1],
            degrees_of_freedom=degrees[:, -1],
            train_index=np.arange(len(values)),
            retrains=state.rows,
        )
        return PairValues(
            value=self.index.name,
            loss=self.loss,
            pairs=self.pairs,
            values=values[:, :-1],
            standard_errors=found[:, :-1],
            degrees_of_freedom=degrees[:, :-1],
            mean=mean,
            retrains=state.rows,
            compared=self.compared,
            notes=(
                *_notes(state, len(self.pairs), self.compared),
                *(unseen_notes(unseen[:, 0], missing, self.design.n) if state.rows else ()),
                *self._own_noise(state, found[:, :-1]),
            ),
        )

    def _unseen(self, state: SparseSums) -> tuple[BoolArray, int]:
        """Pairs [P, 1] that the rows do not tell, and how many subsets a list of them all is short of."""
        features = self.features
        missing = missing_subsets(state) if lists_all_subsets(self.design) else 0
        unseen = unseen_pairs(state, self.pairs, features.inclusion, features.weights)
        return (unseen | bool(missing) | (state.rows == 0))[:, None], missing

    def _own_noise(self, state: SparseSums, errors: FloatArray) -> tuple[str, ...]:
        """How much of the squared errors [P, n_test] is the learner's own: a row's noise enters with its weight."""
        times = state.ww.sum(axis=0) / max(state.rows, 1) ** 2  # [P], of the noise of one retrain
        if not lists_all_subsets(self.design):
            empty, full = end_shares(self.index.sizes(self.design.n), law_of(self.design))
            times = times + empty**2 + full**2 / len(self.ends.full)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(np.isfinite(errors), errors**2 / times[:, None], np.nan)
        return own_noise_note(own_noise(self.ends.full, spread, self.ends).get(OWN_NOISE, np.empty(0)))

    def _degrees(self, units: int) -> float:
        if lists_all_subsets(self.design):
            return float(max(units - 1, 0))
        share = row_share(self.index.sizes(self.design.n), law_of(self.design))
        return min(2.0 * units * share / (3.0 - share), max(units - 1.0, 0.0))

    def _fit(self, state: SparseSums) -> CrossFit:
        return no_fit(state) if lists_all_subsets(self.design) else cross_fit_of(state)

    def _noise(self, state: SparseSums) -> FloatArray:
        """Errors of exact values [P, c]: 0, or those of the learner's own noise, from the replicates of D."""
        columns = self.ends.full.shape[1] + 1
        if self.ends.deterministic:
            return np.zeros((len(self.pairs), columns))
        full = np.concatenate([self.ends.full, self.ends.full.mean(axis=1, keepdims=True)], axis=1)
        noise = full.var(axis=0, ddof=1) if len(full) > 1 else np.full(columns, np.nan)
        share = state.ww.sum(axis=0)[:, None] / max(state.rows, 1) ** 2
        errors: FloatArray = np.sqrt(share * noise[None, :])
        return errors


def end_terms(index: InteractionIndex, design: Design, ends: EndRows, fit: CrossFit) -> FloatArray:
    """What v(empty) and v(D), less each fold's linear fit there, add to the index of every pair, [F, c]."""
    n, law = design.n, law_of(design)
    empty_share, full_share = end_shares(index.sizes(n), law)
    inclusion = inclusion_of(law)
    pivot = ends.pivot()
    effect = pivot - ends.empty
    columns = np.append(effect, effect.mean())[: fit.beta.shape[2]] if fit.beta.shape[2] > 1 else effect.mean()[None]
    slope = fit.beta.sum(axis=1)  # [F, c]
    at_empty = fit.intercept - inclusion * slope
    at_full = fit.intercept + (1.0 - inclusion) * slope
    terms: FloatArray = empty_share * (columns - at_empty) - full_share * at_full  # v(D) is the pivot, 0
    return terms


def end_noise(index: InteractionIndex, design: Design, ends: EndRows) -> FloatArray:
    """The error that end rows add where the learner depends on its seed, [c]; D's noise stands for both."""
    empty_share, full_share = end_shares(index.sizes(design.n), law_of(design))
    full = np.concatenate([ends.full, ends.full.mean(axis=1, keepdims=True)], axis=1)
    if ends.deterministic or len(full) < 2:
        return np.zeros(full.shape[1])
    noise = full.var(axis=0, ddof=1)
    # the pivot, the mean of D's replicates, stands in every effect but sums to 0 over a pair's weights
    errors: FloatArray = np.sqrt(noise * (empty_share**2 + full_share**2 / len(full)))
    return errors


def _notes(state: SparseSums, pairs: int, compared: int) -> tuple[str, ...]:
    notes = []
    if state.rows == 0:
        notes.append("no retrains: every interaction is unknown")
    if compared > pairs:
        notes.append(
            f"the strongest {pairs:,} of {compared:,} pairs, picked on the same retrains: their size is overstated, "
            "and certain signs are those that hold among so many"
        )
    return tuple(notes)
