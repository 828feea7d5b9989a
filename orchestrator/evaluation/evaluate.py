"""Judge a job's estimators on what they have not seen.

Linear datamodeling scores come from a campaign's last draws, which no value judged was computed from: values of the
same campaign are computed from the draws before, and a held-out subset that another campaign happens to hold as well is
left out for all, so that every estimator is judged on the same subsets and differences are paired.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from estimators.arrays import BoolArray, FloatArray
from estimators.errors import EstimatorError
from estimators.evaluation import label_errors, linear_datamodeling_score, rank_agreement
from estimators.evaluation.rank_agreement import RankAgreement
from orchestrator.evaluation.estimate import Estimate, gradient_estimates, retraining_estimates
from orchestrator.evaluation.held_out import FEWEST_SUBSETS, HeldOut, held_out
from orchestrator.evaluation.record import Difference, Evaluation, Judged, Score
from orchestrator.evaluation.removal import removal_curves
from orchestrator.evaluation.score_file import read_scores
from orchestrator.progress import Screen
from orchestrator.reporting import values_asked
from orchestrator.results import JobResult

CERTAIN_DIFFERENCE = 3.0
"""Standard errors that a paired difference must exceed to be told as an order."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Everything that estimators are judged by: estimates, the subsets held out, which of them all may be judged on."""

    estimates: tuple[Estimate, ...]
    held: HeldOut
    kept: BoolArray
    reasons: tuple[str, ...]


def evaluate(
    result: JobResult,
    *,
    scores: Sequence[Path] = (),
    references: Sequence[Path] = (),
    loss: str | None = None,
    share: float = 0.2,
    campaign: str | None = None,
    removal: bool = False,
    screen: Screen | None = None,
) -> Evaluation:
    """Judge the job's values and the score matrices in files, on the last `share` of a campaign's draws.

    references: score files to correlate with, such as proximal Bregman responses; leave-one-out influence is one where
    the job has it. removal: also retrain without the instances valued highest. Raises EstimatorError where no campaign
    has subsets to hold out, JobError for a file that does not fit.
    """
    judging = judged_by(result, scores=scores, loss=loss, share=share, campaign=campaign)
    others = [read_scores(path, result) for path in references]
    found = evaluation_of(result, judging, others)
    if not removal:
        return found
    return replace(found, removal=removal_curves(result, judging.estimates, judging.held.loss, screen=screen))


def judged_by(
    result: JobResult, *, scores: Sequence[Path], loss: str | None, share: float, campaign: str | None
) -> Judging:
    """The estimates and what they are judged on."""
    held = held_out(result, loss=loss, share=share, campaign=campaign)
    found, reasons = retraining_estimates(result, held, values_asked(result))
    gradients, absent = gradient_estimates(result, held)
    estimates = (*found, *gradients, *(read_scores(path, result) for path in scores))
    kept = held.unseen(each.seen for each in estimates)
    if kept.sum() < FEWEST_SUBSETS:
        raise EstimatorError(
            f"of {len(kept):,} subsets held out of {held.campaign.name} only {kept.sum():,} are none that values were "
            "computed from: so few cannot judge"
        )
    return Judging(estimates, held, kept, (*reasons, *absent))


def evaluation_of(result: JobResult, judging: Judging, others: Sequence[Estimate]) -> Evaluation:
    """Every estimator's figures, and which differences between them are certain."""
    held, members = judging.held, judging.held.members[judging.kept]
    references = _references(judging.estimates, others)
    agreements = {each.name: _datamodeling(each, judging) for each in judging.estimates if each.values is not None}
    sizes = members.sum(axis=1)
    return Evaluation(
        job=result.job.name,
        loss=held.loss,
        campaign=held.campaign.name,
        subsets=len(members),
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        replicates=held.replicates,
        ceiling=_finite(held.ceiling.score),
        halves=_finite(held.ceiling.halves),
        ceiling_source=held.ceiling.source,
        estimators=tuple(_judged(each, agreements, references, result) for each in judging.estimates),
        differences=_differences(agreements),
        notes=_notes(judging, sizes),
    )


def _datamodeling(estimate: Estimate, judging: Judging) -> RankAgreement:
    held, kept = judging.held, judging.kept
    assert estimate.values is not None
    return linear_datamodeling_score(estimate.values, held.members[kept], held.losses[kept], units=held.units[kept])


def _judged(
    estimate: Estimate, agreements: dict[str, RankAgreement], references: dict[str, FloatArray], result: JobResult
) -> Judged:
    found = agreements.get(estimate.name)
    no_matrix = Score(reason="one number an instance: no influence on single tests")
    return Judged(
        name=estimate.name,
        kind=estimate.kind,
        source=estimate.source,
        draws=estimate.draws,
        scale=estimate.scale,
        datamodeling=no_matrix if found is None else _score(found),
        references={
            name: no_matrix if estimate.values is None else _correlation(estimate.values, values)
            for name, values in references.items()
            if name != estimate.name
        },
        label_errors=_label_errors(estimate, result.loaded.known_label_errors),
        notes=estimate.notes,
    )


def _references(estimates: Sequence[Estimate], others: Sequence[Estimate]) -> dict[str, FloatArray]:
    named = [*(each for each in estimates if each.reference), *others]
    return {each.name: each.values for each in named if each.values is not None}


def _correlation(values: FloatArray, reference: FloatArray) -> Score:
    """Over the instances and tests that both know."""
    both = np.isfinite(values) & np.isfinite(reference)
    columns = both.any(axis=0)
    rows = both[:, columns].all(axis=1)
    if rows.sum() < FEWEST_SUBSETS:
        return Score(reason="fewer than 10 instances are known in both")
    return _score(rank_agreement(values[np.ix_(rows, columns)], reference[np.ix_(rows, columns)]))


def _score(found: RankAgreement) -> Score:
    if not math.isfinite(found.score):
        return Score(reason="nothing varies")
    return Score(found.score, _finite(found.standard_error))


def _label_errors(estimate: Estimate, known: BoolArray | None) -> Score:
    if known is None:
        return Score(reason="no label errors are known: `report: {known_label_errors: ...}` names them")
    found = label_errors(estimate.suspicion, known, share=0.1)
    if not math.isfinite(found.auroc):
        return Score(reason="every instance, or none, is a label error")
    return Score(found.auroc, _finite(found.auroc_standard_error))


def _differences(agreements: dict[str, RankAgreement]) -> tuple[Difference, ...]:
    """Pairs whose scores differ by more than 3 errors of the paired difference."""
    ordered = sorted(agreements, key=lambda name: -agreements[name].score)
    found = []
    for better, worse in itertools.combinations(ordered, 2):
        difference, error = agreements[better].less(agreements[worse])
        if math.isfinite(error) and difference > CERTAIN_DIFFERENCE * error:
            found.append(Difference(better, worse, difference, error))
    return tuple(found)


def _notes(judging: Judging, sizes: FloatArray) -> tuple[str, ...]:
    notes = list(judging.reasons)
    left_out = int((~judging.kept).sum())
    if left_out:
        notes.append(f"{left_out:,} held-out subsets are left out: values judged were computed from them as well")
    if sizes.min() < sizes.max():
        notes.append("the subsets are of different sizes: a part of the score is for telling large from small ones")
    return tuple(notes)


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
