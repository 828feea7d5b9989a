"""Whether a tracking server or an SQLite file answers, asked once, before anything is spent, in bounded time."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import urljoin

from orchestrator.errors import ApportionError, ResourceMissing, ServerAway, StoreRefused
from orchestrator.tracking.addresses import mask_address, mask_text
from orchestrator.tracking.place import ServerPlace

_LONGEST_SECONDS = 9.0
_LONGEST_WAIT_FOR_LOCK = 45.0
_CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_BY_STATUS = {
    401: ("refuses: it asks who you are (401)", _CREDENTIALS),
    403: (
        "refuses (403)",
        f"{_CREDENTIALS} of somebody who may write; or the server was started for other host names (--allowed-hosts)",
    ),
    404: (
        "answers, but knows no MLflow under this path (404)",
        "check the address; `mlflow server` serves it at the root",
    ),
}


def ask_server(place: ServerPlace, experiment: str, *, seconds: float = _LONGEST_SECONDS) -> None:
    """Raise ResourceMissing, saying why, where no MLflow server answers at this address within `seconds`.

    Asks as MLflow's own client does (credentials, certificates, proxies), but once, and gives up in time even on a
    server that sends one byte a second.
    """
    answers: SimpleQueue[ApportionError | None] = SimpleQueue()
    Thread(target=lambda: answers.put(_answer(place, experiment)), name="apportion-probe", daemon=True).start()
    try:
        problem = answers.get(timeout=seconds)
    except Empty:
        problem = _away(place, f"does not answer within {seconds:.0f} s", "check that it runs and is not overloaded")
    if problem is not None:
        raise problem


def _answer(place: ServerPlace, experiment: str) -> ApportionError | None:
    import requests  # noqa: PLC0415 - only where a server is asked
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import
    from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415
    from mlflow.utils.rest_utils import http_request  # noqa: PLC0415

    try:
        response = http_request(
            get_default_host_creds(place.tracking_uri),
            "/api/2.0/mlflow/experiments/get-by-name",
            "GET",
            params={"experiment_name": experiment},
            max_retries=0,
            timeout=(3.0, 5.0),
            raise_on_status=False,
            allow_redirects=False,
        )
    except (MlflowException, requests.RequestException, OSError, ValueError) as error:
        return _unreachable(place, error)
    if response.is_redirect:
        return _sends_on(place, str(response.headers["Location"]))
    return _judge(place, int(response.status_code), str(response.text[:100_000]))


def _judge(place: ServerPlace, status: int, body: str) -> ApportionError | None:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    known = isinstance(answer, dict) and (
        "experiment" in answer or answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST"
    )
    if known and status in {200, 404}:
        return None
    if status in _BY_STATUS:
        return _missing(place, *_BY_STATUS[status])
    if status >= 500:
        return _away(place, f"fails with status {status}", "look into the server's own log")
    kind = "a web page" if "<html" in body[:2000].lower() else "something else"
    return _missing(
        place, f"is no MLflow tracking server: it answers with {kind} (status {status})", "check the address"
    )


def _sends_on(place: ServerPlace, location: str) -> ApportionError:
    # Not followed: what is written would not survive the way, since a redirected POST arrives as a GET.
    target = mask_address(urljoin(place.tracking_uri + "/", location)).partition("/api/2.0/")[0]
    mend = f"write that address, if it is the tracking server's own; if it asks for a log-in, {_CREDENTIALS}"
    return _missing(place, f"sends on to {target}", mend)


def _unreachable(place: ServerPlace, error: Exception) -> ApportionError:
    text = mask_text(str(error), limit=2000)
    if "timed out" in text.lower() or "timeout" in text.lower():
        return _away(place, "does not answer in time", "check the address, and that no firewall is between")
    if "certificate" in text.lower() or "ssl" in text.lower():
        mend = "name its authority's certificate in MLFLOW_TRACKING_SERVER_CERT_PATH, or write http:// if it has none"
        return _missing(place, f"cannot be reached safely: {_reason(text)}", mend)
    return _away(
        place, f"cannot be reached: {_reason(text)}", "check the address, and that the server runs: mlflow server"
    )


def _reason(text: str) -> str:
    known = ("Connection refused", "Name or service not known", "No route to host", "Network is unreachable")
    also = ("Temporary failure in name resolution", "certificate verify failed", "wrong version number")
    return next((reason for reason in (*known, *also) if reason.lower() in text.lower()), text[:300])


def _missing(place: ServerPlace, what: str, mend: str) -> ResourceMissing:
    return ResourceMissing(f"the tracking server at {place.shown} {what}", where="store.tracking_uri", mend=mend)


def _away(place: ServerPlace, what: str, mend: str) -> ServerAway:
    return ServerAway(f"the tracking server at {place.shown} {what}", where="store.tracking_uri", mend=mend)


def ask_database(database: Path, *, write: bool, say: Callable[[str], None]) -> None:
    """Raise where an existing SQLite file cannot serve: locked for long, read-only, damaged, another program's.

    A short lock is waited for. Raises ResourceMissing or StoreRefused.
    """
    where = str(database)
    try:
        with contextlib.closing(_connect(database, seconds=1.0)) as connection:
            _look(connection, write=write)
            return
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise _database_problem(error, where) from error
    except sqlite3.DatabaseError as error:
        raise _database_problem(error, where) from error
    say(f"waiting for {database}: another process holds it locked")
    try:
        with contextlib.closing(_connect(database, seconds=_LONGEST_WAIT_FOR_LOCK)) as connection:
            _look(connection, write=write)
    except sqlite3.DatabaseError as error:
        raise _database_problem(error, where) from error


def _connect(database: Path, *, seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=seconds, isolation_level=None)


def _look(connection: sqlite3.Connection, *, write: bool) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "alembic_version" not in tables:
        raise StoreRefused(
            "is an SQLite file of another program",
            where="store.tracking_uri",
            mend="name another file; it is made when it does not exist",
        )
    if write:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def _database_problem(error: sqlite3.Error, where: str) -> ApportionError:
    text = str(error)
    if "locked" in text:
        return ResourceMissing("is locked by another process", where=where, mend="end that process, then try again")
    if "readonly" in text:
        return ResourceMissing("is read-only", where=where, mend="make the file and its folder writable")
    if "not a database" in text or "malformed" in text:
        return StoreRefused(
            f"is damaged or no SQLite file: {text}", where=where, mend="restore it from a copy, or name another file"
        )
    return ResourceMissing(f"cannot be opened: {text}", where=where, mend="check the path and the rights on its folder")
