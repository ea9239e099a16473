"""Laws of the formats: what both can say comes back as it was, whole or as a stream that is cut anywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.inference.wires import FORMATS, Cut, Event, Replied, gathered, told
from bastide.inference.wires.values import Asked, Form

from . import making

TALKS = ("chat", "messages", "responses", "gemini")
quick = settings(max_examples=15)


def as_told(asked: Asked, wire: str) -> Asked:
    """A request as this format tells it: servers of messages are not told of a temperature or a top_p of 1."""
    usual = {name: None for name in ("temperature", "top_p") if getattr(asked, name) == 1}
    return replace(asked, **usual) if wire == "messages" else asked


def said(asked: Asked) -> Asked:
    """A request without what formats name by themselves."""
    return replace(asked, form=None if asked.form is None else replace(asked.form, name="", strict=None))


def through(wire: str, asked: Asked) -> Asked:
    """Written and read again."""
    return FORMATS[wire].read(FORMATS[wire].write(asked, model="m", stream=False))


@pytest.mark.parametrize("wire", TALKS)
@given(asked=making.requests(), data=st.data())
@quick
def test_a_request_comes_back_as_it_was(wire: str, asked: Asked, data: st.DataObject) -> None:
    more = data.draw(st.sampled_from([{}, *making.MORE[wire]]))
    asked = replace(asked, **more)
    found, asked = through(wire, asked), as_told(asked, wire)
    if asked.form == Form() or (asked.form is not None and asked.form.name):
        assert found == asked
    else:
        assert said(found) == said(asked)


@given(asked=making.requests(), order=st.permutations(TALKS))
@quick
def test_a_request_passes_all_formats_in_any_order(asked: Asked, order: list[str]) -> None:
    found = asked
    for wire in order:
        found, asked = through(wire, found), as_told(asked, wire)
        assert said(found) == said(asked)


def streamed(wire: str, replied: Replied, cuts: list[int] | None = None) -> list[Event]:
    """The events that are read from what is written of an answer, in pieces."""
    writer, reader = FORMATS[wire].writer(model="m", id="", usage=True, echo={}), FORMATS[wire].reader()
    data = b"".join(writer.write(event) for event in told(replied))
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    events = [event for a, b in pairwise(places) for event in reader.feed(data[a:b])]
    return [*events, *reader.end()]


def whole(wire: str, replied: Replied) -> Replied:
    """Written whole and read again."""
    return FORMATS[wire].read_reply(FORMATS[wire].write_reply(replied, model="m", id="msg_1"))


@pytest.mark.parametrize("wire", TALKS)
@given(replied=making.replies(), cuts=st.lists(st.integers(0, 5000), max_size=9))
@quick
def test_an_answer_and_its_stream_say_the_same(wire: str, replied: Replied, cuts: list[int]) -> None:
    found = whole(wire, replied)
    events = streamed(wire, replied, cuts)
    assert not any(isinstance(event, Cut) for event in events)
    assert parts_of(gathered(events)) == parts_of(found)
    expected = parts_of(replied)
    if wire == "gemini":  # it tells nothing of what was written to a cache
        expected = (expected[0], replace(replied.usage, written=None)) if replied.usage else expected
    assert parts_of(found) == expected


def parts_of(replied: Replied) -> tuple[Any, Any]:
    """What an answer says, without ids that a format must make."""
    choices = [
        replace(
            choice,
            parts=tuple(replace(p, id="") if type(p).__name__ == "Reasoning" else p for p in choice.parts),  # type: ignore[call-arg]
        )
        for choice in replied.choices
    ]
    return choices, replied.usage


@pytest.mark.parametrize("wire", ["chat", "responses", "gemini"])
@given(replied=making.replies(reasoned=False, logprobs=True))
@quick
def test_what_is_told_of_tokens_comes_back(wire: str, replied: Replied) -> None:
    def plain(found: Replied) -> Any:
        return [
            [(t.token, t.logprob, [(o.token, o.logprob) for o in t.top]) for t in c.logprobs] for c in found.choices
        ]

    assert plain(whole(wire, replied)) == plain(replied)
    assert plain(gathered(streamed(wire, replied))) == plain(replied)


@pytest.mark.parametrize("wire", [*TALKS, "completions"])
@given(replied=making.replies(), keep=st.floats(0, 0.999))
@quick
def test_a_stream_that_breaks_off_is_never_whole(wire: str, replied: Replied, keep: float) -> None:
    writer, reader = FORMATS[wire].writer(model="m", id="", usage=True, echo={}), FORMATS[wire].reader()
    pieces = [piece for event in told(replied) if (piece := writer.write(event))]
    events = b"".join(pieces).split(b"\n\n")[:-1]
    telling = [one for one in events if b"[DONE]" not in one and b'"choices":[]' not in one]
    data = b"".join(one + b"\n\n" for one in telling[: int(len(telling) * keep)])
    heard = [*reader.feed(data), *reader.end()]
    assert isinstance(heard[-1], Cut)
    assert heard[-1].fault.code == "inference.stream_broken"


@pytest.mark.parametrize("wire", [*TALKS, "completions"])
@given(data=st.binary(max_size=60), cut=st.integers(0, 60))
@quick
def test_bytes_of_any_kind_end_in_a_cut(wire: str, data: bytes, cut: int) -> None:
    reader = FORMATS[wire].reader()
    events = [*reader.feed(data[:cut]), *reader.feed(data[cut:]), *reader.feed(b"\n\n"), *reader.end()]
    assert [type(event) for event in events].count(Cut) == 1


@pytest.mark.parametrize("wire", ["chat", "responses"])
@given(replied=making.refusals)
@quick
def test_a_refusal_in_words_comes_back(wire: str, replied: Replied) -> None:
    assert parts_of(whole(wire, replied))[0] == parts_of(replied)[0]
    assert parts_of(gathered(streamed(wire, replied)))[0] == parts_of(replied)[0]


_WORDS = """
messages input contents parts role content type text tools tool_choice function name id image_url url source output
choices message delta index usage error status candidates item response content_block prompt max_tokens output_index
arguments generationConfig reasoning_details
"""
_KEYS = st.sampled_from(_WORDS.split())
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=12,
)


@pytest.mark.parametrize("wire", [*TALKS, "completions"])
@given(body=st.dictionaries(_KEYS, JUNK, max_size=8))
@settings(max_examples=30)
def test_junk_is_refused_in_words_and_never_crashes(wire: str, body: dict[str, Any]) -> None:
    form = FORMATS[wire]
    for read, codes in (
        (form.read, {"inference.bad_chat"}),
        (form.read_reply, {"inference.upstream_garbage", "inference.upstream_failed"}),
    ):
        try:
            read(body)  # type: ignore[operator]
        except Exception as fault:
            assert getattr(fault, "code", repr(fault)) in codes
    reader = form.reader()
    telling = getattr(reader, "_telling", None)
    assert telling is not None
    try:
        telling.heard(body)
    except Exception as fault:
        assert getattr(fault, "code", repr(fault)) in {"inference.stream_broken", "inference.upstream_garbage"}
