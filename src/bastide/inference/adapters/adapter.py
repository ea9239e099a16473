"""What there is to know of one kind of server: its addresses, its key's header, what its bodies need or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]


def bearer(key: str | None) -> dict[str, str]:
    """The key as most servers want it."""
    return {"authorization": f"Bearer {key}"} if key else {}


def unchanged(body: Body, _wire: str) -> Body:
    """A body that needs nothing."""
    return body


@dataclass(frozen=True, slots=True)
class Adapter:
    """One kind of server.

    `paths` gives for each wire that it speaks where below the model's address it is asked, with `{model}` for the
    model's name where it stands there; a request in another wire is translated into the first that can say it.
    """

    kind: str
    title: str
    paths: Mapping[str, str]
    headers: Callable[[str | None], dict[str, str]] = bearer
    shape: Callable[[Body, str], Body] = unchanged
    stream_paths: Mapping[str, str] | None = None  # where a stream is asked elsewhere

    def path(self, wire: str, model: str, *, stream: bool) -> str:
        """Where to ask in this wire, below the model's address."""
        paths = self.stream_paths if stream and self.stream_paths else self.paths
        return paths[wire].replace("{model}", model)

    def speaks(self, wire: str) -> str | None:
        """The wire in which a request of `wire` is put to this server: itself, one to translate to, or none."""
        if wire in self.paths:
            return wire
        able = _TRANSLATED.get(wire, ())
        return next((other for other in able if other in self.paths), None)


_TRANSLATED: Mapping[str, tuple[str, ...]] = {
    "chat": ("messages", "gemini", "responses"),
    "messages": ("chat", "gemini", "responses"),
    "responses": ("chat", "messages", "gemini"),
    "completions": ("chat", "messages", "gemini"),
}
