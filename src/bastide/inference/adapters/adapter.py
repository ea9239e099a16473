"""What there is to know of one kind of server: its addresses, its key's header, what its bodies need or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bastide.inference.adapters.offering import Offered, of_openai_style
from bastide.inference.adapters.shaping import Body, kept_nowhere


def bearer(key: str | None) -> dict[str, str]:
    """The key as most servers want it."""
    return {"authorization": f"Bearer {key}"} if key else {}


def _never(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Batched:
    """That a server is asked by batches only: files of calls that it works through by itself.

    A file has `lines_max` calls and `bytes_max` bytes. `windows_h` are the hours that it may be given. `expires` says
    that it takes, with a file, for how long that is kept at most.
    """

    lines_max: int
    bytes_max: int
    windows_h: tuple[int, ...]
    expires: bool = False

    def window(self, hours: int) -> str:
        """The window for work that we give so many hours: the longest that is not longer, else its shortest."""
        return f"{max([one for one in self.windows_h if one <= hours], default=min(self.windows_h))}h"


@dataclass(frozen=True, slots=True)
class Adapter:
    """One kind of server.

    `paths` gives for each wire that it speaks where below the model's address it is asked, with `{model}` for the
    model's name where it stands there; a request in another wire is translated into the first that can say it.
    `virtual` says of a name that the server itself would choose a model for it: such a name must be resolved before
    anything is decided. A router has `pinned`, which makes a body stay with one upstream.
    """

    kind: str
    title: str
    paths: Mapping[str, str]
    headers: Callable[[str | None], dict[str, str]] = bearer
    shape: Callable[[Body, str], Body] = kept_nowhere
    stream_paths: Mapping[str, str] | None = None  # where a stream is asked elsewhere
    root: str = "/v1"  # where its interface begins, at an address that does not say so
    own_root: str = ""  # what must be in the path of an address, where each customer has another
    pinned: Callable[[Body, str], Body] | None = None
    virtual: Callable[[str], bool] = _never
    catalogue: str = "/models"
    offered: Callable[[Mapping[str, Any]], list[Offered]] = of_openai_style
    batches: Batched | None = None

    def path(self, wire: str, model: str, *, stream: bool) -> str:
        """Where to ask in this wire, below the model's address."""
        paths = self.stream_paths if stream and self.stream_paths else self.paths
        return paths[wire].replace("{model}", quote(model.removeprefix("models/"), safe="-._~:@"))

    def speaks(self, wire: str) -> str | None:
        """The wire in which a request of `wire` is put to this server: itself, one to translate to, or none."""
        if wire in self.paths:
            return wire
        able = _TRANSLATED.get(wire, ())
        return next((other for other in able if other in self.paths), None)

    def can(self, capability: str) -> bool:
        """Whether a server of this kind can be asked for this at all: in a batch (`batch.chat`), or else by a call."""
        sort, _, rest = capability.partition(".")
        if sort == "batch":
            return self.batches is not None and self.speaks(rest) is not None
        return self.batches is None and self.speaks(_asked_as(capability)) is not None

    def prepared(self, body: dict[str, Any], wire: str, pin: str = "") -> dict[str, Any]:
        """The body as this server takes it; `pin` is the upstream that a router must stay with."""
        shaped = self.shape(body, wire)
        return shaped if self.pinned is None else self.pinned(shaped, pin)


def _asked_as(capability: str) -> str:
    """The wire in which a capability is asked for: pictures are shown in a chat."""
    return "chat" if capability.partition(".")[0] == "vision" else capability


_TRANSLATED: Mapping[str, tuple[str, ...]] = {
    "chat": ("messages", "gemini", "responses"),
    "messages": ("chat", "gemini", "responses"),
    "responses": ("chat", "messages", "gemini"),
    "completions": ("chat", "messages", "gemini"),
}
