"""The keeper: looks after the books of all tenants behind the calls, twice a second."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bastide import telemetry
from bastide.errors import Contended, DatabaseUnavailable
from bastide.inference.accounts.book import Book
from bastide.inference.accounts.gates import Gate
from bastide.inference.accounts.leasing import Held, Leasing
from bastide.inference.accounts.settling import Spool
from bastide.store import ended, for_ever

_TICK_S: Final = 0.5
_PATIENCE_S: Final = 10.0
_PROLONG_S: Final = 12.0  # a slice that this process may count on for less long is prolonged
_IDLE_S: Final = 10.0  # what was not used for so long is given back
_BUSY_S: Final = 2.0  # more is asked for what was used so lately
_SEEN_S: Final = 60.0  # what was let through longer ago than this is of no account for a rate
_QUIET_S: Final = 900.0  # a book that nobody asked for is closed
_FORGET_S: Final = 3600.0


class Keeper:
    """Writes settlements, prolongs slices, asks for more before they run out, gives back what is idle."""

    def __init__(self, leasing: Leasing, spool: Spool) -> None:
        self.books: dict[str, Book] = {}
        self.away = False  # the database did not answer when it was last asked
        self._leasing = leasing
        self._spool = spool
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(for_ever("keeping the accounts", self._turn))

    async def stop(self) -> None:
        """Write what there is, or keep it on the disk; give back all slices."""
        await ended(self._task)
        for book in list(self.books.values()):
            if not (book.ledger.waiting or book.pots or book.gates):
                continue
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self.write(book)
                    await self._leasing.keep(book.scope, [], _given_back(book, float("inf")))
                    await self._leasing.leave(book.scope)
            except Exception as fault:  # whatever it is: what the database does not take is on the disk then
                telemetry.log.warning("accounts are kept on the disk: %s", fault)
                await self._spare()
                break

    def is_away(self) -> None:
        """The database does not answer."""
        if not self.away:
            telemetry.log.warning("accounts go on without the database")
            telemetry.gauge("accounts_without_database", 1)
        self.away = True

    def is_back(self) -> None:
        """It does."""
        if self.away:
            telemetry.log.info("accounts have the database again")
            telemetry.gauge("accounts_without_database", 0)
        self.away = False

    async def write(self, book: Book) -> None:
        """Write what was used, each settlement once. Raises DatabaseUnavailable."""
        async with book.lock:
            await self.write_locked(book)

    async def write_locked(self, book: Book) -> None:
        """As `write`, for who has the book's lock."""
        settlements = list(book.ledger.close())
        beyond = [(pot, pot.beyond()) for pot in book.pots.values()]
        for one in settlements:
            await self._leasing.write(book.scope, one)
            book.ledger.settlements.remove(one)
            self._spool.drop(one)
        for pot, (eur, tokens) in beyond:
            pot.eur += eur
            pot.tokens += tokens

    async def _turn(self) -> None:
        await asyncio.sleep(_TICK_S)
        for tenant, book in list(self.books.items()):
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    asked = await self._look_after(book)
            except (DatabaseUnavailable, TimeoutError):
                self.is_away()
                await self._spare()
                break
            except Contended:  # it gave way to another process; the next look comes soon
                continue
            except Exception:
                telemetry.log.exception("the accounts of a tenant could not be kept")
                continue
            if asked:
                self.is_back()
            if book.quiet and time.monotonic() - book.read_at > _QUIET_S:
                del self.books[tenant]

    async def _look_after(self, book: Book) -> bool:
        """Whether the database was asked, and did answer."""
        async with book.lock:
            return await self._looked_after(book)

    async def _looked_after(self, book: Book) -> bool:
        asked = book.ledger.waiting
        if asked:
            await self.write_locked(book)
        now = time.monotonic()
        held, back = _held(book, now), _given_back(book, now)
        if held or back:
            asked = True
            await self._leasing.keep(book.scope, held, back)
        low = [
            pot
            for pot in book.pots.values()
            if pot.budget.hard and pot.own_until > now and pot.used_at > now - _BUSY_S and pot.low()
            if now >= pot.dry_until
        ]
        gates = []
        for gate in book.gates.values():
            if gate.used_at > now - _SEEN_S:
                gate.look(now)
                if gate.owed or (gate.used_at > now - _BUSY_S and gate.low(now)):
                    gates.append(gate)
        if low or gates:
            asked = True
            await self._leasing.lend(book.scope, low, gates, eur=0.0, tokens=1, ahead=True)
        if self.away and not asked:
            await self._leasing.read(book.scope)
            asked = True
        if now - book.forgotten_at > _FORGET_S:
            book.forgotten_at = now
            await self._leasing.forget_settled(book.scope)
        book.put_away(now - _QUIET_S)
        return asked

    async def _spare(self) -> None:
        """Keep on the disk what the database does not take."""
        for tenant, book in list(self.books.items()):
            settlements = list(book.ledger.close())
            try:
                await asyncio.to_thread(self._spool.keep, tenant, settlements)
            except OSError as fault:
                telemetry.log.warning("settlements stay in memory: %s", fault)


def _held(book: Book, now: float) -> list[Held]:
    """The slices that are to be prolonged, or given back because nobody uses them."""
    found = []
    for pot in book.pots.values():
        if pot.own_until <= now:
            continue
        if pot.used_at < now - _IDLE_S:
            pot.give_back()
        if pot.back_eur > 0 or pot.back_tokens > 0:
            found.append(Held(pot, pot.back_eur, pot.back_tokens))
            pot.back_eur, pot.back_tokens = 0.0, 0
        elif pot.own_until - now < _PROLONG_S and pot.used_at > now - _IDLE_S:
            found.append(Held(pot))
    return found


def _given_back(book: Book, now: float) -> list[tuple[Gate, float, float]]:
    """What was drawn of rates and is not used."""
    found = []
    for gate in book.gates.values():
        if gate.used_at < now - _IDLE_S and (gate.requests > 0 or gate.tokens > 0):
            found.append((gate, *gate.given_back()))
    return found
