"""The job: data, learner, designs, values, budget, seed; from a YAML file or built in Python.

This module is the schema only. `orchestrator.jobs.job_file` reads YAML into it and words the errors; everything
further in gets the frozen objects.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationInfo,
    field_validator,
    model_validator,
)

from estimators.designs.parameters import NAMES, Parameters, Truncation
from estimators.errors import EstimatorError
from orchestrator.data.parts import RawData
from orchestrator.jobs.budget_spec import BudgetSpec
from orchestrator.jobs.origin import Origin
from orchestrator.jobs.value_spec import ValueSpec
from workers.chunk_types import Precision
from workers.errors import LearnerError
from workers.gradient_served import served_method
from workers.gradient_specs import GRADIENT_LEARNERS, GradientSpec
from workers.learner_specs import LearnerSpec, Seed

_Size = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(gt=0, lt=1)]
_Positive = Annotated[float, Field(gt=0)]

DESIGN_KEYS = tuple(name for name in NAMES if name != "digest")
"""Keys of a campaign that are parameters of its design."""


def _with_shares(said: object) -> object:
    """`shapley`, `[shapley, banzhaf]` or `{shapley: 3, banzhaf: 1}` as pairs of a name and a share."""
    if isinstance(said, str):
        return ((said, 1.0),)
    if isinstance(said, dict):
        return tuple(said.items())
    if isinstance(said, (list, tuple)) and all(isinstance(name, str) for name in said):
        return tuple((name, 1.0) for name in said)
    return said


def _spelt_out(said: object) -> object:
    return {} if said is True else said


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class DataSpec(_Section):
    """Training and test instances: `.npz` with X and y, Parquet or CSV with `label: column`, or `file.py:function`.

    validation: a file as `test`, for early stopping. task: "auto" takes float labels for regression, others for
    classification. group: a column (or npz array) whose equal values make one player. test_group: one of the test set,
    over whose equal values a value may be averaged (unsaid: `group`, where the test set has it). weight: instance
    weights. id: a column of names for reports.
    image_shape: how to draw a feature row in the report. overlap: "refuse" test instances that are also
    training instances. memory_map: features stay in their file and are read by the page; "auto" where they are more
    than a quarter of the free memory and their file permits it (`.npy` in a folder, or an `.npz` of numpy.savez).
    training instances. versions: go on with a changed training set: rows without the changed instances stay valid.
    arguments: of the function. `orchestrator.arrays_data(...)` makes one from arrays in memory.
    """

    train: str
    test: str | None = None
    validation: str | None = None
    label: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    group: str | None = None
    test_group: str | None = None
    weight: str | None = None
    id: str | None = None
    image_shape: tuple[int, ...] | None = None
    overlap: Literal["refuse", "allow"] = "refuse"
    memory_map: Literal["auto", "always", "never"] = "auto"
    versions: bool = False
    arguments: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    arrays: InstanceOf[RawData] | None = Field(default=None, exclude=True, repr=False)


class Until(_Section):
    """Go on until a statistic of a value falls below a bound, decided at fixed counts of retrains.

    mean_standard_error: in the loss's unit, over pairs. undecided_signs: share of instances whose data value may be of
    either sign. top_undecided: share of the `top` first places of the ranking that are not certain. The last two hold
    although the rule looks many times.
    """

    value: str
    below: Annotated[float, Field(gt=0)]
    at_most: Annotated[int, Field(ge=1)]
    statistic: Literal["mean_standard_error", "undecided_signs", "top_undecided"] = "mean_standard_error"
    top: Annotated[int, Field(ge=1)] | None = None
    loss: str | None = None
    every: Annotated[int, Field(ge=1)] | None = None


class UntilBudget(_Section):
    """`retrains: {until: {...}}`."""

    until: Until


class TruncateSpec(_Section):
    """When walks stop (`truncate: true` takes the defaults); `estimators.designs.parameters.Truncation` explains."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.01
    patience: Annotated[int, Field(ge=1)] = 5
    loss: str | None = None


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("holds characters that cannot be printed: write letters, digits, signs and spaces")
    return name


