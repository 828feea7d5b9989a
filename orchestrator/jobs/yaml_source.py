"""YAML text -> plain values with the line of everything, refusing what YAML lets pass in silence.

Refused: a key given twice (PyYAML keeps the last one), tags, more than one document, more than 10,000 values
after aliases, numbers with a leading zero (`012` is ten in YAML 1.1), `.inf` and `.nan`. Read as people mean
them: `1e-3` is a number (YAML 1.1 takes it for text), dates and `1:30` stay text. `${NAME}` in a value is
replaced from the environment, `$${` stands for `${` itself; error messages show what was typed, never the
variable's content.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from orchestrator.errors import JobError, Problem
from orchestrator.jobs.origin import Origin, Place, dotted
from orchestrator.wording import did_you_mean, holds_secret, names_secret, nearest, shown

MOST_NODES = 10_000
DEEPEST = 30

Value = str | int | float | bool | list["Value"] | dict[str, "Value"] | None

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_TAG = "tag:yaml.org,2002:"


class _SourceProblem(Exception):
    def __init__(self, line: int, what: str, mend: str) -> None:
        super().__init__(what)
        self.line, self.what, self.mend = line, what, mend


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which counts nodes and refuses tags while it composes."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.nodes = 0
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node, after the checks that need no value."""
        event = _next_event(self)
        line = _line_of(event.start_mark)
        self.nodes += 1
        _refuse_size(self.nodes, self.depth, line)
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            raise _SourceProblem(
                line,
                f"the tag `{shown(tag).replace(_TAG, '!!')}`: a job holds plain values only",
                "remove the tag; quote the value",
            )
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _line_of(mark: object) -> int:
    """The line (from 1) of a mark of PyYAML's, whose stubs admit None."""
    return int(getattr(mark, "line", 0)) + 1


def _next_event(loader: _Loader) -> yaml.Event:
    event: yaml.Event = loader.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
    return event


_Loader.add_implicit_resolver(
    _TAG + "float", re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"), list("-+0123456789.")
)


def _refuse_size(nodes: int, depth: int, line: int) -> None:
    if nodes > MOST_NODES:
        raise _SourceProblem(
            line, f"more than {MOST_NODES:,} values", "a job is a page of text: keep data in data files"
        )
    if depth > DEEPEST:
        raise _SourceProblem(line, f"nested deeper than {DEEPEST} levels", "a job needs five levels at most")


