"""MLflow's client, made quiet, bounded in time, and with errors in our words.

Only `MlflowClient` is used: nothing here touches MLflow's global state, and nothing outlives the driver.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import ResourceMissing, ServerAway
from orchestrator.tracking.addresses import mask_text
from orchestrator.tracking.new_database import NewDatabase
from orchestrator.tracking.place import LocalPlace, Place, ServerPlace, credentials_into_environment
from orchestrator.tracking.probe import ask_database, ask_server

_ENVIRONMENT = {
    # No calls home, unless the user chose.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow's own patience is four minutes a call; the journal is more patient than that, and blocks nobody.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    # Errors come to us as exceptions, and we say them once.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A value that is too long is an error, never cut in silence.
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
}


_MAY_PASS = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}
"""MLflow's names for what it cannot do now; a connection that fails is among the first."""


def prepare_environment() -> None:
    """Set MLflow's switches, where the user has not; to be called before MLflow is imported."""
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    for name in ("mlflow", "alembic", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def connect(
    place: Place, *, experiment: str, create: bool, say: Callable[[str], None], making: NewDatabase | None = None
) -> Any:
    """An `MlflowClient` of a store that answers. create: make an SQLite file that is not there yet.

    making: that file, begun before.

    Raises ResourceMissing or StoreRefused, for a server within 10 s.
    """
    prepare_environment()
    if isinstance(place, ServerPlace):
        credentials_into_environment(place.credentials)
        ask_server(place, experiment)
    elif not _exists(place.database):
        if not create:
            raise ResourceMissing(
                "there is no store yet",
                where=str(place.database),
                mend="apportion run JOB makes it with the first retrains",
            )
        say(f"making the store {place.database} (once, some seconds)")
        (making or begin_database(place)).put_in_place()
    else:
        ask_database(place.database, write=create, say=say)
        _refuse_other_schema(place.database)
    return open_client(place.tracking_uri, shown=place.shown)


def begin_database(place: LocalPlace) -> NewDatabase:
    """The store's SQLite file, begun; MLflow is imported and its tables are made in a thread."""
    return NewDatabase(place, lambda uri: open_client(uri, shown=place.shown))


@contextlib.contextmanager
def our_words(shown: str) -> Iterator[None]:
    """Turns whatever MLflow raises into ResourceMissing that names the address, without secrets."""
    import requests  # noqa: PLC0415 - comes with MLflow
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import

    try:
        yield
    except (MlflowException, requests.RequestException, sqlite3.Error, OSError) as error:
        text = mask_text(str(error))
        kind = ServerAway if _is_away(error) else ResourceMissing
        raise kind(f"the store at {shown} fails: {text}", where="store.tracking_uri", mend=_mend(text)) from error


def _is_away(error: Exception) -> bool:
    """Whether the same may go through later: no connection, a server without its database, a locked file."""
    import requests  # noqa: PLC0415 - comes with MLflow
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import

    text = str(error)
    if "sqlite3." in text or isinstance(error, sqlite3.Error):
        return "locked" in text
    if isinstance(error, MlflowException):
        lost = any(name in text for name in ("OperationalError", "InterfaceError"))  # its connection to the database
        return lost or (error.error_code in _MAY_PASS and "certificate" not in text)
    if isinstance(error, requests.HTTPError):
        return error.response is None or error.response.status_code >= 500
    return isinstance(error, requests.RequestException) and not isinstance(error, requests.exceptions.SSLError)


def _mend(text: str) -> str:
    if "readonly" in text or "read-only" in text.lower():
        return "make the file and its folder writable"
    if "locked" in text:
        return "another process holds the file; end it, then `apportion resume JOB`"
    if "401" in text or "403" in text:
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    return "see that it runs and has room; what is stored stays, `apportion resume JOB` goes on"


def _exists(database: Path) -> bool:
    try:
        return database.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ResourceMissing(
            f"cannot be read: {error.strerror}", where=str(database), mend="check the path"
        ) from error


def open_client(uri: str, *, shown: str) -> Any:
    """MLflow's client of an address, connected; MLflow makes an SQLite file that is not there."""
    from mlflow import MlflowClient  # noqa: PLC0415 - MLflow takes seconds to import

    with our_words(shown):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        # MlflowClient connects at its first question; let that be here.
        client.search_experiments(max_results=1)
        return client


def _refuse_other_schema(database: Path) -> None:
    # MLflow would change the tables of an older version on its own; that is for the owner to decide.
    import mlflow.store.db_migrations as migrations  # noqa: PLC0415 - MLflow takes seconds to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - comes with MLflow

    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        found = {version for (version,) in connection.execute("SELECT version_num FROM alembic_version")}
    scripts = ScriptDirectory(str(Path(migrations.__path__[0])))
    heads = set(scripts.get_heads())
    if found == heads:
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if found and found <= known:
        mend = f"make a copy of the file, then: mlflow db upgrade sqlite:///{database}"
        raise ResourceMissing("was made by an older MLflow than this one", where=str(database), mend=mend)
    if found:
        raise ResourceMissing(
            "was made by a newer MLflow than this one",
            where=str(database),
            mend="install that version: pip install --upgrade mlflow",
        )
