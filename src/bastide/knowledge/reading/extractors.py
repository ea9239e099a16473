"""Extractors: who turns a file into blocks. Each promises the same, and one suite of tests holds them all to it.

Our own readers come first for every format that they read: see docs/decisions/0009-extraction.md. The library xberg
reads what makes them fail, where it is installed (`pip install 'bastide[xberg]'`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bastide.errors import FileTooLarge, ReaderFailed, Refusal
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.values import Limits

_LESS = 4

Reader = Callable[[bytes, Limits], Draft]


class Extractor(Protocol):
    """Reads files of some media types."""

    @property
    def name(self) -> str:
        """What it is called in the provenance."""

    @property
    def version(self) -> str:
        """Its version."""

    @property
    def media_types(self) -> frozenset[str]:
        """What it reads."""

    def extract(self, data: bytes, limits: Limits) -> Draft:
        """What a file of one of these types says. CPU-bound: call it in a thread.

        Raises EmptyFile, UnreadableFile, EncryptedFile, FileTooLarge or BombFile, whatever the bytes; a foreign parser
        works in a process of its own, so that its crash or its hanging is one of these, too.
        """


@dataclass(frozen=True, slots=True)
class OwnReader:
    """Our own reader of one media type."""

    media_type: str
    reader: Reader
    name: str = "bastide"
    version: str = "1"

    @property
    def media_types(self) -> frozenset[str]:
        """What it reads."""
        return frozenset({self.media_type})

    def extract(self, data: bytes, limits: Limits) -> Draft:
        """What the file says; see `Extractor`."""
        try:
            return self.reader(data, limits)
        except RecursionError as error:
            raise FileTooLarge(
                "What is in it is nested too deeply to be read.", next_step="Send the part that matters as text."
            ) from error


def extract(data: bytes, limits: Limits, extractors: Sequence[Extractor]) -> Draft:
    """What the first of the extractors (one, at least) that can read the file makes of it.

    Only where the process of one dies is the next one asked, and that is told: what is damaged, locked, empty, too
    large or a bomb is so for all. Raises what the first one raised, if none can.
    """
    refused: ReaderFailed | None = None
    for extractor in extractors:
        if refused is not None:  # what killed one may be made to harm: the next one has less time
            limits = replace(limits, seconds_max=max(1, limits.seconds_max // _LESS))
        try:
            draft = extractor.extract(data, limits)
        except ReaderFailed as no:
            refused = refused or no
            continue
        except Refusal:
            if refused is None:
                raise
            continue
        if refused is not None:
            draft.problems.append(f"read by {extractor.name} {extractor.version}: {refused.message}")
        return draft
    assert refused is not None, "there is one extractor, at least"
    raise refused
