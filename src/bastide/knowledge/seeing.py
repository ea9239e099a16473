"""Seeing: pages that text recognition could not read are shown to vision models, between two readings of a file.

    1. the file is read; what it wants to be shown is noted           3. it is read again with the answers
    2. the models are asked: no reader waits, no transaction is open  4. what is still wanted is asked once more
Pages that were recognised are not recognised again. Each picture is decided and has a receipt, as any call of a model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

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
        if not self._pictures_max:
            return await self._once(name, data, None, heard)
        upper = Upper(asks_max=self._pictures_max)
        left_s = self._timeout_s
        for turn in range(1, _ROUNDS):
            refused: Refusal | None = None
            marks: tuple[str, ...] = ()
            try:
                prepared = await self._once(name, data, upper, heard)
                marks = prepared.reading.marks
            except Refusal as no:  # a picture of which nothing was read: its answers may change that
                refused = no
            if not upper.wanted:
                if refused is not None:
                    raise refused
                return prepared
            marked = class_of([*marks, *upper.edges])  # what a page says of itself tightens its label, read or not
            began = asyncio.get_running_loop().time()
            await self._answer(scope, label.join(Label(cls=marked)) if marked else label, upper, began + left_s)
            left_s -= asyncio.get_running_loop().time() - began
            upper.closed = _HERE if turn == _ROUNDS - 1 else ""
        return await self._once(name, data, upper, heard)

    async def _once(
        self, name: str, data: bytes, upper: Upper | None, heard: Callable[[int, int], None] | None
    ) -> Prepared:
        async with self._readers:
            with timed("knowledge_read"):
                most = self._inference.embedder_tokens_max()
                gauge = Gauge(most, self._inference.count_tokens) if most else None
                limits = replace(self._limits, upper=upper, heard=heard)
                return await asyncio.to_thread(prepare, name, data, limits, gauge)

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
