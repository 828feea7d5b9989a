"""Addresses as people may see them: without user, password, query and fragment.

Every address that reaches a message, a tag, a log or a report goes through `mask_address`.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_USER_INFO = re.compile(r"(?<=://)[^\s/'\"]*@")
_QUERY = re.compile(r"(https?://[^\s?'\"<>]*)\?[^\s'\"<>]*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password that stood in an address."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(***)"


def mask_address(address: str) -> str:
    """The address without user:password, query and fragment.

    A password may hold `/`, `?`, `#` or `@` unescaped, so everything before the last `@` goes, even where that
    takes a part of the path along: an address shown too short is better than a password shown.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    if not rest.startswith("/"):
        rest = rest.rpartition("@")[2]
    for mark in "?#":
        rest = rest.partition(mark)[0]
    return f"{scheme}{separator}{rest}"


def mask_text(text: str, *, limit: int = 300) -> str:
    """Foreign text (a server's answer, a library's message) without addresses' secrets, in one line, cut to `limit`."""
    for variable in _SECRET_VARIABLES:
        if secret := os.environ.get(variable):
            text = text.replace(secret, "***")
    text = _QUERY.sub(r"\1", _USER_INFO.sub("", text))
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]} ..."


def split_credentials(address: str) -> tuple[str, Credentials | None]:
    """The address without `user:password@`, and those; raises ValueError where the address cannot be read."""
    parts = urlsplit(address)
    _ = parts.port
    if "@" not in parts.netloc:
        return address, None
    found = Credentials(unquote(parts.username or ""), unquote(parts.password or ""))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), found
