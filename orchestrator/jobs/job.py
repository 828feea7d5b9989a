"""The job: data, learner, designs, values, budget, seed; from a YAML file or built in Python.

This module is the schema only. `orchestrator.jobs.job_file` reads YAML into it and words the errors; everything
further in gets the frozen objects.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, model_validator

from orchestrator.data.parts import RawData
from orchestrator.jobs.origin import Origin
from orchestrator.jobs.value_spec import ValueSpec
from workers.learner_specs import LearnerSpec, Seed


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class DataSpec(_Section):
    """Training and test instances: `.npz` with X and y, Parquet or CSV with `label: column`, or `file.py:function`.

    task: "auto" takes float labels for regression, others for classification. group: a column (or npz array)
    whose equal values make one player. weight: instance weights. id: a column of names for reports.
    image_shape: how to draw a feature row in the report. overlap: "refuse" test instances that are also
    training instances. arguments: of the function. `orchestrator.arrays_data(...)` makes one from arrays in memory.
    """

    train: str
    test: str | None = None
    label: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    group: str | None = None
    weight: str | None = None
    id: str | None = None
    image_shape: tuple[int, ...] | None = None
    overlap: Literal["refuse", "allow"] = "refuse"
    arguments: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    arrays: InstanceOf[RawData] | None = Field(default=None, exclude=True, repr=False)


class Until(_Section):
    """Go on until a statistic of a value falls below a bound, decided at fixed counts of retrains."""

    value: str
    below: Annotated[float, Field(gt=0)]
    at_most: Annotated[int, Field(ge=1)]
    statistic: Literal["mean_standard_error"] = "mean_standard_error"
    loss: str | None = None
    every: Annotated[int, Field(ge=1)] | None = None


class UntilBudget(_Section):
    """`retrains: {until: {...}}`."""

    until: Until


class CampaignSpec(_Section):
    """One design to carry out. `size` or `fraction` for uniform, `probability` for bernoulli."""

    design: str
    name: str | None = None
    retrains: Annotated[int, Field(ge=1)] | UntilBudget | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    seed: Seed | None = None


class StoreSpec(_Section):
    """Where losses are kept: an MLflow tracking server or an SQLite file, and the folder of artifacts beside it."""

    tracking_uri: str = "sqlite:///apportion.db"
    artifacts: str | None = None


class ClusterSpec(_Section):
    """`local` starts Ray here, `in_process` runs without Ray (debugger), else a Ray address."""

    address: str = "local"
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
    seed: Seed = 0
    store: StoreSpec = StoreSpec()
    cluster: ClusterSpec = ClusterSpec()
    workers: WorkersSpec = WorkersSpec()
    report: ReportSpec = ReportSpec()
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.001
    folder: Path = Field(default_factory=Path.cwd, exclude=True)
    origin: InstanceOf[Origin] = Field(default=Origin(), exclude=True, repr=False)

    @property
    def value_labels(self) -> tuple[str, ...]:
        """The values asked for, each with its numbers in one text: what `value_method` takes."""
        return tuple(each if isinstance(each, str) else each.label for each in self.values)

    @model_validator(mode="after")
    def _campaign_names_differ(self) -> "Job":
        names = [campaign.name for campaign in self.campaigns if campaign.name is not None]
        if len(set(names)) < len(names):
            raise ValueError("two campaigns have the same name")
        return self
