"""Formats: what each reader makes of headings, lists, tables, notes, marks, and of what must stay unseen."""

from __future__ import annotations

import io

import docx
import pytest
from docx.enum.text import WD_BREAK
from docx.oxml import OxmlElement

from bastide.knowledge.reading import Node, Reading, cut, read
from tests.rooms.knowledge.reading.made import Line, bare_docx, paragraph, pdf


def outline(reading: Reading) -> list[str]:
    """The titles of all sections, set in by their depth."""
    depth = {0: 0}
    shown = []
    for node in reading.nodes[1:]:
        depth[node.ord] = depth[node.parent or 0] + (node.kind == "section")
        if node.kind == "section":
            shown.append("  " * (depth[node.ord] - 1) + node.title)
    return shown


def kinds(reading: Reading, *wanted: str) -> list[tuple[str, str]]:
    """(kind, own text) of all nodes but sections, document and tables."""
    return [
        (node.kind, own(reading, node))
        for node in reading.nodes
        if node.kind not in {"section", "document", "table"} and (not wanted or node.kind in wanted)
    ]


def own(reading: Reading, node: Node) -> str:
    """A node's words before its first child."""
    last = node.ord + 1 == len(reading.nodes)
    end = node.end if last else min(node.end, reading.nodes[node.ord + 1].start)
    return reading.text[node.start : end].strip()


PAGE = """<!doctype html><html lang=en><head><title>Lease &amp; terms</title><style>p{color:red}</style></head><body>
<h1>Lease</h1><p>First <b>bold</b> and<br>second line.</p><script>alert('x')</script>
<h2>Rent</h2><ul><li>Monthly<ul><li>in advance</li></ul></li>
<li>By <a href=x>transfer</a><p>to our account</p></li></ul>
<ol start=3><li>three</li><li>four</li></ol>
<table><caption>Prices</caption><tr><th>Room</th><th>Euro</th></tr>
<tr><td>Attic<td>300</tr><tr><td>Cellar</td><td>150</td></tr></table>
<h2>Other</h2><blockquote>Quoted words.</blockquote><pre>a  = 1
  b</pre><p hidden>secret one</p><p style="display: none">secret two</p><div style="font-size:0">secret three</div>
<p>un&shy;broken<!-- secret four --> text</p><noscript>secret five</noscript><textarea>typed</textarea></body></html>"""


def test_html() -> None:
    reading = read("lease.html", PAGE.encode())
    assert reading.title == "Lease"
    assert outline(reading) == ["Lease", "  Rent", "  Other"]
    assert kinds(reading) == [
        ("paragraph", "First bold and\nsecond line."),
        ("list_item", "Monthly"),
        ("list_item", "in advance"),
        ("list_item", "By transfer"),
        ("paragraph", "to our account"),
        ("list_item", "3. three"),
        ("list_item", "4. four"),
        ("paragraph", "Prices"),
        ("table_row", "Room | Euro"),
        ("table_row", "Attic | 300"),
        ("table_row", "Cellar | 150"),
        ("quote", "Quoted words."),
        ("code", "a  = 1\n  b"),
        ("paragraph", "unbroken text"),
        ("paragraph", "typed"),
    ]
    assert "secret" not in reading.text
    levels = [node.level for node in reading.nodes if node.kind == "list_item"]
    assert levels == [1, 2, 1, 1, 1]


def test_html_tables_that_only_place_points_are_lists() -> None:
    page = (
        "<html><body><p>1. The following:</p><table><tr><td>(a)</td><td><p>first</p>"
        "<table><tr><td>(i)</td><td>deeper</td></tr></table></td></tr></table>"
        "<table><tr><td>(b)</td><td>second</td></tr></table>"
    )
    reading = read("a.html", page.encode())
    assert [node.title for node in reading.nodes if node.title][1:] == ["1", "a", "i", "b"]
    assert [own(reading, node) for node in reading.nodes[1:]] == [
        "1. The following:",
        "(a) first",
        "(i) deeper",
        "(b) second",
    ]


