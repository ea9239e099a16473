"""Verifying: after documents were deleted, every table is asked whether anything of them is left.

By what they are known again is taken before: their numbers, the fingerprints and blobs of all versions, and stretches
of eight words at random places of each that no other document has. It stays in memory: kept, it would itself be a rest.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from bastide.store import Db, queries

_Q = queries("bastide.knowledge")
_BEFORE, _ELSEWHERE, _TRACES = _Q["traces_before"], _Q["words_elsewhere"], _Q["traces_of"]
_BY_CONTENT, _BLOBS, _HERE = _Q["traces_by_content"], _Q["blobs_left"], _Q["documents_here"]

STRETCHES = 3
STRETCH_WORDS = 8

_TRIED = 12


@dataclass(frozen=True, slots=True)
class Traces:
    """By what documents are known again."""

    ids: tuple[str, ...]
    numbers: tuple[int, ...]
    prints: tuple[bytes, ...]
    blobs: tuple[str, ...]
    words: tuple[str, ...]


async def traces(db: Db, ids: Sequence[str]) -> Traces:
    """Of those of these documents that are here."""
    rows = await db.rows(dict, _BEFORE, ids=list(ids))
    numbers = [row["number"] for row in rows]
    tried = {id: _stretches(texts) for id, texts in ((row["id"], row["texts"]) for row in rows)}
    every = [words for some in tried.values() for words in some]
    common = {words for (words,) in await db.rows(tuple, _ELSEWHERE, words=every, numbers=numbers)}
    own = [words for some in tried.values() for words in [one for one in some if one not in common][:STRETCHES]]
    return Traces(
        tuple(row["id"] for row in rows),
        tuple(numbers),
        tuple(bytes(one) for row in rows for one in row["prints"]),
        tuple(one for row in rows for one in row["blobs"]),
        tuple(own),
    )


async def remains(db: Db, of: Traces) -> dict[str, int]:
    """What is left of them, by table: empty when all is gone. A transaction sees what was committed before it."""
    found: dict[str, int] = dict(await db.rows(tuple, _TRACES, numbers=list(of.numbers), words=list(of.words)))
    asked = {
        "knowledge.document by id": await db.value(_HERE, ids=list(of.ids)),
        "knowledge.document_version by content": await db.value(
            _BY_CONTENT, prints=list(of.prints), numbers=list(of.numbers)
        ),
        "store.blob by address": await db.value(_BLOBS, addresses=[bytes.fromhex(one) for one in of.blobs]),
    }
    return found | {name: rows for name, rows in asked.items() if rows}


def _stretches(texts: Sequence[str]) -> list[str]:
    """Up to twelve stretches of eight words as they stand in the text, at random places."""
    found: list[str] = []
    long = [text for text in texts if len(text.split(" ")) >= STRETCH_WORDS]
    for _ in range(_TRIED if long else 0):
        words = secrets.choice(long).split(" ")
        start = secrets.randbelow(len(words) - STRETCH_WORDS + 1)
        stretch = " ".join(words[start : start + STRETCH_WORDS])
        if "\n" not in stretch and '"' not in stretch and "\\" not in stretch:
            found.append(stretch)  # as it also stands in a row that is written as text
    return list(dict.fromkeys(found))
