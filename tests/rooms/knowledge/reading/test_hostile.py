"""Hostile files: made to hang, to swell, to lead out, or to be read in wrong order; each ends as it is told here."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import docx
import pytest

from bastide import errors
from bastide.knowledge.reading import Limits, cut, read
from tests.rooms.knowledge.reading.made import Line, bare_docx, pdf, written
from tests.rooms.knowledge.reading.office import zip_of
from tests.rooms.knowledge.reading.printing import SCRIPT, Drawn, printed, text

HEBREW = ("חוזה השכירות של בית המלאכה מסתיים", "ביום השלושים ביוני אלפיים שלושים ואחת", "דמי השכירות הם אלף ומאתיים")
ARABIC = ("ينتهي عقد إيجار الورشة في الثلاثين", "من يونيو سنة ألفين وإحدى وثلاثين", "والإيجار ألف ومائتا يورو في الشهر")


# -- PDF --------------------------------------------------------------------------------------------


def _circular(kids: str) -> bytes:
    """A page tree that holds itself, and with `3 0 R` among its kids one true page."""
    font = "/Resources << /Font << /F1 5 0 R >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count 2 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {font} /Contents 4 0 R >>",
        "<< /Length 41 >>\nstream\nBT /F1 11 Tf 72 700 Td (some words) Tj ET\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    return written([body.encode() for body in objects])


def test_a_page_tree_that_holds_itself_gives_the_pages_that_there_are() -> None:
    reading = read("a.pdf", _circular("3 0 R 2 0 R"))
    assert reading.text == "some words"
    assert reading.problems == ("pages that could not be read: 2",)
    with pytest.raises(errors.ReaderFailed, match="None of the PDF's pages"):
        read("a.pdf", _circular("2 0 R"))


def _coded(names: Callable[[str], str]) -> bytes:
    """A page whose font says by these names which letter each of its codes is."""
    said = "The lease of the workshop ends on the last of June, and the deposit is nine hundred euros."
    letters = sorted(set(said))
    codes = "".join(f"\\{letters.index(letter) + 33:03o}" for letter in said)
    shown = f"BT /F1 11 Tf 72 700 Td ({codes}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /ABCDEF+Own /FirstChar 33 "
        f"/LastChar {32 + len(letters)} /Widths [{' '.join(['600'] * len(letters))}] "
        f"/Encoding << /Type /Encoding /Differences [33 {' '.join(map(names, letters))}] >> >>",
    ]
    return written([body.encode() for body in objects])


def test_a_font_that_does_not_say_which_letters_it_shows_gives_no_text() -> None:
    """PDFium then tells the codes; what they look like is no word of anybody."""
    known = read(
        "a.pdf", _coded(lambda letter: {" ": "/space", ",": "/comma", ".": "/period"}.get(letter, f"/{letter}"))
    )
    assert known.text.startswith("The lease of the workshop")
    with pytest.raises(errors.EmptyFile, match="its fonts do not say which letters 100% of its text are"):
        read("a.pdf", _coded(lambda letter: f"/g{ord(letter)}"))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda data: re.sub(rb"\d{10} 00000 n", b"0000000007 00000 n", data), id="places"),
        pytest.param(lambda data: data.replace(b"startxref\n", b"startxref\n99"), id="start"),
        pytest.param(lambda data: data.replace(b"xref\n0", b"xxxx\n0", 1), id="word"),
    ],
)
def test_a_broken_table_of_objects_is_mended_and_the_file_read_whole(broken: Callable[[bytes], bytes]) -> None:
    whole = pdf([[Line(f"The words of page {page}.")] for page in (1, 2, 3)])
    data = broken(whole)
    assert data != whole
    assert read("a.pdf", data).text == read("a.pdf", whole).text
    assert read("a.pdf", data).pages == 3


def _shows_itself(times: int) -> bytes:
    """A page with words, and with a form that shows itself so many times."""
    named = "/Resources << /Font << /F1 5 0 R >> /XObject << /X 6 0 R >> >>"
    page = "/X Do BT /F1 11 Tf 72 700 Td (some words) Tj ET"
    form = "BT /F1 11 Tf 72 600 Td (within) Tj ET" + " /X Do" * times
    box = "/Type /XObject /Subtype /Form /BBox [0 0 595 842]"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] {named} /Contents 4 0 R >>",
        f"<< /Length {len(page)} >>\nstream\n{page}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< {box} {named} /Length {len(form)} >>\nstream\n{form}\nendstream",
    ]
    return written([body.encode() for body in objects])


def test_a_form_that_shows_itself_once_is_read_and_twice_is_stopped() -> None:
    assert "some words" in read("a.pdf", _shows_itself(1)).text
    with pytest.raises((errors.BombFile, errors.ReaderFailed, errors.UnreadableFile)) as refused:
        read("a.pdf", _shows_itself(2), Limits(memory_max=300_000_000, seconds_max=5))
    assert refused.value.next_step


def _long(pages: int) -> bytes:
    words = "the council of the borough has considered the request of the owner and agreed to it"
    lines = [Line(f"{n} {words}", 72, 735 - 15 * n, 10) for n in range(40)]
    return pdf([[*lines, Line(f"Leaf {page} of the record.", 72, 60, 10)] for page in range(1, pages + 1)])


def _peak(name: str = "self") -> int:
    """Bytes of memory that a process has taken at most."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{name}/status").read_text())[0]) * 1024


