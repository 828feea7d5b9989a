"""The driver: job file -> plan -> chunks -> workers -> store -> values -> report. Names are loaded when asked for."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from estimators.influence import Influence, InstanceValues
    from orchestrator.campaign import Campaign
    from orchestrator.data.memory import arrays_data
    from orchestrator.errors import ApportionError
    from orchestrator.job_run import run
    from orchestrator.jobs.job import Job
    from orchestrator.jobs.job_file import load_job
    from orchestrator.results import JobResult, open_result

__all__ = [
    "ApportionError",
    "Campaign",
    "Influence",
    "InstanceValues",
    "Job",
    "JobResult",
    "arrays_data",
    "load_job",
    "open_result",
    "run",
]

_HOMES = {
    "ApportionError": "orchestrator.errors",
    "Campaign": "orchestrator.campaign",
    "Influence": "estimators.influence",
    "InstanceValues": "estimators.influence",
    "Job": "orchestrator.jobs.job",
    "JobResult": "orchestrator.results",
    "arrays_data": "orchestrator.data.memory",
    "load_job": "orchestrator.jobs.job_file",
    "open_result": "orchestrator.results",
    "run": "orchestrator.job_run",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home: the command line starts without pandas, torch, Ray and MLflow."""
    if name not in _HOMES:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