MARKDOWN = """---
title: "Handbook of *things*"
---
# Handbook

Intro with **bold**, `code`, [a link](http://x.example), an ![image](y.png) and a 27\\. date<br>next
line.

## Lists

1. one
2. two
   - deeper

   goes on
3. three

> A quotation.

| Name | Sum |
|------|-----|
| Anna | 3   |

```python
# not a heading
```

<script>alert(1)</script>

<div>html <em>text</em></div>
"""


def test_markdown() -> None:
    reading = read("a.md", MARKDOWN.encode())
    assert reading.title == "Handbook"
    assert outline(reading) == ["Handbook", "  Lists"]
    assert kinds(reading) == [
        ("code", 'title: "Handbook of *things*"'),
        ("paragraph", "Intro with bold, code, a link, an image and a 27. date\nnext\nline."),
        ("list_item", "1. one"),
        ("list_item", "2. two"),
        ("list_item", "deeper"),
        ("paragraph", "goes on"),
        ("list_item", "3. three"),
        ("quote", "A quotation."),
        ("table_row", "Name | Sum"),
        ("table_row", "Anna | 3"),
        ("code", "# not a heading"),
        ("paragraph", "html text"),
    ]
    goes_on = next(node for node in reading.nodes if own(reading, node) == "goes on")
    assert own(reading, reading.nodes[goes_on.parent or 0]) == "2. two"


@pytest.mark.parametrize(
    "hard", ["[" * 20_000, "*a " * 20_000, ">" * 5_000 + " x", "- " * 3_000 + "x", "`" * 30_001, "|" * 20_000]
)
def test_markdown_made_to_be_slow(hard: str) -> None:
    assert read("a.md", f"# T\n\n{hard}\n\nend of text".encode()).text.endswith("end of text")


def test_plain_text_headings_and_wrapped_lines() -> None:
    text = (
        "A short guide\n\nIntroduction\n============\n\nLines that are wrapped\nbelong together.\n\n"
        "1. First point\n2. Second point\n\n2.1 Scope of the work\n\nWords about scope.\n\n"
        "GENERAL TERMS\n\nSome terms.\nArticle 5\nPayment\nPay in time.\n"
    )
    reading = read("a.txt", text.encode())
    assert reading.title == "A short guide"
    assert [o.strip() for o in outline(reading)] == [
        "Introduction",
        "2.1 Scope of the work",
        "GENERAL TERMS",
        "Article 5",
    ]
    assert ("paragraph", "Lines that are wrapped\nbelong together.") in kinds(reading)
    assert ("paragraph", "2. Second point") in kinds(reading)


def test_references_are_not_headings() -> None:
    text = (
        "Article 33(1) applies here.\n\nArticle 5, paragraph 2\n\n§ 6 Absatz 4 gilt.\n\n"
        "Chapter V on transfers is long.\n\nArticle 7 ........ 12\n\nSection 2 applies.\n\narticle 9\n"
    )
    assert outline(read("a.txt", text.encode())) == []


@pytest.mark.parametrize(
    ("line", "rank"),
    [
        ("ARTICLE 5", "article"), ("Artikel 5a", "article"), ("§ 38", "article"), ("Article premier", "article"),
        ("Art. 12 Zakres", "article"), ("Άρθρο 4", "article"), ("4 artikla", "article"), ("4. cikk", "article"),
        ("Artículo 4. Ámbito", "article"), ("Article L. 231-1", "article"), ("CAPO II", ""), ("TITOLO III", "title"),
        ("HOOFDSTUK IV", "chapter"), ("II FEJEZET", "chapter"), ("Kapitel 2 - Rechte", "chapter"), ("ANNEX", "annex"),
        ("BIJLAGE III", "annex"), ("Sous-section 2 : Délais", "subsection"), ("Sectie", ""), ("DZIAŁ I", ""),
    ],
)  # fmt: skip
def test_headings_of_laws_in_many_languages(line: str, rank: str) -> None:
    reading = read(
        "a.txt", f"Some words to begin with.\n\n{line}\n\nThe body of this place ends with a stop.\n".encode()
    )
    assert bool([n for n in reading.nodes if n.kind == "section" and n.title == line and rank != ""]) == bool(rank)


