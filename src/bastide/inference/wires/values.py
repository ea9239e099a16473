"""What is asked and answered, whatever the format: the neutral form between the wires.

A part that only its maker can read (the seal of a reasoning) names its maker, so that it finds its way back through
a client that speaks another format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Role = Literal["system", "developer", "user", "assistant", "tool"]
Stop = Literal["end", "length", "calls", "filter", "sequence", "refused"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: base64 with its type, or an address."""

    data: str = ""
    media_type: str = ""
    url: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A document: base64 with its type, or an address. `plain` is one that was given as text."""

    data: str = ""
    media_type: str = ""
    url: str = ""
    name: str = ""
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound in base64."""

    data: str
    form: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought. `seal` is its maker's proof or, where there is no text, all of it in a form that only
    the maker can read; `redacted` where its maker says that it hides it."""

    text: str = ""
    seal: str = ""
    maker: str = ""
    id: str = ""
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that the model wants to be used; `arguments` is JSON."""

    id: str
    name: str
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave."""

    call: str
    parts: tuple[Text | Image | File, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Words by which a model declines."""

    text: str


Part = Text | Image | File | Audio | Reasoning | Call | Result | Refused


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of a conversation. A turn of `tool` holds results only."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for; `schema` is a JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether a tool must be used, and which ones may be; without names, any."""

    mode: Literal["auto", "none", "required"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """JSON is wanted; with a schema, JSON that fits it."""

    schema: Mapping[str, Any] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much a model shall think: an effort in words, or a budget in tokens; `effort` "none" is not at all."""

    effort: str = ""
    budget: int | None = None
    shown: bool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, without the model's name and without whether it is streamed."""

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice | None = None
    parallel: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    n: int = 1
    logprobs: int | None = None  # how many alternatives of each token are told; 0: only the token that was taken
    form: Form | None = None
    thinking: Thinking | None = None
    verbosity: str = ""
    user: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Logprob:
    """How likely a token was, and which others there were."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens: `input` with what was read from or written to a cache, `output` with what was thought."""

    input: int = 0
    output: int = 0
    cached: int | None = None
    written: int | None = None
    thought: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers that were asked for."""

    parts: tuple[Text | Reasoning | Call | Refused, ...]
    stop: Stop = "end"
    sequence: str = ""
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Replied:
    """A whole answer."""

    choices: tuple[Choice, ...]
    model: str = ""
    id: str = ""
    created: int = 0
    usage: Counted | None = None
