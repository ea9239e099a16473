"""The engine is a stranger: absent, half installed, hanging, crashing, talking nonsense. Every page says why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bastide.knowledge.reading import ocr
from tests.rooms.knowledge.ocr.paper import TEXTS, double, needs_engine, needs_fonts, page_of, picture, reading, strokes


@pytest.fixture
def page() -> ocr.Picture:
    """Something with ink in lines, no font needed."""
    return strokes()


def test_without_the_program_the_next_step_is_told(page: ocr.Picture) -> None:
    nowhere = ocr.Tesseract("/nowhere/tesseract")
    ready = ocr.available(nowhere)
    assert not ready.ready
    assert "tesseract" in ready.missing[0]
    assert "apt-get install tesseract-ocr" in ready.next
    assert "tesseract-ocr-ell" in ready.next
    read = ocr.read_page(page, ocr.Hints(engine=nowhere)).read
    assert (read.page, read.tier, read.band) == (3, "none", "rejected")
    assert ready.next in read.reason


def test_a_program_that_says_nothing_of_itself_is_none(tmp_path: Path) -> None:
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    program.chmod(0o755)
    assert not ocr.available(ocr.Tesseract(str(program))).ready


def test_absent_language_files_are_named(tmp_path: Path) -> None:
    ready = ocr.available(double(tmp_path, "pass"))
    assert ready.ready
    assert ready.engine == "tesseract 5.9.9"
    assert ready.languages == ("en", "fr")
    assert "ell" in ready.missing[0]
    assert "fra" not in ready.missing[0]
    assert ready.next.endswith("tesseract-ocr-ell")


@pytest.mark.parametrize(
    ("deed", "limits", "reason"),
    [
        ("time.sleep(60)", {"seconds_max": 1, "patience": 1}, "did not answer within 1 seconds"),
        ("exec('while True: pass')", {"seconds_max": 1, "patience": 30}, "more than 1 seconds of computing"),
        ("import os; os.kill(os.getpid(), 9)", {}, "ended with -9"),
        ("sys.exit('Error: out of luck')", {}, "out of luck"),
        ("x = bytearray(3_000_000_000)", {"memory_max": 400_000_000}, "MemoryError"),
        ("open('/tmp/bastide-never', 'w').write('x' * 9_000_000)", {}, "ended with"),
    ],
    ids=["hangs", "burns", "killed", "fails", "eats", "writes"],
)
def test_an_engine_that_misbehaves_costs_one_page(
    tmp_path: Path, page: ocr.Picture, deed: str, limits: dict[str, int], reason: str
) -> None:
    found = ocr.read_page(page, ocr.Hints(engine=double(tmp_path, deed, **limits)))
    assert found.lines == ()
    assert (found.read.band, found.read.engine) == ("rejected", "tesseract 5.9.9")
    assert reason in found.read.reason


@pytest.mark.parametrize(
    "said",
    [
        "",
        "nonsense",
        "5\\t1\\t1\\t1\\t1\\t1\\tx\\t1\\t1\\t1\\t96\\tword",
        "5\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t96\\t ",
        "\\xff\\x00\\t" * 99,
    ],
    ids=["nothing", "nonsense", "no_number", "blank_word", "binary"],
)
def test_an_engine_that_talks_nonsense_is_not_believed(tmp_path: Path, page: ocr.Picture, said: str) -> None:
    engine = double(tmp_path, f'sys.stdout.buffer.write("{said}".encode("latin-1"))')
    found = ocr.read_page(page, ocr.Hints(engine=engine))
    assert found.lines == ()
    assert found.read.band == "rejected"
    assert "no word was found" in found.read.reason


def test_the_engine_works_with_one_thread_and_nothing_of_our_environment(tmp_path: Path, page: ocr.Picture) -> None:
    deed = "import os; sys.exit(repr(sorted(os.environ.items())))"
    reason = ocr.read_page(page, ocr.Hints(engine=double(tmp_path, deed))).read.reason
    assert "('OMP_THREAD_LIMIT', '1')" in reason
    assert "HOME" not in reason
    assert "PATH" not in reason


def test_where_some_lines_are_in_another_script_the_doubtful_ones_are_too(tmp_path: Path, page: ocr.Picture) -> None:
    """Greek that is taken for Latin letters now and then looks fairly sure."""
    english = "The council of the borough has considered the request of the owner"
    latin = [(english, 95)] * 4 + [("Metà ano oùvtoun OLC]TNON Ta HEAN", at) for at in (60, 60, 78, 30)]
    greek = "Όποιος καθυστερεί οφείλει τόκο τον χρόνο"
    deed = f"({reading(*latin)}) if 'ell' not in sys.argv else ({reading((greek, 93))})"
    read = ocr.read_page(page, ocr.Hints(engine=double(tmp_path, deed, "eng fra ell")))
    assert [line.text for line in read.lines] == [english] * 4 + [greek] * 3
    alone = ocr.read_page(page, ocr.Hints(engine=double(tmp_path, reading(*latin[:4], *latin[6:7] * 4), "eng fra ell")))
    assert [line.text for line in alone.lines][4:] == [latin[6][0]] * 4, "doubtful lines alone do not tell of Greek"


def test_the_micro_sign_within_a_greek_word_is_the_letter(tmp_path: Path, page: ocr.Picture) -> None:
    """They look the same, and a search for one does not find the other."""
    said = [("συ\u00b5\u00b5ετοχή \u00b5ε \u03bcία ά\u00b5\u00b5ο 5 \u00b5g \u00b5\u03a9 \u00b5", 95)] * 8
    read = ocr.read_page(page, ocr.Hints(engine=double(tmp_path, reading(*said), "ell")))
    wanted = "συ\u03bc\u03bcετοχή \u03bcε \u03bcία ά\u03bc\u03bcο 5 \u00b5g \u00b5\u03a9 \u00b5"
    assert {line.text for line in read.lines} == {wanted}


@pytest.mark.slow
@needs_fonts
@needs_engine
def test_a_page_in_a_script_without_its_file_is_not_accepted(tmp_path: Path) -> None:
    """Greek, read by an installation that has English alone."""
    folder = Path(shutil.which("tesseract") or "").parent.parent / "share" / "tesseract-ocr" / "5" / "tessdata"
    if not (folder / "eng.traineddata").is_file():
        pytest.skip(f"the language files are not in {folder}")
    for name in ("eng", "osd"):
        (tmp_path / f"{name}.traineddata").symlink_to(folder / f"{name}.traineddata")
    engine = ocr.Tesseract(tessdata=str(tmp_path))
    assert ocr.available(engine).languages == ("en",)
    read = ocr.read_page(picture(page_of(TEXTS["el"])), ocr.Hints(engine=engine)).read
    assert read.band == "rejected"
    assert "Greek" in read.reason