class CampaignSpec(_Section):
    """One design to carry out, with the parameters that it takes; `apportion methods` lists them.

    serves: semivalues that a law of sizes is for: a name, a list of names, or names with shares.
    """

    design: str
    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)] | None = None
    retrains: Annotated[int, Field(ge=1)] | UntilBudget | None = None
    size: _Size | tuple[_Size, ...] | None = None
    fraction: _Share | tuple[_Share, ...] | None = None
    probability: _Share | tuple[_Share, ...] | None = None
    out: _Size | None = None
    group: str | None = None
    by: Literal["size", "class"] | None = None
    serves: Annotated[tuple[tuple[str, _Positive], ...], Field(min_length=1), BeforeValidator(_with_shares)] | None = (
        None
    )
    order: Literal["random", "antithetic", "rotated", "cyclic"] | None = None
    truncate: Annotated[TruncateSpec, BeforeValidator(_spelt_out)] | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    file: str | None = None
    replicates: _Size | None = None
    learning_rate: _Positive | None = None
    seed: Seed | None = None

    def parameters(self) -> Parameters:
        """The design's parameters, without what identifies the data that they name."""
        said = {name: getattr(self, name) for name in DESIGN_KEYS if name != "truncate"}
        truncate = None if self.truncate is None else Truncation(**self.truncate.model_dump())
        return Parameters(**said, truncate=truncate)


class StoreSpec(_Section):
    """Where losses are kept: an MLflow tracking server or an SQLite file, and the folder of artifacts beside it.

    precision: float16 halves the store and rounds each loss by up to 0.05 %.
    """

    tracking_uri: str = "sqlite:///apportion.db"
    artifacts: str | None = None
    precision: Precision = "float32"


class ClusterSpec(_Section):
    """`local` starts Ray here, `in_process` runs without Ray (debugger), else a Ray address.

    jobs_address: where Ray's Jobs API listens (`http://HEAD:8265`), for `apportion submit`.
    """

    address: str = "local"
    jobs_address: str | None = None
    start_timeout: Annotated[float, Field(gt=0)] = 120.0


class WorkersSpec(_Section):
    """What one worker takes, and how many there are (None: as many as fit).

    memory in bytes. time_limit: seconds that one chunk may take (None: from the pilot, generously).
    """

    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    memory: Annotated[int, Field(ge=1)] | None = None
    resources: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    count: Annotated[int, Field(ge=1)] | None = None
    time_limit: Annotated[float, Field(gt=0)] | None = None


class ReportSpec(_Section):
    """What the report can check itself against: `known_label_errors`, an npz array or column of the training data."""

    known_label_errors: str | None = None
    label_error_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test_instances: Annotated[int, Field(ge=1, le=200)] = 12


class Job(_Section):
    """A whole job.

    folder: what relative paths are relative to, the job file's folder. origin: the lines of the job file.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    data: DataSpec
    learner: Annotated[LearnerSpec, Field(discriminator="kind")]
    campaigns: Annotated[tuple[CampaignSpec, ...], Field(min_length=1)]
    values: tuple[str | ValueSpec, ...] = ()
    gradients: tuple[GradientSpec, ...] = ()
    seed: Seed = 0
    store: StoreSpec = StoreSpec()
    cluster: ClusterSpec = ClusterSpec()
    workers: WorkersSpec = WorkersSpec()
    budget: BudgetSpec = BudgetSpec()
    report: ReportSpec = ReportSpec()
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.001
    folder: Path = Field(default_factory=Path.cwd, exclude=True)
    origin: InstanceOf[Origin] = Field(default=Origin(), exclude=True, repr=False)

    @property
    def value_labels(self) -> tuple[str, ...]:
        """The values asked for, each with its numbers in one text: what `value_method` takes."""
        return tuple(each if isinstance(each, str) else each.label for each in self.values)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns or arrays of the training set that are no features, labels, weights, groups or names."""
        named = [self.report.known_label_errors, *(campaign.group for campaign in self.campaigns)]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @model_validator(mode="after")
    def _campaign_names_differ(self) -> "Job":
        names = [campaign.name for campaign in self.campaigns if campaign.name is not None]
        if len(set(names)) < len(names):
            raise ValueError("two campaigns have the same name")
        return self

    @field_validator("gradients")
    @classmethod
    def _gradients_are_served(cls, specs: tuple[GradientSpec, ...], found: ValidationInfo) -> tuple[GradientSpec, ...]:
        labels = [spec.label for spec in specs]
        if len(set(labels)) < len(labels):
            raise ValueError("two of them have the same name: give one a `name`")
        learner, data = found.data.get("learner"), found.data.get("data")
        if specs and learner is not None and learner.kind not in GRADIENT_LEARNERS:
            raise ValueError(
                f"a learner of kind {learner.kind} has no gradients that could be taken here; take one of "
                f"{', '.join(GRADIENT_LEARNERS)}"
            )
        if specs and data is not None and data.group is not None:
            raise ValueError("they value training rows, not groups: leave `data.group` out")
        for spec in specs:
            try:
                served_method(spec)
            except (EstimatorError, LearnerError) as error:
                raise ValueError(str(error).removeprefix("gradients: ")) from error
        return specs
