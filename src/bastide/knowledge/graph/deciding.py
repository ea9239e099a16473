"""Deciding: candidates for a name with their reasons, merges and splits by people, and undoing them.

A merge is a link (`merging.py`). A split gives the named sources keys of their own, made from the decision's id and the
old key, so that undoing finds each row again: it has the key that it had, whatever was decided in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from bastide.errors import BadMerge, BadOption, UnknownDecision, UnknownEntity
from bastide.knowledge.graph import asking
from bastide.knowledge.graph.inflecting import inflected, stems
from bastide.knowledge.graph.merging import AUTOMATIC, settle
from bastide.knowledge.graph.naming import id_of, key_in, key_of, legal_form, plain
from bastide.knowledge.graph.values import Candidate, Decision
from bastide.store import Db, new_id, queries

_Q = queries("bastide.knowledge")
_ADD, _UNDO, _LIST, _UNDONE = _Q["add_decision"], _Q["undo_decision"], _Q["decisions"], _Q["undone_splits"]
_TO_MOVE, _MOVE, _MOVE_ENDS, _MOVED = _Q["sources_to_move"], _Q["move_sources"], _Q["move_ends"], _Q["moved_sources"]
_LIKE, _ACRONYMS, _LOCK = _Q["names_like"], _Q["acronyms_of"], _Q["lock_aliases"]

PROPOSED_MIN = 0.5
"""A candidate below this score is not shown."""

SOURCES_MAX = 1_000
_NAMES_MAX = 3_000
_WORD = re.compile(r"[^\W_]{3,}")
_LETTERS = re.compile(r"[^\W\d_]+")


# -- candidates -------------------------------------------------------------------------------------


async def candidates(db: Db, name_or_id: str, limit: int) -> list[Candidate]:
    """The entities that a name, or an entity's names, may mean, the likeliest first. Raises UnknownEntity."""
    own = None
    if key_in(name_or_id) is not None:
        own, keys, entity = await asking.one(db, name_or_id)
        names = [entity.name, *entity.aliases]
    else:
        names = [name_or_id]
        keys = [key_of(plain(name_or_id, "name")), key_of(plain(name_or_id, "organisation"))]
    words = sorted({word.casefold() for name in names for word in _WORD.findall(name)})
    words = [*words, *(stem for name in names for stem in stems(plain(name, "name")))][:24]
    letters = [form for name in names if (form := _initials(name))]
    rows: list[tuple[int, str, int]] = await db.rows(
        tuple, _LIKE, keys=[*keys, *(key_of(one) for one in letters)], words=words, limit=_NAMES_MAX
    )
    scored: dict[int, dict[str, float]] = {}
    for entity_key, written, _ in rows:
        if entity_key != own:
            for name in names:
                for reason, score in likeness(name, written):
                    reasons = scored.setdefault(entity_key, {})
                    reasons[reason] = max(score, reasons.get(reason, 0.0))
    for short, full, score in await db.rows(tuple, _ACRONYMS, keys=keys):
        for other in {short, full} - set(keys):
            scored.setdefault(other, {})["a document explains one as the other"] = min(score, AUTOMATIC) * 0.8
    totals = {one: _together(reasons) for one, reasons in scored.items()}
    best = sorted((one for one in totals if totals[one] >= PROPOSED_MIN), key=lambda one: (-totals[one], one))[:limit]
    known = await asking.described(db, best)
    return [
        Candidate(known[one], totals[one], tuple(sorted(scored[one], key=lambda reason: -scored[one][reason])))
        for one in best
        if one in known
    ]


