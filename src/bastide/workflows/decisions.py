"""What persons say about an effect, and what follows from it: values and pure rules, without a clock or a database.

The oversight of an effect is the strictest of what its job type declares, what the tenant's rules ask, and what the job
itself asked for. A yes is a user's, who has opened what they say it to; `two_persons` is two distinct users who said it
to the same digest; one no is enough for no. The database holds the same rules once more (schema/0002_approvals.sql and
0004_oversight.sql), for whoever comes by another way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bastide import audit
from bastide.errors import BadStepResult
from bastide.workflows.registry import OVERSIGHT_RANK, Oversight
from bastide.workflows.values import JsonValue

Saying = Literal["approved", "edited", "refused", "taken_over", "stopped", "seen"]
"""What one person says."""

Standing = Literal[
    "pending", "approved", "refused", "taken_over", "stopped", "expired", "withdrawn", "informed", "seen"
]
"""Where an approval stands. `withdrawn`: the job ended or proposes something else; `informed`: a notice."""

Fallback = Literal["refuse", "cancel"]

_ENDING: Mapping[Saying, Standing] = {"refused": "refused", "taken_over": "taken_over", "stopped": "stopped"}

DEADLINE_S = 7 * 86_400.0
"""How long a decision is waited for when no rule says otherwise."""


@dataclass(frozen=True, slots=True)
class OversightRule:
    """What a tenant asks for the effects of a job type (`*`: of all), beyond what the type declares."""

    type: str
    effect: str = "*"
    mode: Oversight = "approve"
    persons: tuple[str, ...] = ()  # user ids; () is everybody with work:approve
    stand_ins: tuple[str, ...] = ()  # may decide too ...
    stand_in_after_s: float | None = None  # ... after so long
    deadline_s: float = DEADLINE_S
    fallback: Fallback = "refuse"  # at the deadline: no, or the whole job is cancelled
    competence: bool = False  # whether only who is recorded as trained for the type may agree

    def to_wire(self) -> dict[str, object]:
        """The rule as the wire shows it."""
        return {
            "type": self.type,
            "effect": self.effect,
            "mode": self.mode,
            "persons": list(self.persons),
            "stand_ins": list(self.stand_ins),
            "stand_in_after_s": self.stand_in_after_s,
            "deadline_s": self.deadline_s,
            "fallback": self.fallback,
            "competence": self.competence,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one person said, about what, and when."""

    who: str  # a user's id, else a key's
    verdict: Saying
    digest: str
    at: datetime | None = None
    reason: str = ""
    stand_in: bool = False

    def to_wire(self) -> dict[str, object]:
        """The verdict as the wire shows it."""
        return {
            "who": self.who,
            "verdict": self.verdict,
            "digest": self.digest,
            "at": self.at.isoformat() if self.at else None,
            "reason": self.reason or None,
            "stand_in": self.stand_in,
        }


@dataclass(frozen=True, slots=True)
class Asking:
    """Who was asked, by whose job; all that eligibility depends on."""

    mode: Oversight
    dispatcher: str | None  # the user, else the key, who asked for the job
    persons: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    stand_ins_called: bool = False  # their time has come


@dataclass(frozen=True, slots=True)
class Approval:
    """An effect that waits for a person, or of which persons are informed.

    `arguments` and `shown` are there when one approval was asked for by its id, which is recorded; a list has neither.
    """

    id: str
    job: str
    type: str
    effect: str
    mode: Oversight
    status: Standing
    digest: str  # of what is proposed now: SHA-256 of canonical JSON, in hexadecimal
    label: Mapping[str, object]
    asked_at: datetime
    deadline: datetime
    fallback: Fallback
    dispatched_by: str | None
    persons: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    stand_in_at: datetime | None = None
    decided_at: datetime | None = None
    yours: bool = False  # whether who asks may approve it now
    verdicts: tuple[Verdict, ...] = ()
    arguments: JsonValue = None  # as they would run: edited ones where somebody edited
    shown: str = ""
    edited: bool = False

    def to_wire(self) -> dict[str, object]:
        """The approval as the wire shows it."""
        return {
            "id": self.id,
            "job": self.job,
            "type": self.type,
            "effect": self.effect,
            "mode": self.mode,
            "status": self.status,
            "digest": self.digest,
            "label": dict(self.label),
            "asked_at": self.asked_at.isoformat(),
            "deadline": self.deadline.isoformat(),
            "fallback": self.fallback,
            "dispatched_by": self.dispatched_by,
            "persons": list(self.persons),
            "stand_ins": list(self.stand_ins),
            "stand_in_at": self.stand_in_at.isoformat() if self.stand_in_at else None,
            "decided_at": self.decided_at.isoformat() if self.decided_at else None,
            "yours": self.yours,
            "verdicts": [one.to_wire() for one in self.verdicts],
            "arguments": self.arguments,
            "shown": self.shown or None,
            "edited": self.edited,
        }


