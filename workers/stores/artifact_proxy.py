"""Chunks behind an MLflow server's artifact proxy, by plain HTTP: no MLflow client on a worker.

PUT of a file, GET of a file, GET of a folder's list, all under `/api/2.0/mlflow-artifacts/artifacts`. The proxy
overwrites in silence, so a file whose name does not hold its hash is looked up before it is put. A put whose answer
was lost is put again: the same bytes under the same name.
"""

import io
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from workers.chunk_name import parsed_of_any_kind
from workers.errors import StoreError
from workers.stores.http_calls import HttpCalls, Persist, once
from workers.stores.ranged_file import BLOCK, RangedFile
from workers.stores.store_names import QUARANTINE, checked_name

ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
_SCHEME = "mlflow-artifacts+"


class ArtifactProxyStore:
    """Files below one path of an artifact proxy: `mlflow-artifacts+http://host:port/<path>`.

    A server under a path of its own is written with the route:
    `mlflow-artifacts+http://host/prefix/api/2.0/mlflow-artifacts/artifacts/<path>`. Credentials come from
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; never from the address.
    """

    def __init__(self, address: str, *, calls: HttpCalls | None = None, persist: Persist | None = None) -> None:
        parts = urlsplit(address.removeprefix(_SCHEME))
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise StoreError(
                "the address of an artifact store holds a user, a password, a query or a fragment\n"
                "    put credentials into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,"
                " or MLFLOW_TRACKING_TOKEN"
            )
        prefix, found, path = parts.path.rpartition(f"{ROUTE}/")
        self._path = (path if found else parts.path).strip("/")
        self._base = f"{parts.scheme}://{parts.netloc}{prefix.rstrip('/')}{ROUTE}"
        self._address = address
        if not parts.hostname or not self._path or {"..", "."} & {*self._path.split("/")}:
            raise StoreError(f"{address!r} is no address: write mlflow-artifacts+http://host:port/path")
        self._calls = calls or HttpCalls(persist=persist or once)

    @property
    def address(self) -> str:
        """The address that reopens this store on any machine that reaches the server."""
        return self._address

    def put(self, name: str, content: bytes) -> None:
        """Write one file whole; raises StoreError where the server cannot be reached, refuses, or holds another."""
        url = self._url(name)
        if parsed_of_any_kind(name) is None and self._holds(name, content):
            return
        self._calls.ask("PUT", url, content=content).close()

    def get(self, name: str) -> bytes:
        """Read one file; raises StoreError where it is absent or the server cannot be reached."""
        url = self._url(name)
        with self._calls.ask("GET", url) as answer:
            return answer.content

    def open(self, name: str) -> BinaryIO:
        """The file for reading in part; raises StoreError where it is absent or the server cannot be reached."""
        url = self._url(name)
        return io.BufferedReader(RangedFile(url, lambda part: self._calls.ask("GET", url, part=part)), BLOCK)

    def names(self) -> list[str]:
        """Names of the files there, sorted; nothing where nothing was put yet."""
        with self._calls.ask("GET", self._base, query={"path": self._path}) as answer:
            try:
                files = [each["path"] for each in answer.json().get("files", []) if not each.get("is_dir")]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StoreError(
                    f"{self._base}: the answer is no list of files\n    see that an MLflow server is at this address"
                ) from error
        return sorted(name for path in files if not (name := str(path).rpartition("/")[2]).startswith("."))

    def set_aside(self, name: str) -> str:
        """Copy a file into `quarantine/`, then take it out; raises StoreError where the server cannot or may not."""
        aside = f"{self._base}/{quote(self._path)}/{QUARANTINE}/{checked_name(name)}"
        self._calls.ask("PUT", aside, content=self.get(name)).close()
        self.remove(name)
        return aside

    def remove(self, name: str) -> None:
        """Remove a file for good; raises StoreError where the server cannot or may not."""
        if name in self.names():
            self._calls.ask("DELETE", self._url(name)).close()

    def _holds(self, name: str, content: bytes) -> bool:
        if name not in self.names():
            return False
        if self.get(name) != content:
            raise StoreError(f"{self._url(name)} is there already with another content")
        return True

    def _url(self, name: str) -> str:
        return f"{self._base}/{quote(self._path)}/{checked_name(name)}"
