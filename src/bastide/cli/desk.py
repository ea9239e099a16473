"""The desk an errand stands at: the shared options, the way to print, and the line to the server."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bastide.cli.guest import guest
from bastide.cli.line import Line, address
from bastide.cli.running import find, read_key
from bastide.egress import local_client
from bastide.errors import NoHouse, NoKeyHere
from bastide.settings import Settings

_BORROWED_DAYS = 1 / 24
"""How long a key for another tenant is good for, should the command not live to hand it back."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every errand knows."""

    settings: Settings
    as_json: bool
    tenant: str | None

    def say(self, wire: Any, text: Callable[[], str]) -> None:
        """The result: JSON for a program, `text()` for a person."""
        print(json.dumps(wire, ensure_ascii=not _takes_unicode()) if self.as_json else text())

    @asynccontextmanager
    async def server(self, *, within: bool = True) -> AsyncGenerator[Line]:
        """The line to the server of this home, with the right key; starts a server if none runs.

        `within`: act in the tenant of `--tenant`, which only an operator of the platform can do for others.
        """
        home = self.settings.home
        key, place = read_key(home, self.settings.api_key)
        running = find(home)
        if running is None and not (home / "secrets").is_dir():
            raise NoHouse(f"There is no house in {home} yet.")
        if key is None:
            raise NoKeyHere(f"There is no key in {place}, and BASTIDE_API_KEY is not set.")
        async with _url(self.settings, running.url if running else None) as url, local_client(url) as client:
            line = Line(client, key)
            if self.tenant is None or not within:
                yield line
            else:
                async with _borrowed(line, self.tenant) as other:
                    yield other


@asynccontextmanager
async def _url(settings: Settings, running: str | None) -> AsyncGenerator[str]:
    if running:
        yield running
        return
    async with guest(settings) as url:
        yield url


@asynccontextmanager
async def _borrowed(line: Line, tenant: str) -> AsyncGenerator[Line]:
    """A line into another tenant, on a key that is made for this and handed back."""
    own = (await line.get("/api/v1/me"))["tenant"]
    if tenant in {own["id"], own["name"]}:
        yield line
        return
    key = await line.post("/api/v1/keys", {"tenant": tenant, "role": "administrator", "expires_days": _BORROWED_DAYS})
    try:
        yield line.with_key(key["key"])
    finally:
        await line.post(address(f"/api/v1/keys/{key['id']}:disable", {"tenant": tenant}))


def _takes_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")
