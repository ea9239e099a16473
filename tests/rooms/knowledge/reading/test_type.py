"""Headings of a PDF without an outline: type makes them, and much that is set in such type is none."""

from __future__ import annotations

from bastide.knowledge.reading import Node, Reading, read
from tests.rooms.knowledge.reading.printing import BOLD, SCRIPT, TYPED, Drawn, lines, printed, text

PROSE = "\n".join(
    f"{number} of the lines that the author of this long report has written down here"
    for number in ("The first", "the second", "the third", "the fourth and for now last.")
)


def sections(reading: Reading) -> list[str]:
    return [node.title for node in reading.nodes if node.kind == "section"]


def nodes(reading: Reading, kind: str) -> list[Node]:
    return [node for node in reading.nodes if node.kind == kind]


def book(pages: list[list[str]]) -> Reading:
    return read("book.pdf", printed([Drawn("\n".join(parts)) for parts in pages]))


def body(y: float = 600) -> str:
    return lines(PROSE, y=y)


def test_a_style_most_of_whose_words_come_back_is_one_of_labels() -> None:
    """ "Note" above a box is no section, however bold it is; "Summary", of another style, is one each time."""
    reading = book(
        [
            [
                text(f"{at} On trees", 72, 740, size=18, font=BOLD),
                text("Note", 72, 700, size=13, font=BOLD),
                body(680),
                text("Summary", 72, 560, size=18, font=BOLD),
                body(530),
            ]
            for at in range(1, 5)
        ]
    )
    assert sections(reading) == [title for at in range(1, 5) for title in (f"{at} On trees", "Summary")]
    assert reading.text.count("Note") == 4


def test_a_chapter_and_its_title_are_one_heading_wherever_they_are_parted() -> None:
    long = ("Chapter 3. Of the long", "and winding road")
    named = [text("CHAPTER", 72, 760, size=13, font=BOLD), text("ONE", 72, 735, size=16, font=BOLD)]
    reading = book(
        [
            [*named, text("OF TREES", 72, 700, size=20, font=BOLD), body()],
            [text("Chapter 2", 72, 760, size=20, font=BOLD), text("Of stones", 72, 720, size=24, font=BOLD), body()],
            [*(text(line, 72, 760 - 28 * at, size=24, font=BOLD) for at, line in enumerate(long)), body()],
        ]
    )
    assert sections(reading) == [
        "CHAPTER ONE OF TREES",
        "Chapter 2 Of stones",
        "Chapter 3. Of the long and winding road",
    ]
    assert "CHAPTER\nONE\nOF TREES" in reading.text


def test_terms_of_a_list_are_no_headings() -> None:
    """A term is bold, and what explains it is set in below it."""
    terms = [
        part
        for at, term in enumerate(("copy", "move", "erase"))
        for part in (text(term, 72, 560 - 60 * at, font=BOLD), text(f"How to {term} a file.", 100, 545 - 60 * at))
    ]
    reading = book([[text("Commands", 72, 740, size=18, font=BOLD), body(), *terms, body(300)] for _ in range(2)])
    assert sections(reading) == ["Commands", "Commands"]
    assert "erase" in reading.text


def test_names_of_chapters_at_the_top_of_pages_are_marks() -> None:
    """They differ from page to page, and no number gives them away; what they share with the next page does."""
    heads = [f"OF {'TREES' if at < 5 else 'STONES'} AND OTHERS   PART {'ABCDE'[at // 2]}" for at in range(10)]
    reading = book([[text(head, 72, 800), body(700), body(600)] for head in heads])
    assert "TREES" not in reading.text
    assert any("OF TREES AND OTHERS" in mark for mark in reading.marks)
    assert reading.text.count("The first of the lines") == 20


def test_the_title_page_names_the_document_and_a_reference_is_no_chapter() -> None:
    title = [text("The Manual", 72, 600, size=30, font=BOLD), text("A. Writer", 72, 540, size=20, font=BOLD)]
    prose = f"{PROSE}\nand the more of this is told in\nChapter 3. If you want to read on then"
    rest = [[text(f"{at} On trees", 72, 740, size=18, font=BOLD), lines(prose, y=700)] for at in range(1, 9)]
    reading = book([title, *rest])
    assert sections(reading) == [f"{at} On trees" for at in range(1, 9)]
    assert reading.text.startswith("The Manual")


def test_deep_styles_are_headings_too_and_no_deeper_than_six() -> None:
    sizes = (40, 34, 30, 26, 22, 18, 15, 13)
    parts = [text(f"Level {'abcdefgh'[at]}", 72, 780 - 85 * at, size=size, font=BOLD) for at, size in enumerate(sizes)]
    reading = book([[part for at, head in enumerate(parts) for part in (head, body(765 - 85 * at))]])
    assert [node.level for node in nodes(reading, "section")] == [1, 2, 3, 4, 5, 6, 6, 6]


def test_a_heading_of_two_lines_is_one_though_its_first_holds_a_name_in_typewriter_type() -> None:
    first = [text("A.4 The", 72, 740, size=14, font=BOLD), text("stack", 128, 740, size=14, font=TYPED)]
    last = [text("and its functions, holes in", 174, 740, size=14, font=BOLD)]
    reading = book([[*first, *last, text("surfaces", 100, 724, size=14, font=BOLD), body(690)]])
    assert sections(reading) == ["A.4 The stack and its functions, holes in surfaces"]


