"""HTTP calls that are tried again while there is hope, bounded in number and time.

Tried again: no connection, a connection that breaks, a time-out, 408, 429 and every 5xx. Between tries it waits
0.25 s, 0.5 s, 1 s ... up to 8 s, each drawn between half and the whole, so that a hundred workers do not come back at
once. Messages hold the address and the server's status, never headers or credentials.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import requests
from requests.auth import AuthBase

from workers.errors import StoreAway, StoreError

_AGAIN = {408, 429}
_LONGEST_WAIT = 8.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long: seconds to connect, and of silence while reading."""

    tries: int = 6
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    first_wait: float = 0.25


class Persist(Protocol):
    """Asks a question, and again as long as it raises StoreAway and there is hope."""

    def __call__(self, ask: Callable[[], requests.Response]) -> requests.Response:
        """The answer."""
        ...


def once(ask: Callable[[], requests.Response]) -> requests.Response:
    """Ask, and not again."""
    return ask()


class HttpCalls:
    """Calls with credentials from the environment; one connection pool a thread.

    persist: what to do when all tries are used up; to give up, unless said.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        persist: Persist = once,
    ) -> None:
        self._persist = persist
        self._patience = patience or Patience()
        self._sleep = sleep
        self._local = threading.local()

    def ask(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
        part: str = "",
    ) -> requests.Response:
        """The answer, read whole, where its status is 2xx; else raises StoreError.

        part: a range, `bytes=0-99`; a 416 (the file is empty) is an answer too.
        """
        return self._persist(lambda: self._tried(method, url, content, query, part))

    def _tried(
        self, method: str, url: str, content: bytes | None, query: Mapping[str, str] | None, part: str
    ) -> requests.Response:
        wait, said = self._patience.first_wait, ""
        headers = {"Accept-Encoding": "identity"} | ({"Range": part} if part else {})
        for tried in range(self._patience.tries):
            if tried:
                self._sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, fixes nothing
                wait = min(2 * wait, _LONGEST_WAIT)
            answer, said = self._once(method, url, content, query, headers)
            if answer is not None:
                _refuse_final(method, url, answer)
                return answer
        raise StoreAway(
            f"{method} {url}: {said}, {self._patience.tries} times\n"
            "    see that the MLflow server runs and is reached from this machine, then: apportion resume JOB"
        )

    def _once(
        self,
        method: str,
        url: str,
        content: bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
    ) -> tuple[requests.Response | None, str]:
        """One try: an answer that another try would not change, or None and what went wrong."""
        patience = self._patience
        try:
            answer = self._session().request(
                method,
                url,
                params=query,
                data=content,
                headers=headers,
                timeout=(patience.connect_seconds, patience.read_seconds),
                allow_redirects=False,
            )
        except requests.exceptions.SSLError:
            raise StoreError(
                f"{method} {url}: the server's certificate is not trusted\n"
                "    set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of its authority"
            ) from None
        except requests.Timeout:
            return None, "no answer in time"
        except requests.ConnectionError:
            return None, "no connection"
        except requests.RequestException as error:
            return None, f"the answer broke off ({type(error).__name__})"
        if answer.status_code in _AGAIN or answer.status_code >= 500:
            return None, f"the server answers {answer.status_code} {answer.reason}"
        return answer, ""

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.verify = _verify()
            session.auth = _credentials()
        return session


class _Bearer(AuthBase):
    """A token in the Authorization header; its own class, so that `requests` does not replace it from ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _credentials() -> AuthBase | tuple[str, str] | None:
    """As MLflow's client takes them: user and password first, else the token."""
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if user and password:
        return user, password
    return _Bearer(token) if token else None


def _verify() -> str | bool:
    if path := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        return path
    return os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in {"true", "1"}


_MENDS = {
    401: "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, on every node",
    403: "give this user the right to write the experiment; or start the server with --allowed-hosts naming this host",
    404: "the file is not there; or no MLflow server started with --serve-artifacts is at this address",
    413: "the server or a proxy before it limits the size of a file: raise it above 64 MB",
    503: "start the server with --serve-artifacts",
}


def _refuse_final(method: str, url: str, answer: requests.Response) -> None:
    """Raise StoreError for an answer that is no success."""
    status = answer.status_code
    if 200 <= status < 300 or (status == 416 and "Range" in answer.request.headers):
        return
    if 300 <= status < 400:
        target = (answer.headers.get("Location") or "elsewhere").partition("?")[0].rpartition("@")[2]
        raise StoreError(f"{method} {url}: redirected to {target[:200]}\n    name that address as store.tracking_uri")
    mend = _MENDS.get(status, "see the server's log")
    raise StoreError(f"{method} {url}: the server answers {status} {answer.reason}\n    {mend}")
