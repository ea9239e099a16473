"""Redaction: whatever way a name is written, it does not come out again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bastide.app import House
from bastide.inference.tasks.entities import by_form
from bastide.inference.tasks.occurrences import Shadow, fold
from bastide.inference.tasks.redacting import PERSONAL, taken_out
from bastide.store import Scope

from .test_tasks import done, model

LETTERS = st.characters(categories=("Lu", "Ll"), max_codepoint=0x24F)
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1, max_size=3).map(" ".join)


def disguised(name: str, how: str) -> str:
    """The name as it may be written elsewhere."""
    return {
        "plain": name,
        "upper": name.upper(),
        "lower": name.lower(),
        "broken over lines": name.replace(" ", "\n "),
        "soft hyphen": name[:1] + "\u00ad" + name[1:],
        "zero width": "\u200b".join(name),
        "no-break": name.replace(" ", "\u00a0"),
    }[how]


HOW = ["plain", "upper", "lower", "broken over lines", "soft hyphen", "zero width", "no-break"]


@given(NAMES, st.lists(st.sampled_from(HOW), min_size=1, max_size=4), st.sampled_from([", ", ". ", " – ", "\n"]))
@example("name", ["plain"], ", ")
@example("person", ["upper"], " ")
def test_a_given_name_never_survives(name: str, ways: list[str], between: str) -> None:
    text = f"Dear{between}" + between.join(disguised(name, way) for way in ways) + f"{between}it is so."
    result, spans = taken_out(text, {name: "name"}, (name,))
    assert not Shadow(result).holds(name)
    assert len(spans) >= 1
    assert fold(name) not in fold(result).split() or " " in fold(name)


@given(st.text(max_size=200), st.lists(NAMES, max_size=4))
def test_what_need_not_go_stays_as_it_is(text: str, names: list[str]) -> None:
    result, spans = taken_out(text, dict.fromkeys(names, "name"), names)
    left, at = [], 0
    for span in spans:
        left.append(text[at : int(str(span["start"]))])
        at = int(str(span["end"]))
    assert all(part in result for part in [*left, text[at:]])
    if not spans:
        assert result == text


def test_parts_of_a_name_go_where_they_are_names() -> None:
    text = "Brian May plays. May said it may rain in may. Muller, Müller and MUELLER too, says Anna Müller."
    result, _ = taken_out(text, {"Brian May": "person", "Anna Müller": "person"}, ())
    assert result == (
        "[person] plays. [person] said it may rain in may. [person], [person] and [person] too, says [person]."
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("anna.mueller+x@example.org", "email"),
        ("+49 (0)40 123 45 67", "phone"),
        ("DE89370400440532013000", "iban"),
        ("de89 3704 0044 0532 0130 00", "iban"),
        ("4111-1111-1111-1111", "card"),
        ("RSSMRA85T10A562S", "national_id"),
        ("44051401359", "national_id"),
        ("192.168.17.4", "ip"),
        ("Lindenstraße 12", "address"),
        ("Wojciechowska", "other"),
    ],
)
async def test_what_has_a_form_goes_by_itself(house: House, ours: Scope, said: str, kind: str) -> None:
    output = await done(house, ours, "redact", {"text": f"They wrote to {said} again and again."})
    assert output["text"] == f"They wrote to [{kind}] again and again."
    assert output["counts"] == {kind: 1}
    assert output["reversible"] is False
    assert said not in str(output)


async def test_what_a_model_misses_goes_all_the_same(house: House, ours: Scope) -> None:
    text = "Dr. Ewa Zielińska wrote from ewa@example.org about the code name Heron; Zielinska and heron agree."
    async with model(house, ours, {"entities": []}):
        output = await done(house, ours, "redact", {"text": text, "names": ["Heron"]})
    assert output["mode"] == "generated"
    assert not any(word in output["text"].lower() for word in ("ewa", "ziel", "heron", "example"))


async def test_what_a_model_names_goes_everywhere(house: House, ours: Scope) -> None:
    text = "the witness zk said so. Later ZK left, and z\u00adk came back."
    async with model(house, ours, {"entities": [{"text": "zk", "kind": "person"}]}):
        output = await done(house, ours, "redact", {"text": text, "kinds": ["person"]})
    assert output["text"] == "the witness [person] said so. Later [person] left, and [person] came back."


async def test_what_may_stay_stays(house: House, ours: Scope) -> None:
    given: Any = {"text": "Yesterday Anna Nowak met Jan Kowalski.", "keep": ["Anna Nowak"]}
    assert (await done(house, ours, "redact", given))["text"] == "Yesterday Anna Nowak met [person]."
    given = {**given, "names": ["Anna Nowak"]}  # what must go is stronger
    assert "Anna" not in (await done(house, ours, "redact", given))["text"]


async def test_a_kind_that_only_a_model_knows_is_said_to_be_missing(house: House, ours: Scope) -> None:
    output = await done(house, ours, "redact", {"text": "She has a cold.", "kinds": ["illness"]})
    assert output["text"] == "She has a cold."
    assert "illness cannot be found without a generative model." in output["remarks"]


def test_a_whole_letter_of_each_language_keeps_no_person() -> None:
    letters = {
        "Sehr geehrte Frau Dr. Sabine Krüger, Herr Klaus Hoffmann ruft Sie an: 030 901820.": "Krüger Hoffmann 901820",
        "Chère Madame Lefèvre, M. Julien Moreau vous écrira à j.moreau@example.fr.": "Lefèvre Moreau j.moreau",
        "Geachte mevrouw De Boer, de heer Pieter Bakker woont aan de Kerkstraat 5.": "Boer Bakker Kerkstraat",
        "Estimada señora García, el señor Javier Ortega vive en la calle Mayor 3.": "García Ortega Mayor",
        "Gentile signora Rossi, il signor Marco Bianchi abita in via Roma 10.": "Rossi Bianchi",
        "Szanowna Pani Nowak, pan Piotr Kowalski mieszka przy ul. Długa 7.": "Nowak Kowalski Długa",
        "Dear Mrs Smith, Mr John Taylor lives at 12 Baker Street.": "Smith Taylor Baker",
    }
    for letter, gone in letters.items():
        values = {one.text: one.kind for one in by_form(letter, PERSONAL)}
        result, _ = taken_out(letter, values, ())
        assert not [word for word in gone.split() if word in result], result