# -- the rules --------------------------------------------------------------------------------------


def strictest(*modes: Oversight) -> Oversight:
    """The strictest of these."""
    return max(modes, key=OVERSIGHT_RANK.__getitem__)


def digest_of(effect: str, arguments: JsonValue, shown: str) -> bytes:
    """32 bytes that stand for exactly this proposal: SHA-256 over canonical JSON (RFC 8785).

    Raises BadStepResult for arguments that are not JSON.
    """
    try:
        spelled = audit.canonical({"arguments": arguments, "effect": effect, "shown": shown})
    except (ValueError, RecursionError) as fault:
        raise BadStepResult(f"The arguments of the effect {effect} are not JSON: {fault}.") from fault
    return hashlib.sha256(spelled).digest()


def why_not_yours(asked: Asking, who: str | None, saying: Saying) -> str:
    """Why this person may not say this here, in plain words; "" when they may. That they hold work:approve is known.

    A yes is a natural person's (Regulation (EU) 2024/1689, Article 14): a key that speaks for no user cannot say it. A
    no may come from whoever was asked, the dispatcher included, for the safe way stays open. A yes may not come from
    who dispatched the job; except where one approval is asked and they are the only person that the rule names, for
    then the tenant has decided so. Anybody who oversees may stop.
    """
    if who is None:
        return "Nobody is acting: a decision needs a user or a key."
    why = "" if saying in {"stopped", "seen"} else _not_asked(asked, who)
    if why or saying in {"stopped", "seen", "refused"}:
        return why
    if who.startswith("key_"):
        return "A person must agree, and a key is no person: send X-User-ID, or use a user's key."
    if who == asked.dispatcher and (asked.mode == "two_persons" or asked.persons != (who,)):
        return "You have dispatched this job, so another person must agree to what it does."
    return ""


def _not_asked(asked: Asking, who: str) -> str:
    if not asked.persons or who in asked.persons:
        return ""
    if who not in asked.stand_ins:
        return "The rule names other persons for this."
    return "" if asked.stand_ins_called else "You stand in for them, and it is not your turn yet."


def told(facts: Mapping[str, object]) -> str:
    """What a line of a run's time line says of an approval, in plain words."""
    id, status = facts.get("approval"), str(facts.get("status", "")).replace("_", " ")
    if "effect" in facts:
        what = "Persons are informed" if facts.get("mode") == "informed" else "A person was asked"
        return f"{what} about the effect {facts['effect']}: {id}."
    if "verdict" in facts:
        return f"A person said {str(facts['verdict']).replace('_', ' ')} to {id}; it is {status}."
    return f"{id}: {status}."


def said_already(verdicts: Iterable[Verdict], who: str, saying: Saying, digest: str) -> bool:
    """Whether this person has said yes to this very proposal before. A no may still follow one's own yes."""
    return saying == "approved" and any(
        one.who == who and one.digest == digest and one.verdict in {"approved", "edited"} for one in verdicts
    )


def fold(mode: Oversight, digest: str, verdicts: Sequence[Verdict]) -> tuple[Standing, str]:
    """What these verdicts, in their order, come to: where it stands, and the digest of what may run.

    An edit is a new proposal with the editor's yes: what others said of the old one no longer counts.
    """
    needed = 2 if mode == "two_persons" else 1
    agreed, backers = digest, set[tuple[str, str]]()
    for one in verdicts:
        if one.verdict in _ENDING:
            return _ENDING[one.verdict], agreed
        if one.verdict == "edited":
            agreed = one.digest
        if one.verdict in {"approved", "edited"}:
            backers.add((one.digest, one.who))
        if sum(of == agreed for of, _ in backers) >= needed:
            return "approved", agreed
    return "pending", agreed


def difference(before: JsonValue, after: JsonValue, place: str = "") -> str:
    """How edited arguments differ in shape from those proposed, in plain words; "" when they have the same.

    The same keys and the same kinds of value; a list may become longer or shorter, a null may become anything.
    """
    where, kind = place or "the arguments", _kind(before)
    if before is None or kind != _kind(after):
        return "" if before is None else f"{where} must be {kind}, not {_kind(after)}"
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        missing, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
        if missing or new:
            return f"{where} must have {missing[0]!r}" if missing else f"{where} must not have {new[0]!r}"
        found = (difference(before[name], after[name], f"{place}.{name}".lstrip(".")) for name in before)
        return next((one for one in found if one), "")
    if isinstance(before, list | tuple) and isinstance(after, list | tuple) and before:
        kinds = {_kind(one) for one in before}
        strays = (n for n, one in enumerate(after) if _kind(one) not in kinds and "null" not in kinds)
        stray = next(strays, None)
        return "" if stray is None else f"{where}[{stray}] must be {' or '.join(sorted(kinds))}"
    return ""


def _kind(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "null" if value is None else "a list"
