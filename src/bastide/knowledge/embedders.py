"""Embedders: which of them read the documents of a collection, and which reads a query.

Where nothing is set it is the one that inference chooses. Otherwise, a collection has the embedders that were switched
on for it, or else those that were switched on for all. A document is read by each of them. A query is read by one: the
first that knows its language and answers; where none knows it, the first that answers.
"""

from __future__ import annotations

import time
import tomllib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files

from bastide.errors import NoEmbedder, Refusal, Unavailable, WrongCapability
from bastide.inference import Embedded, Inference
from bastide.knowledge.keeping import embedder
from bastide.knowledge.reading import detect_language
from bastide.policy import Label
from bastide.store import Scope, Store, queries

_Q = queries("bastide.knowledge")
_LIST, _COVERAGE, _CHUNKS = _Q["embedders"], _Q["coverage"], _Q["chunks_by_collection"]

REMEMBERED_S = 1.0
"""So long a process may go on with what was set before."""

_TENANTS_MAX = 10_000
_KNOWN = tuple(
    (str(one["name"]), frozenset(one["languages"]))
    for one in tomllib.loads((files("bastide.knowledge") / "embedders.toml").read_text(encoding="utf-8"))["embedder"]
)


@lru_cache(maxsize=1_024)
def known_languages(model: str) -> frozenset[str]:
    """The languages that an embedder knows, by its name; none means all."""
    return next((languages for pattern, languages in _KNOWN if fnmatchcase(model.casefold(), pattern)), frozenset())


@dataclass(frozen=True, slots=True)
class Switched:
    """An embedder of a collection, or of all that name none (`collection` is None)."""

    collection: str | None
    model: str
    state: str
    languages: list[str]

    @property
    def known(self) -> frozenset[str]:
        """The languages that it knows; none means all."""
        return frozenset(self.languages) or known_languages(self.model)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far an embedder has read a collection. `state` is on, filling (new documents and no query yet), or left:
    vectors of one that is not switched on; `usual`: nothing is set, and this is the one that inference chooses."""

    collection: str
    model: str
    state: str
    usual: bool
    languages: tuple[str, ...]
    chunks: int
    of: int
    ready: bool

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Query:
    """A query as an embedder read it, if one did; `known` are that embedder's languages, none for all."""

    embedded: Embedded | None = None
    known: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


