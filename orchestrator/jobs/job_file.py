"""Job file -> Job, or one error that lists everything that is wrong with it, each with its line."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from orchestrator.errors import JobError, Problem
from orchestrator.jobs.job import Job
from orchestrator.jobs.job_bytes import read_text
from orchestrator.jobs.job_errors import EXAMPLES, problems_of
from orchestrator.jobs.job_schema import NOT_IN_FILES, keys_at
from orchestrator.jobs.origin import Origin, Place
from orchestrator.jobs.yaml_source import Value, parse
from orchestrator.wording import shown

MINIMAL = "\n    ".join(EXAMPLES[key] for key in ("name", "data", "learner", "campaigns"))


def load_job(path: str | Path) -> Job:
    """The job of a YAML file. Raises JobError (exit code 2) with all problems of the file."""
    path = Path(path)
    return job_from_text(read_text(path), path=path)


def job_from_text(text: str, *, path: Path, environment: Mapping[str, str] | None = None) -> Job:
    """The job of a YAML text that stands, or might stand, at `path`; paths in it are relative to that folder."""
    parsed = parse(text, path=str(path), environment=environment)
    value, problems = parsed.value, list(parsed.problems)
    if not isinstance(value, dict):
        raise JobError([*problems, _no_mapping(value, parsed.origin)])
    extra = {"folder": path.parent.resolve(), "origin": parsed.origin}
    problems += _python_only(value, parsed.origin)
    try:
        job = Job.model_validate({key: item for key, item in value.items() if key not in NOT_IN_FILES[Job]} | extra)
    except ValidationError as error:
        problems += problems_of(error, value, parsed.origin, unread=parsed.unread)
        raise JobError(problems or [Problem("cannot be read as a job", str(path))]) from None
    problems += _booleans_read_as_numbers(value, job, parsed.origin)
    if problems:
        raise JobError(problems)
    return job


def _no_mapping(value: Value, origin: Origin) -> Problem:
    found = {list: "a list", type(None): "nothing"}.get(type(value), f"`{shown(str(value))}`")
    return Problem(f"{found} where a job's keys are expected", origin.where(), f"a minimal job:\n    {MINIMAL}")


def _python_only(value: dict[str, Value], origin: Origin) -> list[Problem]:
    """Fields of the schema that a file may not set."""
    found: list[Place] = [(key,) for key in sorted(NOT_IN_FILES[Job]) if key in value]
    allowed = ", ".join(keys_at(()))
    return [
        Problem(f"there is no key `{place[-1]}` here", origin.where(*place), f"Keys allowed here: {allowed}")
        for place in found
    ]


def _booleans_read_as_numbers(value: Value, result: object, origin: Origin, place: Place = ()) -> list[Problem]:
    """`epochs: true` would count as 1: refused."""
    if isinstance(value, bool) and not isinstance(result, (bool, str)):
        written = origin.written.get(place, value)
        return [Problem(f"`{written}` is read by YAML as true or false: expected a number", origin.where(*place))]
    if isinstance(value, dict):
        pairs = [(key, item, _part(result, key)) for key, item in value.items()]
        return [p for key, item, inner in pairs for p in _booleans_read_as_numbers(item, inner, origin, (*place, key))]
    if isinstance(value, list) and isinstance(result, (list, tuple)):
        numbered = enumerate(zip(value, result, strict=True))
        return [p for i, (item, inner) in numbered for p in _booleans_read_as_numbers(item, inner, origin, (*place, i))]
    return []


def _part(result: object, key: str) -> object:
    if isinstance(result, dict):
        return result.get(key)
    if isinstance(result, BaseModel) or dataclasses.is_dataclass(result):
        return getattr(result, key, None)
    return None