@dataclass(slots=True)
class _Builder:
    """Builds plain values from nodes and keeps what went wrong, with lines."""

    environment: Mapping[str, str]
    path: str
    lines: dict[Place, int] = field(default_factory=dict)
    written: dict[Place, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: set[Place] = field(default_factory=set)
    nodes: int = 0

    def build(self, node: yaml.Node, place: Place) -> Value:
        """The value of a node, its own line and those of everything in it."""
        self.nodes += 1
        line = node.start_mark.line + 1
        _refuse_size(self.nodes, len(place), line)
        self.lines.setdefault(place, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, place)

    def problem(self, line: int, place: Place, what: str, mend: str = "") -> None:
        """Keep a problem."""
        if place in self.written:
            self.unread.add(place)
        where = f"{self.path}:{line}" + (f": {dotted(place)}" if place else "")
        self.problems.append(Problem(what, where, mend))

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Value:
        pairs: dict[str, yaml.Node] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = self._key(key_node, place), key_node.start_mark.line + 1
            if key in pairs:
                what = f"the key `{shown(key)}` stands twice, on lines {first_lines[key]} and {line}"
                self.problem(line, place, what, "remove one of them")
            elif key is not None:
                pairs[key], first_lines[key] = value_node, line
        for key, value_node in self._merged(node, place).items():
            pairs.setdefault(key, value_node)
        values: dict[str, Value] = {}
        for key, value_node in pairs.items():
            self.lines[*place, key] = first_lines.get(key, value_node.start_mark.line + 1)
            values[key] = self.build(value_node, (*place, key))
        return values

    def _key(self, node: yaml.Node, place: Place) -> str | None:
        if node.tag == _TAG + "merge":
            return None
        if node.tag == _TAG + "str":
            return str(node.value)
        line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            what = f"the key `{shown(node.value)}` is read by YAML as {node.tag.removeprefix(_TAG)}; keys are text"
            self.problem(line, place, what, f'put it in quotes: "{shown(node.value)}":')
        else:
            self.problem(line, place, "a list or mapping stands where a key is expected", "keys are plain words")
        return None

    def _merged(self, node: yaml.MappingNode, place: Place) -> dict[str, yaml.Node]:
        """What `<<: *anchor` brings in: the first of several mappings wins, as YAML 1.1 has it."""
        pairs: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag != _TAG + "merge":
                continue
            sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for source in sources:
                self.nodes += 1
                _refuse_size(self.nodes, len(place), key_node.start_mark.line + 1)
                if not isinstance(source, yaml.MappingNode):
                    self.problem(key_node.start_mark.line + 1, place, "`<<` needs a mapping", "write `<<: *name`")
                    continue
                for inner_key, inner_value in source.value:
                    if inner_key.tag == _TAG + "str":
                        pairs.setdefault(str(inner_key.value), inner_value)
        return pairs

    def _scalar(self, node: yaml.Node, place: Place) -> Value:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        self.written[place] = text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in {"yes", "true", "on"}
        if kind in {"int", "float"} and ":" not in text:
            return self._number(text, kind, node, place)
        return self._text(text, node, place)

    def _number(self, text: str, kind: str, node: yaml.Node, place: Place) -> Value:
        line = node.start_mark.line + 1
        if kind == "int" and _LEADING_ZERO.fullmatch(text):
            decimal = text.lstrip("+-").lstrip("0_") or "0"
            self.problem(
                line, place, f"`{shown(text)}` is an octal number in YAML", f'write {decimal}, or "{text}" as text'
            )
            return None
        digits = text.replace("_", "")
        if digits.lower().lstrip("+-") in {".inf", ".nan"}:
            self.problem(line, place, f"`{text}` is not a finite number", "write a number")
            return None
        try:
            return float(digits) if kind == "float" else int(digits, 0)
        except ValueError:
            self.problem(
                line, place, f"`{shown(text)}` is no number that can be read", "write a smaller number, or quote it"
            )
            return None

    def _text(self, text: str, node: yaml.Node, place: Place) -> str:
        line = node.start_mark.line + 1
        key = next((part for part in reversed(place) if isinstance(part, str)), "")
        if holds_secret(text) or (names_secret(key) and text and "${" not in text):
            self.notes.append(
                f"{self.path}:{line}: {dotted(place)}: a password stands in the job file; "
                "put it into an environment variable and write ${NAME}"
            )

        def replaced(match: re.Match[str]) -> str:
            if match[1]:
                return match[1]
            name = match[2]
            if name not in self.environment:
                close = nearest(name, self.environment, count=2, cutoff=0.75)
                mend = f"export {name}=... first" + (f" ({did_you_mean(name, close)})" if close else "")
                self.problem(line, place, f"the environment variable `{shown(name)}` is not set", mend)
                return ""
            return self.environment[name]

        return _VARIABLE.sub(replaced, text)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A YAML text as values, where each stands, what is wrong with single values, and which could not be read."""

    value: Value
    origin: Origin
    problems: list[Problem]
    unread: frozenset[Place]


def parse(text: str, *, path: str, environment: Mapping[str, str] | None = None) -> Parsed:
    """The values of a YAML text, with `${NAME}` replaced from the environment (the process's own, if not given).

    Raises JobError where the text as a whole cannot be read.
    """
    builder = _Builder(os.environ if environment is None else environment, path)
    try:
        node = _single_document(text, path)
        value = builder.build(node, ())
    except _SourceProblem as error:
        raise JobError(error.what, where=f"{path}:{error.line}", mend=error.mend) from None
    except RecursionError:
        raise JobError("nested too deep to read", where=path, mend="a job needs five levels at most") from None
    origin = Origin(path=path, lines=builder.lines, written=builder.written, notes=tuple(builder.notes))
    return Parsed(value, origin, builder.problems, frozenset(builder.unread))


def _single_document(text: str, path: str) -> yaml.Node:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_node() if loader.check_node() else None
            if node is None:
                raise _SourceProblem(1, "the file is empty", "`apportion init` writes a job to start from")
            if loader.check_node():
                line = _line_of(_next_event(loader).start_mark)
                raise _SourceProblem(
                    line, "a second document starts here; a job is one document", "remove the line `---`"
                )
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, path) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {shown(chr(int(error.character)))} is not allowed in YAML"
        raise JobError(what, where=f"{path}:{line}", mend="remove it") from None
    return node


def _syntax_error(error: yaml.MarkedYAMLError, text: str, path: str) -> JobError:
    mark = error.problem_mark or error.context_mark
    row, column = (mark.line, mark.column) if mark is not None else (0, 0)
    lines = text.splitlines() or [""]
    row = min(row, len(lines) - 1)
    line = lines[row]
    what = f"not YAML: {error.problem or error.context or 'cannot be read'}"
    mend = "check brackets, quotes and the spaces at the beginning of lines"
    if "\t" in line[: column + 1]:
        what, mend = "a tab, where YAML needs spaces", "replace tabs by spaces"
    elif "${" in line:
        mend = 'put what holds ${...} in quotes: "${NAME}"'
    start = max(0, column - 60)
    excerpt = shown(line[start : start + 76].replace("\t", " "))
    return JobError(
        f"{what}\n    {excerpt}\n    {' ' * (column - start)}^", where=f"{path}:{row + 1}:{column + 1}", mend=mend
    )
