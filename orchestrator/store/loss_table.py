"""Questions to the stored losses that no estimator was written for, answered from the read cache.

store = result.store
store.losses(containing=[17], excluding=[3], size=(100, 200), test=[5])
store.mean_loss(containing=[17], excluding=[3])
store.difference(17, test=5)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from estimators.arrays import BoolArray, Float32Array, FloatArray, IntArray
from orchestrator.errors import JobError
from orchestrator.store.cached_rows import CachedRows
from orchestrator.wording import did_you_mean, listed

_ROWS_A_BLOCK = 2048
_LEAST_SHARE_OF_ROWS = 0.2


@dataclass(frozen=True, slots=True)
class LossDifference:
    """The raw evidence behind one influence: losses of one test instance with and without a training instance.

    inside, outside: losses [rows] float32 of the subsets with and without `instance`, in the order of the store.
    difference: mean outside - mean inside; positive = the instance lowers the loss. standard_error: Welch's.
    """

    instance: int
    test: int
    loss: str
    inside: Float32Array
    outside: Float32Array
    difference: float
    standard_error: float

    def to_pandas(self) -> pd.DataFrame:
        """Columns inside (bool) and loss, one row a subset: for a histogram by `inside`."""
        inside = np.repeat([True, False], [len(self.inside), len(self.outside)])
        return pd.DataFrame({"inside": inside, "loss": np.concatenate([self.inside, self.outside])})


class LossTable:
    """Stored retrains that did not fail. rows: the memory-mapped arrays themselves, for questions of your own."""

    def __init__(self, rows: CachedRows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """Number of retrains."""
        return len(self.rows)

    def __repr__(self) -> str:
        facts = self.rows.facts
        return f"LossTable({facts.rows:,} retrains, n={facts.n:,}, n_test={facts.n_test:,}, losses={facts.losses})"

    def where(
        self,
        *,
        containing: Sequence[int] = (),
        excluding: Sequence[int] = (),
        size: int | tuple[int, int] | None = None,
    ) -> BoolArray:
        """Which retrains [R] have all of `containing` and none of `excluding`, and a size (or a range, ends included).

        Raises JobError for an instance that is not there or a range that holds nothing.
        """
        chosen = np.ones(len(self), dtype=np.bool_)
        for instance in containing:
            chosen &= self.rows.holding(self._train(instance))
        for instance in excluding:
            chosen &= ~self.rows.holding(self._train(instance))
        if size is not None:
            least, most = (size, size) if isinstance(size, int) else size
            if least > most:
                raise JobError(f"size: from {least} to {most} is no range", mend="give (least, most)")
            chosen &= (self.rows.sizes >= least) & (self.rows.sizes <= most)
        return chosen

    def losses(
        self,
        *,
        containing: Sequence[int] = (),
        excluding: Sequence[int] = (),
        size: int | tuple[int, int] | None = None,
        test: Sequence[int] | int | None = None,
        loss: str | None = None,
    ) -> pd.DataFrame:
        """One row a retrain and test instance: columns key (hex), replicate, size, test_index, loss.

        test: positions of test instances (default: all). Raises JobError for names and positions that are not there.
        """
        name, tests = self._loss(loss), self._tests(test)
        table = self.rows.columns[name]
        places = np.flatnonzero(self.where(containing=containing, excluding=excluding, size=size) & self._kept(name))
        keys = np.array([key.tobytes().hex() for key in self.rows.keys[places]], dtype=object)
        values = [table[j][places] for j in tests]
        return pd.DataFrame(
            {
                "key": np.tile(keys, len(tests)),
                "replicate": np.tile(self.rows.replicates[places], len(tests)),
                "size": np.tile(self.rows.sizes[places], len(tests)),
                "test_index": np.repeat(tests, len(places)),
                "loss": np.concatenate(values) if values else np.zeros(0, dtype=np.float32),
            }
        )

    def mean_loss(
        self,
        *,
        containing: Sequence[int] = (),
        excluding: Sequence[int] = (),
        size: int | tuple[int, int] | None = None,
        test: Sequence[int] | int | None = None,
        loss: str | None = None,
    ) -> pd.DataFrame:
        """Columns test_index, mean_loss, retrains: over the chosen retrains, NaN where there is none."""
        name, tests = self._loss(loss), self._tests(test)
        chosen = self.where(containing=containing, excluding=excluding, size=size) & self._kept(name)
        count = int(chosen.sum())
        if len(tests) < _LEAST_SHARE_OF_ROWS * self.rows.facts.n_test:
            sums = np.array([self.rows.columns[name][j][chosen].sum(dtype=np.float64) for j in tests])
        else:
            sums = _column_sums(self.rows.losses[name], chosen)[tests]
        means = sums / count if count else np.full(len(tests), np.nan)
        return pd.DataFrame({"test_index": tests, "mean_loss": means, "retrains": count})

    def difference(
        self, instance: int, *, test: int, loss: str | None = None, size: int | tuple[int, int] | None = None
    ) -> LossDifference:
        """The losses of test instance `test` with and without a training instance, D and the empty subset left out.

        Over all campaigns: it is a value's own evidence where the store holds one campaign, or `size` picks it.
        """
        name, [j] = self._loss(loss), self._tests(test)
        proper = (self.rows.sizes > 0) & (self.rows.sizes < self.rows.facts.n)
        known = proper & self.where(size=size) & self._kept(name)
        inside = self.rows.holding(self._train(instance))
        column = self.rows.columns[name][j]
        with_it, without = column[known & inside], column[known & ~inside]
        means = [side.mean(dtype=np.float64) if len(side) else np.nan for side in (with_it, without)]
        errors = [
            side.var(ddof=1, dtype=np.float64) / len(side) if len(side) > 1 else np.inf for side in (with_it, without)
        ]
        return LossDifference(
            instance, int(j), name, with_it, without, float(means[1] - means[0]), float(np.sqrt(sum(errors)))
        )

    def worst(self, test: int, *, count: int = 100, loss: str | None = None) -> pd.DataFrame:
        """The `count` retrains with the highest loss on a test instance, worst first: key, replicate, size, loss."""
        [j] = self._tests(test)
        column = self.rows.columns[self._loss(loss)][j]
        ordered = np.where(self._kept(self._loss(loss)), column, -np.inf)
        count = min(count, len(column))
        top = np.argpartition(ordered, len(column) - count)[len(column) - count :] if count else np.zeros(0, dtype=int)
        top = top[np.argsort(-ordered[top], kind="stable")]
        return pd.DataFrame(
            {
                "key": [key.tobytes().hex() for key in self.rows.keys[top]],
                "replicate": self.rows.replicates[top],
                "size": self.rows.sizes[top],
                "loss": column[top],
            }
        )

    def _loss(self, name: str | None) -> str:
        known = self.rows.facts.losses
        if name is None and known:
            return known[0]
        if name not in known:
            raise JobError(
                f"no loss {name!r} is stored", mend=f"stored are: {listed(known)}. {did_you_mean(str(name), known)}"
            )
        return str(name)

    def _kept(self, name: str) -> BoolArray:
        """Which rows' files hold the loss; a row has all of its losses or none."""
        kept: BoolArray = ~np.isnan(self.rows.columns[name][0])
        return kept

    def _train(self, instance: int) -> int:
        return _inside(instance, self.rows.facts.n, "training instance")

    def _tests(self, test: Sequence[int] | int | None) -> IntArray:
        if test is None:
            return np.arange(self.rows.facts.n_test)
        given = [test] if isinstance(test, (int, np.integer)) else [*test]
        return np.array([_inside(j, self.rows.facts.n_test, "test instance") for j in given], dtype=np.int64)


def _inside(position: int, count: int, what: str) -> int:
    if not 0 <= position < count:
        raise JobError(f"there is no {what} {position}", mend=f"{what}s are numbered 0 to {count - 1}")
    return int(position)


def _column_sums(table: Float32Array, chosen: BoolArray) -> FloatArray:
    """Sums [n_test] over the chosen rows, float64 between blocks of 2,048 rows: one pass, no copy of what is chosen."""
    sums = np.zeros(table.shape[1])
    for start in range(0, len(table), _ROWS_A_BLOCK):
        block, picked = table[start : start + _ROWS_A_BLOCK], chosen[start : start + _ROWS_A_BLOCK]
        if np.isnan(block[:, 0]).any():  # rows whose file does not hold the loss: 0 times NaN would be NaN
            block, picked = block[picked], picked[picked]
        sums += picked.astype(np.float32) @ block
    return sums
