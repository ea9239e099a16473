"""The head of a request: what callers may say in it, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bastide.egress.values import Permit
from bastide.errors import RequestRefused

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_PATH = re.compile(r"/[!-\[\]-~]*")  # printable ASCII without blank and backslash
_METHOD = re.compile(r"[A-Z]{1,16}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_NOT_FOR_CALLERS = frozenset(
    {
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "accept-encoding",
    }
)


def check_line(method: str, path: str) -> None:
    """Raises RequestRefused for a method or path that may not be sent."""
    if not _METHOD.fullmatch(method) or not _PATH.fullmatch(path):
        raise RequestRefused("The method or path holds characters that may not be sent.")


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, their names in lower case. Raises RequestRefused for what belongs to the connection."""
    for name, value in headers.items():
        lower = name.lower()
        if lower in _NOT_FOR_CALLERS or lower.startswith("proxy-"):
            raise RequestRefused(f"The header {lower} belongs to the connection and is not for callers.")
        if not _NAME.fullmatch(name) or not value.isascii() or any(character in value for character in "\r\n\0"):
            raise RequestRefused(f"The value of the header {lower} may not be sent.")
    return {name.lower(): value for name, value in headers.items()}


def request_head(permit: Permit, method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request to a permit's origin, up to the value of its content-length. Raises RequestRefused."""
    check_line(method, path)
    host = f"[{permit.host}]" if ":" in permit.host else permit.host
    usual = {"http": 80, "https": 443}[permit.scheme]
    sent = {
        "host": host if permit.port == usual else f"{host}:{permit.port}",
        "user-agent": "bastide",
        "accept-encoding": "identity",
        **checked_headers(headers),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "content-length: "]
    return "\r\n".join(lines).encode("ascii")
