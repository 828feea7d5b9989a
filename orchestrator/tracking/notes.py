"""Descriptions of runs in Markdown, for whoever opens MLflow's page without having read anything of ours."""

import re
import shlex
from collections.abc import Mapping, Sequence

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~])")


def note(
    title: str, *, what: str, facts: Mapping[str, object], commands: Mapping[str, Sequence[str]] | None = None
) -> str:
    """A description: a heading, what this is, a table of facts, and commands to go on.

    commands: what it does -> the words of the command, which are quoted for a shell. Everything is escaped: names
    come from job files and data.
    """
    lines = [f"## {escaped(title)}", "", escaped(what), "", "| | |", "| --- | --- |"]
    lines += [f"| {escaped(name)} | {escaped(str(value))} |" for name, value in facts.items()]
    if commands:
        lines += ["", "### To go on", "", "```sh"]
        lines += [f"{_shell(words)}  # {_one_line(purpose)}" for purpose, words in commands.items()]
        lines += ["```"]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _MARKUP.sub(r"\\\1", _one_line(text))


def _shell(words: Sequence[str]) -> str:
    return _one_line(shlex.join(words)).replace("```", "'''")


def _one_line(text: str) -> str:
    return " ".join(text.split())
