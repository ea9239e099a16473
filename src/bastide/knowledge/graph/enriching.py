"""Enriching: a model reads passages, and what it says is taken only where the passage says it, too.

`knowledge.enrich` sends each passage to a model that policy permits for it, asks for JSON of one shape, and then holds
every name and every tie against the text: a name must stand in the passage, a quotation must stand in it word for word
with both names in it, and the registry must allow the types. The rest is dropped and counted. What is kept names the
model as its extractor. A document whose version changed meanwhile keeps nothing of it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib.resources import files
from typing import Any, Final, cast

from bastide.errors import NoPermittedModel, Refusal, Unavailable, UnknownDocument
from bastide.inference import EXTRACTIVE, ChatRequest, Inference, Message
from bastide.knowledge import bounds
from bastide.knowledge.graph.dates import dates
from bastide.knowledge.graph.extracting import Named, Tied
from bastide.knowledge.graph.graph import registry
from bastide.knowledge.graph.naming import key_of, plain
from bastide.knowledge.graph.types import Registry
from bastide.knowledge.graph.writing import forget_extracted, write_names, write_ties
from bastide.policy import Label
from bastide.store import Db, Scope, Store, queries
from bastide.workflows import Example, JobType, JsonValue, Limits, Run

_Q = queries("bastide.knowledge")
_CHUNKS, _DOCUMENTS, _VERSION = _Q["chunks_to_enrich"], _Q["documents_to_enrich"], _Q["version_to_enrich"]

MODEL = "model:"
"""How the extractor's name begins on what a model found."""

PASSAGES_MAX = 20_000
NAMES_MAX, TIES_MAX = 40, 40
"""Of one passage; what a model says beyond is dropped."""

_TOKENS_MAX = 1_500
_CONFIDENCE = 0.75
_PROMPT: Final = (files("bastide.knowledge") / "prompts" / "enrich.md").read_text(encoding="utf-8").split("---\n", 1)[1]
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Enriched:
    """Which documents: those named, or those of a collection, or all; and which model, if not the first permitted."""

    documents: tuple[str, ...] = ()
    collection: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage to be read; `start` is where it begins in the document's text."""

    id: int
    start: int
    text: str
    language: str


@dataclass(slots=True)
class Kept:
    """What of an answer stands in the passage, and why the rest was dropped, by reason."""

    names: list[Named] = field(default_factory=list)
    ties: list[Tied] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


class EnrichJobs:
    """The code of the type."""

    def __init__(self, store: Store, inference: Inference) -> None:
        self._store = store
        self._inference = inference

    def types(self) -> tuple[JobType, ...]:
        """What is registered."""
        return (
            JobType(
                name="knowledge.enrich",
                about="Has a permitted model read passages for names and ties; keeps only what the passage says.",
                input=Enriched,
                run=self._run,
                permission="knowledge:write",
                limits=Limits(step_s=3_600.0, run_s=24 * 3600.0, per_tenant=1),
                example=Example(
                    {"collection": "notes"}, lambda out: isinstance(out, Mapping) and isinstance(out["failed"], list)
                ),
            ),
        )

    async def _run(self, run: Run[Enriched]) -> JsonValue:
        ids = cast("list[str]", await run.step("find", partial(self._find, run.scope, run.input)))
        total: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        failed: list[JsonValue] = []
        for number, id in enumerate(ids):
            await run.progress(number, len(ids), id)
            said = cast(
                "dict[str, Any]", await run.step(f"read {id}", partial(self._read, run.scope, id, run.input.model))
            )
            await run.tighten(Label.from_wire(said["label"]))
            if said.get("error") is not None:
                failed.append({"document": id, "error": said["error"]})
                continue
            done = cast("dict[str, Any]", await run.write(f"write {id}", partial(_write, id, said)))
            total.update({name: done[name] for name in ("documents", "passages", "entities", "relations")})
            dropped.update(said["dropped"])
        await run.progress(len(ids), len(ids))
        counts = {name: total[name] for name in ("documents", "passages", "entities", "relations")}
        return cast(JsonValue, {**counts, "dropped": dict(dropped), "failed": failed})

    async def _find(self, scope: Scope, asked: Enriched) -> JsonValue:
        ids = [bounds.document_id(one) for one in asked.documents]
        collection = bounds.collection(asked.collection) if asked.collection is not None else None
        async with self._store.under(scope) as db:
            rows: list[tuple[str]] = await db.rows(tuple, _DOCUMENTS, ids=ids or None, collection=collection)
        if len(rows) < len(set(ids)):
            raise UnknownDocument
        return [id for (id,) in rows]

    # What the model said is kept sealed in the step, so a job that was interrupted does not ask again.
    async def _read(self, scope: Scope, id: str, model: str | None) -> JsonValue:
        async with self._store.under(scope) as db:
            here = await db.row(tuple, _VERSION, id=id)
            if here is None:
                return _nothing("knowledge.unknown_document", {})
            number, version, wire = here
            chunks = await db.rows(Chunk, _CHUNKS, document=number, limit=PASSAGES_MAX)
            types = await registry(db)
        label = Label.from_wire(wire)
        kept, name = Kept(), ""
        try:
            for chunk in chunks:
                own = self._inference.looked_into(label, [chunk.text])
                reply = await self._inference.chat(
                    scope, _request(chunk, types, await self._model(scope, own, model)), label=own
                )
                name = reply.model
                one = verified(reply.text, chunk, types)
                kept.names += one.names
                kept.ties += one.ties
                kept.dropped += one.dropped
        except Unavailable:
            raise  # what is away may come back: the job is tried again
        except Refusal as no:
            return _nothing(no.code, wire)
        return cast(
            JsonValue,
            {
                "version": version,
                "model": name,
                "label": wire,
                "passages": len(chunks),
                "names": [
                    [one.chunk, one.key, one.type, one.name, one.start, one.end, one.times] for one in kept.names
                ],
                "ties": [
                    [one.chunk, one.a, one.b, one.type, one.start, one.end, _iso(one.first), _iso(one.after)]
                    for one in kept.ties
                ],
                "dropped": dict(kept.dropped),
            },
        )

    async def _model(self, scope: Scope, label: Label, model: str | None) -> str:
        if model is not None and model != EXTRACTIVE:
            return model
        chosen = await self._inference.generator(scope, label)
        if chosen is None:
            raise NoPermittedModel
        return chosen.name


