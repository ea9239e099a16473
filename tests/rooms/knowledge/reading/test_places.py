"""Known places: what a lawyer would cite is what a chunk says of itself."""

from __future__ import annotations

import pytest

from tests.rooms.knowledge.reading.made import AI_ACT, BDSG, CRPA, EGOVG, GDPR, OMNIBUS, example, holding, pieces


def test_gdpr_article_33_says_72_hours() -> None:
    (recital, article) = holding(GDPR, "72 hours")
    assert recital.section == ("Whereas", "85")
    assert article.section == (
        "CHAPTER IV Controller and processor",
        "Section 2 Security of personal data",
        "Article 33 Notification of a personal data breach to the supervisory authority",
        "1",
    )
    assert article.text.startswith("1. In the case of a personal data breach")


def test_gdpr_has_all_articles_chapters_and_recitals() -> None:
    titles = [node.title for node in example(GDPR).nodes if node.kind == "section"]
    assert [t.split()[1] for t in titles if t.startswith("Article ")] == [str(n) for n in range(1, 100)]
    chapters = [t.split()[1] for t in titles if t.startswith("CHAPTER ")]
    assert chapters == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"]
    whereas = next(node for node in example(GDPR).nodes if node.title == "Whereas")
    recitals = [node.title for node in example(GDPR).nodes if node.parent == whereas.ord]
    assert [number for number in recitals if number] == [str(n) for n in range(1, 174)]


def test_gdpr_points_stand_below_their_paragraph() -> None:
    (point,) = holding(GDPR, "describe the likely consequences of the personal data breach")
    assert point.section[-2].startswith("Article 33")
    assert point.section[-1] in {"3", "2-3", "3-4"}
    nodes = example(GDPR).nodes
    c = next(n for n in nodes if n.title == "c" and "likely consequences" in example(GDPR).text[n.start : n.end])
    assert c.kind == "list_item"
    assert nodes[c.parent or 0].title == "3"


def test_gdpr_names_nobody_as_a_heading() -> None:
    titles = {node.title for node in example(GDPR).nodes if node.kind == "section"}
    assert not titles & {"M. SCHULZ", "J.A. HENNIS-PLASSCHAERT"}


def test_ai_act_article_73_in_dutch() -> None:
    found = [p for p in pieces(AI_ACT) if any(part.startswith("Artikel 73 ") for part in p.section)]
    assert found[0].section == (
        "HOOFDSTUK IX MONITORING NA HET IN DE HANDEL BRENGEN, INFORMATIE-UITWISSELING EN MARKTTOEZICHT",
        "AFDELING 2 Delen van informatie over ernstige incidenten",
        "Artikel 73 Melding van ernstige incidenten",
        "1",
    )
    term = [p for p in found if "15 dagen" in p.text]
    assert [p.section[-1] for p in term] == ["2"]
    assert {p.language for p in found} == {"nl"}


def test_ai_act_has_all_articles_recitals_and_annexes() -> None:
    reading = example(AI_ACT)
    titles = [node.title for node in reading.nodes if node.kind == "section"]
    assert [t.split()[1] for t in titles if t.startswith("Artikel ")] == [str(n) for n in range(1, 114)]
    assert len([t for t in titles if t.startswith("BIJLAGE ")]) == 13
    assert len([t for t in titles if t.startswith("HOOFDSTUK ")]) == 13
    recitals = next(node for node in reading.nodes if node.title == "Overwegende hetgeen volgt")
    assert [n.title for n in reading.nodes if n.parent == recitals.ord and n.title] == [str(n) for n in range(1, 181)]
    assert reading.title == "VERORDENING (EU) 2024/1689 VAN HET EUROPEES PARLEMENT EN DE RAAD"


def test_ai_act_shows_no_script() -> None:
    assert "ruxitagent" not in example(AI_ACT).text
    assert "stylesheet" not in example(AI_ACT).text


def test_bdsg_sections_38_and_5() -> None:
    (private,) = holding(BDSG, "mindestens 20 Personen ständig")
    assert private.section == (
        "Teil 2 - Durchführungsbestimmungen für Verarbeitungen zu Zwecken gemäß Artikel 2 der Verordnung (EU) 2016/679",
        "Kapitel 3 - Pflichten der Verantwortlichen und Auftragsverarbeiter",
        "§ 38 Datenschutzbeauftragte nichtöffentlicher Stellen",
        "1",
    )
    public = [p for p in pieces(BDSG) if "§ 5 Benennung" in p.section]
    assert public[0].text.startswith("(1) Öffentliche Stellen benennen")
    assert public[0].section[-3:] == ("Kapitel 3 - Datenschutzbeauftragte öffentlicher Stellen", "§ 5 Benennung", "1-2")
    assert {p.language for p in public} == {"de"}


def test_egovg_is_flat() -> None:
    assert example(EGOVG).title == "Gesetz zur Förderung der elektronischen Verwaltung (EGovG)"
    assert any(p.section[:1] == ("§ 1 Geltungsbereich",) for p in pieces(EGOVG))


def test_crpa_article_l231_1() -> None:
    found = [p for p in pieces(CRPA) if any(part == "Article L231-1" for part in p.section)]
    assert len(found) == 1
    assert "silence gardé pendant deux mois" in found[0].text
    assert found[0].section[0] == "Livre II : LES ACTES UNILATÉRAUX PRIS PAR L'ADMINISTRATION"
    assert found[0].language == "fr"


def test_crpa_books_titles_chapters_sections_nest_by_law_not_by_hashes() -> None:
    # in the file "Chapitre", "Section" and "Sous-section" are all headings of level 4
    nodes = example(CRPA).nodes
    sub = next(n for n in nodes if n.title.startswith("Sous-section 1 : Certification"))
    section = nodes[sub.parent or 0]
    chapter = nodes[section.parent or 0]
    assert section.title.startswith("Section 1 :")
    assert chapter.title.startswith("Chapitre II :")


def test_omnibus_pages_and_quoted_articles() -> None:
    reading = example(OMNIBUS)
    assert reading.pages == 102
    (literacy,) = holding(OMNIBUS, "“g) maatregelen ter ondersteuning van innovatie")
    assert literacy.page == 42
    assert literacy.section[0] == "Artikel 1 Wijzigingen in Verordening (EU) 2024/1689"
    (quoted,) = holding(OMNIBUS, "1. Aanbieders en gebruiksverantwoordelijken van AI-systemen nemen maatregelen om")
    assert quoted.page == 45
    assert quoted.section[1:] == ("5", "“Artikel 4 AI-geletterdheid", "1")
    outer = [n.title for n in reading.nodes if n.kind == "section" and n.parent == 0]
    assert [t.split()[1] for t in outer if t.startswith("Artikel")] == ["1", "2", "3", "4"]


def test_omnibus_running_heads_are_marks() -> None:
    reading = example(OMNIBUS)
    assert "GIP.B NL" in reading.marks
    assert "GIP.B" not in reading.text
    assert "￾" not in reading.text
    assert "AI-systemen" in reading.text
    assert "niet-veiligheidsgerelateerde" in reading.text
    assert "Parlement en de Raad (5) heeft tot doel" in reading.text


@pytest.mark.parametrize(
    ("name", "language"),
    [(GDPR, "en"), (AI_ACT, "nl"), (BDSG, "de"), (EGOVG, "de"), (CRPA, "fr"), (OMNIBUS, "nl")],
)
def test_language_of_the_examples(name: str, language: str) -> None:
    assert example(name).language == language
    assert {p.language for p in pieces(name)} == {language}
    assert example(name).problems == ()