def likeness(name: str, other: str) -> Iterable[tuple[str, float]]:
    """Why two names may mean the same, each reason with a score from 0 to 1."""
    one, two = plain(name, "name"), plain(other, "name")
    if one == two:
        yield "the same name", 1.0
        return
    (bare, form), (other_bare, other_form) = legal_form(name), legal_form(other)
    if bool(form) != bool(other_form) and plain(bare, "name") == plain(other_bare, "name"):
        yield "the same name without its legal form", 0.85
    if inflected(one, two):
        yield "the same name in another case of Polish", 0.75
    words, others = one.split(), two.split()
    if len(words) > 1 and len(others) > 1 and words[-1] == others[-1]:
        first, second = words[0], others[0]
        if first != second and first[0] == second[0] and 1 in (len(first), len(second)):
            yield "the same family name and initial", 0.8
        elif first == second:
            yield "the same first and last word", 0.75
    elif (len(words) == 1) != (len(others) == 1) and words[-1] == others[-1]:
        yield "the same last word", 0.55
    if name.isupper() != other.isupper():
        short, full = (one, other) if name.isupper() else (two, name)
        if len(short) > 1 and _initials(full) == short:
            yield "the initials of the other", 0.7
    if len(one) > 5 and len(two) > 5 and " " in one + two:
        near = SequenceMatcher(None, one, two, autojunk=False)
        if near.real_quick_ratio() > 0.85 and near.quick_ratio() > 0.85 and (ratio := near.ratio()) > 0.85:
            yield "nearly the same spelling", 0.85 * ratio
    elif len(one) > 4 and one[:5] == two[:5] and abs(len(one) - len(two)) <= 3:
        yield "the same word in another form", 0.6


def _initials(name: str) -> str:
    """The first letters of the words that begin large, in lower case; "" of a single word."""
    found = [word[0] for word in _LETTERS.findall(name) if word[0].isupper()]
    return "".join(found).casefold() if len(found) > 1 else ""


def _together(reasons: dict[str, float]) -> float:
    """Reasons add up as independent chances do, but two guesses never make a certainty."""
    if 1.0 in reasons.values():
        return 1.0
    doubt = 1.0
    for score in reasons.values():
        doubt *= 1.0 - score
    return min(1.0 - doubt, 0.95)


# -- decisions --------------------------------------------------------------------------------------


async def merge(db: Db, who: str, identifiers: Sequence[str], why: str) -> Decision:
    """Make entities one, called by the first. Raises UnknownEntity; BadMerge where they are one already."""
    if isinstance(identifiers, str) or not 2 <= len(identifiers) <= 50:
        raise BadOption("A merge names 2 to 50 entities.", option="ids")
    await db.run(_LOCK)
    roots = list(dict.fromkeys([(await asking.one(db, one))[0] for one in identifiers]))
    if len(roots) < 2:
        raise BadMerge("These are one entity already.")
    return await _decided(db, "merge", roots, [], who, why)


async def split(db: Db, who: str, identifier: str, sources: Sequence[str], why: str) -> Decision:
    """Make what these sources name another entity. Raises UnknownEntity; BadMerge where none or all are named."""
    if isinstance(sources, str) or not 1 <= len(sources) <= SOURCES_MAX:
        raise BadOption(f"A split names 1 to {SOURCES_MAX:,} sources.", option="sources")
    places = [_place(source) for source in sources]
    await db.run(_LOCK)
    _, keys, _ = await asking.one(db, identifier)
    named, _ = await _named(db, keys, places)
    all_ = await asking.mentions(db, keys, after=None, limit=len(named) + 1)
    if len({(one.passage.document_id, one.passage.start, one.entity) for one in all_}) <= len(named):
        raise BadMerge("These are all its sources: nothing would be left.")
    made = new_id("spl")
    old = sorted({row[2] for row in named})
    moved = await _apart(db, named, made)
    return await _decided(db, "split", old, [moved[key] for key in old], who, why, made)


async def part(
    db: Db, who: str, keys: Sequence[int], places: Sequence[tuple[str, int]], why: str, *, into: dict[int, int] | None
) -> tuple[str | None, list[int], int]:
    """Split by document and offset what keys name there, all of it if need be; or move it `into` what a split made.

    The id of the new decision, the keys of what it made, and how many places were found. Raises BadMerge if none was.
    """
    await db.run(_LOCK)
    named, count = await _named(db, keys if into is None else list(into), places)
    if into is not None:
        await _move(db, named, into)
        return None, list(into.values()), count
    made = new_id("spl")
    old = sorted({row[2] for row in named})
    moved = await _apart(db, named, made)
    await _decided(db, "split", old, [moved[key] for key in old], who, why, made)
    return made, [moved[key] for key in old], count


