"""Handed over: what of a batch lies at a provider's own batches, as the database knows it.

    planned     nothing is there                   creating    a batch of it may be there
    uploading   its file may be there              running     its batch is there, by its id
    uploaded    its file is there, by its id       doomed      nobody waits for it: what is there is to be deleted

What may be there is written before it is asked for, so that whoever goes on after a crash looks before he asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bastide.errors import UnknownBatch
from bastide.inference.accounts import Account
from bastide.inference.gateway import Said
from bastide.inference.values import Model
from bastide.policy import Label, Price
from bastide.store import Db, Json, queries

_Q = queries("bastide.inference")
_ADD, _OF_BATCH, _DOOMED = _Q["add_handed"], _Q["handed_of_batch"], _Q["handed_doomed"]
_NOTE, _FILL, _DOOM, _DROP = _Q["note_handed"], _Q["fill_handed"], _Q["doom_handed"], _Q["drop_handed"]
_HAS, _BATCHES = _Q["has_handed"], _Q["batches_handed"]

_NOTED = (
    "id",
    "state",
    "upstream_file",
    "upstream_batch",
    "upstream_output",
    "upstream_errors",
    "looks",
    "tries",
    "problem",
    "wait_s",
)


@dataclass(frozen=True, slots=True)
class Known:
    """A decision as the receipts of the lines that were handed over under it tell it."""

    decision: dict[str, Any]
    label: dict[str, Any]
    endpoint: dict[str, Any]
    assurance: str
    subjects: list[str]

    @classmethod
    def of(cls, said: Said) -> Known:
        """That of a decision."""
        told = dict(said.decision), dict(said.label), dict(said.endpoint)
        return cls(*told, said.assurance, list(said.subjects))

    def kept(self) -> dict[str, Any]:
        """As the database keeps it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Handed:
    """A file of calls that is, was or will be worked through at a provider.

    `lines` are the numbers of its lines in our file, `of_label` stands beside them: which of `labels` each has. `said`
    stands beside the labels, once it is handed over. `asked_s` is how long ago it was asked for what may be there,
    `wait_s` how long it is to be left alone.
    """

    id: str
    batch: str
    model: Model
    wire: str
    key: str | None = field(repr=False)
    lines: tuple[int, ...]
    of_label: tuple[int, ...]
    labels: tuple[Label, ...]
    account: Account
    price: Price
    state: str = "planned"
    said: tuple[Known, ...] = ()
    upstream_file: str | None = None
    upstream_batch: str | None = None
    upstream_output: str | None = None
    upstream_errors: str | None = None
    handed_at: datetime | None = None
    looks: int = 0
    tries: int = 0
    problem: str = ""
    asked_s: float = 0.0
    wait_s: float = 0.0

    @property
    def file_name(self) -> str:
        """What its file is called there: by this it is found again."""
        return f"{self.id}.jsonl"

    def known(self, place: int) -> Known:
        """The decision under which the line at this place was handed over."""
        return self.said[self.of_label[place]]


async def add(db: Db, one: Handed) -> None:
    """Plan to hand this over, in this transaction."""
    model = one.model
    await db.run(
        _ADD,
        id=one.id,
        batch=one.batch,
        model=model.name,
        kind=model.kind,
        url=model.url,
        record=model.record,
        upstream=model.upstream,
        local=model.local,
        wire=one.wire,
        sealed_key=None if one.key is None else await db.seal(one.key.encode(), about=_about(one.id)),
        lines=list(one.lines),
        of_label=list(one.of_label),
        labels=Json([label.to_wire() for label in one.labels]),
        account=Json(one.account.kept()),
        price=Json({"input": one.price.input, "output": one.price.output, "currency": one.price.currency}),
    )


async def of_batch(db: Db, batch: str) -> list[Handed]:
    """What of a batch is handed over and waited for."""
    return [await _handed(db, row) for row in await db.rows(dict, _OF_BATCH, batch=batch)]


async def doomed(db: Db, *, id: str | None = None) -> list[Handed]:
    """What nobody waits for: this one, or the first hundred."""
    return [await _handed(db, row) for row in await db.rows(dict, _DOOMED, id=id)]


async def batches(db: Db) -> list[str]:
    """The batches of which anything is handed over and waited for."""
    return [batch for (batch,) in await db.rows(tuple, _BATCHES)]


async def has(db: Db, batch: str) -> bool:
    """Whether anything of this batch is handed over and waited for."""
    return bool(await db.value(_HAS, batch=batch))


async def note(db: Db, one: Handed, *, asks: bool = False, doomed: bool = False) -> Handed:
    """Keep how far it is; `asks`: what may be there is asked for next. Raises UnknownBatch where it was doomed."""
    values: dict[str, Any] = {name: getattr(one, name) for name in _NOTED}
    if await db.value(_NOTE, **values, asks=asks, doomed=doomed) is None:
        raise UnknownBatch("The batch was withdrawn while it was worked on.")
    return one


async def fill(db: Db, one: Handed) -> None:
    """Keep which lines it has now, and under which decisions they go."""
    said = Json([known.kept() for known in one.said]) if one.said else None
    await db.run(_FILL, id=one.id, lines=list(one.lines), of_label=list(one.of_label), said=said)


async def doom(db: Db, *, id: str = "", batches: Sequence[str] = ()) -> None:
    """Nobody waits for this any more, or for what of these batches is handed over."""
    await db.run(_DOOM, id=id, batches=list(batches))


async def drop(db: Db, id: str) -> None:
    """Nothing of it is at the provider any more."""
    await db.run(_DROP, id=id)


async def _handed(db: Db, row: dict[str, Any]) -> Handed:
    sealed, id = row.pop("sealed_key"), row["id"]
    names = ("kind", "record", "url", "upstream", "local")
    model = Model(row.pop("model"), capabilities=("batch",), **{name: row.pop(name) for name in names})
    return Handed(
        **{
            **row,
            "model": model,
            "key": None if sealed is None else (await db.unseal(sealed, about=_about(id))).decode(),
            "lines": tuple(row["lines"]),
            "of_label": tuple(row["of_label"]),
            "labels": tuple(Label.from_wire(one) for one in row["labels"]),
            "said": tuple(Known(**one) for one in row["said"] or ()),
            "account": Account.from_kept(row["account"]),
            "price": Price(**row["price"]),
        }
    )


def _about(id: str) -> str:
    return f"inference.handed|{id}|key"