def _nothing(code: str, label: dict[str, object]) -> JsonValue:
    return cast(JsonValue, {"error": code, "label": label, "names": [], "ties": [], "dropped": {}})


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None


async def _write(id: str, said: dict[str, Any], db: Db) -> JsonValue:
    """Replace what models found before in this document; nothing where it is another version by now."""
    here = await db.row(tuple, _VERSION, id=id)
    if here is None or here[1] != said["version"]:
        return {"documents": 0, "passages": 0, "entities": 0, "relations": 0}
    number = here[0]
    names = [
        Named(c, key, type, name, start, end, _CONFIDENCE, times)
        for c, key, type, name, start, end, times in said["names"]
    ]
    ties = [
        Tied(c, a, b, type, start, end, 1.0, _CONFIDENCE, _day(first), _day(after))
        for c, a, b, type, start, end, first, after in said["ties"]
    ]
    await forget_extracted(db, number, MODEL)
    present = {row[0] for row in await db.rows(tuple, _CHUNKS, document=number, limit=PASSAGES_MAX)}
    itself = {chunk: chunk for chunk in present}
    extractor = f"{MODEL}{said['model']}"
    kept = [one for one in names if one.chunk in present]
    tied = [one for one in ties if one.chunk in present]
    await write_names(db, number, kept, itself, extractor)
    await write_ties(db, number, tied, itself, extractor)
    return {"documents": 1, "passages": said["passages"], "entities": len(kept), "relations": len(tied)}


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


# -- what is asked, and what is believed --------------------------------------------------------------


def _request(chunk: Chunk, types: Registry, model: str) -> ChatRequest:
    fence = secrets.token_hex(8)
    relations = ", ".join(
        f"{one.name} ({'/'.join(one.from_types) or 'any'} -> {'/'.join(one.to_types) or 'any'})"
        for one in types.relations.values()
    )
    system = _PROMPT.format(nodes=", ".join(types.nodes), relations=relations, fence=fence)
    passage = f"--- {fence}\n{chunk.text}\n--- {fence}"
    schema = {"type": "json_schema", "json_schema": {"name": "passage", "strict": True, "schema": _schema(types)}}
    return ChatRequest(
        (Message("system", system), Message("user", passage)),
        model,
        _TOKENS_MAX,
        raw={"response_format": schema},
        steady=True,
    )


