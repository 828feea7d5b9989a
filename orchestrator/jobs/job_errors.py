"""pydantic's errors about a job -> problems with the line, what was expected, and how to mend it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Problem
from orchestrator.jobs.job_schema import LEARNER_KINDS, keys_at
from orchestrator.jobs.origin import Origin, Place, dotted
from orchestrator.jobs.yaml_source import Value
from orchestrator.wording import did_you_mean, names_secret, nearest, shown

EXAMPLES = {
    "name": "name: my-job",
    "data": "data: {train: train.npz, test: test.npz}",
    "data.train": "train: train.npz",
    "data.image_shape": "image_shape: [28, 28]",
    "learner": "learner: {kind: logistic_regression}",
    "learner.model": "model: model.py:Net",
    "learner.estimator": "estimator: sklearn.ensemble.RandomForestClassifier",
    "learner.function": "function: train.py:losses",
    "learner.optimizer": "optimizer: {name: sgd, lr: 0.1}",
    "learner.optimizer.lr": "lr: 0.1",
    "learner.losses": "losses: [cross_entropy, zero_one]",
    "campaigns": "campaigns: [{design: bernoulli, probability: 0.5, retrains: 2000}]",
    "campaigns.design": "design: uniform",
    "campaigns.retrains": "retrains: 2000, or retrains: {until: {value: banzhaf, below: 0.002, at_most: 20000}}",
    "campaigns.retrains.until": "until: {value: banzhaf, below: 0.002, at_most: 20000}",
    "campaigns.retrains.until.value": "value: banzhaf",
    "campaigns.retrains.until.below": "below: 0.002",
    "campaigns.retrains.until.at_most": "at_most: 20000",
    "campaigns.size": "size: 100",
    "campaigns.fraction": "fraction: 0.7",
    "campaigns.probability": "probability: 0.5",
    "campaigns.serves": "serves: shapley, or serves: {shapley: 3, banzhaf: 1}",
    "campaigns.truncate": "truncate: true, or truncate: {tolerance: 0.01, patience: 5}",
    "campaigns.order": "order: antithetic",
    "campaigns.by": "by: class",
    "campaigns.folds": "folds: 10",
    "campaigns.out": "out: 5",
    "campaigns.replicates": "replicates: 3",
    "values": "values: [banzhaf, memorization]",
    "seed": "seed: 7",
    "store": 'store: {tracking_uri: "sqlite:///apportion.db"}',
    "cluster": "cluster: {address: local}",
    "workers": "workers: {cpus: 1, gpus: 0}",
    "budget": "budget: {hours: 12, money: 40, price_per_hour: 0.8}",
}

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "dataclass": "a mapping of keys to values",
    "none": "null",
}
_MISSING = frozenset({"missing", "missing_keyword_only_argument"})
_LIMITS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("of at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("of at most", "le"),
}
_RULES = {
    "predicate_failed": "seconds above 0, or a text such as `90 s`, `10 min`, `1.5 h`",
    "string_pattern_mismatch": "1 to 64 letters, digits, `.`, `_` and `-`, the first a letter or digit",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "is_instance_of": "nothing: it is set from Python only",
}


def problems_of(error: ValidationError, value: Value, origin: Origin, *, unread: frozenset[Place]) -> list[Problem]:
    """One problem for each place that is wrong, in the order of the file."""
    groups: dict[Place, list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        names_key = detail["type"] in _MISSING or _is_unknown_key(detail)
        groups.setdefault(place_in_file(detail["loc"], value, names_key=names_key), []).append(detail)
    places = set(groups)
    problems = []
    for place, details in groups.items():
        kept = [detail for detail in details if not _beside_the_point(detail, place, places)]
        if kept and place not in unread and not _typo_elsewhere(kept[0], place, groups):
            problems.append((origin.line_of(place), _problem(kept, place, origin)))
    return [problem for _, problem in sorted(problems, key=lambda pair: pair[0])]


def place_in_file(location: Place, value: Value, *, names_key: bool) -> Place:
    """A pydantic location without the names of union members, which are no keys of the file.

    names_key: its last part is a key even where the file has none of that name.
    """
    place: list[str | int] = []
    last = len(location) - 1
    for index, part in enumerate(location):
        if index == 1 and location[0] == "learner":
            continue  # the learner's kind
        inside = _inside(value, part)
        if inside is not None:
            value = inside[0]
            place.append(part)
        elif index == last and names_key:
            place.append(part)
    return tuple(place)


def _inside(value: Value, part: str | int) -> tuple[Value] | None:
    if isinstance(value, dict) and isinstance(part, str) and part in value:
        return (value[part],)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return (value[part],)
    return None


def _beside_the_point(detail: Mapping[str, Any], place: Place, places: set[Place]) -> bool:
    """Whether an error only says that a union's other member does not fit either, or follows from another error."""
    deeper = any(other[: len(place)] == place and len(other) > len(place) for other in places)
    if detail["type"] == "too_short" and isinstance(detail["input"], (list, tuple)):
        return len(detail["input"]) >= int(detail["ctx"]["min_length"])
    return deeper and str(detail["type"]).endswith(("_type", "_parsing", "literal_error"))


