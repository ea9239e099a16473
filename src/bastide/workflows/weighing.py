"""Weighing: what is asked of one person's word about an effect before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from bastide.errors import AlreadyDecided, BadStepResult, EditedWrongly, NotYourDecision, ProposalChanged
from bastide.store import Db, Scope, queries
from bastide.telemetry import count
from bastide.workflows.decisions import Approval, Saying, difference, digest_of
from bastide.workflows.overseeing import Row, Said, arguments_of, opened, proposal_of
from bastide.workflows.values import JsonValue

_CONSENT = queries("bastide.workflows")["consent"]


def refuse_settled(row: Row, saying: Saying, *, job_over: bool) -> None:
    """It still waits, and in time. Raises AlreadyDecided."""
    if saying == "seen":
        if row.status != "informed":
            raise AlreadyDecided("Only a notice is marked as seen, once.")
        return
    if job_over:
        raise AlreadyDecided(f"The job {row.run} has ended or was stopped; there is nothing more to decide.")
    if saying == "stopped":
        return
    if row.mode == "informed":
        raise AlreadyDecided("This is a notice of what a job does; there is nothing to decide. The job can be stopped.")
    if row.status != "pending":
        raise AlreadyDecided(f"This is {row.status.replace('_', ' ')} already.")
    if row.late:
        raise AlreadyDecided("The deadline has passed, and nothing said in time means no.")


def refuse_changed(row: Row, saying: Saying, digest: str | None) -> None:
    """`digest`, where it is named, is of what is proposed now. Raises ProposalChanged."""
    if digest is None:
        # A no needs no second look; a yes to what another person has edited does.
        if row.edited is not None and saying in {"approved", "edited"}:
            raise ProposalChanged("Another person has edited this: read it again, and send the digest of what you saw.")
    elif digest.lower() != bytes(row.agreed).hex():
        raise ProposalChanged


def refuse_forged(row: Row, found: Approval) -> None:
    """What is shown is what the digest stands for, and so what will run. Raises ProposalChanged."""
    if row.proposal is not None and digest_of(row.effect, found.arguments, found.shown) != bytes(row.agreed):
        count("approvals_forged")
        raise ProposalChanged(
            "What is kept here is not what its digest says: it was changed around this room.",
            next_step="Stop the job, and look for who writes to the database.",
        )


async def looked(db: Db, row: Row, who: str, saying: Saying) -> float | None:
    """How long this person has had it open, in seconds; None if never, which is enough for a no alone.

    Raises NotYourDecision for who is not trained as the rule asks, ProposalChanged for who has not opened it.
    """
    seen = await db.row(tuple, _CONSENT, id=row.id, who=who)
    assert seen is not None
    looked_s, untrained = seen
    if saying in {"approved", "edited", "taken_over"}:
        if untrained:
            raise NotYourDecision(f"The rule asks for training in overseeing {row.type}, and none is recorded for you.")
        if looked_s is None:
            raise ProposalChanged("You have not opened what is proposed now: read it, then decide.")
        refuse_forged(row, await opened(db, row, who))
    return cast("float | None", looked_s)


async def said_of(db: Db, row: Row, saying: Saying, reason: str, value: JsonValue) -> Said:
    """What is written of it. Raises EditedWrongly for arguments of another shape, and for what is not JSON."""
    if saying not in {"edited", "taken_over"}:
        return Said(saying, reason)
    try:
        digest = digest_of(row.effect, value, (await proposal_of(db, row)).shown)
    except BadStepResult as fault:
        raise EditedWrongly(fault.message) from fault
    if saying == "taken_over":
        return Said(saying, reason, result=value)
    if found := difference(await arguments_of(db, row), value):
        raise EditedWrongly(f"{found[0].upper()}{found[1:]}.")
    return Said(saying, reason, digest=digest, edited=value)


def refuse_restart(scope: Scope, row: Mapping[str, object]) -> None:
    """Who asked for a job does not undo an overseer's stop. Raises Forbidden or NotYourDecision."""
    scope.need("work:approve")
    if (scope.user or scope.key) == (row["user_id"] or row["key_id"]):
        raise NotYourDecision(
            "An overseer has stopped this job, and you have asked for it.", next_step="Let an overseer begin it again."
        )
