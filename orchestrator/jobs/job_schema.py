"""Questions about the schema of a job: which keys stand where. For the words of errors."""

import dataclasses
import types
import typing
from collections.abc import Sequence

from pydantic import BaseModel

from orchestrator.jobs.job import DataSpec, Job
from orchestrator.jobs.origin import Place

NOT_IN_FILES: dict[type, set[str]] = {Job: {"folder", "origin"}, DataSpec: {"arrays"}}
"""Fields that only Python sets."""

LEARNER_KINDS = (
    "torch",
    "logistic_regression",
    "linear_svm",
    "ridge",
    "scikit_learn",
    "gradient_boosting",
    "function",
)


def keys_at(location: Place) -> list[str]:
    """Keys allowed in the mapping at a pydantic location (which names union members too), in the schema's order."""
    candidates: list[object] = [Job]
    for part in location:
        candidates = _descend(candidates, part)
    keys: dict[str, None] = {}
    for candidate in candidates:
        hidden = NOT_IN_FILES.get(candidate, set()) if isinstance(candidate, type) else set()
        keys.update(dict.fromkeys(name for name in _fields(candidate) if name not in hidden))
    return list(keys)


def _descend(candidates: list[object], part: str | int) -> list[object]:
    if isinstance(part, int):
        inner = [argument for candidate in candidates for argument in typing.get_args(candidate)]
        return [member for argument in inner for member in _members(argument) if argument is not ...]
    chosen = [candidate for candidate in candidates if part in _tags(candidate)]
    if len(candidates) > 1 and chosen:
        return chosen
    return [
        member
        for candidate in candidates
        for name, annotation in _fields(candidate).items()
        if name == part
        for member in _members(annotation)
    ]


def _tags(candidate: object) -> Sequence[str]:
    """How pydantic names a union's member in a location: by its `kind`, else by its class."""
    kind = _fields(candidate).get("kind")
    names = [str(argument) for argument in typing.get_args(kind)]
    return [*names, getattr(candidate, "__name__", "")]


def _fields(candidate: object) -> dict[str, object]:
    if not isinstance(candidate, type):
        return {}
    if issubclass(candidate, BaseModel) or dataclasses.is_dataclass(candidate):
        hints = typing.get_type_hints(candidate, include_extras=True)
        return {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not typing.ClassVar}
    return {}


def _members(annotation: object) -> list[object]:
    """The types that an annotation admits, without Annotated and Union."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType}:
        return [member for argument in typing.get_args(annotation) for member in _members(argument)]
    return [annotation]