def _typo_elsewhere(detail: Mapping[str, Any], place: Place, groups: Mapping[Place, list[Mapping[str, Any]]]) -> bool:
    """Whether a key is missing because it stands there misspelt, which is reported already."""
    if detail["type"] not in _MISSING:
        return False
    unknown = [
        str(other[-1])
        for other, details in groups.items()
        if other[:-1] == place[:-1] and len(other) == len(place) and _is_unknown_key(details[0])
    ]
    return bool(nearest(str(place[-1]), unknown, cutoff=0.7))


def _is_unknown_key(detail: Mapping[str, Any]) -> bool:
    return detail["type"] in {"extra_forbidden", "unexpected_keyword_argument"}


def _problem(details: list[Mapping[str, Any]], place: Place, origin: Origin) -> Problem:
    detail = details[0]
    kind = detail["type"]
    where = origin.where(*place)
    if _is_unknown_key(detail):
        allowed = keys_at(detail["loc"][:-1])
        mend = f"{did_you_mean(str(place[-1]), allowed)} Keys allowed here: {', '.join(allowed)}".strip()
        return Problem(f"there is no key `{shown(place[-1])}` here", where, mend)
    if kind in _MISSING and isinstance(place[-1], int):
        return Problem(f"has {place[-1]} values, one or more are missing", origin.where(*place[:-1]))
    if kind in _MISSING:
        return Problem(f"the key `{place[-1]}` is missing", origin.where(*place[:-1]), _example(place, "add"))
    if kind.startswith("union_tag"):
        return _wrong_kind(detail, place, origin)
    if kind == "value_error":
        return Problem(str(detail["ctx"]["error"]), origin.where(*(place or ("campaigns",))))
    expected = list(dict.fromkeys(_expected(one) for one in details))
    what = f"{_as_written(detail['input'], place, origin)} will not do: expected {' or '.join(expected)}"
    return Problem(what, where, _mend(details, place, origin))


def _wrong_kind(detail: Mapping[str, Any], place: Place, origin: Origin) -> Problem:
    kinds = f"kinds of learner: {', '.join(LEARNER_KINDS)}"
    if detail["type"] == "union_tag_not_found":
        present = detail["input"] if isinstance(detail["input"], dict) else {}
        typo = nearest("kind", present, count=1, cutoff=0.6)
        seen = f"there is a key `{shown(typo[0])}`; " if typo else ""
        return Problem("the key `kind` is missing", origin.where(*place), f"{seen}add `kind: torch`; {kinds}")
    name = str(detail["ctx"]["tag"])
    where = origin.where(*place, "kind")
    return Problem(
        f"there is no learner `{shown(name)}`", where, f"{did_you_mean(name, LEARNER_KINDS)} {kinds}".strip()
    )


def _expected(detail: Mapping[str, Any]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        return (
            f"a number {words} {context[key]:g}"
            if isinstance(context[key], float)
            else f"a number {words} {context[key]}"
        )
    if kind == "literal_error":
        return f"{context['expected']}".replace("'", "`")
    if kind in _RULES:
        return _RULES[kind].format(**context)
    family = (
        kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float").removesuffix("_parsing_size")
    )
    return _EXPECTED.get(family.split("_")[0], str(detail["msg"]).removeprefix("Input should be "))


def _as_written(value: object, place: Place, origin: Origin) -> str:
    """The value as it was typed: never what an environment variable holds."""
    if any(isinstance(part, str) and names_secret(part) for part in place):
        return "`***`"
    written = origin.written.get(place)
    if written is None and isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f"`{shown(value if written is None else written)}`"


def _mend(details: list[Mapping[str, Any]], place: Place, origin: Origin) -> str:
    written, value = origin.written.get(place), details[0]["input"]
    if details[0]["type"] == "literal_error":
        names = [name.strip("'") for one in details for name in _literals(one)]
        return did_you_mean(str(written), names) or _example(place, "for example")
    if isinstance(value, bool) and written is not None and written.lower() not in {"true", "false"}:
        return f'YAML reads `{written}` as {str(value).lower()}: put it in quotes: "{written}"'
    if details[0]["type"] == "string_type" and written:
        return f'put it in quotes: "{shown(written)}"'
    if details[0]["type"] in {"tuple_type", "list_type"} and written:
        return f"write [{shown(written)}]"
    return _example(place, "for example")


def _literals(detail: Mapping[str, Any]) -> list[str]:
    expected = detail.get("ctx", {}).get("expected", "") if detail["type"] == "literal_error" else ""
    return str(expected).replace(" or ", ", ").split(", ")


def _example(place: Place, verb: str) -> str:
    example = EXAMPLES.get(dotted(tuple(part for part in place if isinstance(part, str))))
    return f"{verb} `{example}`" if example else ""
