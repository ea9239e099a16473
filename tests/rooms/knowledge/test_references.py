"""References: which place a heading names, and which one a question."""

from __future__ import annotations

import pytest

from bastide.knowledge import Knowledge
from bastide.knowledge.references import named_by, named_in
from bastide.store import Scope


@pytest.mark.parametrize(
    ("heading", "places"),
    [
        ("Article 17 Right to erasure", {"article 17"}),
        ("Artikel 73", {"article 73"}),
        ("§ 38 Datenschutzbeauftragte nichtöffentlicher Stellen", {"article 38"}),
        ("§ 3a", {"article 3a"}),
        ("Article L231-1", {"article l231-1"}),
        ("Article R*343-4", {"article r343-4"}),
        ("Art. 5 GG", {"article 5"}),
        ("Section 2 Security of personal data", {"section 2"}),
        ("CHAPTER IV", set()),
        ("Rights under Article 17", set()),
        ("2", set()),
        ("Article 2016/679", set()),
    ],
)
def test_a_heading_names_a_place_where_it_begins_with_it(heading: str, places: set[str]) -> None:
    assert named_by(["Part One", heading]) == places


@pytest.mark.parametrize(
    ("question", "places"),
    [
        ("What does Article 17 say?", {"article 17"}),
        ("Compare articles 5 and art. 6(1)", {"article 5", "article 6"}),
        ("Was regelt § 3a des Gesetzes?", {"article 3a"}),
        ("Que dit l'article L. 231-1 ?", {"article l231-1"}),
        ("Wat staat er in artikel 73, lid 2?", {"article 73"}),
        ("How many articles are there?", set()),
        ("Version 17 of the text", set()),
    ],
)
def test_a_question_names_places(question: str, places: set[str]) -> None:
    assert named_in(question) == places


async def test_a_named_place_comes_before_those_that_mention_it(knowledge: Knowledge, ours: Scope) -> None:
    law = "\n\n".join(
        f"# Article {n} {head}\n\n{text}"
        for n, (head, text) in enumerate(
            [
                ("Scope", "This law applies to bakeries. Article 3 and Article 4 set the exceptions of article 3."),
                ("Terms", "In this law, bread means a loaf; see Article 3, paragraph 1, and Article 3, paragraph 2."),
                ("Hours", "A bakery is closed at night."),
                ("Fees", "The fee under Article 3 is 10 euros."),
            ],
            start=1,
        )
    )
    await knowledge.ingest(ours, "law.md", law.encode())
    for mode in ("text", "hybrid"):
        found = await knowledge.search(ours, "What does Article 3 say?", mode=mode)
        assert found.passages[0].text.endswith("A bakery is closed at night.")
    answer = await knowledge.answer(ours, "What does Article 3 say?")
    assert answer.found
    assert "A bakery is closed at night [1]." in answer.answer
