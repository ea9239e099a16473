"""Steadiness: what the house itself asks is asked with temperature 0, except of a model that takes none.

OpenAI's newest refuse every temperature but their own, and no list says which do. So each is asked once: its refusal is
answered by the same question without a temperature, and once that is answered it is kept in mind, in this process, for
that server and model. What a caller asks with a temperature of his own is passed on as it is, and its refusal with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from bastide.egress import Client
from bastide.errors import UpstreamRefused
from bastide.inference.calls import Call, Calls
from bastide.inference.openai_style import Chunk, Completion, Place, complete, stream
from bastide.inference.values import ChatRequest, Model
from bastide.store import Scope

_KNOWN_MAX: Final = 4_096


class Steadiness:
    """Asks for chats, and knows which models take no temperature."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._take_none: dict[tuple[str, str], None] = {}

    def body(self, request: ChatRequest, model: Model, place: Place, *, stream: bool) -> bytes:
        """What this model is asked. Raises BadChat for what its server cannot be asked."""
        if request.steady and (model.url, model.upstream) in self._take_none:
            request = replace(request, steady=False)
        return place.encoded(request.to_wire(model.upstream, stream=stream), "chat")

    async def complete(
        self, scope: Scope, client: Client, place: Place, call: Call, request: ChatRequest
    ) -> Completion:
        """The whole answer to what `call` asks; once more without a temperature where that is refused."""
        try:
            return await complete(client, place, call.input)
        except UpstreamRefused as fault:
            await self._ask_without(scope, place, call, request, fault, stream=False)
        found = await complete(client, place, call.input)
        self._learn(call)
        return found

    async def stream(
        self, scope: Scope, client: Client, place: Place, call: Call, request: ChatRequest
    ) -> AsyncGenerator[Chunk]:
        """The same in chunks. A refusal comes before the first of them."""
        try:
            async with aclosing(stream(client, place, call.input)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except UpstreamRefused as fault:
            await self._ask_without(scope, place, call, request, fault, stream=True)
        async with aclosing(stream(client, place, call.input)) as chunks:
            async for chunk in chunks:
                self._learn(call)
                yield chunk

    async def _ask_without(
        self, scope: Scope, place: Place, call: Call, request: ChatRequest, fault: UpstreamRefused, *, stream: bool
    ) -> None:
        """Make `call` one without a temperature. Raises the fault where it is not about that, or was asked without."""
        if not request.steady or "temperature" not in fault.message.lower():
            raise fault
        without = place.encoded(
            replace(request, steady=False).to_wire(call.choice.model.upstream, stream=stream), "chat"
        )
        if without == call.input:
            raise fault
        call.input = without
        await self._calls.turn(scope, call.choice.known)  # the first one's has come with the call

    def _learn(self, call: Call) -> None:
        if len(self._take_none) >= _KNOWN_MAX:
            self._take_none.clear()
        self._take_none[call.choice.model.url, call.choice.model.upstream] = None
