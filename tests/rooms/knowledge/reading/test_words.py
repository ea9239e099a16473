"""Words: stems, identifiers, sentences, languages."""

from __future__ import annotations

import pytest

from bastide.knowledge.reading import detect_language, read, sentences, terms


def test_identifiers_are_kept_whole_and_in_parts() -> None:
    assert terms("Regulation (EU) 2016/679", "en").keys() == {"regul", "eu", "2016/679", "2016", "679"}
    assert {"231-1", "231"} <= terms("l'article L. 231-1", "fr").keys()
    assert {"l231-1", "231-1", "231"} <= terms("Article L231-1", "fr").keys()
    assert {"c-131/12", "131/12"} <= terms("Case C-131/12", "en").keys()
    assert {"72", "hour"} == terms("72 hours", "en").keys()
    assert terms("GPT-4", "en").keys() == {"gpt-4", "gpt", "4"}


@pytest.mark.parametrize(
    ("language", "question", "text"),
    [
        ("en", "notified breaches", "notify the breach"),
        ("de", "Datenschutzbeauftragter benannt", "Datenschutzbeauftragte Benennung benannte"),
        ("fr", "délais du silence", "le délai de silence"),
        ("nl", "ernstige incidenten", "een ernstig incident"),
        ("es", "derechos de supresión", "el derecho de supresión"),
        ("it", "diritti", "diritto"),
        ("pt", "direitos", "direito"),
        ("sv", "rättigheter", "rättigheterna"),
        ("el", "δικαιώματα", "δικαιωμάτων"),
        ("fi", "oikeudet", "oikeuden"),
    ],
)
def test_inflections_meet(language: str, question: str, text: str) -> None:
    assert terms(question, language).keys() & terms(text, language).keys()


def test_accents_fold_where_it_is_safe() -> None:
    assert terms("délai", "fr") == terms("delai", "fr") == terms("de\u0301lai", "fr")
    assert terms("Übermittlung", "de") == terms("ubermittlung", "de")
    assert terms("får", "sv") != terms("far", "sv")


def test_common_words_are_dropped() -> None:
    assert terms("It is the one of which they were", "en").keys() <= {"one"}
    assert not terms("l' d' qu' le la les", "fr")
    assert not terms("", "en")


def test_unknown_language_is_only_folded() -> None:
    assert terms("Ġurnal Ġurnali", "mt").keys() == {"gurnal", "gurnali"}


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de", "Nach Art. 6 Abs. 1 lit. a DSGVO ist das erlaubt. Es gilt § 5 Nr. 3 BDSG.", 2),
        ("de", "Die Verordnung vom 27. April 2016 gilt. Sie ist z. B. hier anwendbar.", 2),
        ("en", "See Article 4(1) of Reg. No 45/2001, e.g. para. 2. It applies.", 2),
        ("en", "Signed by M. Schulz. He was President.", 2),
        ("fr", "L'article L. 231-1 s'applique. Le silence vaut accord.", 2),
        ("nl", "Zie art. 5, blz. 3, o.a. lid 2. Dat is alles.", 2),
        ("en", "Really? Yes! “It is so.” Then we go.", 4),
        ("el", "Τι είναι αυτό; Είναι νόμος.", 2),
        ("en", "no stop at all", 1),
        ("en", "", 0),
    ],
)
def test_sentences(language: str, text: str, expected: int) -> None:
    found = [text[a:b] for a, b in sentences(text, language)]
    assert len(found) == expected, found


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The controller shall notify the personal data breach without undue delay.", "en"),
        ("Der Verantwortliche meldet die Verletzung des Schutzes personenbezogener Daten.", "de"),
        ("Le responsable du traitement notifie la violation dans les meilleurs délais.", "fr"),
        ("De aanbieder meldt ernstige incidenten onmiddellijk bij de autoriteiten.", "nl"),
        ("El responsable del tratamiento notificará la violación sin dilación indebida.", "es"),
        ("Il titolare del trattamento notifica la violazione senza ingiustificato ritardo.", "it"),
        ("Ο υπεύθυνος επεξεργασίας γνωστοποιεί την παραβίαση χωρίς καθυστέρηση.", "el"),
        ("Administrator bez zbędnej zwłoki zgłasza naruszenie organowi nadzorczemu.", "pl"),
        ("Správce ohlásí porušení zabezpečení osobních údajů dozorovému úřadu.", "cs"),
        ("Den personuppgiftsansvarige ska anmäla incidenten utan onödigt dröjsmål.", "sv"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_a_short_text_has_the_default_language() -> None:
    assert detect_language("2016/679", "nl") == "nl"
    assert detect_language("", "fr") == "fr"
    assert detect_language("Ist es so?", "en") == "de"


def test_sections_in_another_language_are_known() -> None:
    english = "The controller shall notify the breach to the authority without undue delay and in writing. " * 6
    german = "Der Verantwortliche meldet die Verletzung unverzüglich und schriftlich an die Behörde. " * 4
    reading = read("a.md", f"# Contract\n\n## Part one\n\n{english}\n\n## Teil zwei\n\n{german}".encode())
    languages = {node.title: node.language for node in reading.nodes if node.kind == "section"}
    assert reading.language == "en"
    assert languages == {"Contract": "", "Part one": "", "Teil zwei": "de"}
