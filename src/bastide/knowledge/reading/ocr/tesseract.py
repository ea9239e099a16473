"""Tesseract as a process of its own: one page, one thread, limits on time and memory; never linked, never trusted."""

import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bastide.knowledge.reading.ocr.scripts import FILES, NEEDED
from bastide.knowledge.reading.ocr.values import Gray, Line, Place, Readiness, Tesseract, Word

_CONFINED = Path(__file__).with_name("confined.py")
_ASK_SECONDS = 20
_MU, _SMALL_GREEK = "\u03bc", "[\u03ac-\u03ce\u1f00-\u1ffc]"
_MICRO = re.compile(f"(?<={_SMALL_GREEK})\u00b5|\u00b5(?={_SMALL_GREEK})")
"""The micro sign beside a small Greek letter: the Greek file writes it for the letter mu, which looks the same."""
_VERSION = re.compile(r"tesseract\s+v?(\S+)")
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
_turns = threading.BoundedSemaphore(_CORES)
"""As many runs as cores in this process, whoever asks: a run more only makes all of them slower."""
_ALONE = {"OMP_THREAD_LIMIT": "1", "LC_ALL": "C"}
"""One thread a page. With two, a page took thirteen times as long on a busy machine with two cores."""
_OUT_OF_TIME = frozenset({-24, 128 + 24})
_INSTALL = "apt-get install tesseract-ocr"
_PYTHON_PART = "pip install 'bastide[ocr]'"


class EngineFailed(Exception):
    """A run gave nothing that can be used; the message says why, in plain words."""


class EngineStuck(EngineFailed):
    """A run took all the time it had: another one over the same page would too."""


@dataclass(frozen=True, slots=True)
class Sense:
    """What a page looks like before a word of it is read."""

    turn: int
    """By how many degrees clockwise it must be turned to stand upright: 0, 90, 180 or 270."""
    turn_confidence: float
    script: str
    script_confidence: float


@dataclass(frozen=True, slots=True)
class Installed:
    """A Tesseract that was found."""

    path: str
    version: str
    files: frozenset[str]
    """Names of its language files."""
    engine: Tesseract

    @property
    def name(self) -> str:
        """As it stands in a page's provenance."""
        return f"tesseract {self.version}"

    def has(self, language: str) -> bool:
        """Whether the file of an ISO 639-1 language is there."""
        return FILES.get(language, "") in self.files


def available(engine: Tesseract | None = None) -> Readiness:
    """Whether pages can be recognised here, and what to do where they cannot."""
    found = installed(engine or Tesseract())
    pillow = find_spec("PIL") is not None
    missing = [] if pillow else ["the Python package Pillow, which makes pages straight and clean"]
    if found is None:
        install = _INSTALL + "".join(f" tesseract-ocr-{FILES[language]}" for language in NEEDED)
        return Readiness(
            False, missing=("the program tesseract", *missing), next=install if pillow else f"{install}; {_PYTHON_PART}"
        )
    absent = [FILES[language] for language in NEEDED if not found.has(language)]
    absent += [] if "osd" in found.files else ["osd"]
    languages = tuple(language for language in FILES if found.has(language))
    if absent:
        missing.append(f"the language files of tesseract for {', '.join(absent)}")
    steps = [_INSTALL.replace("tesseract-ocr", " ".join(f"tesseract-ocr-{name}" for name in absent))] if absent else []
    steps += [] if pillow else [_PYTHON_PART]
    return Readiness(pillow and bool(languages), found.name, languages, tuple(missing), "; ".join(steps))


def installed(engine: Tesseract) -> Installed | None:
    """The program and its language files; None where there is none that answers."""
    path = shutil.which(engine.program)
    if path is None:
        return None
    try:
        version = _answer([path, "--version"])
        listed = _answer([path, *_data(engine), "--list-langs"])
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = _VERSION.search(version)
    files = frozenset(line.strip() for line in listed.splitlines()[1:] if line.strip())
    return Installed(path, told[1], files, engine) if told else None


