"""The accounts of all tenants in this process: admits calls from memory, leases and settles behind them.

    admit       in the call, without waiting: from the slices at hand, or None where they must be leased first
    admitted    the same, waiting for slices: one transaction for all that a call lacks
    the keeper  twice a second: writes settlements, prolongs slices, asks for more before they run out, gives back

The database away: slices at hand go on; then each process lets a twentieth of a budget be spent, and its part of a
rate, without having been lent it. A budget that was known to be spent stays spent. What is used meanwhile is written
when the database is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bastide import telemetry
from bastide.errors import BudgetSpent, Contended, DatabaseUnavailable, RateLimited
from bastide.inference.accounts.admission import Admission, Purse, costs, guessed_eur
from bastide.inference.accounts.book import Book, Names
from bastide.inference.accounts.keeper import Keeper
from bastide.inference.accounts.leasing import Leasing
from bastide.inference.accounts.settling import Ledger, Settlement, Spool
from bastide.inference.values import Units
from bastide.policy import Endpoint, Price
from bastide.store import Scope, Store, new_id

_FRESH_S: Final = 2.0
_STALE_S: Final = 900.0
_TURNS_MAX: Final = 20  # how often a call asks for slices that others take before it does


class Accounts:
    """Who says whether a call may be paid for. One a process, used in one event loop."""

    def __init__(
        self, store: Store, home: Path, *, rates_eur: Mapping[str, float] | None = None, patience_s: float = 2.0
    ) -> None:
        """`rates_eur` says what one unit of a currency is in euros; `patience_s` how long a call waits for a slice."""
        self._leasing = Leasing(store, new_id("prc"))
        self._spool = Spool(home)
        self._keeper = Keeper(self._leasing, self._spool)
        self._left: dict[str, list[Settlement]] = {}
        self._rates_eur = {"EUR": 1.0, **(rates_eur or {})}
        self._patience_s = patience_s
        self._currencies: dict[str, str] = {}
        self._reading: dict[str, asyncio.Task[Book]] = {}
        self._leave: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Find what an earlier process could not write; begin to keep the books."""
        self._leave = self._leasing.hearing.of_tenants("inference.accounts", self.told)
        self._left = await asyncio.to_thread(self._spool.found)
        self._keeper.start()

    async def stop(self) -> None:
        """Write what was used and give back what is held."""
        self._leave()
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)
        await self._keeper.stop()

    def near(self) -> int:
        """How many budgets that this process knows are spent to four fifths or more."""
        return sum(book.near for book in self._keeper.books.values())

    def priced(self, price_of: Callable[[Endpoint], Price]) -> Callable[[Endpoint], Price]:
        """Prices in euros. One in a currency without a rate of exchange stays as it is, and usage says so."""

        def in_euros(endpoint: Endpoint) -> Price:
            price = price_of(endpoint)
            if (price.input is None or price.output is None) and not price.by_unit:
                return price
            rate = self._rates_eur.get(price.currency or "EUR")
            if rate is None:
                self._currencies[endpoint.id] = price.currency
                return price
            if price.currency == "EUR":
                return price
            return replace(price.times(rate), currency="EUR")

        return in_euros

    # -- the tenant's book --------------------------------------------------------------------------

    def at_hand(self, scope: Scope) -> bool:
        """Whether the tenant's book may be used; one that is not fresh is read anew behind the caller."""
        book = self._keeper.books.get(scope.tenant)
        if book is None:
            return False
        age = time.monotonic() - book.read_at
        if age > _FRESH_S and scope.tenant not in self._reading:
            self._read(scope)
        return age <= _STALE_S

    async def fetch(self, scope: Scope) -> None:
        """Have the tenant's book at hand. Raises DatabaseUnavailable."""
        if not self.at_hand(scope):
            await asyncio.shield(self._reading.get(scope.tenant) or self._read(scope))

    def forget(self, tenant: str) -> None:
        """A budget or a rate of the tenant was changed here: the next call reads."""
        book = self._keeper.books.get(tenant)
        if book is not None:
            book.read_at = float("-inf")
        self._reading.pop(tenant, None)  # what was read before a change is read again

    def told(self, tenant: str) -> None:
        """A budget or a rate of the tenant was changed elsewhere: it is read at once, and calls wait for that.

        If it cannot be read, they go on under what was known before.
        """
        book = self._keeper.books.get(tenant)
        if book is None:
            return
        before = book.read_at
        self.forget(tenant)

        def read(task: asyncio.Task[Book]) -> None:
            if (task.cancelled() or task.exception()) and book.read_at == float("-inf"):
                book.read_at = before

        self._read(book.scope).add_done_callback(read)

    async def purse(self, scope: Scope, model: str, of: Names | None = None) -> Purse:
        """What bounds this caller's calls of this model; `of` as in `admit`. Raises DatabaseUnavailable."""
        await self.fetch(scope)
        return self._keeper.books[scope.tenant].purse(scope, model, of)

    async def write(self, scope: Scope) -> None:
        """Write at once what the tenant's calls have used in this process. Raises DatabaseUnavailable."""
        await self.fetch(scope)
        await self._keeper.write(self._keeper.books[scope.tenant])

    async def forget_person(self, scope: Scope, user: str) -> None:
        """Write what this user has used, and hold nothing of his any more. Raises DatabaseUnavailable."""
        await self.write(scope)
        self._keeper.books[scope.tenant].forget_person(user)

    def _read(self, scope: Scope) -> asyncio.Task[Book]:
        task = asyncio.get_running_loop().create_task(self._fetch(scope))
        self._reading[scope.tenant] = task
        task.add_done_callback(lambda done: self._was_read(scope.tenant, done))
        return task

    def _was_read(self, tenant: str, task: asyncio.Task[Book]) -> None:
        if self._reading.get(tenant) is task:
            del self._reading[tenant]
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, DatabaseUnavailable):
            telemetry.log.warning("the accounts of a tenant could not be read: %s", fault)

    async def _fetch(self, scope: Scope) -> Book:
        asked_at = time.monotonic()
        said = await self._leasing.read(scope)
        latest = self._reading.get(scope.tenant)
        if latest is not asyncio.current_task():  # something was changed meanwhile: what was read then is not learnt
            return await asyncio.shield(latest or self._read(scope))
        book = self._keeper.books.get(scope.tenant)
        if book is None:
            left = self._left.pop(scope.tenant, [])
            book = self._keeper.books[scope.tenant] = Book(scope, Ledger(self._currencies, left))
        book.scope = scope
        book.learn(said, asked_at)
        telemetry.gauge("budgets_near_limit", self.near())
        return book

    # -- one call -----------------------------------------------------------------------------------

    def admit(
        self,
        scope: Scope,
        model: str,
        *,
        tokens: int,
        price: Price | None,
        units: Units | None = None,
        of: Names | None = None,
        own: bool = False,
    ) -> Admission | None:
        """Lend what a call may take, from what is at hand; None where it must be leased: then await `admitted`.

        `units` are those that it may come to where it is one of sound or pictures. Of budgets and rates of models those
        bind that are `of` these names; without them, of `model`. Its `own` are those alone, and usage does not go by
        them: so whoever answers a call is bounded that came by another name. Raises RateLimited or BudgetSpent.
        """
        book = self._keeper.books.get(scope.tenant)
        if book is None:
            return None
        purse = book.own(model) if own else book.purse(scope, model, of)
        if not purse.bounded:
            return Admission(book.ledger, purse, price, tokens)
        now, away = time.monotonic(), self._keeper.away
        priced, eur = costs(price, units), guessed_eur(price, tokens, units)
        for gate in purse.gates:
            if now >= gate.shut_until and not gate.has() and not away:
                return None
            if now < gate.shut_until or not (gate.has() or gate.without(now)):
                telemetry.count("rate_refusals", scope=gate.rate.scope)
                raise gate.refusal(now)
        for pot in purse.hard:
            if pot.has(now, eur=eur, tokens=tokens, priced=priced):
                continue
            dry = now < pot.dry_until
            if not dry and not away:
                return None
            if dry or not pot.without(eur=eur, tokens=tokens, priced=priced):
                telemetry.count("budget_refusals", scope=pot.budget.scope)
                raise pot.refusal(away=away)
        for gate in purse.gates:
            gate.take(now, tokens)
        taken = tuple([pot.take(now, eur=eur, tokens=tokens) for pot in purse.hard])
        return Admission(book.ledger, purse, price, tokens, taken)

    async def admitted(
        self,
        scope: Scope,
        model: str,
        *,
        tokens: int,
        price: Price | None,
        units: Units | None = None,
        of: Names | None = None,
        own: bool = False,
    ) -> Admission:
        """As `admit`, waiting for slices. Raises RateLimited, BudgetSpent or DatabaseUnavailable."""
        for _ in range(_TURNS_MAX):
            await self.fetch(scope)
            admission = self.admit(scope, model, tokens=tokens, price=price, units=units, of=of, own=own)
            if admission is not None:
                return admission
            priced, eur = costs(price, units), guessed_eur(price, tokens, units)
            await self._lease(scope, model, of, own=own, tokens=tokens, eur=eur, priced=priced)
        raise RateLimited("Too many calls wait for the same budget.", retry_after_s=1)

    async def refusal(self, scope: Scope, model: str, *, price: Price | None) -> BudgetSpent | RateLimited | None:
        """Why the budgets and rates of this model itself let no call begin now; None where they do. Nothing is taken.

        Raises DatabaseUnavailable.
        """
        try:
            (await self.admitted(scope, model, tokens=1, price=price, own=True)).unasked()
        except (BudgetSpent, RateLimited) as no:
            return no
        return None

    async def counted(self, scope: Scope, model: str) -> Admission:
        """An admission that nothing bounds: for what this process does itself, whose use is counted all the same."""
        await self.fetch(scope)
        book = self._keeper.books[scope.tenant]
        purse = replace(book.purse(scope, model), hard=(), soft=(), gates=())
        return Admission(book.ledger, purse, None, 0)

    async def _lease(
        self, scope: Scope, model: str, of: Names | None, *, own: bool, tokens: int, eur: float, priced: bool
    ) -> None:
        book = self._keeper.books[scope.tenant]

        async def lend() -> None:
            async with book.lock:
                now, purse = time.monotonic(), book.own(model) if own else book.purse(scope, model, of)
                pots = [
                    one
                    for one in purse.hard
                    if now >= one.dry_until and not one.has(now, eur=eur, tokens=tokens, priced=priced)
                ]
                gates = [one for one in purse.gates if not one.has() and now >= one.shut_until]
                if not (pots or gates):
                    return
                if book.ledger.settlements:  # of a time without the database: it comes first
                    await self._keeper.write_locked(book)
                await self._leasing.lend(scope, pots, gates, eur=eur, tokens=tokens)
                self._keeper.is_back()

        try:  # it is not cancelled: the driver would wait for seconds to tell that to a database which is silent
            await self._leasing.presence.unless_silent(lend, within_s=self._patience_s)
        except DatabaseUnavailable:
            self._keeper.is_away()
        except Contended:  # it gave way to another process: the caller looks what is there now, and asks again
            pass
