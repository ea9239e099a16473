"""Speaking: one exchange with a target over a permitted connection, its failures in our words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from bastide.egress import Client, Reply
from bastide.errors import TargetBusy, TargetGarbled, TargetRefused

_TOLD_MAX = 300
_BUSY = frozenset({408, 425, 429})
_WAIT_MAX_S = 3600.0


class Wire:
    """A permitted client, and where on its host the interface begins."""

    def __init__(self, client: Client, url: str) -> None:
        parts = urlsplit(url)
        self._client = client
        self._base = parts.path.rstrip("/")
        port = {"http": 80, "https": 443}.get(parts.scheme) != parts.port and parts.port
        host = (parts.hostname or "").rstrip(".")
        named = f"[{host}]" if ":" in host else host
        self.host = f"{named}:{port}" if port else named

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        ok: Collection[int] = (200,),
    ) -> Reply:
        """A reply whose status is one of `ok`. Raises TargetBusy, TargetRefused, and what egress raises."""
        reply = await self._client.request(method, self._base + path, json=json, content=content, headers=headers)
        if reply.status in ok:
            return reply
        if reply.status >= 500 or reply.status in _BUSY:
            raise TargetBusy(f"The target answers {reply.status}.", status=reply.status, wait_s=_wait(reply))
        told = reply.body[:_TOLD_MAX].decode("utf-8", "replace")
        printable = "".join(character for character in told if character.isprintable())
        raise TargetRefused(f"The target answers {reply.status}: {printable or 'without a word'}.", status=reply.status)


def _wait(reply: Reply) -> float:
    """The seconds that the target asks for; none where it does not say so in seconds."""
    said = reply.headers.get("retry-after", "")
    return min(float(said), _WAIT_MAX_S) if said.isdecimal() else 0.0


def member(of: Any, *path: str | int) -> Any:
    """What stands in a JSON answer under these names. Raises TargetGarbled where it has another shape."""
    for name in path:
        try:
            of = of[name]
        except (TypeError, LookupError) as fault:
            raise TargetGarbled(f"The target's answer has no {'.'.join(map(str, path))}.") from fault
    return of


def counted(value: Any) -> int:
    """A count in an answer. Raises TargetGarbled for what is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TargetGarbled("The target's answer gives no count.")
    return value
