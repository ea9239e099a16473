"""The rows of oversight: an approval is asked for, read, and takes what persons say, in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from bastide.store import Db, Scope, new_id, queries
from bastide.workflows.decisions import (
    Approval,
    Asking,
    Fallback,
    Saying,
    Standing,
    Verdict,
    digest_of,
    fold,
    said_already,
    why_not_yours,
)
from bastide.workflows.ending import note
from bastide.workflows.registry import Oversight
from bastide.workflows.values import JsonValue

_Q = queries("bastide.workflows")
_ASK, _LATEST, _VERDICTS = _Q["ask_approval"], _Q["latest_approval"], _Q["verdicts"]
_FORGET, _FORGET_REASONS, _FORGET_DIGESTS = _Q["forget_approvals"], _Q["forget_reasons"], _Q["forget_digests"]
_ADD_VERDICT, _SETTLE, _CLOSE = _Q["add_verdict"], _Q["settle_approval"], _Q["close_approval"]


@dataclass(frozen=True, slots=True)
class Row:
    """An approval as the database holds it."""

    id: str
    run: str
    effect: str
    type: str
    mode: Oversight
    status: Standing
    digest: bytes  # of what was proposed
    agreed: bytes  # of what it has become
    proposal: bytes | None  # None once it was erased
    edited: bytes | None
    result: bytes | None
    label: Mapping[str, object]
    dispatcher: str | None
    persons: Sequence[str]
    stand_ins: Sequence[str]
    stand_in_at: datetime | None
    deadline: datetime
    fallback: Fallback
    asked_at: datetime
    decided_at: datetime | None
    late: bool
    their_turn: bool  # of the stand-ins
    retried: bool

    @property
    def waits_for(self) -> str:
        """What the run waits for meanwhile."""
        return f"approval {self.id}"

    @property
    def asking(self) -> Asking:
        """Who was asked."""
        return Asking(self.mode, self.dispatcher, tuple(self.persons), tuple(self.stand_ins), self.their_turn)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a person decides about, opened."""

    arguments: JsonValue
    shown: str


def decider(scope: Scope) -> str | None:
    """Who decides: the user, else the key."""
    return scope.user or scope.key


# -- asking -----------------------------------------------------------------------------------------


async def ask(db: Db, run: str, effect: str, mode: Oversight, proposal: Proposal) -> tuple[str, datetime]:
    """Ask persons about an effect, or give them notice of it; the approval's id and deadline. The caller holds the run.

    Raises BadStepResult for arguments that are not JSON.
    """
    id, digest = new_id("apr"), digest_of(effect, proposal.arguments, proposal.shown)
    packed = json.dumps([proposal.arguments, proposal.shown], ensure_ascii=False).encode()
    sealed = await db.seal(packed, about=_about(id, "proposal"))
    deadline = await db.value(_ASK, id=id, run=run, effect=effect, mode=mode, digest=digest, proposal=sealed)
    await note(db, run, "approval", {"approval": id, "effect": effect, "mode": mode})
    return id, deadline


async def latest(db: Db, run: str, effect: str) -> Row | None:
    """The approval that was asked for last for this effect of this run."""
    return await db.row(Row, _LATEST, run=run, effect=effect)


async def withdraw(db: Db, row: Row) -> None:
    """The job proposes something else now."""
    await db.run(_CLOSE, id=row.id, status="withdrawn")


# -- reading ----------------------------------------------------------------------------------------


async def proposal_of(db: Db, row: Row) -> Proposal:
    """What was proposed."""
    if row.proposal is None:
        return Proposal(None, "What was proposed has been deleted.")
    arguments, shown = json.loads(await db.unseal(row.proposal, about=_about(row.id, "proposal")))
    return Proposal(arguments, shown)


async def arguments_of(db: Db, row: Row) -> JsonValue:
    """The arguments as they would run: edited ones where somebody edited."""
    if row.edited is None:
        return (await proposal_of(db, row)).arguments
    return cast(JsonValue, json.loads(await db.unseal(row.edited, about=_about(row.id, "edited"))))


async def result_of(db: Db, row: Row) -> JsonValue:
    """What the person gave who took the effect over."""
    assert row.result is not None, "it was taken over"
    return cast(JsonValue, json.loads(await db.unseal(row.result, about=_about(row.id, "result"))))