class Embedders:
    """Knows which embedders are switched on."""

    def __init__(self, store: Store, inference: Inference) -> None:
        self._store = store
        self._inference = inference
        self._remembered: OrderedDict[tuple[str, str | None], tuple[float, list[Switched]]] = OrderedDict()

    # -- what is switched on ------------------------------------------------------------------------

    async def switched(self, scope: Scope) -> list[Switched]:
        """Every row that the caller sees, in the order in which they were made; at most a second old."""
        who = scope.tenant, scope.user or scope.app
        known = self._remembered.get(who)
        if known is None or known[0] < time.monotonic():
            async with self._store.under(scope) as db:
                rows = await db.rows(Switched, _LIST)
            known = time.monotonic() + REMEMBERED_S, rows
            self._remembered[who] = known
            while len(self._remembered) > _TENANTS_MAX:
                self._remembered.popitem(last=False)
        return known[1]

    def forget(self) -> None:
        """Ask the database again: something was switched."""
        self._remembered.clear()

    async def of(self, scope: Scope, collection: str) -> tuple[str | None, ...]:
        """The embedders that read a new document of this collection; None is the one that inference chooses."""
        return tuple(one.model for one in of_collection(await self.switched(scope), collection)) or (None,)

    async def pairs(self, scope: Scope, collections: Sequence[str]) -> list[tuple[str, str]]:
        """(collection, embedder) for each that shall have read it. Raises NoEmbedder where none is set nor chosen."""
        rows = await self.switched(scope)
        found = [(name, one.model) for name in collections for one in of_collection(rows, name)]
        unset = [name for name in collections if name not in {of for of, _ in found}]
        if unset:
            usual = await embedder(self._inference, scope)
            if usual is None:
                raise NoEmbedder
            found += [(name, usual) for name in unset]
        return found

    async def usual(self, scope: Scope) -> str | None:
        """The one that inference chooses where nothing is set."""
        return await embedder(self._inference, scope)

    async def check(self, scope: Scope, model: str) -> None:
        """Raises UnknownModel or WrongCapability for what cannot embed here."""
        known = {one.name: one for one in await self._inference.models(scope)}
        if model not in known:
            await self._inference.embed(scope, ["."], label=Label.of_scope(scope), model=model)  # says what is wrong
        elif "embeddings" not in known[model].capabilities:
            raise WrongCapability(f"{model} does not embed.", model=model)

    # -- a query ------------------------------------------------------------------------------------

    async def read(
        self, scope: Scope, text: str, *, collection: str | None, strict: bool, label: Label | None = None
    ) -> Query:
        """The query, embedded by the embedder that suits its language best; with `strict` it raises where none can.

        `label` is that of a query which was made from passages.
        """
        whole = Label.of_scope(scope) if label is None else Label.of_scope(scope).join(label)
        rows = [one for one in await self.switched(scope) if one.state == "on"]
        fitting = of_collection(rows, collection) if collection is not None else rows
        order: list[tuple[str | None, frozenset[str]]] = []
        if not fitting or (collection is None and all(one.collection is not None for one in fitting)):
            usual = await embedder(self._inference, scope) if fitting else None  # of collections where nothing is set
            order.append((None, known_languages(usual or "")))
        order += dict.fromkeys((one.model, one.known) for one in fitting)
        if len(order) > 1:
            language = detect_language(text, "")
            order.sort(key=lambda one: _foreign(one[1], language))
        notes: list[str] = []
        for model, known in order:
            try:
                found = await self._inference.embed(scope, [text], label=whole, model=model, kind="query")
            except (Refusal, Unavailable) as no:
                if strict and (model, known) == order[-1]:
                    raise
                named = f" by {model}" if model else ""
                notes.append(f"The query was not embedded{named} ({no.code}): searched by words only.")
                continue
            if notes:
                notes = [note.replace("searched by words only", f"{found.model} read it") for note in notes]
            return Query(found, known or known_languages(found.model), tuple(notes))
        return Query(notes=tuple(notes))

    # -- coverage -----------------------------------------------------------------------------------

    async def coverage(self, scope: Scope) -> tuple[Coverage, ...]:
        """Each embedder of each collection with how many of its chunks it has read; what is left over, too."""
        ready = {one.name for one in await self._inference.models(scope) if "embeddings" in one.capabilities}
        usual = await embedder(self._inference, scope)
        async with self._store.under(scope) as db:
            rows = await db.rows(Switched, _LIST)
            totals: dict[str, int] = dict(await db.rows(tuple, _CHUNKS))
            read = {(name, model): n for name, model, n in await db.rows(tuple, _COVERAGE)}
        found: list[Coverage] = []
        for name in sorted(totals):
            own = of_collection(rows, name)
            if not own and usual is not None:
                own = [Switched(name, usual, "on", [])]
            set_here = {one.model for one in own}
            left = sorted(model for of, model in read if of == name and model not in set_here)
            for one in [*own, *(Switched(name, model, "left", []) for model in left)]:
                found.append(
                    Coverage(
                        collection=name,
                        model=one.model,
                        state=one.state,
                        usual=not of_collection(rows, name) and one.state == "on",
                        languages=tuple(sorted(one.known)),
                        chunks=read.get((name, one.model), 0),
                        of=totals[name],
                        ready=one.model in ready,
                    )
                )
        return tuple(found)


def of_collection(rows: Sequence[Switched], collection: str) -> list[Switched]:
    """Of these rows the collection's own, or those that are for all."""
    own = [one for one in rows if one.collection == collection]
    return own or [one for one in rows if one.collection is None]


def _foreign(known: frozenset[str], language: str) -> int:
    """0 for an embedder that knows the language, 1 for one that does not. What cannot be told suits who knows all."""
    if not known:
        return 0
    return 0 if language in known else 1
