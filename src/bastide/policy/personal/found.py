"""What is found in a text: where it stands, what it is, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SURE: Final = ("weak", "form", "context", "checksum")
"""How it was told, the surest last. A weak one may well be something else, so it raises no label."""
ORGANISATIONS: Final = frozenset({"siren"})
"""Kinds that name an enterprise, which may be one person's own: found, but not for a person's."""


@dataclass(frozen=True, slots=True)
class Found:
    """`text[start:end]` is of this kind; `normal` is its machine form, `sure` how it was told (see SURE)."""

    kind: str
    start: int
    end: int
    normal: str
    sure: str

    @property
    def personal(self) -> bool:
        """Whether it makes a text one about a person."""
        return self.sure != "weak" and self.kind not in ORGANISATIONS


def without_overlaps(found: Iterable[Found]) -> list[Found]:
    """In order of place; of those that overlap the surest stays, then the longest."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda each: (-SURE.index(each.sure), each.start - each.end, each.start)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda each: each.start)
