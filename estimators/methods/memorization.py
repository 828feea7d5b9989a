"""Values of an instance on its own loss: memorization and the mean held-out loss."""

from typing import Any

from estimators.aggregators.held_out_loss import HeldOutLoss
from estimators.aggregators.memorization import Memorization
from estimators.aggregators.protocol import Aggregator
from estimators.designs.protocol import Design
from estimators.methods.laws import fixed_size, independent_share, refusal
from estimators.methods.value_method import Asked, Objection, Options, ValueMethod
from estimators.predicted_errors import contrast_error, held_out_error


def _memorization(asked: Asked) -> Aggregator[Any, Any]:
    return Memorization(loss=asked.loss, design=asked.design, ends=asked.ends)


def _held_out_loss(asked: Asked) -> Aggregator[Any, Any]:
    return HeldOutLoss(loss=asked.loss, design=asked.design, ends=asked.ends)


def _objection(value: str) -> Objection:
    def objection(design: Design, options: Options, draws: int | None) -> str:
        del options, draws
        if fixed_size(design) is not None or independent_share(design) is not None:
            return ""
        reason = "it takes random subsets of one size, or each instance with one probability"
        return refusal(value, design, reason, "design uniform or bernoulli")

    return objection


ROWS = (
    ValueMethod(
        name="memorization",
        title="Memorization",
        meaning=(
            "How much higher an instance's own loss is when it was not trained on; high for mislabelled, "
            "atypical and rare instances."
        ),
        formula="mean of L(z_i) over subsets without i - mean of L(z_i) over subsets with i",
        paper="Feldman, STOC 2020; Feldman and Zhang, NeurIPS 2020",
        equation="Hammoudeh and Lowd 2024, equation 4",
        cost="none beyond the retrains; losses on the training instances are kept",
        designs=("uniform", "bernoulli"),
        maker=_memorization,
        prediction=contrast_error,
        per_instance=True,
        needs_train_losses=True,
        objection=_objection("memorization"),
    ),
    ValueMethod(
        name="held_out_loss",
        title="Mean held-out loss",
        meaning=(
            "The mean loss on an instance of models that were not trained on it: a loss, not an influence; "
            "high for mislabelled, atypical and hard instances, low for regular ones."
        ),
        formula="mean of L(z_i) over subsets without i",
        paper="Jiang, Zhang, Talwar and Mozer, ICML 2021 (consistency profile, with the other sign)",
        equation="Hammoudeh and Lowd 2024, equation 15",
        cost="none beyond the retrains; losses on the training instances are kept",
        designs=("uniform", "bernoulli"),
        maker=_held_out_loss,
        prediction=held_out_error,
        per_instance=True,
        needs_train_losses=True,
        objection=_objection("held_out_loss"),
    ),
)
