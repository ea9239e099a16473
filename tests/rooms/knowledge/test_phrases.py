"""Phrases: what a passage mentions, what it is called, and which of them a question names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge.grams import gram_keys, gram_scores
from bastide.knowledge.phrases import TITLE, WHOLE, asked, marked, mentioned, names, phrase_key, plain
from bastide.knowledge.preparing import called, prepare
from bastide.knowledge.reading import Limits
from bastide.knowledge.weaving import MENTION, pack


def wholes(text: str, language: str = "en", *titles: str) -> set[int]:
    return {one.key for one in mentioned(text, language, titles) if one.kind & WHOLE}


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("She met Ada Lovelace in Ghent.", {"ada lovelace", "ghent"}),
        ("He studied at the University of Ghent and Leuven.", {"university of ghent", "leuven"}),
        ("It was written by J. R. R. Tolkien in 1954.", {"j r r tolkien", "1954"}),
        ("The town's mayor left. Bruges stayed.", set()),
        ("She works for Ada's Mill.", {"ada mill"}),
    ],
)
def test_runs_of_names_are_phrases(text: str, phrases: set[str]) -> None:
    assert {phrase_key(phrase) for phrase in phrases} <= wholes(text)


def test_a_phrase_does_not_cross_a_full_stop() -> None:
    assert phrase_key("ghent bruges") not in {one.key for one in mentioned("They left for Ghent. Bruges fell.", "en")}


def test_a_part_of_a_run_waits_to_be_a_phrase_elsewhere() -> None:
    found = {one.key: one.kind for one in mentioned("It was President Ada Lovelace who came.", "en")}
    assert found[phrase_key("ada lovelace")] == 0
    assert found[phrase_key("president ada lovelace")] == WHOLE


def test_a_german_noun_is_no_name_and_a_title_is_one() -> None:
    text = "Die Behörde hat die Kündigung der Anna Meier erhalten."
    assert phrase_key("anna meier") in wholes(text, "de")
    assert phrase_key("kündigung") not in wholes("Die Behörde hat die Kündigung erhalten.", "de")
    found = {one.key: one.kind for one in mentioned(text, "de", ["Kündigung"])}
    assert found[phrase_key("kündigung")] == WHOLE | TITLE


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("Madonna (book)", {"madonna book", "madonna"}),
        ("Article 17 Right to erasure", {"article 17 right to erasure", "right to erasure"}),
        ("Demon Dice-12", {"demon dice 12", "demon dice"}),
        ("Apollo 13", {"apollo 13"}),
        ("9", set()),
        ("", set()),
        ("a title that goes on and on and on and on until it is a sentence", set()),
    ],
)
def test_a_title_names_its_passage(title: str, known: set[str]) -> None:
    assert set(names(title)) == known


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Dr. No", "Dr. No"),
        ("shelf/J. R. R. Tolkien", "J. R. R. Tolkien"),
        ("lease.md", "lease"),
        ("Washington, D.C.", "Washington, D.C."),
        (".md", ".md"),
    ],
)
def test_a_name_is_a_title_without_its_type(name: str, title: str) -> None:
    assert called(name) == title


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Demon Dice", "A game for two players, made in 1995."),
        ("Demon Dice.txt", "A game for two players, made in 1995."),
        ("7.txt", "Demon Dice\n\nA game for two players, made in 1995."),
        ("7.txt", "Demon Dice\nA game for two players, made in 1995."),
        ("7.md", "# Demon Dice\n\nA game for two players, made in 1995."),
        ("7.md", "# Games\n\n## Demon Dice (game)\n\nA game for two players, made in 1995."),
    ],
)
def test_a_title_reaches_the_passage_however_it_is_said(name: str, text: str) -> None:
    packed = prepare(name, text.encode(), Limits()).phrases
    found = [(int(one["key"]), int(one["kind"])) for part in packed for one in _unpacked(part)]
    assert (phrase_key("demon dice"), TITLE | WHOLE) in found


def _unpacked(packed: bytes) -> list[dict[str, int]]:
    return [{name: int(row[name]) for name in MENTION.names or ()} for row in np.frombuffer(packed, MENTION)]


def test_a_question_names_phrases_whatever_its_case() -> None:
    keys = [one.key for one in asked("who was the mother of ada lovelace?", "en")]
    assert phrase_key("ada lovelace") in keys
    assert phrase_key("who") not in keys


@pytest.mark.parametrize(
    ("question", "large", "proper"),
    [
        ("Who was Ada Lovelace?", [False, False, True, True], [False, False, True, True]),
        ("Ada Lovelace was who?", [True, True, False, False], [True, True, False, False]),
        ("Why does BRCA1 repair DNA?", [False, False, True, False, True], [False] * 5),
        ("Hat Ankara İSTANBUL?", [True, True, True, True], [True, True, False, False]),
        ("who was ada lovelace?", None, None),
        ("Who was she?", None, None),
        ("", None, None),
    ],
)
def test_case_tells_names_where_it_is_used(question: str, large: list[bool] | None, proper: list[bool] | None) -> None:
    written = marked(question)
    assert (written and list(written.large)) == large
    assert (written and list(written.proper)) == proper


@given(st.text(max_size=60))
def test_a_mark_stands_for_each_word_that_is_asked(question: str) -> None:
    written = marked(question)
    assert written is None or len(written.large) == len(written.proper) == len(plain(question))


@given(st.text(max_size=300), st.sampled_from(["en", "de", "el", "zh", "ar", ""]), st.text(max_size=40))
def test_any_text_has_phrases_that_can_be_kept(text: str, language: str, title: str) -> None:
    found = mentioned(text, language, [title])
    assert len({one.key for one in found}) == len(found)
    assert len(pack(found)) == len(found) * MENTION.itemsize
    assert all(one.length >= 1 for one in found)
    asked(text, language)
    marked(text)


def test_grams_see_what_words_have_in_common() -> None:
    texts = ["Die Frist der Kündigung beträgt drei Monate.", "Die Miete beträgt drei Euro."]
    scores = gram_scores("Kündigungsfrist", "de", [gram_keys(text) for text in texts])
    assert scores[0] > 0
    assert scores[1] == 0


@given(st.text(max_size=60), st.lists(st.text(max_size=120), max_size=6))
def test_grams_give_each_text_a_score(query: str, texts: list[str]) -> None:
    scores = gram_scores(query, "en", [gram_keys(text) for text in texts])
    assert len(scores) == len(texts)
    assert all(score >= 0 for score in scores)


def test_a_number_that_a_file_is_named_by_is_no_title() -> None:
    def titles(name: str, text: str) -> set[int]:
        packed = np.frombuffer(b"".join(prepare(name, text.encode(), Limits()).phrases), MENTION)
        return set(packed["key"][(packed["kind"] & TITLE) > 0].tolist())

    assert titles("1472.txt", "It was found that levels of the enzyme rise with age in mice and in men.") == set()
    assert titles("7.md", "# 1984\n\nIt was a bright cold day, and the clocks were striking.") == {phrase_key("1984")}
