"""Only `egress` opens connections to anywhere: no other module imports what could.

In-process rules are a convenience (the deployment closes the network too), but they keep an honest
colleague from opening a second door by accident.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "bastide"

FORBIDDEN = {
    "aiohttp", "ftplib", "grpc", "httpcore", "httpcore2", "http.client", "httpx", "httpx2", "imaplib", "nntplib",
    "paramiko", "poplib", "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib.request",
    "urllib3", "websocket", "websockets", "xmlrpc",
}  # fmt: skip
OPENERS = {"open_connection", "open_unix_connection", "create_connection", "create_datagram_endpoint", "sock_connect"}

# A file that may import one of these all the same, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def breaches(path: str, text: str) -> Iterator[str]:
    """What `text` does that only egress may do, one sentence each."""
    for node in ast.walk(ast.parse(text)):
        for name in _imported(node):
            if _forbidden(name) and (path, _forbidden(name)) not in EXCEPTIONS:
                yield f"{path}:{node.lineno} imports {name}; ask `egress` for a client"  # type: ignore[attr-defined]
        called = node.func if isinstance(node, ast.Call) else None
        word = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        if word in OPENERS and (path, word) not in EXCEPTIONS:
            yield f"{path}:{called.lineno} calls {word}; ask `egress` for a client"  # type: ignore[union-attr]


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    dynamic = isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    if dynamic and (getattr(node.func, "id", "") or getattr(node.func, "attr", "")) in {"__import__", "import_module"}:  # type: ignore[attr-defined]
        return [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]  # type: ignore[attr-defined]
    return []


def _forbidden(name: str) -> str:
    parts = name.split(".")
    return next((word for word in (parts[0], ".".join(parts[:2])) if word in FORBIDDEN), "")


def test_no_other_module_opens_a_connection() -> None:
    found = [
        breach
        for file in sorted(SOURCE.rglob("*.py"))
        if file.relative_to(SOURCE).parts[0] != "egress"
        for breach in breaches(file.relative_to(SOURCE).as_posix(), file.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_every_exception_is_still_needed() -> None:
    for path, word in EXCEPTIONS:
        text = (SOURCE / path).read_text(encoding="utf-8")
        assert word in text, f"{path} no longer needs {word}: take the exception away"


@pytest.mark.parametrize(
    "line",
    [
        "import socket",
        "import socket as s",
        "import os, ssl",
        "from http.client import HTTPSConnection",
        "from http import client",
        "import http.client",
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import httpx2",
        "from httpx2 import AsyncClient",
        "import httpx",
        "import requests.sessions",
        "import aiohttp",
        "from websockets.asyncio.client import connect",
        "import ftplib, smtplib",
        "import xmlrpc.client",
        "def late():\n    import socket",
        "import typing\nif typing.TYPE_CHECKING:\n    import httpx2",
        "__import__('socket')",
        "import importlib\nimportlib.import_module('urllib.request')",
        "import asyncio\nasync def f():\n    await asyncio.open_connection('h', 1)",
        "from asyncio import open_connection\nasync def f():\n    await open_connection('h', 1)",
        "async def f(loop):\n    await loop.create_connection(None, 'h', 1)",
    ],
)
def test_a_planted_breach_is_found(line: str) -> None:
    assert list(breaches("knowledge/planted.py", line))


@pytest.mark.parametrize(
    "line",
    ["from urllib.parse import urlsplit", "import http", "from http import HTTPStatus", "import asyncio", "socket = 1"],
)
def test_what_opens_nothing_is_left_alone(line: str) -> None:
    assert not list(breaches("knowledge/planted.py", line))