def test_words_in_bold_that_run_on_over_a_line_are_no_heading() -> None:
    """The line that they fill from end to end stands in the middle of a sentence."""
    begun = [
        text("You may skip this. We strongly", 72, 680),
        text("urge everybody who is new here", 232, 680, font=BOLD),
    ]
    loud = text("to read what follows, and to read it with care!", 72, 666, font=BOLD)
    reading = book([[text("On stones", 72, 740, size=18, font=BOLD), body(722), *begun, loud, body()]])
    assert sections(reading) == ["On stones"]


def test_points_that_are_set_in_below_a_heading_do_not_explain_it() -> None:
    points = lines("1. The first thing to do.\n2. The second thing to do.", 100, 640)
    pages = [[text("On stones", 72, 740, size=18, font=BOLD), body(722), text("To do", 72, 660, font=BOLD), points]]
    assert sections(book([[*parts, body()] for parts in pages])) == ["On stones", "To do"]


def test_prose_says_what_the_text_is_set_in_however_much_code_there_is() -> None:
    """Listings in small type are more than half of this manual; its text is no larger than text is for that."""
    listing = "\n".join(f"call number {at} of the function with all that it takes and gives" for at in range(24))
    kinds = ("flint", "slate", "chalk")
    prose = [body(720 - 100 * at) for at in range(3)]
    prose += [text(f"So much for the {kind}", 72, 650 - 100 * at) for at, kind in enumerate(kinds)]
    parts = [text("On stones", 72, 740, size=18, font=BOLD), *prose, lines(listing, 72, 400, font=TYPED, size=8)]
    reading = book([parts] * 2)
    assert sections(reading) == ["On stones", "On stones"]
    assert len(nodes(reading, "code")) == 2


def test_what_names_a_table_of_contents_heads_nothing_and_each_entry_is_a_paragraph() -> None:
    entries = [f"{at} Of stones {at} {'. ' * 40}{at + 2}" for at in range(1, 8)]
    contents = [text("What stands where", 72, 760, size=18, font=BOLD), lines("\n".join(entries), 72, 720)]
    rest = [[text(f"{at} Of stones {at}", 72, 740, size=18, font=BOLD), body()] for at in range(1, 8)]
    reading = book([[body(700)], contents, *rest])
    assert sections(reading) == [f"{at} Of stones {at}" for at in range(1, 8)]
    told = [reading.text[node.start : node.end] for node in nodes(reading, "paragraph") if node.page == 2]
    assert told == ["What stands where", *(entry.strip() for entry in entries)]


def test_the_word_chapter_is_no_label_however_often_it_comes_back() -> None:
    counted = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN")
    reading = book(
        [
            [
                text("CHAPTER", 480, 735, font=BOLD),
                text(number, 490, 715, size=14, font=BOLD),
                text(f"OF STONES {number}", 400, 690, size=14, font=BOLD),
                body(),
            ]
            for number in counted
        ]
    )
    assert sections(reading) == [f"CHAPTER {number} OF STONES {number}" for number in counted]


def test_an_accent_that_is_drawn_over_a_letter_is_one_letter_with_it() -> None:
    """Old fonts have no such letters. An accent that has a place of its own stays what it is."""

    def over(before: str, accent: str, after: str) -> str:
        first, last = (part.encode("utf-16-be").hex() for part in (before + accent, after))
        return f"BT /F{SCRIPT} 11 Tf 72 740 Td [<{first}> 500 <{last}>] TJ ET"  # its letters are half an em wide

    reading = book([[over("Le g", "´", "enie du lieu"), text("type `ls", 72, 700, font=SCRIPT), body()]])
    assert reading.text.startswith("Le génie du lieu\n")
    capital = text("L'Ecole du lieu", 72, 740, font=SCRIPT) + text("´", 83, 742, font=SCRIPT)
    assert book([[capital, body()]]).text.startswith("L'École du lieu\n")
    assert "type `ls" in reading.text


def test_headings_one_below_another_with_their_numbers_set_apart_are_no_table() -> None:
    """Two columns they seem, and the head of the page a third row of them; but each is set in a size of its own."""
    pages = []
    for at in range(1, 5):
        head = [text(str(at + 10), 72, 790), text("CHAPTER 2.", 112, 790), text("OF STONES", 420, 790)]
        numbered = ((f"2.{at}", "Stones of a kind", 14.5, 764), (f"2.{at}.1", "What they are for", 12.5, 742))
        named = [
            text(words, x, y, size=size, font=BOLD)
            for one, title, size, y in numbered
            for words, x in ((one, 72), (title, 112))
        ]
        pages.append([*head, *named, body(720)])
    reading = book(pages)
    assert nodes(reading, "table") == []
    titles = [f"2.{at}{title}" for at in range(1, 5) for title in (" Stones of a kind", ".1 What they are for")]
    assert sections(reading) == titles


def test_a_caption_names_a_table_and_no_section() -> None:
    captions = ("Table 1. Of stones", "Tabelle 2: Steine", "Tableau 3 Les pierres")
    pages = []
    for at, caption in enumerate(captions, 1):
        named = text(caption, 72, 500, size=13, font=BOLD)
        pages.append([text(f"{at} Of stones", 72, 740, size=18, font=BOLD), body(), named, body(480)])
    assert sections(book(pages)) == ["1 Of stones", "2 Of stones", "3 Of stones"]
