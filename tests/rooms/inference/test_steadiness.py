"""What the house itself asks is asked with temperature 0, unless the model takes none; a caller's own is his own."""

from __future__ import annotations

import pytest

from bastide.errors import UpstreamRefused
from bastide.inference import ChatRequest, Message, ModelSpec
from bastide.policy import Label
from bastide.store import Scope
from bastide.testing import Answer, Asked, Fails, ScriptedModel

from .conftest import Rooms
from .test_inference import receipt

LEAST = Label()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
NO = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
HOUSE = ChatRequest((Message("user", "What is this about?"),), steady=True)


def newest(asked: Asked) -> Answer:
    """OpenAI's newest: no temperature but its own."""
    return Fails(400, NO) if asked.body.get("temperature", 1) != 1 else "A lease."


async def add(rooms: Rooms, scope: Scope, server: ScriptedModel, name: str) -> None:
    spec = ModelSpec(name, url=server.url, upstream=name, local=True, capabilities=("chat", "vision"))
    await rooms.inference.add_model(scope, spec)


def heats(server: ScriptedModel) -> list[float | None]:
    """The temperature of each question since the last look."""
    found = [asked.body.get("temperature") for asked in server.chats]
    server.asked.clear()
    return found


async def test_a_model_that_takes_no_temperature_is_asked_without_it_from_then_on(
    rooms: Rooms, ours: Scope, neighbour: Scope
) -> None:
    async with ScriptedModel(newest) as server:
        await add(rooms, ours, server, "newest")
        read = await rooms.inference.read_picture(ours, PNG, "What is written here?", label=LEAST)
        assert (read.text, heats(server)) == ("A lease.", [0.0, None])
        told = await receipt(rooms, ours, read.receipt)
        assert (told["outcome"], told["model"]) == ("done", "newest")
        await rooms.inference.read_picture(ours, PNG, "What is written here?", label=LEAST)
        said = [one.text async for one in rooms.inference.stream_chat(ours, HOUSE, label=LEAST)]
        assert ("".join(said), heats(server)) == ("A lease.", [None, None]), "it has said so once"
        await add(rooms, ours, server, "another")
        await rooms.inference.remove_model(ours, "newest")
        said = [one.text async for one in rooms.inference.stream_chat(ours, HOUSE, label=LEAST)]
        assert ("".join(said), heats(server)) == ("A lease.", [0.0, None]), "each model is another"
        await add(rooms, neighbour, server, "another")
        await rooms.inference.chat(neighbour, HOUSE, label=LEAST)
        assert heats(server) == [None], "it is the same server and model"


async def test_a_caller_s_own_temperature_is_passed_on_as_it_is_and_its_refusal_too(rooms: Rooms, ours: Scope) -> None:
    own = ChatRequest.from_wire({"messages": [{"role": "user", "content": "x"}], "temperature": 0})
    async with ScriptedModel(newest) as server:
        await add(rooms, ours, server, "newest")
        await rooms.inference.chat(ours, HOUSE, label=LEAST)
        heats(server)
        with pytest.raises(UpstreamRefused, match="does not support 0"):
            await rooms.inference.chat(ours, own, label=LEAST)
        with pytest.raises(UpstreamRefused, match="does not support 0"):
            _ = [one async for one in rooms.inference.stream_chat(ours, own, label=LEAST)]
        assert heats(server) == [0, 0]


async def test_nothing_is_learnt_from_a_refusal_of_something_else(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel("Well.") as server:
        await add(rooms, ours, server, "old")
        for told, asked in (
            ("`response_format` is unknown here", [0.0]),
            ("the temperature of the room is no question", [0.0, None]),  # whatever it means, it answers to neither
        ):
            server._answers = [Fails(400, told)]
            with pytest.raises(UpstreamRefused):
                await rooms.inference.chat(ours, HOUSE, label=LEAST)
            assert heats(server) == asked
        server._answers = ["Well."]
        await rooms.inference.chat(ours, HOUSE, label=LEAST)
        assert heats(server) == [0.0]
