"""What crosses the door of inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from bastide.errors import BadChat
from bastide.policy import Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXTRACTIVE = "local/extractive"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `raw` holds the wire's other fields (tool calls, names) as they came."""

    role: str
    content: str | list[Any] | None
    raw: Mapping[str, Any] = field(default_factory=dict)
    label: Label | None = None

    @property
    def text(self) -> str:
        """The words of the message; parts that are not text are left out."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content or []
        return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict) and part.get("text"))

    def to_wire(self) -> dict[str, Any]:
        """The message as the OpenAI wire has it, every field that came included."""
        said = {"content": self.content} if self.content is not None or not self.raw else {}
        return {"role": self.role, **said, **self.raw}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat as the OpenAI wire asks for it; fields that we do not know are kept in `raw` and passed on."""

    messages: tuple[Message, ...]
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    steady: bool = False  # of the house's own: with temperature 0, of a model that takes it

    @classmethod
    def from_wire(cls, body: object) -> ChatRequest:
        """The request in a JSON body; `stream` is left to the caller. Raises BadChat, which names the field."""
        if not isinstance(body, Mapping):
            raise BadChat("The body must be a JSON object.")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadChat("`messages` must be a list of at least one message.", field="messages")
        model, tokens, heat = (body.get(name) for name in ("model", "max_tokens", "temperature"))
        if model is not None and (not isinstance(model, str) or not model):
            raise BadChat("`model` must be a name.", field="model")
        if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1):
            raise BadChat("`max_tokens` must be a whole number above 0.", field="max_tokens")
        if heat is not None and (not isinstance(heat, int | float) or isinstance(heat, bool)):
            raise BadChat("`temperature` must be a number.", field="temperature")
        known = {"model", "messages", "max_tokens", "temperature", "stream"}
        return cls(
            messages=tuple(_message(position, entry) for position, entry in enumerate(messages)),
            model=model,
            max_tokens=tokens,
            temperature=heat,
            raw={name: value for name, value in body.items() if name not in known},
        )

    def to_wire(self, model: str, *, stream: bool) -> dict[str, Any]:
        """The body for a server that knows the model as `model`."""
        heat = 0.0 if self.steady else self.temperature
        optional = {"max_tokens": self.max_tokens, "temperature": heat, "stream": stream or None}
        return {
            "model": model,
            "messages": [message.to_wire() for message in self.messages],
            **{name: value for name, value in optional.items() if value is not None},
            **self.raw,
        }


def _message(position: int, entry: object) -> Message:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("role"), str):
        raise BadChat(f"messages[{position}] must be an object with a `role`.", field=f"messages[{position}]")
    content = entry.get("content")
    if content is not None and not isinstance(content, str | list):
        raise BadChat(f"messages[{position}].content must be text or a list of parts.", field=f"messages[{position}]")
    left = {"role"} if "content" in entry and content is None else {"role", "content"}
    return Message(entry["role"], content, {name: value for name, value in entry.items() if name not in left})


class Units(msgspec.Struct, frozen=True):
    """What calls of sound and pictures are counted in: pictures made, seconds of sound heard, characters spoken."""

    pictures: int = 0
    seconds: float = 0.0
    characters: int = 0


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call, and its units where it was one of sound or pictures; `estimated` when the server did not
    count them."""

    input: int = 0
    output: int = 0
    estimated: bool = False
    units: Units | None = None

    def and_more(self, other: Usage) -> Usage:
        """The tokens of two calls."""
        return Usage(self.input + other.input, self.output + other.output, self.estimated or other.estimated)

    @classmethod
    def guessed(cls, sent: bytes, got: bytes = b"") -> Usage:
        """Tokens where nobody counted them: four bytes each, said to be an estimate."""
        return cls(-(-len(sent) // 4), -(-len(got) // 4), estimated=True)


UNUSED = Usage()
"""Nothing."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer. `raw` is the server's own reply with the model called as it is called here."""

    text: str
    model: str
    finish: str
    usage: Usage
    receipt: str
    raw: Mapping[str, Any]
    mode: str = "generated"  # or "extractive": sentences of the given text, none of it written by a model


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """A piece of a streamed answer, in order; each one carries the id of the receipt to come.

    `raw` is the server's own chunk with the model called as it is called here.
    """

    text: str
    model: str
    receipt: str
    raw: Mapping[str, Any]
    finish: str | None = None
    mode: str = "generated"


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors `(n, d) float32`, L2-normalised, in the order of the texts."""

    vectors: NDArray[np.float32]
    model: str
    receipt: str
    dimensions: int
    usage: Usage = UNUSED


@dataclass(frozen=True, slots=True)
class Reranked:
    """How well each text answers a query, in the order of the texts: more is better, and what one means is the model's
    own (a cross-encoder here gives numbers in [0, 1])."""

    scores: tuple[float, ...]
    model: str
    receipt: str
    usage: Usage = UNUSED


@dataclass(frozen=True, slots=True)
class ExtractedSentence:
    """A sentence taken from a passage: `text` is `passage[start:end]`."""

    text: str
    passage: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class ExtractiveReply:
    """The sentences of the given passages that best answer, best first; none if nothing fits."""

    sentences: tuple[ExtractedSentence, ...]
    receipt: str
    model: str = EXTRACTIVE


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to add: an endpoint of a known kind, either our own (`local`) or that of a recorded `provider`.

    `upstream` is the server's own name for it; left out, the server is asked. `requests_per_minute` bounds how often
    it is asked under its key; left out, it is what the record says of the endpoint. With `pseudonymise` it gets what
    identifies a person under pseudonyms only, and is asked over the wires only.
    """

    name: str
    url: str = ""
    kind: str = "openai"
    key: str | None = field(default=None, repr=False)
    provider: str | None = None
    local: bool = False
    upstream: str | None = None
    capabilities: tuple[str, ...] | None = None
    rank: int | None = None
    requests_per_minute: int | None = None
    pseudonymise: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a tenant. Its key never leaves the room; `has_key` says that there is one."""

    name: str
    kind: str
    capabilities: tuple[str, ...]
    record: str
    url: str = ""
    upstream: str = ""
    local: bool = True
    rank: int = 100
    has_key: bool = False
    built_in: bool = False
    dimensions: int | None = None
    added_at: datetime | None = None
    problem: str = ""  # what is not as it should be, e.g. that the server did not answer when it was added
    requests_per_minute: int | None = None
    pseudonymise: bool = False  # it gets what identifies a person under pseudonyms only
    context_tokens: int | None = None  # as its endpoint's catalogue says
    gone: bool = False  # its server lists it no more: it is not chosen by itself

    def does(self, capability: str) -> bool:
        """Whether it may be chosen for this: it can, and its server has it still."""
        return capability in self.capabilities and not self.gone

    @property
    def endpoint_id(self) -> str:
        """How policy and receipts call the place where it answers."""
        return self.record if self.built_in else f"{self.record}/{self.upstream}"
