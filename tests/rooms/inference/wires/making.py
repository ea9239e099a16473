"""Requests and answers of every kind that a format can say, for laws that hold for all of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from bastide.inference.wires.values import (
    Asked,
    Call,
    Choice,
    Counted,
    File,
    Form,
    Image,
    Logprob,
    Reasoning,
    Refused,
    Replied,
    Result,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
blobs = st.sampled_from(["QUJD", "iVBORw0KGgo=", "/+8="])
objects = st.dictionaries(words, st.one_of(words, st.integers(-9, 9), st.booleans(), st.none()), max_size=3)
compact = objects.map(lambda found: json.dumps(found, separators=(",", ":"), ensure_ascii=False))
images = st.one_of(
    st.builds(Image, data=blobs, media_type=st.sampled_from(["image/png", "image/jpeg", "image/webp"])),
    st.builds(Image, url=st.sampled_from(["https://a.example/b.png", "http://c.example/d/e.jpeg"])),
)
pdfs = st.builds(File, data=blobs, media_type=st.just("application/pdf"), name=st.just("document.pdf"))
schemas = st.just({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
tools = st.lists(
    st.builds(Tool, names, st.one_of(st.just(""), words), schemas), max_size=3, unique_by=lambda tool: tool.name
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """A user and an assistant in turn, with calls and their results."""
    turns = [Turn("system", (Text(draw(words)),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(0, 2))):
        turns.append(Turn("user", tuple(draw(st.lists(st.one_of(words.map(Text), images), min_size=1, max_size=3)))))
        calls = [Call(f"call_{number}_{place}", draw(names), draw(compact)) for place in range(draw(st.integers(0, 2)))]
        said = [Text(draw(words))] if not calls or draw(st.booleans()) else []
        turns.append(Turn("assistant", (*said, *calls)))
        if calls:
            turns.append(Turn("tool", tuple(Result(call.id, (Text(draw(words)),)) for call in calls)))
    return (*turns, Turn("user", (Text(draw(words)),)))


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """What all four formats for conversations can say."""
    offered = tuple(draw(tools))
    mode = draw(st.sampled_from(["auto", "none", "required", "one"])) if offered else None
    choice: Any = None
    if mode is not None:
        choice = ToolChoice("required", (offered[0].name,)) if mode == "one" else ToolChoice(mode)
    return Asked(
        turns=draw(conversations()),
        tools=offered,
        choice=choice,
        max_tokens=draw(st.integers(1, 99_999)),
        temperature=draw(st.one_of(st.none(), st.floats(0, 1))),
        top_p=draw(st.one_of(st.none(), st.floats(0, 1))),
        form=draw(st.one_of(st.none(), st.builds(Form, schemas))),
    )


# What only some can say, as changes of a request.
MORE: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {"stop": ("a", "b"), "seed": 3, "frequency_penalty": 0.5, "presence_penalty": -1.0, "n": 2, "logprobs": 4},
        {"logit_bias": {"50256": -100}, "top_k": 9, "user": "u", "metadata": {"k": "v"}, "verbosity": "low"},
        {"thinking": Thinking("high"), "form": Form()},
        {"form": Form({"type": "object"}, "n", "d", strict=True)},
    ],
    "messages": [
        {"stop": ("a", "b"), "top_k": 9, "user": "u"},
        {"thinking": Thinking("", 2048, shown=True)},
        {"thinking": Thinking("none")},
        {"thinking": Thinking("high", shown=False)},
    ],
    "responses": [
        {"user": "u", "metadata": {"k": "v"}, "verbosity": "low", "logprobs": 0},
        {"thinking": Thinking("low", shown=True), "form": Form()},
        {"form": Form({"type": "object"}, "n", "d", strict=True)},
    ],
    "gemini": [
        {"stop": ("a",), "seed": 3, "frequency_penalty": 0.5, "presence_penalty": -1.0, "n": 2, "logprobs": 4},
        {"top_k": 9, "thinking": Thinking("", 2048, shown=True), "form": Form()},
        {"thinking": Thinking("none", shown=False)},
    ],
}

seals = st.from_regex(r"[A-Za-z0-9+/]{4,12}", fullmatch=True)
counts = st.builds(
    Counted,
    st.integers(30, 99),
    st.integers(30, 99),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)


def replies(*, reasoned: bool = True, logprobs: bool = False) -> st.SearchStrategy[Replied]:
    """Whole answers of one choice."""
    return _replies(reasoned, logprobs)


@st.composite
def _replies(draw: st.DrawFn, reasoned: bool, logprobs: bool) -> Replied:
    parts: list[Any] = []
    if reasoned and draw(st.booleans()):
        parts.append(draw(reasonings))
    parts += [Text(draw(words))] if draw(st.booleans()) else []
    calls = [Call(f"call_{place}", draw(names), draw(compact)) for place in range(draw(st.integers(0, 3)))]
    told = any(isinstance(part, Text) for part in parts)
    tokens = tuple(draw(st.lists(_logprob, min_size=1, max_size=3))) if logprobs and told else ()
    stop = "calls" if calls else draw(st.sampled_from(["end", "length"]))
    return Replied((Choice((*parts, *calls), stop, logprobs=tokens),), "m", "msg_1", 7, draw(counts))  # type: ignore[arg-type]


reasonings = st.one_of(
    st.builds(Reasoning, words),
    st.builds(Reasoning, words, seals, st.just("messages")),
    st.builds(Reasoning, st.just(""), seals, st.just("messages")),
    st.builds(lambda seal: Reasoning("", seal, "messages", redacted=True), seals),
    st.builds(lambda seal: Reasoning("", seal, "gemini"), seals),
)
_scores = st.floats(-20, 0)
_logprob = st.builds(
    Logprob,
    words,
    _scores,
    top=st.lists(st.builds(Logprob, words, _scores), max_size=2, unique_by=lambda one: one.token).map(tuple),
)
refusals = st.builds(lambda text: Replied((Choice((Refused(text),)),), "m", "msg_1", 7, Counted(1, 2)), words)