def _schema(types: Registry) -> dict[str, Any]:
    """The shape of the answer, as JSON Schema."""
    text = {"type": "string"}
    entity = {"name": text, "type": {"type": "string", "enum": list(types.nodes)}}
    relation = {
        "from": text, "to": text, "type": {"type": "string", "enum": list(types.relations)}, "quote": text,
        "valid_from": {"type": ["string", "null"]}, "valid_to": {"type": ["string", "null"]},
    }  # fmt: skip

    def shape(properties: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def many(properties: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "items": shape(properties)}

    return shape({"entities": many(entity), "relations": many(relation)})


def verified(answer: str, chunk: Chunk, types: Registry) -> Kept:
    """What of a model's answer the passage itself bears out."""
    kept = Kept()
    said = _parsed(answer)
    if said is None:
        kept.dropped["no JSON"] += 1
        return kept
    known: dict[str, Named] = {}
    for one in said[0]:
        named = _name(one, chunk, types, kept)
        if named is not None:
            known[_flat(str(one["name"]))] = named
    for one in said[1]:
        _tie(one, chunk, types, known, kept)
    kept.names = [one for n, one in enumerate(kept.names) if one.key not in {other.key for other in kept.names[:n]}]
    return kept


def _parsed(answer: str) -> tuple[list[Any], list[Any]] | None:
    """The two lists; a fence of backticks around the JSON is forgiven, nothing else is."""
    body = re.sub(r"^\s*```(?:json)?\s*|\s*```\s*$", "", answer)
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    entities, relations = said.get("entities", []), said.get("relations", [])
    if not isinstance(entities, list) or not isinstance(relations, list):
        return None
    return entities, relations


def _name(one: Any, chunk: Chunk, types: Registry, kept: Kept) -> Named | None:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not isinstance(one.get("type"), str):
        kept.dropped["wrong shape"] += 1
    elif one["type"] not in types.nodes:
        kept.dropped["unknown type"] += 1
    elif not 1 < len(one["name"].strip()) <= 200 or not any(map(str.isalpha, one["name"])):
        kept.dropped["no name"] += 1
    elif len(kept.names) >= NAMES_MAX:
        kept.dropped["too many"] += 1
    elif (span := _span(one["name"], chunk.text)) is None:
        kept.dropped["not in the passage"] += 1
    else:
        start, end = span
        written = " ".join(chunk.text[start:end].split())
        key = key_of(plain(written, one["type"], chunk.language))
        found = Named(chunk.id, key, one["type"], written, chunk.start + start, chunk.start + end, _CONFIDENCE,
                      max(1, len(_spans(one["name"], chunk.text))))  # fmt: skip
        kept.names.append(found)
        return found
    return None


def _tie(one: Any, chunk: Chunk, types: Registry, known: Mapping[str, Named], kept: Kept) -> None:
    if not isinstance(one, dict) or not all(isinstance(one.get(part), str) for part in ("from", "to", "type", "quote")):
        kept.dropped["wrong shape"] += 1
        return
    a, b = known.get(_flat(one["from"])), known.get(_flat(one["to"]))
    span = _span(one["quote"], chunk.text)
    if a is None or b is None or a.key == b.key:
        kept.dropped["tie without its names"] += 1
    elif one["type"] not in types.relations:
        kept.dropped["unknown type"] += 1
    elif types.fits(one["type"], a.type, b.type) != (a.type, b.type):
        kept.dropped["type not allowed"] += 1
    elif span is None:
        kept.dropped["quotation not in the passage"] += 1
    elif not all(_span(part, chunk.text[slice(*span)]) for part in (one["from"], one["to"])):
        kept.dropped["quotation without the names"] += 1
    elif len(kept.ties) >= TIES_MAX:
        kept.dropped["too many"] += 1
    else:
        first, after = _valid(one, chunk.text, kept)
        kept.ties.append(
            Tied(chunk.id, a.key, b.key, one["type"], chunk.start + span[0], chunk.start + span[1], 1.0, _CONFIDENCE,
                 first, after)
        )  # fmt: skip


def _valid(one: Mapping[str, Any], text: str, kept: Kept) -> tuple[date | None, date | None]:
    """The days that a tie holds; a date that the passage does not have is dropped, the tie stays."""
    there = dates(text)
    found: list[date | None] = []
    for part in ("valid_from", "valid_to"):
        said = one.get(part)
        day = None
        if isinstance(said, str) and said:
            bounds_ = [(at.first, at.after) for at in there]
            day = next((low if part == "valid_from" else high for low, high in bounds_ if _same(said, low, high)), None)
            if day is None:
                kept.dropped["date not in the passage"] += 1
        found.append(day)
    first, after = found
    return (first, after) if first is None or after is None or first < after else (first, None)


def _same(said: str, low: date | None, high: date | None) -> bool:
    edges = [low.isoformat()] if low is not None else []
    if high is not None:
        edges.append(date.fromordinal(high.toordinal() - 1).isoformat())
    return any(edge.startswith(said) for edge in edges) and re.fullmatch(r"\d{4}(-\d\d){0,2}", said) is not None


def _flat(text: str) -> str:
    return _BLANKS.sub(" ", text).strip().casefold()


def _pattern(words: str) -> re.Pattern[str] | None:
    parts = [re.escape(part) for part in words.split()]
    return re.compile(r"(?<!\w)" + r"\s+".join(parts) + r"(?!\w)") if parts else None


def _spans(words: str, text: str) -> list[tuple[int, int]]:
    pattern = _pattern(words)
    return [match.span() for match in pattern.finditer(text)] if pattern is not None else []


def _span(words: str, text: str) -> tuple[int, int] | None:
    """Where these words stand, letter by letter, blanks apart; None where they do not."""
    pattern = _pattern(words)
    match = pattern.search(text) if pattern is not None else None
    return match.span() if match is not None else None
