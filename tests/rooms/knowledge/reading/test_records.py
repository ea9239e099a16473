"""CSV, TSV, JSON, lines of JSON, and XML: cells, keys and structure kept, whatever the dialect or the damage."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide import errors
from bastide.knowledge.reading import Limits, read
from tests.rooms.knowledge.reading.test_formats import kinds, outline
from tests.rooms.knowledge.reading.test_laws import well_built
from tests.rooms.knowledge.reading.test_sheets import words

TABLE = [["Name", "Sum", "Note"], ["Müller, Anna", "1.200,50", 'said "no"'], ["Δημήτρης", "3", "two\nlines"]]
SHOWN = [["Name", "Sum", "Note"], ["Müller, Anna", "1.200,50", 'said "no"'], ["Δημήτρης", "3", "two lines"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_every_dialect_and_encoding_gives_the_same_cells(delimiter: str, encoding: str) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(TABLE)
    reading = read("a.csv", out.getvalue().encode(encoding))
    assert words(reading) == SHOWN
    assert [cell.header for node in reading.nodes for cell in node.cells] == [True] * 3 + [False] * 6


_WORD = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")), max_size=12
)


@given(st.lists(st.lists(_WORD, min_size=2, max_size=4), min_size=1, max_size=6))
def test_what_is_written_as_csv_is_read_again(rows: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter="\t").writerows(rows)
    if not any(cell.strip(" |") for cells in rows for cell in cells):
        return
    reading = read("a.tsv", b"\xef\xbb\xbf" + out.getvalue().encode())
    well_built(reading)
    for node in reading.nodes:
        ends = [0]
        for cell in node.cells:
            assert ends[-1] <= cell.start <= cell.end <= node.end - node.start
            ends.append(cell.end)


def test_no_head_where_there_is_none() -> None:
    reading = read("a.csv", b"1,2\n3,4\n")
    assert words(reading) == [["1", "2"], ["3", "4"]]
    assert not any(cell.header for node in reading.nodes for cell in node.cells)


def test_tables_that_break_their_own_form() -> None:
    reading = read("a.csv", b"a;b;c\n1;2\n3;4;5;6\n")
    assert words(reading) == [["a", "b", "c"], ["1", "2"], ["3", "4", "5", "6"]]
    assert reading.problems == ("the rows have 2 to 4 cells",)
    assert words(read("a.csv", b"sep=;\na;b\n1;2\n")) == [["a", "b"], ["1", "2"]]
    torn = read("a.csv", b'a,b\n1,"never closed\n2,3\n')
    assert "never closed" in torn.text
    assert any("read as plain text" in problem for problem in torn.problems)
    latin = read("a.csv", "Straße;Größe\nAllee;3\n".encode("cp1252"))
    assert words(latin)[0] == ["Straße", "Größe"]
    assert "windows-1252" in latin.problems[0]


def test_large_tables_and_lies() -> None:
    many = b"n,square\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(3_000))
    assert words(read("a.csv", many))[3_000] == ["2999", "8994001"]
    with pytest.raises(errors.FileTooLarge, match="1,000 rows"):
        read("a.csv", many, Limits(nodes_max=1_000))
    with pytest.raises(errors.FileTooLarge, match="cells"):
        read("a.csv", b"," * 50_000 + b"x\n")
    with pytest.raises(errors.UnsupportedType):
        read("a.csv", bytes(range(1, 9)) * 200)
    assert read("a.csv", b"<!doctype html><p>I am a page.</p>").media_type == "text/html"
    with pytest.raises(errors.EmptyFile):
        read("a.csv", b"\n\n ,, \n")


def test_json_keeps_keys_numbers_and_records() -> None:
    value = {
        "title": "Register",
        "total": 3.10,
        "ok": True,
        "none": None,
        "owner": {"name": "Anna", "city": "Graz"},
        "rooms": [{"room": "Attic", "rent": 300}, {"room": "Cellar", "rent": 150}],
        "tags": ["old", "dry"],
    }
    data = json.dumps(value).replace("3.1", "3.10")
    reading = read("a.json", data.encode())
    assert outline(reading) == ["owner", "rooms", "tags"]
    assert kinds(reading) == [
        ("paragraph", "title: Register"), ("paragraph", "total: 3.10"), ("paragraph", "ok: true"),
        ("paragraph", "none: null"), ("paragraph", "name: Anna"), ("paragraph", "city: Graz"),
        ("table_row", "room | rent"), ("table_row", "Attic | 300"), ("table_row", "Cellar | 150"),
        ("list_item", "old"), ("list_item", "dry"),
    ]  # fmt: skip


def test_records_that_differ_are_told_one_by_one_by_their_names() -> None:
    value = [{"name": "A", "parts": [1, 2]}, {"id": 7, "text": "x" * 400}]
    reading = read("a.json", json.dumps(value).encode())
    assert outline(reading) == ["A", "  parts", "7"]


def test_lines_of_json_and_json_that_is_none() -> None:
    lines = b'{"day": "Monday", "sum": 1}\n{"day": "Tuesday", "sum": 2}\n'
    for name in ("a.jsonl", "a.json", "a.txt"):
        assert words(read(name, lines)) == [["day", "sum"], ["Monday", "1"], ["Tuesday", "2"]]
    torn = read("a.json", b'{"day": "Monday", "sum": ')
    assert torn.problems == ("this is not valid JSON; read as plain text",)
    assert "Monday" in torn.text
    assert read("a.json", b"Just words.").text == "Just words."


def test_json_made_to_hurt() -> None:
    with pytest.raises(errors.FileTooLarge, match="nested"):
        read("a.json", b"[" * 100_000 + b"]" * 100_000)
    assert read("a.json", b'{"a": ' + b"9" * 6_000 + b"}").text == "a: " + "9" * 6_000
    assert read("a.json", b'{"a": 1, "a": 2, "b": NaN}').text == "a: 1\n\na: 2\n\nb: NaN"
    deep = b'{"k":' * 12 + b'"bottom"' + b"}" * 12
    assert read("a.json", deep).text.endswith(f"{'.'.join(['k'] * 6)}: bottom")
    with pytest.raises(errors.FileTooLarge):
        read("a.json", json.dumps([{"a": n, "b": [n]} for n in range(500)]).encode(), Limits(nodes_max=400))
    with pytest.raises(errors.EmptyFile):
        read("a.json", b"{}")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(_VALUES)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        reading = read("a.json", json.dumps(value).encode())
    except errors.Refusal as refused:
        assert refused.code.startswith("knowledge.")
    else:
        well_built(reading)


FEED = """<?xml version="1.0" encoding="iso-8859-1"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Journal</title>
<entry id="e1"><title>Première</title><content>Words of <b>the first</b> entry.</content></entry>
<entry id="e2"><title>Second</title><summary kind="short">Brief.</summary></entry>
<prices><price><item>Roof</item><sum>300</sum></price><price><item>Door</item><sum>20</sum></price></prices></feed>"""


def test_xml_sections_leaves_mixed_words_and_records() -> None:
    reading = read("a.xml", FEED.encode("iso-8859-1"))
    assert reading.media_type == "application/xml"
    assert outline(reading) == ["Première", "Second", "prices"]
    assert kinds(reading) == [
        ("paragraph", "Journal"), ("paragraph", "id: e1"), ("paragraph", "Words of the first entry."),
        ("paragraph", "id: e2"), ("paragraph", "summary: Brief."), ("paragraph", "summary — kind: short"),
        ("table_row", "item | sum"), ("table_row", "Roof | 300"), ("table_row", "Door | 20"),
    ]  # fmt: skip
    assert [cell.header for cell in reading.nodes[-3].cells] == [True, True]


def test_xml_made_to_hurt() -> None:
    with pytest.raises(errors.UnreadableFile, match="entities"):
        read("a.xml", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>')
    with pytest.raises(errors.UnreadableFile, match="well-formed"):
        read("a.xml", FEED[:300].encode("iso-8859-1"))
    with pytest.raises(errors.Refusal):
        read("a.xml", b'<?xml version="1.0"?>' + b"<a>" * 5_000 + b"x" + b"</a>" * 5_000)
    with pytest.raises(errors.FileTooLarge):
        read("a.xml", b"<?xml version='1.0'?><a>" + b"<b>x<c/></b>" * 500 + b"</a>", Limits(nodes_max=300))
    with pytest.raises(errors.Refusal):
        read("a.xml", b'<?xml version="1.0"?><a><b/></a>')
    assert read("a.html", b"<?xml version='1.0'?><note><to>Anna</to></note>").media_type == "application/xml"
    assert read("a.xml", '<?xml version="1.0" encoding="utf-16"?><a>Ελλάδα</a>'.encode("utf-16")).text == "a: Ελλάδα"
