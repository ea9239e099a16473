"""Human oversight on the wire: what waits for a person, what persons say, and which oversight effects need."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from bastide.api.shapes.ground import Asked, LabelWire, Said
from bastide.api.shapes.work import JOB_EXAMPLE, example
from bastide.workflows import HASTY_S

APPROVAL_EXAMPLE = "apr_06ar2k8m1v6t7c9d0e1f2g3h4j"
DIGEST_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

Mode = Literal["none", "informed", "approve", "two_persons"]
Standing = Literal[
    "pending", "approved", "refused", "taken_over", "stopped", "expired", "withdrawn", "informed", "seen"
]


class Approval(Said):
    """An effect that waits for a person, or of which persons are informed."""

    id: str = Field(examples=[APPROVAL_EXAMPLE])
    job: str = Field(examples=[JOB_EXAMPLE])
    type: str
    effect: str
    mode: Mode
    status: Standing
    digest: str = Field(description="Of what is proposed now; a decision names it.", examples=[DIGEST_EXAMPLE])
    label: LabelWire
    asked_at: str
    deadline: str
    fallback: str
    persons: list[str] = Field(description="Who may decide; empty: everybody who oversees work.")
    stand_ins: list[str]
    yours: bool = Field(description="Whether the caller may approve it now.")
    verdicts: list[dict[str, Any]]
    arguments: Any = Field(description="What would run; only where one approval was asked for by its id.")
    shown: str | None = Field(description="What a person must see.")


class WhichApprovals(Asked):
    """A page of the approvals, without what is proposed."""

    status: Standing | None = Field(None, description="In this state only.")
    cursor: str | None = Field(None, max_length=512, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="How many at most.")


class Approve(Asked):
    """A yes to what was seen."""

    model_config = example(digest=DIGEST_EXAMPLE, reason="The recipient is right.")
    digest: str = Field(max_length=64, description="Of what was seen; should it have changed, nothing is approved.")
    reason: str = Field("", max_length=2000)


class Refuse(Asked):
    """A no. The effect does not happen, and the job is told why."""

    model_config = example(reason="The recipient is wrong.", digest=DIGEST_EXAMPLE)
    reason: str = Field("", max_length=2000)
    digest: str | None = Field(None, max_length=64, description="Of what was seen; a no stands without it.")


class Edit(Asked):
    """Other arguments, and a yes to those."""

    model_config = example(digest=DIGEST_EXAMPLE, arguments={"to": "ada@example.org"}, reason="The new address.")
    digest: str = Field(max_length=64, description="Of what was seen.")
    arguments: Any
    reason: str = Field("", max_length=2000)


class TakeOver(Asked):
    """A person has done it instead, and says what came of it; the job goes on with that."""

    model_config = example(digest=DIGEST_EXAMPLE, result={"sent": True}, reason="I have telephoned.")
    digest: str = Field(max_length=64, description="Of what was seen.")
    result: Any
    reason: str = Field("", max_length=2000)


class Stop(Asked):
    """Stop the whole job that asks."""

    model_config = example(reason="Nothing of this should happen.")
    reason: str = Field("", max_length=2000)


class See(Asked):
    """That a notice was seen."""

    model_config = example(reason="")
    reason: str = Field("", max_length=2000)


class Rule(Asked):
    """Which oversight an effect of a job type needs here; it can only be stricter than the type's own."""

    model_config = example(type="knowledge.erase", mode="two_persons", deadline_s=86400, fallback="refuse")
    type: str = Field(min_length=1, max_length=200, description="A job type, or `*`.")
    effect: str = Field("*", min_length=1, max_length=200)
    mode: Mode = "approve"
    persons: list[str] = Field(default_factory=list, max_length=100, description="Users; empty: all who oversee work.")
    stand_ins: list[str] = Field(default_factory=list, max_length=100)
    stand_in_after_s: float | None = Field(None, ge=0, le=366 * 86400)
    deadline_s: float = Field(7 * 86400.0, gt=0, le=366 * 86400)
    fallback: Literal["refuse", "cancel"] = Field("refuse", description="When nobody decides in time.")
    competence: bool = Field(False, description="Whether only who is recorded as trained for the type may say yes.")


class RuleSaid(Said):
    """The rule as it is now."""

    type: str
    effect: str
    mode: Mode
    persons: list[str]
    stand_ins: list[str]
    stand_in_after_s: float | None
    deadline_s: float
    fallback: str
    competence: bool


class WhichRule(Asked):
    """One rule."""

    model_config = example(type="knowledge.erase", effect="*")
    type: str = Field(min_length=1, max_length=200)
    effect: str = Field("*", min_length=1, max_length=200)


class RuleGone(Said):
    """The rule holds no longer."""

    type: str
    effect: str
    removed: bool = True


class WhichHabits(Asked):
    """Since when, and how soon is too soon."""

    hasty_s: float = Field(HASTY_S, gt=0, description="A yes sooner after opening than this counts as hasty.")
    days: int = Field(30, ge=1, le=3660)


class WhichTraining(Asked):
    """Whose training for what."""

    model_config = example(user="claire@example.org", type="knowledge.erase")
    user: str = Field(max_length=400, description="Id or e-mail.")
    type: str = Field("*", max_length=200, description="A job type; * for all.")


class Training(WhichTraining):
    """That a person was trained to oversee a job type, until when, and what shows it."""

    model_config = example(
        user="claire@example.org", type="knowledge.erase", until="2027-11-21T00:00:00Z", evidence="Course of 3 March."
    )
    until: datetime
    evidence: str = Field(max_length=2000, description="What the training was, and who gave it.")


class Trained(Said):
    """A record of training."""

    user: str
    type: str
    until: str
    evidence: str
    recorded_by: str | None
    recorded_at: str | None
    holds: bool = Field(description="Whether it has not run out.")


class TrainingGone(Said):
    """It holds no longer."""

    user: str
    type: str
    removed: bool
