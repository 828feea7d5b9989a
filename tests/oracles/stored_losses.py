"""Values from chunk files alone, by plain pyarrow and NumPy, from the definitions. Imports nothing of apportion.

Everything is computed instance by instance with NumPy's own two-pass mean and variance: no shared sums, no blocks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats


@dataclass(frozen=True)
class Rows:
    """Retrains: members [K, n] bool, replicates [K], losses [K, n_test] and train_losses [K, n], float64."""

    members: np.ndarray
    replicates: np.ndarray
    losses: np.ndarray
    train_losses: np.ndarray | None


@dataclass(frozen=True)
class Known:
    """Values, standard errors and degrees of freedom, of one shape."""

    values: np.ndarray
    standard_errors: np.ndarray
    degrees_of_freedom: np.ndarray

    def signs_certain(self, level: float = 0.05) -> np.ndarray:
        """Benjamini and Hochberg's step-up procedure, column by column."""
        p = 2.0 * stats.t.sf(np.abs(self.values / self.standard_errors), self.degrees_of_freedom)
        columns = p.reshape(len(p), -1).T
        return np.stack([_step_up(column, level) for column in columns], axis=1).reshape(p.shape)


def read_rows(folder: Path, n: int, loss: str, *, with_train: bool = False) -> Rows:
    """All rows of the chunk files in a folder that did not fail, in the order of the files' names."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("[0-9]*.parquet"))])
    table = table.filter(table["failure"].is_null())
    packed = np.stack([np.frombuffer(bits, dtype=np.uint8) for bits in table["members"].to_pylist()])
    members = np.stack([packed[:, i // 8] >> (i % 8) & 1 for i in range(n)], axis=1).astype(bool)
    train = np.array(table[f"train_loss_{loss}"].to_pylist(), dtype=np.float64) if with_train else None
    losses = np.array(table[f"loss_{loss}"].to_pylist(), dtype=np.float64)
    return Rows(members, table["replicate"].to_numpy(), losses, train)


def draws_by_size(rows: Rows) -> Rows:
    """All rows but the whole training set and the empty subset: the draws, where no subset was drawn twice."""
    sizes = rows.members.sum(axis=1)
    return _taken(rows, np.flatnonzero((sizes > 0) & (sizes < rows.members.shape[1])))


def draws_in_order(rows: Rows, drawn: np.ndarray) -> Rows:
    """The row of each subset drawn [K, n], as often as it was drawn; of replicates the first."""
    first = {row.tobytes(): place for place, row in enumerate(rows.members) if rows.replicates[place] == 0}
    return _taken(rows, np.array([first[subset.tobytes()] for subset in drawn]))


def out_minus_in(members: np.ndarray, losses: np.ndarray) -> Known:
    """Mean loss without each instance less that with it [n, columns]; Welch's error and degrees of freedom."""
    found = [_welch(losses[~inside], losses[inside]) for inside in members.T]
    return Known(*(np.stack(part) for part in zip(*found, strict=True)))


def own_out_minus_in(members: np.ndarray, train_losses: np.ndarray) -> Known:
    """The same [n] of each instance's own loss: memorization."""
    pairs = zip(members.T, train_losses.T, strict=True)
    found = [_welch(own[~inside], own[inside]) for inside, own in pairs]
    return Known(*(np.array(part) for part in zip(*found, strict=True)))


def own_held_out(members: np.ndarray, train_losses: np.ndarray) -> Known:
    """Mean loss [n] of each instance over the retrains without it, with the error of a mean."""
    held_out = [own[~inside] for inside, own in zip(members.T, train_losses.T, strict=True)]
    return Known(
        np.array([each.mean() for each in held_out]),
        np.array([each.std(ddof=1) / np.sqrt(len(each)) for each in held_out]),
        np.array([len(each) - 1.0 for each in held_out]),
    )


def _welch(out: np.ndarray, inside: np.ndarray) -> Iterable[np.ndarray]:
    a, b = out.var(axis=0, ddof=1) / len(out), inside.var(axis=0, ddof=1) / len(inside)
    degrees = (a + b) ** 2 / (a**2 / (len(out) - 1) + b**2 / (len(inside) - 1))
    return out.mean(axis=0) - inside.mean(axis=0), np.sqrt(a + b), degrees


def _step_up(p: np.ndarray, level: float) -> np.ndarray:
    order = np.argsort(p)
    called = np.zeros(len(p), dtype=bool)
    for rank in range(len(p), 0, -1):
        if p[order[rank - 1]] <= level * rank / len(p):
            called[order[:rank]] = True
            break
    return called


def _taken(rows: Rows, places: np.ndarray) -> Rows:
    train = None if rows.train_losses is None else rows.train_losses[places]
    return Rows(rows.members[places], rows.replicates[places], rows.losses[places], train)