async def _named(
    db: Db, keys: Sequence[int], places: Sequence[tuple[str, int]]
) -> tuple[list[tuple[int, int, int]], int]:
    """What of these keys is named at these places, as (document, chunk, key); and how many of the places name it."""
    rows: list[tuple[int, int, int, int]] = await db.rows(
        tuple, _TO_MOVE, documents=[one for one, _ in places], starts=[start for _, start in places], keys=list(keys)
    )
    if not rows:
        raise BadMerge("None of these sources names this entity.")
    return sorted({row[:3] for row in rows}), len({(row[0], row[3]) for row in rows})


async def _apart(db: Db, named: Sequence[tuple[int, int, int]], made: str) -> dict[int, int]:
    """Give what is named keys of its own, made from the decision's id; old key -> new key."""
    moved = {key: key_of(f"{made} {key}") for key in {row[2] for row in named}}
    await _move(db, named, moved)
    return moved


async def undo(db: Db, who: str, identifier: str, why: str) -> Decision:
    """Take a merge or a split back; what was decided besides stays. Raises UnknownDecision."""
    await db.run(_LOCK)
    row = await db.row(tuple, _UNDO, id=identifier, who=who, why=why)
    if row is None:
        raise UnknownDecision
    kind, keys, moved = row
    if kind == "split":
        before = {new: old for olds, news in await db.rows(tuple, _UNDONE) for old, new in zip(olds, news, strict=True)}
        back = {}
        for old, new in zip(keys, moved, strict=True):
            back[new] = old
            while back[new] in before:  # what it was split from was itself split, and undone since
                back[new] = before[back[new]]
        named = await db.rows(tuple, _MOVED, keys=moved)
        await _move(db, named, back)
    await settle(db, [*keys, *moved])
    return (await decisions(db, identifier=identifier))[0]


async def decisions(
    db: Db, *, identifier: str | None = None, before: str | None = None, limit: int = 50
) -> list[Decision]:
    """Merges and splits, newest first."""
    return [
        Decision(
            id=row["id"],
            kind=row["kind"],
            entities=tuple(id_of(one) for one in row["keys"]),
            who=row["who"],
            why=row["why"],
            made_at=row["made_at"],
            undone_at=row["undone_at"],
            undone_by=row["undone_by"],
            made=id_of(row["moved"][0]) if row["moved"] else None,
        )
        for row in await db.rows(dict, _LIST, id=identifier, before=before, limit=limit)
    ]


async def _decided(
    db: Db, kind: str, keys: Sequence[int], moved: Sequence[int], who: str, why: str, made: str = ""
) -> Decision:
    identifier = made or new_id("mrg")
    await db.run(_ADD, id=identifier, kind=kind, keys=list(keys), moved=list(moved), who=who, why=why)
    await settle(db, [*keys, *moved])
    return (await decisions(db, identifier=identifier))[0]


async def _move(db: Db, rows: Sequence[tuple[int, int, int]], moved: dict[int, int]) -> None:
    """Give these (document, chunk, key) the keys that `moved` names, with the ties and facts of their passages."""
    for key, new in moved.items():  # one key after the other: a statement changes a row once
        places = [(document, chunk) for document, chunk, old in rows if old == key]
        if places:
            columns = {"documents": [one for one, _ in places], "chunks": [chunk for _, chunk in places]}
            await db.run(_MOVE, **columns, key=key, moved=new)
            await db.run(_MOVE_ENDS, **columns, key=key, moved=new)


def _place(source: object) -> tuple[str, int]:
    """The document and offset in the id of a mention. Raises UnknownEntity."""
    document, colon, start = source.partition(":") if isinstance(source, str) else ("", "", "")
    if not colon or not re.fullmatch(r"\d{1,9}", start):
        raise UnknownEntity("This is no id of a mention.")
    return document, int(start)
