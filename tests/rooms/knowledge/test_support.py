"""Support: what a written sentence may say, held against the passages that it cites."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge.support import Evidence, check, with_citations

BREACH = Evidence(
    "In the case of a personal data breach, the controller shall without undue delay and, where feasible, not later "
    "than 72 hours after having become aware of it, notify the personal data breach to the supervisory authority.",
    "General Data Protection Regulation\nArticle 33 Notification of a personal data breach\n1",
    "en",
)
OFFICER = Evidence(
    "The controller shall publish the contact details of the data protection officer. Anna Berg holds the office "
    "since 4 May 2021 and has 1,000 files.",
    "Handbook",
    "en",
)
BOTH = [BREACH, OFFICER]

SUPPORTED = [
    "The controller must notify a personal data breach to the supervisory authority within 72 hours [1].",
    "Article 33(1) sets 72 hours for the notification of a personal data breach [1].",
    "The controller shall publish the contact details of the officer [2].",
    "Anna Berg holds the office since 4 May 2021 [2].",
    "Anna Berg has 1000 files [2].",
    "The controller notifies the breach to the authority [1] and publishes contact details of the officer [2].",
    "- **The controller** shall notify the breach to the supervisory authority. [1]",
    "Yes.",
    "In short:",
]
UNSUPPORTED = [
    ("The controller must notify a personal data breach within 48 hours [1].", "48"),
    ("Anna Berg holds the office since 5 May 2021 [2].", "5"),
    ("Boris Berg holds the office since 4 May 2021 [2].", "boris"),
    ("The controller shall publish the contact details of the officer [1].", "words"),
    ("The controller shall not publish the contact details of the data protection officer [2].", "denies"),
    ("Fines of up to 20 million euros await those who are late.", "no passage"),
    ("Penguins live in cold seas and eat fish [1].", "words"),
]


@pytest.mark.parametrize("sentence", SUPPORTED)
def test_supported(sentence: str) -> None:
    assert check(sentence, BOTH, language="en").unsupported == ()


@pytest.mark.parametrize(("sentence", "why"), UNSUPPORTED)
def test_unsupported(sentence: str, why: str) -> None:
    checked = check(sentence, BOTH, language="en")
    assert len(checked.unsupported) == 1
    assert why in checked.unsupported[0].why
    assert checked.text.endswith(" [unsupported]")


IN_OTHER_LANGUAGES = [
    (
        "de",
        "Die Frist beträgt zwei Monate ab Zugang des Bescheids.",
        "Die Frist beträgt 2 Monate ab Zugang des Bescheids [1].",
        "Die Frist beträgt drei Monate ab Zugang des Bescheids [1].",
    ),
    (
        "fr",
        "Le silence gardé pendant deux mois vaut décision d'acceptation.",
        "Le silence de deux mois vaut décision d'acceptation [1].",
        "Le silence de deux mois ne vaut pas décision d'acceptation [1].",
    ),
    (
        "nl",
        "De aanbieder meldt een ernstig incident binnen vijftien dagen aan de autoriteit.",
        "De aanbieder meldt een ernstig incident binnen vijftien dagen aan de autoriteit [1].",
        "De aanbieder meldt een ernstig incident binnen 10 dagen aan de autoriteit [1].",
    ),
]


@pytest.mark.parametrize(("language", "passage", "good", "bad"), IN_OTHER_LANGUAGES)
def test_other_languages(language: str, passage: str, good: str, bad: str) -> None:
    evidence = [Evidence(passage, "", language)]
    assert check(good, evidence, language=language).unsupported == ()
    assert len(check(bad, evidence, language=language).unsupported) == 1


def test_citations_are_numbered_anew_and_stand_before_the_full_stop() -> None:
    text = "The controller shall publish contact details of the officer. [2] The breach is notified in 72 hours. [1][2]"
    checked = check(text, BOTH, language="en")
    assert checked.used == (1, 0)
    assert checked.text == (
        "The controller shall publish contact details of the officer [1]. The breach is notified in 72 hours [2][1]."
    )


def test_a_sentence_without_a_citation_gets_that_of_the_passage_that_supports_it() -> None:
    checked = check("Anna Berg holds the office since 4 May 2021.", BOTH, language="en")
    assert checked.text == "Anna Berg holds the office since 4 May 2021 [1]."
    assert checked.used == (1,)


def test_numbers_of_passages_that_were_not_given_are_taken_away() -> None:
    checked = check("Anna Berg holds the office since 4 May 2021 [7][2].", BOTH, language="en")
    assert checked.text == "Anna Berg holds the office since 4 May 2021 [1]."


def test_an_embedder_may_speak_for_other_words_but_not_for_other_numbers() -> None:
    text = "The officer's contact information gets published by controllers [2]. Fines reach 20 million [2]."
    doubtful = check(text, BOTH, language="en")
    agreed = check(text, BOTH, language="en", nearness=lambda claim, among: 0.95)
    assert len(agreed.unsupported) == 1
    assert "20" in agreed.unsupported[0].why
    assert len(doubtful.unsupported) >= len(agreed.unsupported)


WORDS = st.sampled_from(
    ["The", "controller", "72", "hours", "not", "breach", "Anna", "[1]", "[2]", "[9]", ".", "\n", "- ", "!", "5"]
)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_positions_and_numbers_always_fit(text: str) -> None:
    checked = check(text, BOTH, language="en")
    for one in checked.unsupported:
        assert checked.text[one.start : one.end] == one.text
        assert checked.text[one.end :].startswith(" [unsupported]")
    used = {int(n) for n in re.findall(r"\[(\d+)\]", checked.text)}
    assert used <= set(range(1, len(checked.used) + 1))
    assert len(set(checked.used)) == len(checked.used)


def test_with_citations() -> None:
    assert with_citations("It ends.", [1, 2]) == "It ends [1][2]."
    assert with_citations('He said "it ends."', [1]) == 'He said "it ends [1]."'
    assert with_citations("a list item", [3]) == "a list item [3]"
    assert with_citations("It ends.", []) == "It ends."