class _Watch(threading.Thread):
    """How much memory the reader's processes take while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.most = 0
        self._others = set(_children())  # the database of the tests, or whatever else this process has begun

    def run(self) -> None:
        while not self.ended.wait(0.05):
            try:
                self.most = max([self.most, *(_peak(one) for one in _children() if one not in self._others)])
            except (OSError, IndexError):  # it has ended meanwhile
                continue


def _children() -> list[str]:
    found: list[str] = []
    for children in Path("/proc/self/task").glob("*/children"):
        try:
            found += children.read_text().split()
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read off /proc")
@pytest.mark.parametrize(
    ("pages", "ours", "childs"),
    [
        pytest.param(300, 150_000_000, 120_000_000, id="300"),
        pytest.param(5_000, 1_300_000_000, 300_000_000, id="5000", marks=pytest.mark.slow),
    ],
)
def test_a_long_pdf_takes_bounded_memory_here_and_in_its_process_and_tells_how_far_it_is(
    pages: int, ours: int, childs: int
) -> None:
    data = _long(pages)
    heard: list[tuple[int, int]] = []
    before, watch = _peak(), _Watch()
    watch.start()
    try:
        reading = read("long.pdf", data, Limits(heard=lambda done, total: heard.append((done, total))))
    finally:
        watch.ended.set()
        watch.join()
    assert (reading.pages, reading.text.count("agreed to it")) == (pages, 40 * pages)
    assert heard == [(page, pages) for page in range(1, pages + 1)]
    assert _peak() - before < ours
    assert 0 < watch.most < childs


# -- pages, messages, archives ----------------------------------------------------------------------


def test_eight_megabytes_of_script_are_no_words() -> None:
    script = b"<script>" + b"var words = 'hidden';\n" * 360_000 + b"</script>"
    assert len(script) > 7_900_000
    reading = read("a.html", b"<html><body><p>Words before.</p>" + script + b"<p>Words behind.</p></body></html>")
    assert reading.text == "Words before.\n\nWords behind."


def _message_in_message(depth: int) -> bytes:
    data = b"From: a@b.eu\r\nSubject: level %d\r\n\r\nThe words of level %d.\r\n" % (depth, depth)
    for level in range(depth - 1, 0, -1):
        edge = b"--edge%d" % level
        head = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="edge%d"\r\n' % level
        own = b"%s\r\nContent-Type: text/plain\r\n\r\nThe words of level %d.\r\n" % (edge, level)
        inner = b"%s\r\nContent-Type: message/rfc822\r\n\r\n%s\r\n%s--\r\n" % (edge, data, edge)
        data = b"From: a@b.eu\r\nSubject: level %d\r\n%s\r\n%s%s" % (level, head, own, inner)
    return data


def test_of_a_hundred_messages_in_each_other_five_are_read_and_the_rest_is_told() -> None:
    reading = read("a.eml", _message_in_message(100))
    assert re.findall(r"The words of level (\d+)", reading.text) == ["1", "2", "3", "4", "5"]
    (told,) = reading.problems
    assert told.endswith("level 6: It stands in 5 archives or messages, and holds further files.")
    with pytest.raises(errors.BombFile, match="nested too deeply"):
        read("a.eml", _message_in_message(1_000))


def test_names_that_lead_out_and_a_bomb_within_are_told_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zip_of({"zeros.txt": bytes(30_000_000)})
    files = {"../../etc/up.txt": b"Words one.", "/abs.txt": b"Words two.", "inner.zip": bomb, "ok.txt": b"Words three."}
    monkeypatch.chdir(tmp_path)
    reading = read("a.zip", zip_of(files))
    assert re.findall(r"Words \w+", reading.text) == ["Words one", "Words two", "Words three"]
    assert "the file etc/up.txt had a name that leads out of its folder" in reading.problems
    assert any("zeros.txt: It would unpack to 30,000,000 bytes" in told for told in reading.problems)
    assert list(tmp_path.iterdir()) == [], "nothing is written"


# -- markup and tables ------------------------------------------------------------------------------

_LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
_BOMB = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{_LAUGHS}]><x>&a9;</x>'


@pytest.mark.parametrize("data", [_BOMB.encode(), _BOMB.encode("utf-16")], ids=["utf-8", "utf-16"])
def test_a_billion_laughs_are_not_begun(data: bytes) -> None:
    with pytest.raises(errors.UnreadableFile, match="declares entities"):
        read("a.xml", data)


def _tables(depth: int) -> bytes:
    words = "<w:p><w:r><w:t>innermost</w:t></w:r></w:p>"
    return bare_docx("<w:tbl><w:tr><w:tc>" * depth + words + "<w:p/></w:tc></w:tr></w:tbl>" * depth)


def test_a_thousand_tables_in_each_other_are_called_too_deep_and_not_damaged() -> None:
    assert read("a.docx", _tables(80)).text == "innermost"
    with pytest.raises(errors.FileTooLarge, match="nested too deeply; the limit is 256"):
        read("a.docx", _tables(1_000))


def test_a_million_columns_are_refused_with_their_number() -> None:
    with pytest.raises(errors.FileTooLarge, match="1,000,000 cells"):
        read("a.csv", b",".join([b"x"] * 1_000_000) + b"\n")


# -- encodings and scripts --------------------------------------------------------------------------


def test_text_with_a_nul_behind_each_letter_is_read_or_refused_but_never_garbled() -> None:
    with pytest.raises(errors.UnsupportedType, match="control characters"):
        read("a.txt", b"Some words\0\0\0\0\0" * 400)
    assert read("a.txt", b"Some words.\0 And more of them, as many as it takes.").text.startswith("Some words. And")


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "words",
    [
        "Der Mietvertrag endet am 30. Juni, die Miete beträgt 1200 Euro.",
        "Договор аренды заканчивается 30 июня.",
        "ДОГОВОР АРЕНДЫ № 5",
        HEBREW[0],
        ARABIC[0],
        "租约于六月三十日到期。租金为一千二百欧元。",
        "賃貸契約は六月三十日に終了します。",
        "임대 계약은 6월 30일에 종료됩니다.",
    ],
)
def test_utf_16_without_a_mark_is_known_in_every_script(words: str, order: str) -> None:
    reading = read("a.txt", f"{words}\n{words}".encode(order))
    assert reading.text == f"{words}\n{words}"
    assert reading.problems == (f"no byte order mark; read as {order.upper()}",)


def test_bytes_by_chance_are_not_taken_for_utf_16() -> None:
    with pytest.raises(errors.Refusal):
        read("a.bin", bytes((i * i * 31 + i * 7 + i // 3) % 256 for i in range(5_000)))


def _rtl_docx(lines: Sequence[str]) -> bytes:
    out = io.BytesIO()
    document = docx.Document()
    for line in lines:
        document.add_paragraph(line)
    document.save(out)
    return out.getvalue()


def _rtl_pdf(lines: Sequence[str]) -> bytes:
    """As writers of PDF do it: the letters stand from the left in the order in which the eye meets them."""
    return printed(
        [Drawn("\n".join(text(line[::-1], 72, 700 - 40 * at, font=SCRIPT) for at, line in enumerate(lines)))]
    )


@pytest.mark.parametrize("lines", [HEBREW, ARABIC], ids=["hebrew", "arabic"])
@pytest.mark.parametrize(("name", "make"), [("a.docx", _rtl_docx), ("a.pdf", _rtl_pdf)], ids=["docx", "pdf"])
def test_from_right_to_left_the_order_is_that_of_reading_and_each_passage_is_where_it_says(
    name: str, make: Callable[[Sequence[str]], bytes], lines: Sequence[str]
) -> None:
    reading = read(name, make(lines))
    places = [reading.text.index(line) for line in lines]
    assert places == sorted(places)
    for line, start in zip(lines, places, strict=True):
        node = next(one for one in reversed(reading.nodes) if one.start <= start < one.end)
        assert reading.text[node.start : node.end] == line
    for piece in cut(reading):
        assert reading.text[piece.start : piece.end] == piece.text
