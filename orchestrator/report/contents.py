"""What the report is made from: plain records, so that the page needs neither store, cluster nor tracking server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from estimators.arrays import BoolArray, FloatArray
from estimators.influence import Influence, InstanceValues
from estimators.methods.value_label import asked_label
from orchestrator.evaluation.record import Evaluation
from orchestrator.gradients.values import GradientValues
from workers.dataset import Dataset

ROWS_OF = "rows of "
"""Begins the names of those fingerprints that tell which rows of a campaign the page was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """One campaign as it ended.

    design: in words ("uniform subsets of 2,800 of 4,000"). planned, stored, failed: retrains; spared: of those stored,
    how many were in the store before. together: K. seconds: wall time of this campaign; worker_seconds: summed over
    workers. stored_bytes: of its chunks. run: the id of its MLflow run.
    """

    name: str
    design: str
    planned: int
    stored: int
    failed: int = 0
    spared: int = 0
    together: int = 1
    seconds: float = float("nan")
    worker_seconds: float = float("nan")
    stored_bytes: int = 0
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureFacts:
    """Retrains that failed for one reason; `subset` is the key of one of them."""

    campaign: str
    reason: str
    count: int = 1
    attempts: int = 1
    subset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """Statistics of one value over the retrains done. All of the length of `retrains`; NaN where not known.

    mean_standard_error: over pairs, in the loss's unit. certain_share: of signs of data values, in [0, 1].
    rank_stability: rank correlation between the two halves of the retrains.
    """

    campaign: str
    value: str
    loss: str
    retrains: Sequence[int]
    mean_standard_error: Sequence[float]
    certain_share: Sequence[float]
    rank_stability: Sequence[float]


@dataclass(frozen=True, slots=True)
class Command:
    """A command to type, and what it does."""

    command: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """Everything that the page shows.

    influences: in order of weight; the first one's loss is the one shown in pictures. instance_values: memorization,
    held_out_loss and the like. influence_campaigns, instance_value_campaigns: whose retrains each was computed from, in
    the same order; empty = not said. train_names, test_names: names for people, empty = positions. train_frame,
    test_frame: the tables' original columns, one row a training row or test instance. image_shape: (H, W), (H, W, C) or
    (C, H, W). known_label_errors: [n] where known. test_losses: for each loss, the losses [n_test] of the model trained
    on everything. label_error_share: the share of the training set that a reviewer looks at. evaluation: of the job's
    estimators, the last one. gradients: what the job's gradient methods gave.
    """

    name: str
    data: str
    learner: str
    dataset: Dataset
    campaigns: Sequence[CampaignFacts]
    influences: Sequence[Influence] = ()
    instance_values: Sequence[InstanceValues] = ()
    influence_campaigns: Sequence[str] = ()
    instance_value_campaigns: Sequence[str] = ()
    train_names: Sequence[str] = ()
    test_names: Sequence[str] = ()
    train_frame: pd.DataFrame | None = None
    test_frame: pd.DataFrame | None = None
    image_shape: tuple[int, ...] | None = None
    known_label_errors: BoolArray | None = None
    test_losses: Mapping[str, FloatArray] = field(default_factory=dict)
    label_error_share: float = 0.1
    test_instances: int = 12
    convergence: Sequence[Convergence] = ()
    failures: Sequence[FailureFacts] = ()
    notes: Sequence[str] = ()
    next_commands: Sequence[Command] = ()
    replay_commands: Sequence[Command] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    cost: Mapping[str, str] = field(default_factory=dict)
    finished: str = ""
    evaluation: Evaluation | None = None
    gradients: Sequence[GradientValues] = ()

    @property
    def loss(self) -> str:
        """The loss that pictures and distributions are shown for: the first influence's on single test instances."""
        single = [influence for influence in self.influences if is_on_tests(influence)]
        return (single or [*self.influences])[0].loss if self.influences else ""

    @property
    def rows(self) -> str:
        """Which rows the page was made from: hashes, one a campaign."""
        return " ".join(text for name, text in self.fingerprints.items() if name.startswith(ROWS_OF))

    def named_influences(self) -> list[tuple[Influence, str]]:
        """Influences with their campaigns' names."""
        return list(zip(self.influences, _padded(self.influence_campaigns, len(self.influences)), strict=True))

    def named_instance_values(self) -> list[tuple[InstanceValues, str]]:
        """Values of instances with their campaigns' names."""
        names = _padded(self.instance_value_campaigns, len(self.instance_values))
        return list(zip(self.instance_values, names, strict=True))

    def shown_influences(self) -> list[Influence]:
        """The influences on that loss whose columns are test instances, not averages over some of them."""
        return [each for each in self.influences if each.loss == self.loss and is_on_tests(each)]


def is_on_tests(influence: Influence) -> bool:
    """Whether an influence's columns are test instances: it was not asked `over` classes, groups or the test set."""
    return asked_label(f"{influence.value} of {influence.loss}").over is None


def _padded(names: Sequence[str], length: int) -> list[str]:
    return [*names, *[""] * length][:length]
