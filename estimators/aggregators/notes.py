"""Sentences that go with a result: what could not be computed, and what to think of the rest."""

from collections.abc import Mapping

import numpy as np

from estimators.arrays import AnyArray, BoolArray, FloatArray, IntArray
from estimators.retrains import EndRows

FEW_ROWS = 30


def two_sided_notes(kept: IntArray, rows: int) -> tuple[str, ...]:
    """Notes on instances [n] that stand in `kept` of the rows, for a value that needs rows on both sides."""
    return side_notes(kept, "in") + side_notes(rows - kept, "out of")


def side_notes(counts: IntArray, side: str) -> tuple[str, ...]:
    """Notes on instances [n] with too few rows on one side ("in" or "out of" a subset) for a value or an error."""
    none, one, fewest = int((counts == 0).sum()), int((counts == 1).sum()), int(counts.min())
    notes = []
    if none:
        notes.append(f"{_instances(none)} {side} no subset: value NaN, error infinite; draw more retrains")
    if one:
        notes.append(f"{_instances(one)} {side} a single subset: no error can be given; draw more retrains")
    if 1 < fewest < FEW_ROWS:
        notes.append(
            f"some training instance was {side} {fewest} subsets only: under {FEW_ROWS}, intervals hold for losses "
            "that are near normal"
        )
    return tuple(notes)


UNVARIED, KEPT, OWN_NOISE = "unvaried", "kept", "own_noise"


def per_test_notes(figures: Mapping[str, AnyArray], n: int) -> tuple[str, ...]:
    """Notes that sum up figures of each test instance; of blocks of test instances they are made from the whole.

    "unvaried": whether its loss was the same in every retrain. "kept": how many of n coefficients a LASSO keeps.
    "own_noise": the share of its variance over retrains that is the learner's own, over seeds; NaN where it has none.
    """
    notes = unvaried_note(figures[UNVARIED]) if UNVARIED in figures else ()
    if KEPT in figures and len(figures[KEPT]):
        kept = float(figures[KEPT].mean())
        notes += (f"the LASSO keeps {kept:.1f} of {n:,} instances a test instance, on average",)
    return notes + own_noise_note(figures[OWN_NOISE]) if OWN_NOISE in figures else notes


def own_noise(full: AnyArray, spread: FloatArray, ends: EndRows, *, retrains: float = 1.0) -> dict[str, AnyArray]:
    """The figure "own_noise", where D's replicates tell it: of each column of `full` [R, c], their losses.

    spread [c]: the variance of what is averaged, in which `retrains` times the noise of one retrain is.
    """
    if ends.deterministic or len(full) < 2:
        return {}
    noise = retrains * full.var(axis=0, ddof=1, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {OWN_NOISE: np.where(spread > 0.0, np.minimum(noise / spread, 1.0), np.nan)}


def own_noise_note(shares: AnyArray) -> tuple[str, ...]:
    """A note on how much of the spread, on average over columns, is the learner's own."""
    known = shares[np.isfinite(shares)]
    if not len(known):
        return ()
    said = f"errors hold the learner's own noise, {float(known.mean()):.1%} of the variance of what is averaged"
    return (f"{said} (by the replicates of D)",)


def unvaried_note(constant: BoolArray) -> tuple[str, ...]:
    """A note on test instances [n_test] whose loss was the same in every retrain."""
    count = int(constant.sum())
    if not count:
        return ()
    unvaried = f"{count} of {constant.size} test instances had the same loss in every retrain"
    return (f"{unvaried}: influences on them are 0 with error 0, never called certain",)


def _instances(count: int) -> str:
    return "1 training instance was" if count == 1 else f"{count} training instances were"
