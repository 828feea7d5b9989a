"""What was found, in sentences with figures."""

import math

import numpy as np
from markupsafe import Markup

from estimators.arrays import BoolArray
from estimators.influence import Influence
from orchestrator.report.contents import ReportInput
from orchestrator.report.label_errors import auroc_words, score_name
from orchestrator.report.phrases import count, duration, listed, percent, sentence, value_in_words
from orchestrator.report.shown import name_of, player_names
from orchestrator.report.suspicion import Score, detection
from orchestrator.wording import counted

# Every text put into these is escaped by `format`; the bold figure is ours.
_FOUND = Markup(
    "Reviewing the {share} of training instances with the highest {score} finds <b>{found} of the {errors} known label "
    "errors</b>: precision {precision}, recall {recall}, AUROC {auroc}."
)
_SUSPECTS = Markup(
    "No label errors were known beforehand. The <b>most suspicious</b> training instances by {score} are {first}: "
    "models trained without them contradict their labels most."
)
_SIGNS = Markup(
    "{method}: the sign of <b>{certain} of {n} data values</b> ({share}) is certain, and that of {pairs} of {every} "
    "pairs of a training and a test instance ({pair_share})."
)
_NO_SIGN = Markup(
    "{method}: <b>no sign is certain</b> at this budget, neither of the {n} data values nor of the {every} pairs of a "
    "training and a test instance. More retrains make the errors smaller."
)


def headline(contents: ReportInput, scores: list[Score], certain: list[BoolArray]) -> list[Markup]:
    """The sentences at the top: label errors, certain signs, what was spent. certain: the pairs of each influence."""
    sentences = _label_errors(contents, scores)
    influences = contents.shown_influences()
    sentences += [_signs(influence, pairs) for influence, pairs in zip(influences, certain, strict=True)]
    sentences.append(_spent(contents))
    unknown = _unknown(influences)
    if unknown:
        sentences.append(Markup("{}").format(unknown))
    return sentences


def _label_errors(contents: ReportInput, scores: list[Score]) -> list[Markup]:
    selves = [score for score in scores if score.self_score]
    known = contents.known_label_errors
    if known is None or not known.any():
        retrained = [score for score in selves if score.values.retrains]  # what the sentence says is of retrains
        return [_suspects(retrained[0], contents)] if retrained else []
    found = [(detection(score, known, contents.label_error_share), score) for score in selves or scores]
    ranked = sorted(found, key=lambda pair: -np.nan_to_num(pair[0].auroc))
    return [
        _FOUND.format(
            share=percent(contents.label_error_share),
            score=score_name(score),
            found=f"{result.found:,.1f}".removesuffix(".0"),
            errors=count(result.errors),
            precision=percent(result.precision),
            recall=percent(result.recall),
            auroc=auroc_words(result),
        )
        for result, score in ranked[:1]
    ]


def _suspects(score: Score, contents: ReportInput) -> Markup:
    names = player_names(contents)
    places = [int(player) for player in score.order[:5] if np.isfinite(score.suspicion[player])]
    first = [f"#{player} {name_of(names, player)}".strip() for player in places]
    return _SUSPECTS.format(score=score_name(score), first=listed(first or ["unknown"]))


def _signs(influence: Influence, pairs: BoolArray) -> Markup:
    values = influence.data_values()
    certain, certain_pairs = int(values.certain().sum()), int(pairs.sum())
    template = _SIGNS if certain or certain_pairs else _NO_SIGN
    return template.format(
        method=sentence(value_in_words(influence.value, influence.loss)),
        certain=count(certain),
        n=count(len(values.values)),
        share=percent(certain / len(values.values)),
        pairs=count(certain_pairs),
        every=count(pairs.size),
        pair_share=percent(certain_pairs / pairs.size),
    )


def _spent(contents: ReportInput) -> Markup:
    stored = sum(facts.stored for facts in contents.campaigns)
    spared = sum(facts.spared for facts in contents.campaigns)
    failed = sum(facts.failed for facts in contents.campaigns)
    seconds = sum(facts.seconds for facts in contents.campaigns)
    parts = [f"{counted(stored, 'retrain')} in {counted(len(contents.campaigns), 'campaign')}"]
    parts += [duration(seconds)] if math.isfinite(seconds) else []
    parts += [f"{count(spared)} of them found in the store"] if spared else []
    parts.append(f"{count(failed)} failed and values use the rest" if failed else "none failed")
    return Markup("{}.").format(", ".join(parts))


def _unknown(influences: list[Influence]) -> str:
    """A sentence on values that are not known, or nothing."""
    missing = {
        value_in_words(i.value, i.loss): int(np.count_nonzero(~np.isfinite(i.data_values().values))) for i in influences
    }
    parts = [f"{counted(amount, 'data value')} by {name}" for name, amount in missing.items() if amount]
    if not parts:
        return ""
    return f"Unknown: {listed(parts)}. Such an instance was never inside or never outside a subset."
