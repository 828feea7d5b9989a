"""What must be equal for rows to belong to one store: hashes of training set, test set, learner and code.

Library versions are no part of them: they are a row's numeric class, recorded and never refused.
"""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Final

import numpy as np

from estimators.arrays import AnyArray, ByteArray
from orchestrator.data.datasets import LoadedData
from workers.chunk_types import FORMAT_VERSION, Fingerprints
from workers.dataset import Dataset
from workers.learner_specs import LearnerSpec
from workers.user_code import CodeSnapshot
from workers.user_code import fingerprint as code_fingerprint

WITHOUT_EFFECT_ON_LOSSES = frozenset(
    {"together", "device", "keep", "checkpoint", "cuda_graphs", "losses", "train_losses"}
)
"""Options that move a loss by rounding at most: they belong to a row's numeric class, or say what is kept beside it.

Which losses are kept, and on what, changes none of them: a row that lacks one is trained again (`holding`).
"""

ADDED_LATER: Final = frozenset(
    {
        ("loss", None),
        ("label_smoothing", 0.0),
        ("class_weights", None),
        ("clip_norm", None),
        ("early_stopping", None),
        ("augment", None),
        ("precision", "float32"),
    }
)
"""Options that older stores do not know, at the values which leave everything as it was."""

EMPTY_SUBSET = {
    "torch": "untrained model",
    "logistic_regression": "equal probabilities of D's classes",
    "linear_svm": "scores of 0",
    "ridge": "0",
    "scikit_learn": "equal probabilities of D's classes, or 0",
    "gradient_boosting": "equal probabilities of D's classes, or 0",
    "function": "the function's own",
}
"""What each learner predicts where it has no members; a subset of one class predicts over D's classes."""

_MODULES = {"torch": "torch_learner"}
_MENDS = {
    "train": "put the training data back as they were",
    "test": "put the test data back as they were",
    "learner": "put the learner's options back",
    "code": "put the code back as it was",
}
_WORDS = {
    "train": "the training set (rows, labels, weights, groups, their order, the number format or the classes)",
    "test": "the test set (rows, labels, their order or the number format)",
    "learner": "the learner (one of its options)",
    "code": "the code (a source file of yours, or the learner's own arithmetic)",
}


def fingerprints(loaded: LoadedData, learner: LearnerSpec, code: CodeSnapshot | None) -> Fingerprints:
    """The four hashes (32 hex digits each) of a job's data, learner and code."""
    data = loaded.dataset
    return Fingerprints(
        train=_of_set(loaded.train_identities, data.train_features, _train_facts(data)),
        test=_of_set(loaded.test_identities, data.test_features, []),
        learner=_hash(
            json.dumps([learner_facts(learner), EMPTY_SUBSET[learner.kind]], sort_keys=True).encode(),
            *_validation(data, learner),
        ),
        code=_of_code(learner, code),
    )


def _validation(data: Dataset, learner: LearnerSpec) -> list[bytes]:
    """The validation set where retrains stop by it."""
    features, labels = data.validation_features, data.validation_labels
    if features is None or labels is None or getattr(learner, "early_stopping", None) is None:
        return []
    return [features.tobytes(), labels.tobytes()]


def train_kind(loaded: LoadedData) -> str:
    """A hash (32 hex digits) of what versions of one training set have in common: all but which instances it holds."""
    data = loaded.dataset
    return _of_set(np.zeros((0, 16), dtype=np.uint8), data.train_features, _train_facts(data))


def _train_facts(data: Dataset) -> list[object]:
    return [data.task, list(data.classes), list(data.feature_names), data.weights is not None, _groups(data)]


def learner_facts(learner: LearnerSpec) -> dict[str, str | int | float | bool | None]:
    """The options that fix losses, flat: `{"optimizer.lr": 0.1, ...}`."""
    facts: dict[str, str | int | float | bool | None] = {}
    _flatten(dataclasses.asdict(learner), "", facts)
    return {
        name: value
        for name, value in facts.items()
        if name.partition(".")[0] not in WITHOUT_EFFECT_ON_LOSSES and (name, value) not in ADDED_LATER
    }


def explain_difference(
    stored: Fingerprints,
    now: Fingerprints,
    *,
    stored_facts: Mapping[str, object] | None = None,
    now_facts: Mapping[str, object] | None = None,
) -> str:
    """In words: which parts differ, what the store holds and what the job asks, and how to mend it; "" if none.

    stored_facts, now_facts: `learner_facts` of both sides, which name the options that differ.
    """
    parts = stored.differing(now)
    if not parts:
        return ""
    lines = []
    for part in parts:
        before, after = getattr(stored, part)[:12], getattr(now, part)[:12]
        lines.append(f"{_WORDS[part]} has changed: {before} in the store, {after} now")
        if part == "learner":
            lines += [f"    {text}" for text in _differing_facts(stored_facts or {}, now_facts or {})]
    mends = ", ".join(_MENDS[part] for part in parts)
    return "\n".join([*lines, f"{mends}; or give the job another `name`, which begins a store of its own"])


def _differing_facts(stored: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    if not stored or not now:
        return []
    absent = "not set"
    return [
        f"{name}: {stored.get(name, absent)} in the store, {now.get(name, absent)} now"
        for name in sorted({*stored, *now})
        if str(stored.get(name, absent)) != str(now.get(name, absent))
    ]


def _of_set(identities: ByteArray, features: AnyArray, facts: list[object]) -> str:
    shape = [str(features.dtype), list(features.shape[1:]), *facts]
    return _hash(json.dumps(shape, default=str).encode(), identities.tobytes())


def _groups(data: Dataset) -> str | None:
    """The rows' players, in file order: their identities alone do not say in which row a group's instances stand."""
    return None if data.groups is None else _hash(np.asarray(data.groups, dtype="<i8").tobytes())


def _of_code(learner: LearnerSpec, code: CodeSnapshot | None) -> str:
    module = importlib.import_module(f"workers.learners.{_MODULES.get(learner.kind, learner.kind)}")
    arithmetic = getattr(module, "ARITHMETIC_VERSION", 1)
    own = "" if code is None else code_fingerprint(code)
    return _hash(json.dumps([learner.kind, arithmetic, FORMAT_VERSION]).encode(), own.encode())


def _flatten(value: object, name: str, facts: dict[str, str | int | float | bool | None]) -> None:
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            _flatten(inner, f"{name}.{key}" if name else str(key), facts)
    elif value is None or isinstance(value, (str, int, float, bool)):
        facts[name] = value
    else:
        facts[name] = json.dumps(value)


def _hash(*parts: bytes) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        hasher.update(b"%d:" % len(part))
        hasher.update(part)
    return hasher.hexdigest()
