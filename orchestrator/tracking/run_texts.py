"""What is said of a run in MLflow: parameters, tags and descriptions that fit its limits, nothing cut in silence."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from workers.chunk_types import Fingerprints
from workers.learner_specs import LearnerSpec
from workers.torch_specs import UNREAD

Value = str | int | float | bool | None

KIND = "apportion.kind"
CAMPAIGN = "apportion.campaign"
JOB_NAME = "apportion.job"
NOTE = "mlflow.note.content"
_FINGERPRINT = "apportion.fingerprint."
_LONGEST_KEY = 250
_LONGEST_PARAMETER = 6000
_LONGEST_TAG = 8000
_NOT_IN_KEYS = re.compile(r"[^\w.\- :/]")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Texts as MLflow takes them. overflow: those that were too long, whole, to be kept as an artifact."""

    texts: dict[str, str]
    overflow: dict[str, str] = field(default_factory=dict)

    def overflow_json(self) -> str:
        """The texts that were too long, as a JSON file for people."""
        return json.dumps(self.overflow, indent=2, ensure_ascii=False)


def fit_parameters(parameters: Mapping[str, Value]) -> Fitted:
    """Parameters whose keys MLflow takes and whose values are at most 6,000 characters.

    A longer one is replaced by a note that gives its length and SHA-256, and stands whole in `overflow`. Names that
    become equal by cleaning are told apart by a number.
    """
    return _fit(parameters, longest=_LONGEST_PARAMETER, artifact="long_parameters.json")


def fit_tags(tags: Mapping[str, Value]) -> Fitted:
    """Tags whose keys MLflow takes and whose values are at most 8,000 characters; as `fit_parameters`."""
    return _fit(tags, longest=_LONGEST_TAG, artifact="long_tags.json")


def fit_note(note: str) -> str:
    """A description within MLflow's limit, cut at a line and saying so."""
    if len(note) <= _LONGEST_TAG:
        return note
    end = "\n\n*(cut here; the whole text is the artifact description.md)*"
    return note[: _LONGEST_TAG - len(end)].rpartition("\n")[0] + end


def clean_key(key: str) -> str:
    """A key with only characters that MLflow takes, and that is no path to elsewhere."""
    parts = [part.strip(". ") for part in _NOT_IN_KEYS.sub("_", key).split("/")]
    cleaned = "/".join(part for part in parts if part)
    return cleaned[:_LONGEST_KEY].rstrip("/. ") or "_"


def learner_parameters(spec: LearnerSpec) -> dict[str, Value]:
    """The learner's options under short names: `learner`, `epochs`, `optimizer`, `optimizer.lr`, `arguments.depth`.

    Options that the chosen optimizer or schedule does not read, and those not given, are left out.
    """
    found: dict[str, Value] = {}
    for name, value in asdict(spec).items():
        short = "learner" if name == "kind" else "learner.seed" if name == "seed" else name
        if isinstance(value, dict):
            found |= _section(name, value)
        elif isinstance(value, (list, tuple)):
            found[short] = ", ".join(map(str, value))
        else:
            found[short] = value
    return {name: value for name, value in found.items() if value not in {None, ""}}


def _section(name: str, options: Mapping[str, object]) -> dict[str, Value]:
    unread = UNREAD.get(name, {}).get(str(options.get("name")), frozenset())
    return {
        name if option == "name" else f"{name}.{option}": _plain(value)
        for option, value in options.items()
        if option not in unread
    }


def _plain(value: object) -> Value:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return json.dumps(value, sort_keys=True, default=str)


def fingerprint_tags(fingerprints: Fingerprints) -> dict[str, Value]:
    """Fingerprints as tags."""
    return {_FINGERPRINT + part: value for part, value in asdict(fingerprints).items()}


def fingerprints_of(tags: Mapping[str, str]) -> Fingerprints | None:
    """Fingerprints from tags, None where they are not all there."""
    found = {part: tags.get(_FINGERPRINT + part) for part in ("train", "test", "learner", "code")}
    whole = {part: value for part, value in found.items() if value is not None}
    return Fingerprints(**whole) if len(whole) == len(found) else None


def _fit(texts: Mapping[str, Value], *, longest: int, artifact: str) -> Fitted:
    fitted: dict[str, str] = {}
    overflow: dict[str, str] = {}
    for key, value in texts.items():
        text = _text(value)
        name = _free(clean_key(key), fitted)
        if len(text) > longest:
            overflow[name] = text
            digest = hashlib.sha256(text.encode()).hexdigest()
            text = f"{len(text)} characters, whole in the artifact {artifact} (sha256 {digest})"
        fitted[name] = text
    return Fitted(fitted, overflow)


def _text(value: Value) -> str:
    # Lone surrogates and NUL bytes are refused by databases: show them as what they are.
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _free(name: str, taken: Mapping[str, str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}:{number}" in taken:
        number += 1
    return f"{name}:{number}"
