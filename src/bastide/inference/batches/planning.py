"""Planning: which lines of a batch go to a provider's own batches, in which files of it, and what they may cost.

A line goes there that names a model which answers by batches only, if the law lets it; one that it does not is told in
its own place and goes nowhere. Where it names a route, one whose own budget has no room is passed over for the next.
All other lines are asked one by one. A file is as large as its provider takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, Final

from bastide.errors import BastideError, BudgetSpent, UnknownModel, UpstreamTooLarge
from bastide.inference.accounts import Account, Reserving
from bastide.inference.adapters import ADAPTERS
from bastide.inference.batches.asking import Entry, refused
from bastide.inference.batches.handed import Handed, add
from bastide.inference.batches.keeping import Keeping, Standing
from bastide.inference.batches.lines import Lines
from bastide.inference.batches.values import ENDPOINTS, Batch
from bastide.inference.gateway import CAPABILITIES, Destined, Gateway, Refused, View
from bastide.policy import Label
from bastide.store import new_id
from bastide.workflows import Run

_LABELS_MAX: Final = 256  # of one file: each has a decision that is kept with it
_BREATH: Final = 100  # lines between two looks at whether anything has changed
_LONGER_S: Final = 86_400.0  # what is reserved lasts longer than the window: what comes late is still collected


@dataclass(slots=True)
class Draft:
    """A file that is being filled."""

    to: Destined
    lines: list[int] = field(default_factory=list)
    of_label: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    labels: dict[Label, int] = field(default_factory=dict)
    size: int = 0

    def has_room(self, one: Destined) -> bool:
        """Whether its provider takes this line, too."""
        takes = ADAPTERS[self.to.target.model.kind].batches
        assert takes is not None, "who is asked by files says how large they may be"
        labels = len(self.labels) + (one.label not in self.labels)
        return len(self.lines) < takes.lines_max and self.size + one.size <= bytes_max(one) and labels <= _LABELS_MAX

    def put(self, n: int, one: Destined) -> None:
        """One more line."""
        self.lines.append(n)
        self.of_label.append(self.labels.setdefault(one.label, len(self.labels)))
        self.tokens.append(one.tokens)
        self.size += one.size


class Planning:
    """Sorts the lines of one batch."""

    def __init__(
        self,
        run: Run[Any],
        batch: Batch,
        gateway: Gateway,
        reserving: Reserving,
        standing: Standing,
        keeping: Keeping,
    ) -> None:
        self._run = run
        self._batch = batch
        self._gateway = gateway
        self._reserving = reserving
        self._standing = standing
        self._keeping = keeping
        self._wire = ENDPOINTS[batch.endpoint]
        self._drafts: dict[tuple[str, str, str], Draft] = {}
        self._spent: dict[str, BudgetSpent] = {}  # models whose own budgets have no room for more
        self._here: set[int] = set()
        self._told: list[Entry] = []

    async def plan(self, lines: Lines, taken: Container[int]) -> set[int]:
        """Plan for all lines that are not `taken`; the numbers of those that are to be asked by themselves."""
        view = await self._view()
        left = [n for n in lines.numbers if n not in self._keeping.done and n not in taken]
        if not _batched(view, self._wire):
            return set(left)
        self._lines = lines
        for count, n in enumerate(left, 1):
            await self._sort(n, view)
            if count % _BREATH == 0:
                await asyncio.sleep(0)
                view = await self._view()
                await self._tell()
        while self._drafts:  # what one has no room for may go into another
            await self._close(self._drafts.pop(next(iter(self._drafts))), view)
        await self._tell()
        return self._here

    async def _view(self) -> View:
        return await self._gateway.fetch(await self._standing.now())

    async def _sort(self, n: int, view: View) -> None:
        """This line is planned for, told why it is not, or left to be asked by itself."""
        scope, line = await self._standing.now(), self._lines.at(n)
        by_file, data = self._gateway.by_file, bytes(line.body)
        found = by_file.destined(scope, self._batch.said, self._wire, data, view, spent=self._spent)
        if found is None:
            self._here.add(n)
            return
        if isinstance(found, Refused):
            try:
                await by_file.refuse(scope, view, self._wire, found)
            except BastideError as fault:
                self._told.append(refused(n, line.custom_id, self._wire, fault))
            else:  # allowed meanwhile: the next look at it decides
                self._here.add(n)
            return
        if found.target.model.name in self._spent:
            spent = self._spent[found.target.model.name]
            self._told.append(refused(n, line.custom_id, self._wire, spent))
            return
        most = bytes_max(found)
        if found.size > most:
            name = found.target.model.name
            large = UpstreamTooLarge(f"{name} takes at most {most:,} bytes at a time.", model=name, bytes_max=most)
            self._told.append(refused(n, line.custom_id, self._wire, large))
            return
        place = (found.target.model.name, found.named, found.wire)
        draft = self._drafts.get(place)
        if draft is None:
            draft = self._drafts[place] = Draft(found)
        elif not draft.has_room(found):
            await self._close(self._drafts.pop(place), view)
            await self._sort(n, view)  # into a new one; if there is no room for more, elsewhere
            return
        draft.put(n, found)

    async def _tell(self) -> None:
        if self._told:
            told, self._told = self._told, []
            await self._keeping.keep_all(told)

    async def _close(self, draft: Draft, view: View) -> None:
        """Plan to hand a file over, as far as there is money for it: in one transaction with what is reserved."""
        target, named, id = draft.to.target, draft.to.named, new_id("hov")
        scope, name = await self._standing.now(), target.model.name
        purse = await self._reserving.purse(scope, name, (name,) if named == name else (name, named))
        seconds = max(self._batch.left_s, 0.0) + _LONGER_S
        async with self._run.fenced() as db:
            room, spent = await self._reserving.reserve(db, purse, id, draft.tokens, target.price, seconds=seconds)
            if room:
                one = Handed(
                    id=id,
                    batch=self._batch.id,
                    model=target.model,
                    wire=draft.to.wire,
                    key=target.key,
                    lines=tuple(draft.lines[:room]),
                    of_label=tuple(draft.of_label[:room]),
                    labels=tuple(draft.labels),
                    account=Account.of(purse),
                    price=target.price,
                )
                await add(db, one)
            else:
                await self._reserving.release(db, id)
        if spent is not None and (spent.facts["scope"], spent.facts["subject"]) == ("model", name):
            self._spent[name] = spent
        for n in draft.lines[room:]:
            assert spent is not None, "there is room for all that no budget refuses"
            if name in self._spent:
                await self._sort(n, view)
            else:
                self._told.append(refused(n, self._lines.at(n).custom_id, self._wire, spent))


def bytes_max(one: Destined) -> int:
    """How large a file its provider takes: as its kind says, or its record if that says less."""
    takes = ADAPTERS[one.target.model.kind].batches
    assert takes is not None, "who is asked by files says how large they may be"
    return min(takes.bytes_max, one.target.body_bytes_max or takes.bytes_max)


def _batched(view: View, wire: str) -> bool:
    """Whether the tenant has anybody at all who answers such calls by batches."""
    try:
        return bool(view.group(f"batch.{CAPABILITIES[wire]}", None).targets)
    except UnknownModel:
        return False
