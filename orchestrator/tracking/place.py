"""Where a job's store is, worked out from what the job says; nothing is touched here."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from orchestrator.errors import JobError
from orchestrator.jobs.job import StoreSpec
from orchestrator.tracking.addresses import Credentials, mask_address, split_credentials

_WHERE = "store.tracking_uri"
_UNCLEAR = re.compile(r"\?|%[0-9A-Fa-f]{2}")
_MEND = 'write tracking_uri: "sqlite:///apportion.db", or the address of an MLflow server (http:// or https://)'


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """An SQLite file and the folder of this experiment's artifacts, both absolute."""

    database: Path
    artifacts: Path

    @property
    def tracking_uri(self) -> str:
        """As MLflow writes it."""
        return f"sqlite:///{self.database}"

    @property
    def shown(self) -> str:
        """As people may see it."""
        return self.tracking_uri


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """An MLflow server; its address holds no secret, `credentials` are what stood in it."""

    tracking_uri: str
    credentials: Credentials | None = None

    @property
    def shown(self) -> str:
        """As people may see it."""
        return mask_address(self.tracking_uri)


Place = LocalPlace | ServerPlace


def tracking_place(store: StoreSpec, folder: Path, experiment: str) -> Place:
    """The place that a job's `store` section means, relative to the job's folder. Raises JobError."""
    uri = store.tracking_uri.strip()
    scheme = uri.partition(":")[0].lower() if ":" in uri else ""
    if scheme in {"http", "https"}:
        return _server(uri, store)
    if scheme == "sqlite":
        return _local(uri, store, folder=folder.resolve(), experiment=experiment)
    raise JobError(_why_not(scheme, mask_address(uri)), where=_WHERE, mend=_MEND)


def credentials_into_environment(credentials: Credentials | None) -> None:
    """Put what stood in an address where MLflow and the workers look for it, unless something is there already.

    The address itself goes on without them, so that no message, tag, log or file can hold them.
    """
    if credentials is not None and "MLFLOW_TRACKING_USERNAME" not in os.environ:
        os.environ["MLFLOW_TRACKING_USERNAME"] = credentials.user
        os.environ["MLFLOW_TRACKING_PASSWORD"] = credentials.password


def folder_of(location: str) -> Path | None:
    """The local folder that MLflow's artifact location means, None where it is none."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if parts.scheme else Path(location)


def proxied_address(tracking_uri: str, artifact_uri: str, *, below: str) -> str | None:
    """The address of a folder in MLflow's artifact proxy for `open_chunk_store`, None where artifacts go elsewhere.

    A server below a path of its own is named with the proxy's whole route.
    """
    from workers.stores.artifact_proxy import ROUTE  # noqa: PLC0415 - HTTP only where it is asked for

    artifact, server = urlsplit(artifact_uri), urlsplit(tracking_uri)
    if artifact.scheme != "mlflow-artifacts":
        return None
    path = "/".join(part.strip("/") for part in (unquote(artifact.path), below) if part.strip("/"))
    prefix = server.path.rstrip("/")
    return f"mlflow-artifacts+{server.scheme}://{server.netloc}{prefix}{ROUTE if prefix else ''}/{path}"


def _server(uri: str, store: StoreSpec) -> ServerPlace:
    if store.artifacts is not None:
        raise JobError(
            "a server keeps artifacts where it was told to; a folder cannot be chosen here",
            where="store.artifacts",
            mend="leave the key out, or use an SQLite file as tracking_uri",
        )
    try:
        address, credentials = split_credentials(uri)
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    # An @ that is left stands in the path: a password that holds a slash would pass for the host's path.
    if not host or "@" in address:
        raise JobError(f"{mask_address(uri)!r} is no address", where=_WHERE, mend='write "http://host:5000"')
    parts = urlsplit(address)
    return ServerPlace(parts._replace(path=parts.path.rstrip("/"), query="", fragment="").geturl(), credentials)


def _local(uri: str, store: StoreSpec, *, folder: Path, experiment: str) -> LocalPlace:
    written = uri[len("sqlite:") :].removeprefix("//").removeprefix("/")
    if not uri.startswith("sqlite:///") or not written or written == ":memory:" or "?" in written:
        raise JobError(f"{mask_address(uri)!r} names no file", where=_WHERE, mend=_MEND)
    database = folder / Path(written).expanduser()
    if hit := _UNCLEAR.search(str(database)):
        what = f"the path {database} holds {hit.group()!r}, which addresses of SQLite files read in different ways"
        raise JobError(what, where=_WHERE, mend="rename the folder, or name a file elsewhere")
    base = database.parent / "apportion-artifacts" if store.artifacts is None else _artifacts(store.artifacts, folder)
    return LocalPlace(database.resolve(), (base / experiment).resolve())


def _artifacts(written: str, folder: Path) -> Path:
    path = folder_of(written)
    if path is None:
        raise JobError(
            f"{mask_address(written)!r} is no folder; other artifact stores come with a later version",
            where="store.artifacts",
            mend="name a folder, or leave the key out",
        )
    return folder / path.expanduser()


_LATER: Mapping[str, str] = {
    "postgresql": "a database address: start an MLflow server on it and name the server",
    "mysql": "a database address: start an MLflow server on it and name the server",
    "mssql": "a database address: start an MLflow server on it and name the server",
    "databricks": "not supported",
    "databricks-uc": "not supported",
}


def _why_not(scheme: str, shown: str) -> str:
    if reason := _LATER.get(scheme.partition("+")[0]):
        return f"{shown!r} is {reason}"
    if scheme in {"", "file"}:
        return f"{shown!r} is a folder: MLflow no longer keeps runs in plain files"
    return f"{shown!r} has a scheme that is not known: {scheme}"