def _answer(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, env=_ALONE, timeout=_ASK_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    return (done.stdout or done.stderr).decode("utf-8", "replace")


def _data(engine: Tesseract) -> list[str]:
    return ["--tessdata-dir", engine.tessdata] if engine.tessdata else []


def sense(pixels: Gray, found: Installed) -> Sense | None:
    """How a page stands and what it is written in; None where there is too little on it to tell.

    Raises EngineStuck.
    """
    if "osd" not in found.files:
        return None
    try:
        told = _run(pixels, found, ["-l", "osd", "--psm", "0"])
    except EngineStuck:
        raise
    except EngineFailed:
        return None  # also the answer to a page with too few letters
    fields = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    try:
        return Sense(
            int(fields["Rotate"]) % 360,
            float(fields["Orientation confidence"]),
            fields["Script"].strip(),
            float(fields["Script confidence"]),
        )
    except (KeyError, ValueError):
        return None


def recognise(pixels: Gray, found: Installed, languages: tuple[str, ...], *, layout: int = 3) -> tuple[Line, ...]:
    """The lines of a page of about 300 dpi, places in its own pixels. `layout` is Tesseract's page segmentation mode.

    Raises EngineFailed.
    """
    names = [FILES[language] for language in languages if found.has(language)]
    if not names:
        raise EngineFailed(f"tesseract has no language file for {', '.join(languages) or 'this page'}")
    options = ["-l", "+".join(names), "--psm", str(layout), "--dpi", "300", "-c", "tessedit_create_tsv=1"]
    return _lines(_run(pixels, found, options))


def _run(pixels: Gray, found: Installed, options: list[str]) -> str:
    engine = found.engine
    height, width = pixels.shape
    data = b"P5\n%d %d\n255\n" % (width, height) + pixels.tobytes()
    limits = [str(engine.seconds_max), str(engine.memory_max)]
    command = [sys.executable, "-I", "-S", str(_CONFINED), *limits, found.path, "stdin", "stdout"]
    with _turns:
        try:
            done = subprocess.run(
                [*command, *_data(engine), *options],
                input=data,
                capture_output=True,
                env=_ALONE,
                timeout=engine.seconds_max * engine.patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            waited = engine.seconds_max * engine.patience
            raise EngineStuck(f"tesseract did not answer within {waited} seconds") from error
        except OSError as error:
            raise EngineFailed("tesseract could not be started") from error
    if done.returncode in _OUT_OF_TIME:
        raise EngineStuck(f"tesseract would need more than {engine.seconds_max} seconds of computing")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise EngineFailed(f"tesseract ended with {done.returncode}" + (f": {said[-1][:200]}" if said else ""))
    return done.stdout.decode("utf-8", "replace")


def _lines(table: str) -> tuple[Line, ...]:
    """Tesseract's table: level, page, block, paragraph, line, word, left, top, width, height, confidence, text."""
    found: dict[tuple[int, int, int], list[Word]] = {}
    for row in table.splitlines():
        fields = row.split("\t")
        if len(fields) != 12 or fields[0] != "5" or not fields[11].strip():
            continue
        try:
            block, paragraph, line, _, left, top, width, height = map(int, fields[2:10])
            confidence = float(fields[10])
        except ValueError:
            continue
        place = Place(left, top, left + width, top + height)
        text = _MICRO.sub(_MU, fields[11].strip())
        found.setdefault((block, paragraph, line), []).append(Word(text, place, confidence))
    return tuple(Line(tuple(words), around(words), block, paragraph) for (block, paragraph, _), words in found.items())


def around(words: list[Word] | tuple[Word, ...]) -> Place:
    """The box around words."""
    return Place(
        min(word.place.left for word in words),
        min(word.place.top for word in words),
        max(word.place.right for word in words),
        max(word.place.bottom for word in words),
    )
