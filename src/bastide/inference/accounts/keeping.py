"""Keeping accounts: budgets, rates and departments are set here, and usage is read; each change is in the log."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bastide.audit import Audit, JsonValue
from bastide.errors import BadBudget, UnknownBudget
from bastide.inference.accounts.accounts import Accounts
from bastide.inference.accounts.reserving import Reserving
from bastide.inference.accounts.values import EACH, GROUPS, PERIODS, SCOPES, Budget, Department, Keeps, Rate, Used
from bastide.store import Scope, Store, new_id, queries

MANAGE: Final = "budget:manage"
_Q: Final = queries("bastide.inference")
_BUDGETS, _RATES, _DEPARTMENTS = _Q["budgets"], _Q["rates"], _Q["departments"]
_SET_BUDGET, _REMOVE_BUDGET = _Q["set_budget"], _Q["remove_budget"]
_SET_RATE, _REMOVE_RATE = _Q["set_rate"], _Q["remove_rate"]
_SET_DEPARTMENT, _CLEAR_DEPARTMENT = _Q["set_department"], _Q["clear_department"]
_KEEPS, _SET_KEEPS = _Q["keeps"], _Q["set_keeps"]
_EMPTY_KEEPS, _REMOVE_KEEPS = _Q["empty_keeps"], _Q["remove_keeps"]
_USAGE, _NAMELESS = _Q["usage"], _Q["nameless_usage"]
_FORGETS: Final = (
    _Q["forget_usage"],
    _Q["forget_pots"],
    _Q["forget_buckets"],
    _Q["forget_budgets"],
    _Q["forget_rates"],
    _Q["forget_handed"],
)
_MARKS: Final = {"app": "app_", "user": "usr_", "key": "key_"}
_WORD: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TOKENS_MAX: Final = 10**15
_EUR_MAX: Final = 1e12


class Keeping:
    """What a person asks of the accounts."""

    def __init__(
        self, store: Store, audit: Audit, accounts: Accounts, *, forget: Callable[[str], None] = lambda tenant: None
    ) -> None:
        """`forget` throws away the answers of a tenant that this process keeps."""
        self._forget = forget
        self._store = store
        self._audit = audit
        self._accounts = accounts
        self.reserving = Reserving(accounts)

    def near(self) -> int:
        """How many budgets that this process knows are spent to four fifths or more."""
        return self._accounts.near()

    # -- budgets ------------------------------------------------------------------------------------

    async def budgets(self, scope: Scope) -> list[Budget]:
        """The tenant's budgets, each with what was spent of it."""
        scope.need(MANAGE)
        await self._accounts.write(scope)
        async with self._store.under(scope) as db:
            return await db.rows(Budget, _BUDGETS)

    async def set_budget(
        self,
        scope: Scope,
        *,
        of: str,
        subject: str = "",
        period: str = "month",
        eur: float | None = None,
        tokens: int | None = None,
        hard: bool = True,
        contact: str = "",
    ) -> Budget:
        """A budget from now on; it takes the place of that of the same scope, subject and period. Raises BadBudget.

        It counts what is used after it was first set.
        """
        scope.need(MANAGE)
        subject = _subject(of, subject)
        if period not in PERIODS:
            raise BadBudget(f"A period is one of {', '.join(PERIODS)}.", field="period")
        if eur is None and tokens is None:
            raise BadBudget("A budget limits euros, tokens, or both.", field="eur")
        if eur is not None and not 0 <= eur <= _EUR_MAX:
            raise BadBudget("A limit in euros is at least 0.", field="eur")
        if tokens is not None and not 0 <= tokens <= _TOKENS_MAX:
            raise BadBudget("A limit in tokens is at least 0.", field="tokens")
        if contact and not _WORD.fullmatch(contact):
            raise BadBudget("Whom to ask is one line of at most 200 characters.", field="contact")
        limits = {"period": period, "eur": eur, "tokens": tokens, "hard": hard}
        values = {"scope": of, "subject": subject, **limits, "contact": contact, "made_by": scope.user or scope.key}
        async with self._store.under(scope) as db:
            kept = await db.value(_SET_BUDGET, id=new_id("bud"), **values)
            details: dict[str, JsonValue] = {"scope": of, "subject": subject, **limits}
            await self._audit.record(db, "budget.set", resource=kept, subjects=_person(of, subject), details=details)
            found = [one for one in await db.rows(Budget, _BUDGETS) if one.id == kept]
        self._accounts.forget(scope.tenant)
        return found[0]

    async def remove_budget(self, scope: Scope, budget: str) -> None:
        """It bounds nothing any more, and what was spent of it is forgotten. Raises UnknownBudget."""
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            if not await db.run(_REMOVE_BUDGET, id=_plain(budget)):
                raise UnknownBudget
            await self._audit.record(db, "budget.remove", resource=budget)
        self._accounts.forget(scope.tenant)

    # -- rates --------------------------------------------------------------------------------------

    async def rates(self, scope: Scope) -> list[Rate]:
        """The tenant's rates."""
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            return await db.rows(Rate, _RATES)

    async def set_rate(
        self, scope: Scope, *, of: str, subject: str = "", requests: int | None = None, tokens: int | None = None
    ) -> Rate:
        """A rate from now on, in the place of that of the same scope and subject. Raises BadBudget."""
        scope.need(MANAGE)
        subject = _subject(of, subject)
        if requests is None and tokens is None:
            raise BadBudget("A rate limits requests or tokens of a minute, or both.", field="requests")
        if requests is not None and not 0 < requests <= 10_000_000:
            raise BadBudget("Requests of a minute are from 1 to 10,000,000.", field="requests")
        if tokens is not None and not 0 < tokens <= _TOKENS_MAX:
            raise BadBudget("Tokens of a minute are at least 1.", field="tokens")
        values = {"scope": of, "subject": subject, "requests": requests, "tokens": tokens}
        async with self._store.under(scope) as db:
            kept = await db.value(_SET_RATE, id=new_id("rat"), **values, made_by=scope.user or scope.key)
            await self._audit.record(db, "rate.set", resource=kept, subjects=_person(of, subject), details=values)
            found = [one for one in await db.rows(Rate, _RATES) if one.id == kept]
        self._accounts.forget(scope.tenant)
        return found[0]

    async def remove_rate(self, scope: Scope, rate: str) -> None:
        """It bounds nothing any more. Raises UnknownBudget."""
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            if not await db.run(_REMOVE_RATE, id=_plain(rate)):
                raise UnknownBudget("There is no such rate.")
            await self._audit.record(db, "rate.remove", resource=rate)
        self._accounts.forget(scope.tenant)

    # -- departments --------------------------------------------------------------------------------

    async def departments(self, scope: Scope) -> list[Department]:
        """Which apps and users are of which department."""
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            return await db.rows(Department, _DEPARTMENTS)

    async def set_department(self, scope: Scope, *, kind: str, subject: str, name: str) -> Department:
        """Of which department an app or a user is; an empty name is none. An app's word goes before its user's."""
        scope.need(MANAGE)
        if kind not in {"app", "user"} or not _WORD.fullmatch(subject):
            raise BadBudget("An app or a user belongs to a department, named by its id.", field="subject")
        if name:
            _known_by_id(kind, subject)
        if name and not _WORD.fullmatch(name):
            raise BadBudget("A department is a word of at most 200 characters.", field="name")
        details: dict[str, JsonValue] = {"kind": kind, "subject": subject, "name": name}
        async with self._store.under(scope) as db:
            if name:
                await db.run(_SET_DEPARTMENT, kind=kind, subject=subject, name=name)
            else:
                await db.run(_CLEAR_DEPARTMENT, kind=kind, subject=subject)
            await self._audit.record(
                db, "department.set", resource=name, subjects=_person(kind, subject), details=details
            )
        self._accounts.forget(scope.tenant)
        return Department(kind, subject, name)

    # -- kept answers -------------------------------------------------------------------------------

    async def kept_answers(self, scope: Scope) -> list[Keeps]:
        """For which models answers are kept."""
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            return await db.rows(Keeps, _KEEPS)

    async def keep_answers(
        self, scope: Scope, model: str, *, ttl_s: int = 3600, forced: bool = False, likeness: float | None = None
    ) -> None:
        """Have answers of a model or route, or of all (`*`), kept and given again; those kept so far are dropped."""
        scope.need(MANAGE)
        if not _WORD.fullmatch(model):
            raise BadBudget("Say of which model or route, or `*`.", field="model")
        if not 1 <= ttl_s <= 86_400:
            raise BadBudget("Answers are kept from 1 to 86,400 seconds.", field="ttl_s")
        if likeness is not None and not 0.5 <= likeness <= 1:
            raise BadBudget("How alike questions must be is from 0.5 to 1.", field="likeness")
        values: dict[str, JsonValue] = {"model": model, "ttl_s": ttl_s, "forced": forced, "likeness": likeness}
        async with self._store.under(scope) as db:
            await db.run(_SET_KEEPS, **values, made_by=scope.user or scope.key)
            await self._audit.record(db, "answers.keep", resource=model, details=values)
        self._dropped(scope.tenant)

    async def drop_answers(self, scope: Scope, model: str) -> None:
        """Answers of this model are kept no more. Raises UnknownBudget."""
        scope.need(MANAGE)
        async with self._store.under(scope) as db:
            if not await db.run(_REMOVE_KEEPS, model=_plain(model)):
                raise UnknownBudget("No answers of this model are kept.", next_step="List for which they are.")
            await self._audit.record(db, "answers.drop", resource=model)
        self._dropped(scope.tenant)

    def _dropped(self, tenant: str) -> None:
        self._forget(tenant)
        self._accounts.forget(tenant)

    # -- usage --------------------------------------------------------------------------------------

    async def usage(
        self,
        scope: Scope,
        *,
        by: str = "model",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Used]:
        """What was used, by hour at the finest: the tenant's for whoever keeps budgets, else one's own.

        Without `since` it is that of the last thirty days. What this process has used is in it; what others have used
        in the last second may not be. Raises BadBudget.
        """
        scope.need("model:use")
        if by not in GROUPS:
            raise BadBudget(f"Usage is grouped by one of {', '.join(GROUPS)}.", field="by")
        until = until or datetime.now(UTC) + timedelta(hours=1)
        since = since or until - timedelta(days=30)
        if since.tzinfo is None or until.tzinfo is None:
            raise BadBudget("A time names its zone, such as 2026-11-29T00:00:00Z.", field="since")
        app = member = None
        if MANAGE not in scope.permissions:
            if scope.user is not None:
                member = scope.user
            elif scope.app is not None:
                app = scope.app
            else:
                scope.need(MANAGE)  # a key of nobody has no use of its own
        await self._accounts.write(scope)
        async with self._store.under(scope) as db:
            return await db.rows(Used, _USAGE, by=by, since=since, until=until, app=app, member=member)

    async def erase_person(self, scope: Scope, user: str) -> None:
        """What names this user goes: usage stays counted without him, budgets and rates of his own are removed, and all
        answers that are kept are thrown away: here at once, in other processes within seconds.

        Disable his keys first: a call that he makes afterwards is counted under his name again.
        """
        scope.need("rights:use")
        await self._accounts.forget_person(scope, user)
        async with self._store.under(scope) as db:
            await db.run(_NAMELESS, member=_plain(user))
            for query in _FORGETS:
                await db.run(query, member=_plain(user))
            await db.run(_CLEAR_DEPARTMENT, kind="user", subject=_plain(user))
            await db.run(_EMPTY_KEEPS)
            await self._audit.record(db, "usage.erase", subjects=(user,))
        self._dropped(scope.tenant)


def _subject(of: str, subject: str) -> str:
    if of not in SCOPES:
        raise BadBudget(f"It is for one of {', '.join(SCOPES)}.", field="scope")
    if of == "tenant":
        if subject:
            raise BadBudget("What is for the tenant has no subject.", field="subject")
        return ""
    if subject != EACH and not _WORD.fullmatch(subject):
        raise BadBudget(f"Say which {of}, or `*` for each of them.", field="subject")
    return subject if subject == EACH else _known_by_id(of, subject)


def _known_by_id(of: str, subject: str) -> str:
    """What bounds a name would bound nobody: calls know apps, users and keys by their ids."""
    mark = _MARKS.get(of)
    if mark is not None and not subject.startswith(mark):
        step = f"`bastide {of} list` shows the ids."
        raise BadBudget(f"Say which {of} by its id, which begins with {mark}.", next_step=step, field="subject")
    return subject


def _person(of: str, subject: str) -> tuple[str, ...]:
    return (subject,) if of == "user" and subject != EACH else ()


def _plain(text: str) -> str:
    return text.replace("\x00", "")
