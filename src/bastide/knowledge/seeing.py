"""Seeing: pages that text recognition could not read are shown to vision models, between two readings of a file.

    1. the file is read; what it wants to be shown is noted           3. it is read again with the answers
    2. the models are asked: no reader waits, no transaction is open  4. what is still wanted is asked once more
Pages that were recognised are not recognised again. Each picture is decided and has a receipt, as any call of a model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bastide.errors import BastideError, NoPermittedModel, Refusal, UnknownModel
from bastide.inference import Inference
from bastide.knowledge.preparing import Prepared, prepare
from bastide.knowledge.reading import Gauge, Limits, Told, Upper, Wanted, class_of, png
from bastide.policy import Label
from bastide.settings import KnowledgeSettings
from bastide.store import Scope
from bastide.telemetry import count, timed

_ROUNDS = 4
"""Readings of one file: a specialised model, the general one and a second may each be asked after the other."""
_AT_ONCE = 4
"""Pictures that are shown at a time."""
_LATE = "the time for showing pictures of this document to models is over"
_HERE = "this document was shown to models as often as it may be"
_CUT = "its answer was cut off by a limit of its server"

_READERS = 2  # files read at a time: reading is CPU and memory
_TURN_S = 0.1  # so long a reader goes on with small files


@dataclass(frozen=True, slots=True)
class _Wish:
    """A file that is to be read; `upper` is None where no picture is shown to anybody."""

    name: str
    data: bytes
    upper: Upper | None
    heard: Callable[[int, int], None] | None = None


class Seeing:
    """Reads files, and asks the vision models of their tenant about what it could not read."""

    def __init__(self, inference: Inference, settings: KnowledgeSettings) -> None:
        self._inference = inference
        self._limits = Limits(bytes_max=settings.document_bytes_max)
        self._readers = asyncio.Semaphore(_READERS)
        self._pictures_max = settings.vision_pictures_max
        self._timeout_s = settings.vision_timeout_s

    async def read(
        self, scope: Scope, name: str, data: bytes, label: Label, heard: Callable[[int, int], None] | None = None
    ) -> Prepared:
        """The file, read and cut, with what models read of it. Raises the refusals of `reading`.

        `heard` is told in another thread how many pages were read, and of how many.
        """
        upper = Upper(asks_max=self._pictures_max) if self._pictures_max else None
        first = (await self._turn([_Wish(name, data, upper, heard)]))[0]
        return await self._shown(scope, _Wish(name, data, upper, heard), label, first)

    async def read_several(self, scope: Scope, files: Sequence[tuple[str, bytes, Label]]) -> list[Prepared | Refusal]:
        """The same for several files: of each what it says, or why it is refused. Small ones share a thread's turn."""
        wishes = [
            _Wish(name, data, Upper(asks_max=self._pictures_max) if self._pictures_max else None)
            for name, data, _ in files
        ]
        found: list[Prepared | Refusal] = []
        while len(found) < len(files):
            for first in await self._turn(wishes[len(found) :]):
                place = len(found)
                try:
                    found.append(await self._shown(scope, wishes[place], files[place][2], first))
                except Refusal as no:
                    found.append(no)
        return found

    async def _shown(self, scope: Scope, wish: _Wish, label: Label, first: Prepared | Refusal) -> Prepared:
        """What a file says once all that it wants to be shown was shown. Raises the refusals of `reading`."""
        upper, left_s = wish.upper, self._timeout_s
        for turn in range(1, _ROUNDS):
            # A picture of which nothing was read is refused: its answers may change that.
            if upper is None or not upper.wanted:
                break
            marks = () if isinstance(first, Refusal) else first.reading.marks
            marked = class_of([*marks, *upper.edges])  # what a page says of itself tightens its label, read or not
            began = asyncio.get_running_loop().time()
            await self._answer(scope, label.join(Label(cls=marked)) if marked else label, upper, began + left_s)
            left_s -= asyncio.get_running_loop().time() - began
            upper.closed = _HERE if turn == _ROUNDS - 1 else ""
            first = (await self._turn([wish]))[0]
        if isinstance(first, Refusal):
            raise first
        return first

    async def _turn(self, wishes: Sequence[_Wish]) -> list[Prepared | Refusal]:
        """The first of them, read, and as many more as a thread reads before it is somebody else's turn."""
        async with self._readers:
            most = self._inference.embedder_tokens_max()
            gauge = Gauge(most, self._inference.count_tokens) if most else None
            return await asyncio.to_thread(_read, wishes, self._limits, gauge)

    async def _answer(self, scope: Scope, label: Label, upper: Upper, until: float) -> None:
        """Every picture that is wanted gets its answer, or the reason why it has none."""
        turns = asyncio.Semaphore(_AT_ONCE)
        asked: dict[str, list[Wanted]] = {}
        for wanted in upper.wanted.values():
            asked.setdefault(wanted.speciality, []).append(wanted)

        async def ask(wanted: Wanted) -> Told:
            async with turns:
                told = await self._ask(scope, label, wanted, until)
            upper.tell(wanted.key, told)
            return told

        for pictures in asked.values():
            first = await ask(pictures[0])
            if first.refused and first.final:
                for wanted in pictures[1:]:  # who was refused once is not asked for each picture
                    upper.tell(wanted.key, first)
                continue
            await asyncio.gather(*(ask(wanted) for wanted in pictures[1:]))

    async def _ask(self, scope: Scope, label: Label, wanted: Wanted, until: float) -> Told:
        try:
            async with asyncio.timeout_at(until):
                picture = await asyncio.to_thread(png, wanted.pixels)
                with timed("knowledge_see"):
                    seen = await self._inference.read_picture(
                        scope, picture, wanted.task, label=label, speciality=wanted.speciality
                    )
        except TimeoutError:
            return Told(refused=_LATE, final=True)
        except BastideError as no:
            return Told(refused=no.message, final=isinstance(no, NoPermittedModel | UnknownModel))
        count("knowledge_seen")
        if not seen.whole:
            return Told(refused=_CUT, receipt=seen.receipt)
        return Told(seen.text, seen.model, seen.receipt)


def _read(wishes: Sequence[_Wish], limits: Limits, gauge: Gauge | None) -> list[Prepared | Refusal]:
    until = time.monotonic() + _TURN_S
    found: list[Prepared | Refusal] = []
    for wish in wishes:
        try:
            with timed("knowledge_read"):
                own = replace(limits, upper=wish.upper, heard=wish.heard)
                found.append(prepare(wish.name, wish.data, own, gauge))
        except Refusal as no:
            found.append(no)
        if time.monotonic() > until:
            break
    return found