def test_docx() -> None:
    document = docx.Document()
    document.core_properties.title = "Properties title"
    document.add_heading("Huurovereenkomst", 0)
    document.add_heading("Partijen", 1)
    run = document.add_paragraph("Zichtbaar ").add_run("GEHEIM")
    run.font.hidden = True
    document.paragraphs[-1].add_run("en dan").add_break(WD_BREAK.LINE)
    document.paragraphs[-1].add_run("verder.")
    document.add_heading("Lijsten", 2)
    for text in ("een", "twee"):
        document.add_paragraph(text, style="List Number")
    document.add_paragraph("bol", style="List Bullet")
    document.add_paragraph("Citaat.", style="Quote")
    table = document.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, (("Naam", "Som"), ("Anna", "3")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    deleted = OxmlElement("w:del")
    gone = OxmlElement("w:r")
    deleted.append(gone)
    document.add_paragraph("Na ")._p.append(deleted)
    document.sections[0].header.paragraphs[0].text = "VERTROUWELIJK"
    document.sections[0].footer.paragraphs[0].text = "Concept 3"
    out = io.BytesIO()
    document.save(out)
    reading = read("huur.docx", out.getvalue())
    assert reading.title == "Huurovereenkomst"
    assert outline(reading) == ["Huurovereenkomst", "  Partijen", "    Lijsten"]
    assert kinds(reading) == [
        ("paragraph", "Zichtbaar en dan\nverder."),
        ("list_item", "1. een"),
        ("list_item", "2. twee"),
        ("list_item", "bol"),
        ("quote", "Citaat."),
        ("table_row", "Naam | Som"),
        ("table_row", "Anna | 3"),
        ("paragraph", "Na"),
    ]
    assert reading.marks == ("VERTROUWELIJK", "Concept 3")
    assert reading.language == "nl"
    assert cut(reading)[0].section == ("Partijen",)


def test_docx_tracked_changes_boxes_and_wrappers() -> None:
    body = (
        "<w:p><w:ins><w:r><w:t>kept</w:t></w:r></w:ins><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>"
        "<w:hyperlink><w:r><w:t xml:space='preserve'> link</w:t></w:r>"
        "</w:hyperlink><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:r><w:t>before the box</w:t><w:pict><w:txbxContent><w:p><w:r><w:t>in the box</w:t></w:r></w:p>"
        "</w:txbxContent></w:pict></w:r></w:p>"
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a frame</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    )
    reading = read("a.docx", bare_docx(body))
    assert [text for _, text in kinds(reading)] == [
        "kept link",
        "in a control",
        "before the box",
        "in the box",
        "a frame",
    ]


def test_docx_of_a_law_nests_by_its_words() -> None:
    lines = [
        "CHAPTER I",
        "General provisions",
        "Article 1",
        "Scope",
        "1. This applies.",
        "2. Not to:",
        "(a) cats;",
        "(b) dogs.",
        "Article 2",
        "Terms",
        "For this act:",
    ]
    body = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in lines)
    reading = read("a.docx", bare_docx(body))
    assert outline(reading) == ["CHAPTER I General provisions", "  Article 1 Scope", "  Article 2 Terms"]
    dogs = next(node for node in reading.nodes if own(reading, node) == "(b) dogs.")
    assert (dogs.kind, dogs.title, reading.nodes[dogs.parent or 0].title) == ("list_item", "b", "2")


BODY = (
    "This is the first paragraph of a page that has some\nlength and is wrapped over several lines so that the\n"
    "reader can see how it is joined, with hyphen-\nated words at line ends. It ends here.\n"
    "Second paragraph starts after a short line and goes on\nto fill the column as well, as paragraphs should do in\n"
    "any document."
)


