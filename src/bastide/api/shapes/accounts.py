"""Accounts on the wire: budgets, rates, departments, and what was used."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bastide.api.shapes.ground import Asked, Said
from bastide.api.shapes.work import example

Whose = Literal["tenant", "department", "app", "user", "key", "model"]
Grouped = Literal["app", "user", "department", "model", "endpoint", "outcome", "day", "hour", "all"]
_SUBJECT = "The id of an app, user or key, the name of a department or model; `*` each; nothing for the tenant."


class NewBudget(Asked):
    """Money or tokens of a period."""

    model_config = example(scope="user", subject="*", period="month", eur=20.0, contact="finance@example.org")
    scope: Whose
    subject: str = Field("", max_length=200, description=_SUBJECT)
    period: Literal["day", "month", "total"] = Field("month", description="In UTC.")
    eur: float | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    hard: bool = Field(True, description="False: it only warns.")
    contact: str = Field("", max_length=200, description="Whom to ask when it is spent.")


class Budget(Said):
    """A budget, and what was spent of it; of one for each, the most that any of them has spent."""

    id: str
    scope: str
    subject: str
    period: str
    eur: float | None
    tokens: int | None
    hard: bool
    spent_eur: float
    spent_tokens: int
    share: float = Field(description="How much of it is spent: 1 is all.")
    renews_at: str | None


class NewRate(Asked):
    """Requests or tokens of a minute."""

    model_config = example(scope="app", subject="*", requests=60)
    scope: Whose
    subject: str = Field("", max_length=200, description=_SUBJECT)
    requests: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1)


class Rate(Said):
    """A rate."""

    id: str
    scope: str
    subject: str
    requests: int | None
    tokens: int | None


class Department(Asked):
    """Of which department an app or a user is."""

    model_config = example(kind="app", subject="app_06ar2k8m1v6t7c9d0e1f2g3h4j", name="Legal")
    kind: Literal["app", "user"]
    subject: str = Field(max_length=200)
    name: str = Field("", max_length=200, description="Empty: of none.")


class NewKeeping(Asked):
    """Answers of a model or a route are kept and given again."""

    model_config = example(model="assistant", ttl_s=3600)
    model: str = Field(max_length=200, description="A model or a route; `*` all.")
    ttl_s: int = Field(3600, ge=1, le=86_400)
    forced: bool = Field(False, description="Also where a request leaves its answer to chance.")
    likeness: float | None = Field(
        None, ge=0.5, le=1, description="Give the answer to an earlier question that is so alike; null: the very same."
    )


class Keeping(Said):
    """For which model answers are kept."""

    model: str
    ttl_s: int
    forced: bool


class WhichUsage(Asked):
    """Of which time, by what."""

    by: Grouped = "model"
    since: datetime | None = Field(None, description="With a zone; thirty days ago if not given.")
    until: datetime | None = None


class WhoseUsage(Asked):
    """A person who is to be forgotten."""

    model_config = example(user="usr_06ar2k8m1v6t7c9d0e1f2g3h4j")
    user: str = Field(min_length=1, max_length=200, description="The user's id, as usage names him.")


class Usage(Said):
    """What was used, by name; `unconverted` euros were told in another currency and counted 1:1."""

    usage: list[dict[str, object]]
