"""Disk, memory, processors, GPUs and addresses that a job asks for."""

import math
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from estimators.designs.protocol import Design
from estimators.methods.value_label import parsed_label
from estimators.registry import VALUES
from orchestrator.checks.campaigns import values_of
from orchestrator.errors import Problem
from orchestrator.jobs.job import Job, UntilBudget
from orchestrator.wording import shown, size
from workers.dataset import Dataset
from workers.device import choose_device
from workers.errors import DeviceError, UserCodeError
from workers.learner_specs import FunctionSpec, TorchSpec
from workers.user_code import refuse_shadowing

BYTES_A_LOSS = 3.5
"""Measured on stored chunks: 3.46 bytes a float32 loss, byte-stream-split and zstd."""

ARRAYS_A_VALUE = 6
"""Float64 arrays [n, n_test] alive while one value of one loss is computed: values, errors, degrees, statistics."""

ARRAYS_KEPT = 3
"""Float64 arrays [n, n_test] that each further value keeps until the report is written: values, errors, degrees."""

_HERE = ("local", "in_process")
_ADDRESS = re.compile(r"(ray://)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5})")


def address_problems(job: Job) -> list[Problem]:
    """A cluster address of no known form, and fractions of more than one GPU."""
    problems = []
    address, gpus = job.cluster.address, job.workers.gpus
    match = _ADDRESS.fullmatch(address)
    if address not in {*_HERE, "auto"} and not (match and 0 < int(match[4]) < 65536):
        mend = "write local, auto (the cluster of this machine), HOST:PORT or ray://HOST:PORT"
        problems.append(
            Problem(f"`{shown(address)}` is no cluster address", job.origin.where("cluster", "address"), mend)
        )
    if gpus > 1 and not float(gpus).is_integer():
        what = f"a worker cannot take {gpus:g} GPUs"
        problems.append(
            Problem(what, job.origin.where("workers", "gpus"), "a share of one (0.5), or a whole number of them")
        )
    return problems


def shadowing_problems(job: Job) -> list[Problem]:
    """The user's own `workers`, `estimators` or `orchestrator` beside the job file."""
    try:
        refuse_shadowing(str(job.folder))
    except UserCodeError as error:
        return [Problem(str(error), job.origin.path or str(job.folder))]
    return []


def missing_resources(job: Job) -> list[Problem]:
    """What a worker asks for and this machine has not; a cluster's own machines are not known yet."""
    if job.cluster.address not in _HERE:
        return []
    problems = []
    cores, memory = os.cpu_count() or 1, psutil.virtual_memory().total
    if job.workers.cpus > cores:
        what = f"a worker asks for {job.workers.cpus:g} processors, this machine has {cores}"
        problems.append(Problem(what, job.origin.where("workers", "cpus"), f"write {cores} or less"))
    if job.workers.memory is not None and job.workers.memory > memory:
        what = f"a worker asks for {size(job.workers.memory)} of memory, this machine has {size(memory)}"
        problems.append(Problem(what, job.origin.where("workers", "memory"), f"write {int(memory * 0.8)} or less"))
    return problems + _missing_gpu(job)


def _missing_gpu(job: Job) -> list[Problem]:
    asks_device = isinstance(job.learner, TorchSpec) and job.learner.device == "cuda"
    if not asks_device and job.workers.gpus == 0:
        return []
    where = job.origin.where(*(("learner", "device") if asks_device else ("workers", "gpus")))
    try:
        choose_device("cuda")
    except DeviceError as error:
        mend = "write `device: cpu` in learner and `gpus: 0` in workers, or name a cluster that has GPUs"
        return [Problem(f"a GPU is asked for, and this machine has none that can be used: {error}", where, mend)]
    return []


def room_problems(job: Job, data: Dataset, designs: Sequence[Design | None]) -> list[Problem]:
    """Losses that the disk cannot hold and matrices that memory cannot hold, with figures."""
    problems = []
    retrains = planned_retrains(job, designs, data.n)
    stored, free_disk = retrains * bytes_a_retrain(job, data), _free_disk(job)
    if free_disk is not None and stored > free_disk:
        what = (
            f"{retrains:,} retrains on {data.n_test:,} test instances make {size(stored)} of losses, "
            f"but the disk has {size(free_disk)} free"
        )
        mend = "fewer retrains, fewer test instances, fewer `losses`, `train_losses: false`, or another disk"
        problems.append(Problem(what, job.origin.where("campaigns"), mend))
    arrays = ARRAYS_A_VALUE + ARRAYS_KEPT * (_matrices(job, designs) - 1)
    needed, free = 8 * arrays * data.n * data.n_test, psutil.virtual_memory().available
    if needed > free:
        what = (
            f"influence of {data.n:,} training instances on {data.n_test:,} test instances takes {size(needed)}, "
            f"but {size(free)} of memory are free"
        )
        problems.append(
            Problem(what, job.origin.where("data"), "fewer test instances, or groups of training instances")
        )
    return problems


def _matrices(job: Job, designs: Sequence[Design | None]) -> int:
    """Values of the job that are a matrix [n, n_test], at least one."""
    made = [design for design in designs if design is not None]
    names = [parsed_label(label)[0] for label in values_of(job, made)]
    return max(1, sum(name in VALUES and not VALUES[name].per_instance for name in names))


def planned_retrains(job: Job, designs: Sequence[Design | None], n: int) -> int:
    """Retrains that a job may take at most: draws and end rows, before any reuse."""
    ends = max(2, min(16, math.isqrt(n - 1) + 1)) + 1
    total = 0
    for campaign, design in zip(job.campaigns, designs, strict=True):
        budget = campaign.retrains.until.at_most if isinstance(campaign.retrains, UntilBudget) else campaign.retrains
        fixed = None if design is None else design.draw_count
        total += ends + (fixed if fixed is not None else budget or 0)
    return total


def bytes_a_retrain(job: Job, data: Dataset) -> float:
    """Bytes that a stored retrain takes, predicted from shapes."""
    learner = job.learner
    losses = 2 if isinstance(learner, FunctionSpec) else len(learner.losses) or 2
    train = isinstance(learner, FunctionSpec) or learner.train_losses
    return losses * BYTES_A_LOSS * (data.n_test + data.rows * train) + data.n / 8 + 100


def _free_disk(job: Job) -> int | None:
    """Bytes free where the store stands, None where that is not this machine's to know."""
    artifacts = job.store.artifacts
    if artifacts is None and "://" in job.store.tracking_uri and not job.store.tracking_uri.startswith("sqlite:"):
        return None
    if artifacts is not None and "://" in artifacts and not artifacts.startswith("file://"):
        return None
    folder = job.folder if artifacts is None else job.folder / Path(artifacts.removeprefix("file://"))
    try:
        there = next((path for path in (folder, *folder.parents) if path.is_dir()), None)
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None  # a path that cannot be looked at is refused where the store is opened