async def verdicts_of(db: Db, ids: Sequence[str]) -> dict[str, list[Verdict]]:
    """What was said about each of these approvals, in order."""
    said: dict[str, list[Verdict]] = {id: [] for id in ids}
    for approval, who, verdict, digest, at, reason, stand_in in await db.rows(tuple, _VERDICTS, approvals=list(ids)):
        why = (await db.unseal(reason, about=_about(approval, "reason"))).decode() if reason else ""
        said[approval].append(Verdict(who, verdict, bytes(digest).hex(), at, why, stand_in))
    return said


def may_approve(row: Row, verdicts: Sequence[Verdict], who: str | None) -> bool:
    """Whether this person could say yes now."""
    return (
        row.status == "pending"
        and not row.late
        and not why_not_yours(row.asking, who, "approved")
        and not said_already(verdicts, who or "", "approved", bytes(row.agreed).hex())
    )


def shown_as(row: Row, verdicts: Sequence[Verdict], who: str | None) -> Approval:
    """The approval as a list shows it: without what is proposed."""
    return Approval(
        id=row.id,
        job=row.run,
        type=row.type,
        effect=row.effect,
        mode=row.mode,
        status=row.status,
        digest=bytes(row.agreed).hex(),
        label=row.label,
        asked_at=row.asked_at,
        deadline=row.deadline,
        fallback=row.fallback,
        dispatched_by=row.dispatcher,
        persons=tuple(row.persons),
        stand_ins=tuple(row.stand_ins),
        stand_in_at=row.stand_in_at,
        decided_at=row.decided_at,
        yours=may_approve(row, verdicts, who),
        verdicts=tuple(verdicts),
        edited=row.edited is not None,
    )


async def opened(db: Db, row: Row, who: str | None) -> Approval:
    """The approval with what is proposed, and where nobody has erased it, with what is shown."""
    verdicts = (await verdicts_of(db, [row.id]))[row.id]
    arguments = await arguments_of(db, row)
    return replace(shown_as(row, verdicts, who), arguments=arguments, shown=(await proposal_of(db, row)).shown)


async def forget(db: Db, runs: Sequence[str]) -> None:
    """What was proposed, given and said in these runs, which have ended, goes; that somebody decided stays."""
    for query in (_FORGET, _FORGET_REASONS, _FORGET_DIGESTS):
        await db.run(query, runs=list(runs))


# -- deciding ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """What one person says now, with what belongs to it."""

    saying: Saying
    reason: str = ""
    digest: bytes | None = None  # of edited arguments
    edited: JsonValue = None
    result: JsonValue = None


async def take(db: Db, row: Row, verdicts: Sequence[Verdict], who: str, said: Said) -> Standing:
    """Write what this person says, and where the approval then stands."""
    digest = said.digest or bytes(row.agreed)
    stand_in = bool(row.persons) and who not in row.persons and who in row.stand_ins
    await db.run(
        _ADD_VERDICT,
        approval=row.id,
        who=who,
        verdict=said.saying,
        digest=digest,
        reason=await db.seal(said.reason.encode(), about=_about(row.id, "reason")) if said.reason else None,
        stand_in=stand_in,
    )
    now = [*verdicts, Verdict(who, said.saying, digest.hex(), stand_in=stand_in)]
    standing, agreed = fold(row.mode, bytes(row.digest).hex(), now)
    if row.mode == "informed":
        standing = said.saying if said.saying == "seen" else row.status
    await db.run(
        _SETTLE,
        id=row.id,
        status=standing,
        agreed=bytes.fromhex(agreed),
        edited=await _sealed(db, row.id, "edited", said.edited) if said.saying == "edited" else None,
        result=await _sealed(db, row.id, "result", said.result) if said.saying == "taken_over" else None,
    )
    await note(db, row.run, "approval", {"approval": row.id, "verdict": said.saying, "status": standing})
    return standing


async def _sealed(db: Db, id: str, what: str, value: JsonValue) -> bytes:
    return await db.seal(json.dumps(value, ensure_ascii=False).encode(), about=_about(id, what))


def _about(id: str, what: str) -> str:
    return f"workflows.approval|{id}|{what}"