def handbook(pages: int = 5) -> list[list[Line]]:
    """Pages with a running head, a page number, two headings and two paragraphs each."""
    return [
        [
            Line("CONFIDENTIAL - Acme GmbH", 72, 810, 9),
            Line(f"Page {k} of {pages}", 260, 30, 9),
            Line(f"{k} Chapter number {k}", 72, 760, 18, bold=True),
            Line(f"{k}.1 Details", 72, 730, 14, bold=True),
            *paragraph(BODY, y=700),
        ]
        for k in range(1, pages + 1)
    ]


def test_pdf_headings_by_type_marks_and_joined_lines() -> None:
    reading = read("h.pdf", pdf(handbook(), title="Handbook of things"))
    assert reading.title == "Handbook of things"
    assert reading.marks == ("CONFIDENTIAL - Acme GmbH",)
    assert "CONFIDENTIAL" not in reading.text
    assert "Page 2" not in reading.text
    assert outline(reading)[:4] == ["1 Chapter number 1", "  1.1 Details", "2 Chapter number 2", "  2.1 Details"]
    assert kinds(reading)[0][1].endswith("how it is joined, with hyphenated words at line ends. It ends here.")
    assert kinds(reading)[1][1].startswith("Second paragraph")
    assert [piece.page for piece in cut(reading)] == [1, 2, 3, 4, 5]


def test_pdf_outline_is_believed_before_type() -> None:
    pages = [
        [Line("Intro", y=700), *paragraph("some text\nand more.", y=680)],
        [Line("Method", y=700), *paragraph("and text.", y=680)],
    ]
    reading = read("h.pdf", pdf(pages, outline=[("Intro", 0), ("Method", 1)]))
    assert outline(reading) == ["Intro", "Method"]


def test_pdf_columns_out_of_order() -> None:
    left = paragraph("Left one is here and\nleft two is here and\nleft three is here\nand ends there.", x=72, y=740)
    right = paragraph("Right one is here\nright two is here\nright three is here\nand the last one.", x=320, y=740)
    title = Line("A title across the whole page of this paper", 72, 780, 16, bold=True)
    for lines in ([title, *left, *right], [*reversed([title, *left, *right])]):
        text = read("h.pdf", pdf([lines])).text
        assert text.index("A title") < text.index("Left one") < text.index("and ends there") < text.index("Right one")


def test_pdf_paragraphs_and_pages() -> None:
    pages = [
        paragraph("A sentence that begins on the first page\nand that goes on behind its end with", y=120),
        paragraph("the words of the second page, where it\nends.", y=780),
    ]
    reading = read("h.pdf", pdf(pages))
    assert [text for _, text in kinds(reading)] == [
        "A sentence that begins on the first page and that goes on behind its end with the words of the second page, "
        "where it ends."
    ]
    assert reading.page_starts == ((0, 1), (reading.text.index("the words"), 2))
    assert [piece.page for piece in cut(reading, max_words=10, min_words=2)] == [1, 1, 2]


def test_pdf_raised_numbers_are_notes() -> None:
    page = [
        Line("As the Court has held", 72, 700), Line("3", 176.5, 704, 6), Line("it applies. And more", 186, 700),
        Line("words follow on the next line.", 72, 686), Line("3", 72, 100, 6),
        Line("Case C-131/12, of 13 May 2014.", 80, 96),
    ]  # fmt: skip
    reading = read("h.pdf", pdf([page]))
    assert reading.text.startswith("As the Court has held (3) it applies. And more words follow")
    assert reading.text.endswith("\n\n3 Case C-131/12, of 13 May 2014.")


def test_pdf_with_some_silent_pages_says_so() -> None:
    reading = read("h.pdf", pdf([[Line("words on a page")], [], [], [Line("more words")], []]))
    assert reading.pages == 5
    assert reading.problems == ("pages without text (blank or pictures): 2-3, 5",)
