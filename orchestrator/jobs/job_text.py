"""Job -> the YAML text that replays it, every default spelled out, without secrets."""

import yaml

from orchestrator.jobs.job import Job
from orchestrator.jobs.origin import Origin, Place
from orchestrator.wording import masked, names_secret


def replayable(job: Job) -> str:
    """The resolved job as YAML, which `job_from_text` reads back as the same job.

    `${NAME}` stays as it was typed, so that no variable's content is written down; passwords in addresses become
    `***`. Data in memory cannot be written: they are named `arrays in memory`.
    """
    values = _public(job.model_dump(mode="json"), job.origin, ())
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _public(value: object, origin: Origin, place: Place) -> object:
    if isinstance(value, dict):
        return {key: _public(inner, origin, (*place, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner, origin, (*place, index)) for index, inner in enumerate(value)]
    written = origin.written.get(place, "")
    if "${" in written:
        return masked(written)
    if not isinstance(value, str):
        return value
    named = any(isinstance(part, str) and names_secret(part) for part in place)
    return "***" if named and value else masked(value).replace("${", "$${")
