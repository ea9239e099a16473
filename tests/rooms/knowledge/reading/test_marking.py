"""Classification markings in running heads: found where they mark, not where they are words of a text."""

from __future__ import annotations

import pytest

from bastide.knowledge import Knowledge
from bastide.knowledge.reading import class_of, read
from bastide.knowledge.reading.marking import marked
from bastide.store import Scope
from tests.rooms.knowledge.reading.made import Line, paragraph, pdf


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CONFIDENTIEL", "confidential"),
        ("CONFIDENTIAL - Acme GmbH", "confidential"),
        ("Confidential", "confidential"),
        ("- vertraulich -", "confidential"),
        ("VS-NUR FÜR DEN DIENSTGEBRAUCH", "restricted"),
        ("VS – NUR FÜR DEN DIENSTGEBRAUCH  Seite 3", "restricted"),
        ("RESTREINT UE/EU RESTRICTED", "restricted"),
        ("CONFIDENTIEL UE/EU CONFIDENTIAL", "secret"),
        ("Diffusion Restreinte", "restricted"),
        ("SECRET 12", "secret"),
        ("ŚCIŚLE TAJNE", "secret"),
        ("ΑΠΟΡΡΗΤΟ", "secret"),
        ("STRENG VERTRAULICH", "restricted"),
        ("TLP:AMBER", "confidential"),
        ("For internal use only", "internal"),
        ("Chapter 4: Secret sharing", ""),
        ("Trade secrets and their protection", ""),
        ("SECRETARIAT OF THE COUNCIL", ""),
        ("Annual report 2026", ""),
        ("", ""),
        ("Confidential matters are treated in the chapter on the duties of the supplier", ""),
    ],
)
def test_what_a_running_head_asks_for(text: str, found: str) -> None:
    assert marked(text) == found


def test_the_strictest_of_several_holds() -> None:
    assert class_of(["CONFIDENTIAL", "Page 2", "VS-NfD", "GEHEIM"]) == "secret"
    assert class_of(["Annual report"]) == ""
    assert class_of([]) == ""


def test_a_marking_on_a_single_page_is_a_mark_and_no_text() -> None:
    page = [Line("SECRET", 260, 815, 10), *paragraph("The plan of the new building is as follows, in short words.")]
    reading = read("plan.pdf", pdf([page]))
    assert reading.marks == ("SECRET",)
    assert "SECRET" not in reading.text


def test_the_same_word_within_the_text_is_text() -> None:
    reading = read(
        "plan.pdf", pdf([[*paragraph("CONFIDENTIAL\nis the word that begins this text."), Line("End.", y=400)]])
    )
    assert reading.marks == ()
    assert "CONFIDENTIAL" in reading.text


async def test_a_marking_tightens_the_label_and_never_loosens_it(knowledge: Knowledge, ours: Scope) -> None:
    def page(mark: str) -> bytes:
        return pdf([[Line(mark, 72, 815, 9), *paragraph(f"Words that are marked with {mark} in their head.")]])

    for mark, given, becomes in (
        ("CONFIDENTIEL", "internal", "confidential"),
        ("VS-NUR F\u00dcR DEN DIENSTGEBRAUCH", "public", "restricted"),
        ("CONFIDENTIAL", "secret", "secret"),
        ("Annual report", "internal", "internal"),
    ):
        taken = await knowledge.ingest(ours, f"{mark}.pdf", page(mark), label={"class": given}, vectors=False)
        document = await knowledge.document(ours, taken.documents[0].id or "")
        assert document.label.cls == becomes, mark
