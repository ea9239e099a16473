"""Decoding: a picture file, whoever made it, becomes pages in shades of gray, in a process with limits."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bastide.errors import BombFile, ReaderUnavailable, UnreadableFile
from bastide.knowledge.reading.ocr.values import Picture
from bastide.knowledge.reading.values import Limits

_HERE = Path(__file__)
_CONFINED, _PROGRAM = _HERE.with_name("confined.py"), _HERE.with_name("decode_frames.py")
_PATIENCE = 5
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
_OUT_OF_TIME = frozenset({-24, 128 + 24})


def pictures(data: bytes, limits: Limits | None = None) -> list[Picture]:
    """The pages of a PNG, JPEG, TIFF (all its pages), WebP, BMP, GIF or PNM file, numbered from 1.

    Raises BombFile where it holds more pixels or pages than the limits, or takes too long; UnreadableFile where it
    cannot be decoded; ReaderUnavailable where Pillow or a process is missing.
    """
    limits = limits or Limits()
    spec = find_spec("PIL")
    if spec is None or not spec.origin:
        raise ReaderUnavailable(
            "Pictures cannot be decoded: the Python package Pillow is missing.",
            next_step="Install it with: pip install 'bastide[ocr]'",
        )
    bounds = [str(limits.seconds_max), str(limits.memory_max)]
    program = [sys.executable, "-I", "-S", str(_PROGRAM), str(limits.pages_max), str(limits.pixels_max)]
    command = [sys.executable, "-I", "-S", str(_CONFINED), *bounds, *program, str(Path(spec.origin).parents[1])]
    try:
        done = subprocess.run(
            command,
            input=data,
            capture_output=True,
            env=_ENVIRONMENT,
            timeout=limits.seconds_max * _PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BombFile("Decoding the picture took too long, so it was given up.") from error
    except OSError as error:
        raise ReaderUnavailable("The process that decodes pictures could not be started.") from error
    if done.returncode in _OUT_OF_TIME:
        raise BombFile(f"Decoding the picture would take more than {limits.seconds_max} seconds of computing.")
    return _pages(done.stdout, done.returncode)


def _pages(told: bytes, status: int) -> list[Picture]:
    pages: list[Picture] = []
    at = 0
    try:
        while True:
            end = told.index(b"\n", at)
            header = json.loads(told[at:end])
            if "error" in header:
                raise (BombFile if header["error"] == "bomb" else UnreadableFile)(_said(header))
            if "end" in header:
                return pages
            width, height = int(header["width"]), int(header["height"])
            at = end + 1 + width * height
            pixels = np.frombuffer(told[end + 1 : at], np.uint8).reshape(height, width)
            pages.append(Picture(pixels, float(header["dpi"]), len(pages) + 1))
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(
            "The picture makes its decoder fail: it is damaged, or made to do harm.", exit_status=status
        ) from error


def _said(header: dict[str, str]) -> str:
    if header["error"] == "bomb":
        return str(header["what"])
    return f"The picture is damaged: it cannot be decoded ({header['what']})."
