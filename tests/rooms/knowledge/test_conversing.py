"""Conversing: what a follow-up question is searched as, and how a model's thinking is kept out of what it says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge import Turn
from bastide.knowledge.conversing import standalone
from bastide.knowledge.prompting import Spoken

LEASE = Turn(
    "When does the lease of the Antwerp workshop end?", "The lease ends on 30 June 2031 [1]. More follows [2]."
)


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("Why?", True),
        ("And what does it cost?", True),
        ("Who signed it?", True),
        ("How high is the fine for late filing of annual accounts?", False),
        ("Where is the archive of the city council kept?", False),
    ],
)
def test_only_a_question_that_points_back_leans(question: str, leans: bool) -> None:
    searched = standalone(question, [LEASE], "en")
    assert searched.startswith(question)
    assert ("Antwerp" in searched) is leans
    assert "[1]" not in searched


def test_the_first_question_is_searched_as_it_stands() -> None:
    assert standalone("Why?", [], "en") == "Why?"


def test_german_points_back_too() -> None:
    turn = Turn("Wann endet der Mietvertrag der Werkstatt?", "Der Mietvertrag endet im Juni [1].")
    assert "Werkstatt" in standalone("Und was kostet sie?", [turn], "de")


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=400), st.sampled_from(["en", "de", "xx", ""]))
def test_no_question_is_lost(question: str, before: str, answer: str, language: str) -> None:
    assert standalone(question, [Turn(before, answer)], language).startswith(question)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "a < b ", "words ", "<", "<thinking>", "</thinking>"])), st.data()
)
def test_thinking_is_left_out_however_it_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    spoken, said, at = Spoken(), "", 0
    while at < len(text):
        step = data.draw(st.integers(1, 7))
        said += spoken.add(text[at : at + step])
        at += step
    said += spoken.rest()
    expected = re.sub(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", "", text, flags=re.DOTALL)
    assert said == expected
