"""Carries out one SELECT over registered Arrow data: nothing else is reached, memory and time are bounded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from orchestrator.errors import JobError
from orchestrator.query.bounds import bounded_memory, bounded_time
from orchestrator.wording import shown, size

ROWS_A_BATCH = 2**16
_NO_MEMORY = ("Out of Memory", "MemoryError", "malloc of size", "bad_alloc", "Unable to allocate")
_MACROS = (
    "create macro loss_at(test) as losses[test + 1]",
    # `members` packs bits in little order, DuckDB counts the bits of a byte from its high end
    "create macro has(instance) as get_bit(members::BIT, (instance // 8 * 8 + 7 - instance % 8)::INT) = 1",
)
_SETTINGS = (
    "set temp_directory = ''",
    "set enable_external_access = false",
    "set python_enable_replacements = false",
    "set autoinstall_known_extensions = false",
    "set autoload_known_extensions = false",
    "set lock_configuration = true",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one question: bytes of memory beside the store's own mapped files, seconds, threads.

    abandon: called where it does not end in time though it was interrupted; it should end the process.
    """

    memory: int = 2**30
    seconds: float = 60.0
    threads: int = 2
    abandon: Callable[[], None] | None = None


@contextmanager
def answer(statement: str, views: Mapping[str, Callable[[], Any]], limits: Limits) -> Iterator[pa.RecordBatchReader]:
    """The rows of one SELECT, in batches, as they are made.

    views: name -> what makes an Arrow table or data set, called only where the statement names the view.
    Raises JobError for anything but one SELECT, for SQL that is wrong, and where memory or time does not suffice.
    """
    config = {"memory_limit": f"{limits.memory // 2**20}MiB", "threads": str(limits.threads)}
    with duckdb.connect(config=config) as connection:
        _refuse_other_than_one_select(connection, statement)
        try:
            for name, make in views.items():
                if name in statement.casefold():
                    connection.register(name, make())
            for macro in _MACROS if "retrains" in statement.casefold() else ():
                connection.execute(macro)
            for setting in _SETTINGS:
                connection.execute(setting)
            with (
                bounded_memory(limits.memory),
                bounded_time(limits.seconds, connection.interrupt, limits.abandon),
            ):
                yield _Reader(connection, statement).reader
        except (duckdb.Error, pa.ArrowException, MemoryError) as error:
            # what DuckDB says while its rows are read comes through Arrow
            raise _in_our_words(error, limits, views) from error


class _Reader:
    """The rows of a statement; apart, so that its text is a name and no built string."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, statement: str) -> None:
        self.reader: pa.RecordBatchReader = connection.sql(statement).to_arrow_reader(ROWS_A_BATCH)


def _refuse_other_than_one_select(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    try:
        found = connection.extract_statements(statement)
    except duckdb.Error as error:
        raise JobError(_first_lines(error), where="query", mend="apportion query --help shows examples") from error
    kinds = [each.type.name for each in found]
    if kinds != ["SELECT"]:
        what = "nothing" if not kinds else " and ".join(kinds)
        raise JobError(
            f"one SELECT is answered, this is {what}",
            where="query",
            mend="the store is only read: write one statement that begins with select, from or with",
        )


def too_slow(limits: Limits) -> JobError:
    """The error of a question that takes too long."""
    mend = "ask for less (a condition on test_index or key), or give it longer: --seconds 600"
    return JobError(f"not answered within {limits.seconds:g} s", where="query", mend=mend)


def _in_our_words(error: Exception, limits: Limits, views: Mapping[str, object]) -> JobError:
    text = _first_lines(error)
    if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in text.upper():
        return too_slow(limits)
    if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)) or any(sign in text for sign in _NO_MEMORY):
        mend = "ask for less, or allow more: --memory 4 (in GB)"
        return JobError(f"needs more than {size(limits.memory)} of memory", where="query", mend=mend)
    if isinstance(error, duckdb.PermissionException) or "Permission Error" in text:
        mend = f"only the store's own views are read: {', '.join(views)}"
        return JobError(f"reaches outside the store: {text}", where="query", mend=mend)
    return JobError(
        text, where="query", mend=f"views: {', '.join(views)}; columns and examples: apportion query --help"
    )


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(" ".join(lines[:2])[:300]) if lines else type(error).__name__
