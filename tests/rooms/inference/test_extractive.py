"""Answers cut out of real law in four languages, and their limits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.inference.local.extractive import extract
from bastide.inference.local.question_words import guess_language, kind_of
from bastide.inference.local.sentence_ends import sentence_spans

GDPR_33 = (
    "Notification of a personal data breach to the supervisory authority\n\n"
    "1. In the case of a personal data breach, the controller shall without undue delay and, where feasible, not later "
    "than 72 hours after having become aware of it, notify the personal data breach to the supervisory "
    "authority competent "
    "in accordance with Article 55, unless the personal data breach is unlikely to result in a risk to the rights and "
    "freedoms of natural persons. Where the notification to the supervisory authority is not made within 72 hours, it "
    "shall be accompanied by reasons for the delay.\n"
    "2. The processor shall notify the controller without undue delay after becoming aware of a personal data breach."
)
GDPR_4 = (
    "For the purposes of this Regulation:\n\n(1) ‘personal data’ means any information relating to an identified or "
    "identifiable natural person;\n(2) ‘processing’ means any operation which is performed on personal data;"
)
GDPR_37 = (
    "The controller and the processor shall designate a data protection officer in any case "
    "where:\n\n(a)\n\nthe processing "
    "is carried out by a public authority or body, except for courts acting in their judicial "
    "capacity;\n\n(b)\n\nthe core "
    "activities of the controller consist of regular and systematic monitoring of data subjects on a large scale.\n\n"
    "A group of undertakings may appoint a single data protection officer."
)
DSGVO_33 = (
    "Im Falle einer Verletzung des Schutzes personenbezogener Daten meldet der Verantwortliche "
    "unverzüglich und möglichst "
    "binnen 72 Stunden, nachdem ihm die Verletzung bekannt wurde, diese der gemäß Art. 55 Abs. 1 zuständigen "
    "Aufsichtsbehörde. Wenn dem Auftragsverarbeiter eine Verletzung bekannt wird, meldet er diese dem Verantwortlichen."
)
BGB_573 = (
    "Die Kündigung ist spätestens am dritten Werktag eines Kalendermonats zum Ablauf des übernächsten Monats zulässig. "
    "Die Kündigungsfrist für den Vermieter verlängert sich nach fünf und acht Jahren um jeweils drei Monate."
)
RGPD_33 = (
    "En cas de violation de données à caractère personnel, le responsable du traitement en notifie la "
    "violation en question "
    "à l'autorité de contrôle compétente dans les meilleurs délais et, si possible, 72 heures au plus "
    "tard après en avoir "
    "pris connaissance. Le sous-traitant notifie au responsable du traitement toute violation dans les "
    "meilleurs délais."
)
AVG_33 = (
    "Indien een inbreuk in verband met persoonsgegevens heeft plaatsgevonden, meldt de "
    "verwerkingsverantwoordelijke deze "
    "zonder onredelijke vertraging en, indien mogelijk, uiterlijk 72 uur nadat hij er kennis van heeft genomen, aan de "
    "bevoegde toezichthoudende autoriteit. De verwerker informeert de verwerkingsverantwoordelijke zonder vertraging."
)
ALL = [BGB_573, GDPR_37, GDPR_33, DSGVO_33, RGPD_33, AVG_33, GDPR_4]


@pytest.mark.parametrize(
    ("question", "passage", "said"),
    [
        ("When must a personal data breach be notified to the supervisory authority?", GDPR_33, "72 hours after"),
        ("Who must designate a data protection officer?", GDPR_37, "The controller and the processor shall designate"),
        ("What does personal data mean?", GDPR_4, "any information relating to"),
        ("Wann muss eine Verletzung der Aufsichtsbehörde gemeldet werden?", DSGVO_33, "binnen 72 Stunden"),
        ("Wie lange ist die Kündigungsfrist für den Vermieter?", BGB_573, "drei Monate"),
        ("Dans quel délai notifier une violation à l'autorité de contrôle ?", RGPD_33, "72 heures au plus tard"),
        ("Wanneer moet een inbreuk aan de autoriteit worden gemeld?", AVG_33, "uiterlijk 72 uur"),
    ],
)
def test_the_answering_sentence_is_found(question: str, passage: str, said: str) -> None:
    found = extract(question, ALL)
    assert found, question
    assert found[0].passage == ALL.index(passage), found[0].text
    best = max(found, key=lambda each: each.score)
    assert said in best.text


@pytest.mark.parametrize(
    "question",
    [
        "How do I bake sourdough bread?",
        "Wer gewann die Fußballweltmeisterschaft?",
        "Quelle est la capitale de la Mongolie ?",
        "Hoe bak ik zuurdesembrood?",
        "the of and",
        "???",
        "",
    ],
)
def test_what_is_not_there_is_not_found(question: str) -> None:
    assert extract(question, ALL) == []
    assert extract(question, []) == []


def test_a_list_is_taken_with_its_sentence() -> None:
    (found, *_) = extract("In which cases shall the controller designate a data protection officer?", [GDPR_37])
    assert "public authority" in found.text
    assert found.text.endswith("on a large scale.")


def test_near_duplicates_are_given_once() -> None:
    twice = [GDPR_33, GDPR_33.replace("72 hours", "72 hours "), GDPR_33]
    found = extract("Within how many hours must a data breach be notified to the authority?", twice)
    assert sum("not later than 72 hours" in each.text for each in found) == 1
    assert all(each.passage == 0 for each in found)


def test_a_heading_is_no_answer_unless_there_is_nothing_else() -> None:
    found = extract("Notification of a personal data breach", [GDPR_33])
    assert all(not each.text.startswith("Notification of") for each in found)
    assert extract("When does the lease end?", ["The lease ends in June"])[0].text == "The lease ends in June"


def test_likeness_helps_where_words_differ() -> None:
    passages = ["The tenancy terminates on 30 June. The rent is payable in advance."]
    question = "When is the flat free?"
    assert extract(question, passages) == []

    def embed(texts: Sequence[str]) -> np.ndarray:
        """As some models do: all texts are alike, and what is meant is more so."""
        near = {question: 0.0, "The tenancy terminates on 30 June.": 0.35}
        angles = np.array([near.get(text, 0.75) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    assert [each.text for each in extract(question, passages, embed=embed)] == ["The tenancy terminates on 30 June."]


@settings(max_examples=150)
@given(
    question=st.text(max_size=60),
    passages=st.lists(st.text(alphabet=st.sampled_from("abcd .:;!\n-1(a)\0Ü😀§"), max_size=200), max_size=5),
    most=st.integers(1, 4),
)
def test_offsets_are_exact_and_the_answer_is_the_same_twice(question: str, passages: list[str], most: int) -> None:
    found = extract(question + " abcd", passages, sentences_max=most)
    assert found == extract(question + " abcd", passages, sentences_max=most)
    assert len(found) <= most
    for each in found:
        assert passages[each.passage][each.start : each.end] == each.text
    order = [(each.passage, each.start) for each in found]
    groups = [number for at, (number, _) in enumerate(order) if at == 0 or order[at - 1][0] != number]
    assert len(groups) == len(set(groups))
    assert all(a[1] < b[1] for a, b in itertools.pairwise(order) if a[0] == b[0])


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("ab A.!?;:\n\t-1(2)§„“»« "), max_size=300))
def test_sentences_cover_the_text(text: str) -> None:
    spans = sentence_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))
    kept = "".join(text[start:end] for start, end in spans)
    assert "".join(kept.split()) == "".join(text.split())


@pytest.mark.parametrize(
    "whole",
    [
        "Nach Art. 17 Abs. 1 Nr. 2 DSGVO gilt das, z. B. bei Löschung.",
        "See e.g. Article 4 No. 5 and Sec. 3 of the Act.",
        "Der Vertrag vom 1. Januar 2024 endet am 30. Juni 2026.",
        "Selon l'art. L. 311-1 du code, cf. p. 12, la demande est écrite.",
        "Zie art. 6, lid 1, onder a, jo. art. 9 AVG (Stb. 2018, nr. 144).",
        "Dr. J. A. Müller vertritt die GmbH i. V. m. Frau Dr. Weiß.",
        "1. The controller shall act.",
        "The fee is 3.50 EUR per page.",
        "Zgodnie z art. 5 ust. 1 pkt 3 ustawy, np. w sprawach karnych.",
    ],
)
def test_sentences_of_law_stay_whole(whole: str) -> None:
    other = "Danach folgt ein anderer Satz."
    text = f"{whole} {other}"
    assert [text[start:end] for start, end in sentence_spans(text)] == [whole, other]


def test_a_large_input_is_answered_in_time() -> None:
    passages = [GDPR_33 * 20] * 60
    found = extract("When must a personal data breach be notified?" * 50, passages)
    assert found


@pytest.mark.parametrize(
    ("question", "language", "kind"),
    [
        ("how long may data be kept", "en", "time"),
        ("how many members does the board have", "en", "amount"),
        ("wer muss das melden", "de", "who"),
        ("wie hoch ist die geldbusse", "de", "amount"),
        ("wie is verantwoordelijk voor de melding", "nl", "who"),
        ("qu est ce que une donnee personnelle", "fr", "meaning"),
        ("pourquoi la demande est elle refusee", "fr", "reason"),
        ("cuanto tiempo se conservan los datos", "es", "time"),
        ("zzz", None, None),
    ],
)
def test_the_kind_of_a_question(question: str, language: str | None, kind: str | None) -> None:
    assert guess_language(question.split()) == language
    assert kind_of(question, language) == kind  # type: ignore[arg-type]
