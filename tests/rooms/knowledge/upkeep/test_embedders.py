"""Several embedders side by side, another one in place of the first, and documents of an older house made anew."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bastide.app import House, open_house
from bastide.errors import Forbidden, LastEmbedder, UnknownModel
from bastide.inference import ModelSpec
from bastide.knowledge.embedders import known_languages
from bastide.knowledge.recipe import RECIPE
from bastide.settings import Settings
from bastide.store import Query, Scope, new_id
from bastide.testing import ScriptedModel
from bastide.workflows import Job
from tests.rooms.knowledge.conftest import LEASE, MENU
from tests.rooms.knowledge.upkeep.test_jobs import gave, taken_in

MINILM = "local/minilm"
GERMAN = "# Fähre\n\nDie Fähre nach Skarholm legt um neun Uhr ab und die Überfahrt dauert vierzig Minuten.\n".encode()
VECTORS = Query("test", "vectors", "select distinct model from knowledge.embedding order by 1")
OLDER = Query("test", "older", "update knowledge.document_version set recipe = 0")
RECIPES = Query("test", "recipes", "select distinct recipe from knowledge.document_version")
STALE = Query("test", "stale", "update knowledge.chunk set text = 'stale words of an older reader'")
WORDS = " ".join((LEASE + MENU + GERMAN).decode().split())


def tiny_embedder(folder: Path) -> Path:
    """A real model: each word has a random vector of its own, a text is the mean of its words'."""
    words = sorted({word.lower() for word in re.findall(r"\w+|[^\w\s]", WORDS)})
    vocabulary = {"[UNK]": 0, **{word: n for n, word in enumerate(words, 1)}}
    table = np.random.default_rng(3).normal(0, 1, (len(vocabulary), 384)).astype(np.float32)
    table[0] = 1e-3
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"])],
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])],
        [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["b", "s", 384])],
        [numpy_helper.from_array(table, "table")],
    )
    (folder / "onnx").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, folder / "onnx" / "model.onnx")
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 256}))
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of its own, whose workers all have the second embedder."""
    place = tmp_path_factory.mktemp("h")
    folder = tiny_embedder(place / "multilingual-words")
    return Settings.read(place / "home", environment={"BASTIDE_EMBEDDERS_BESIDE": str(folder)})


@pytest.fixture(scope="module")
async def house(own: Settings) -> AsyncIterator[House]:
    """Every room, with a worker and a second embedder."""
    async with open_house(own, sequence=True, work=True) as opened:
        yield opened


@pytest.fixture
async def second(house: House, ours: Scope) -> str:
    """What the second embedder is called."""
    known = [one.name for one in await house.inference.models(ours) if "embeddings" in one.capabilities]
    assert known[0] == MINILM
    return known[1]


async def use(house: House, scope: Scope, model: str, **said: Any) -> dict[str, Any]:
    made = await house.workflows.dispatch(scope, Job("knowledge.use_embedder", {"model": model, **said}))
    return await gave(house, scope, made.id)


async def vectors(house: House, scope: Scope) -> list[str]:
    async with house.store.under(scope) as db:
        return [model for (model,) in await db.rows(tuple, VECTORS)]


async def coverage(house: House, scope: Scope) -> dict[tuple[str, str], tuple[str, bool]]:
    """By collection and embedder: its state, and whether it has read all."""
    found = await house.knowledge.upkeep.embedders(scope)
    return {(one.collection, one.model): (one.state, one.chunks == one.of) for one in found}


def test_names_tell_what_an_embedder_knows() -> None:
    assert known_languages(MINILM) == {"en"}
    assert known_languages("local/multilingual-minilm-0a1b2c3d") == frozenset()
    assert known_languages("bge-small-en-v1.5") == {"en"}
    assert known_languages("somebody's own") == frozenset()


async def test_another_embedder_takes_the_place_of_the_first(house: House, ours: Scope, second: str) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    await taken_in(house, ours, "ferry.md", GERMAN, "other")
    assert await coverage(house, ours) == {("cases", MINILM): ("on", True), ("other", MINILM): ("on", True)}
    out = await use(house, ours, second)
    assert (out["documents"], out["failed"], out["replaced"], out["beside"]) == (2, [], [MINILM], [])
    assert await vectors(house, ours) == [second]
    assert await coverage(house, ours) == {("cases", second): ("on", True), ("other", second): ("on", True)}
    found = await house.knowledge.search(ours, "When does the lease of the workshop end?", mode="vector")
    assert found.passages[0].name == "lease.md"
    await taken_in(house, ours, "menu.md", MENU, "cases")
    assert await vectors(house, ours) == [second]


async def test_two_embedders_read_a_collection_side_by_side(
    house: House, ours: Scope, neighbour: Scope, second: str
) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    await taken_in(house, neighbour, "lease.md", LEASE, "cases")
    out = await use(house, ours, second, collection="cases", beside=True)
    assert (out["replaced"], out["beside"]) == ([], [MINILM])
    await taken_in(house, ours, "ferry.md", GERMAN, "cases")
    await taken_in(house, ours, "menu.md", MENU, "elsewhere")
    assert await coverage(house, ours) == {
        ("cases", MINILM): ("on", True),
        ("cases", second): ("on", True),
        ("elsewhere", MINILM): ("on", True),
    }
    for question, by in (
        ("When does the lease of the workshop end, and who pays the rent until then?", MINILM),
        ("Wie lange dauert die Überfahrt der Fähre nach Skarholm, und wann legt sie ab?", second),
    ):
        read = await house.knowledge.upkeep._embedders.read(ours, question, collection="cases", strict=True)
        assert read.embedded is not None
        assert read.embedded.model == by, question
    assert await vectors(house, neighbour) == [MINILM]
    await house.knowledge.upkeep.switch_off(ours, second, collection="cases")
    assert await vectors(house, ours) == [MINILM]
    with pytest.raises(LastEmbedder):
        await house.knowledge.upkeep.switch_off(ours, MINILM, collection="cases")
    with pytest.raises(UnknownModel):
        await house.knowledge.upkeep.switch_off(ours, second, collection="cases")


async def test_an_embedder_that_is_away_is_stood_in_for(house: House, ours: Scope, second: str) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    await use(house, ours, second, collection="cases", beside=True, languages=["de"])
    question = "Wie lange dauert die Überfahrt der Fähre nach Skarholm, und wann legt sie ab?"
    beside = house.inference._local._beside
    away = beside.pop(second)
    try:
        read = await house.knowledge.upkeep._embedders.read(ours, question, collection="cases", strict=True)
    finally:
        beside[second] = away
    assert read.embedded is not None
    assert read.embedded.model == MINILM
    assert second in read.notes[0]
    assert MINILM in read.notes[0]


async def test_a_key_that_may_not_name_the_embedder_does_without_it_and_is_told(house: House, ours: Scope) -> None:
    async with ScriptedModel() as server:
        spec = ModelSpec("theirs", url=server.url, local=True, upstream="scripted", capabilities=("embeddings",))
        await house.inference.add_model(ours, spec)
        await taken_in(house, ours, "lease.md", LEASE, "cases")
        await use(house, ours, "theirs", collection="cases")
        bound = replace(ours, models=("another",))
        server.asked.clear()
        taken = await house.knowledge.ingest(bound, "menu.md", MENU, collection="cases")
        assert "inference.unknown_model" in taken.documents[0].problems[0]
        found = await house.knowledge.search(bound, "When does the lease of the workshop end?", collection="cases")
        assert found.passages[0].name == "lease.md", "by its words"
        assert "inference.unknown_model" in found.notes[0]
        assert server.asked == []
        listed = replace(ours, models=("theirs",))
        assert not (await house.knowledge.search(listed, "Who pays the rent?", collection="cases")).notes
        assert len(server.asked) == 1
    await taken_in(house, bound, "ferry.md", GERMAN, "elsewhere")
    own = await house.knowledge.search(bound, "When does the lease of the workshop end?", collection="elsewhere")
    assert not own.notes, "the vectors of this process ask nobody"


async def test_until_all_is_read_no_query_asks_the_new_one(house: House, ours: Scope, second: str) -> None:
    await taken_in(house, ours, "lease.md", LEASE, "cases")
    async with house.store.under(ours) as db:
        fill = Query(
            "test",
            "fill",
            "insert into knowledge.embedder (model, state) values (%(a)s, 'on'), (%(b)s, 'filling')",
        )
        await db.run(fill, a=MINILM, b=second)
    house.knowledge.upkeep._embedders.forget()
    await taken_in(house, ours, "menu.md", MENU, "cases")
    assert await coverage(house, ours) == {("cases", MINILM): ("on", True), ("cases", second): ("filling", False)}
    found = await house.knowledge.search(ours, "When does the lease of the workshop end?", mode="vector")
    assert found.passages[0].name == "lease.md"
    reembedded = await house.workflows.dispatch(ours, Job("knowledge.reembed", {}))
    assert (await gave(house, ours, reembedded.id))["documents"] == 1
    assert await coverage(house, ours) == {("cases", MINILM): ("on", True), ("cases", second): ("filling", True)}


async def test_who_does_not_manage_switches_nothing(house: House, ours: Scope, second: str) -> None:
    clerk = replace(ours, permissions=ours.permissions - {"knowledge:manage"})
    with pytest.raises(Forbidden):
        await house.workflows.dispatch(clerk, Job("knowledge.use_embedder", {"model": second}))
    with pytest.raises(Forbidden):
        await house.knowledge.upkeep.switch_off(clerk, second)
    made = await house.workflows.dispatch(ours, Job("knowledge.use_embedder", {"model": "local/extractive"}))
    record = await house.workflows.result(ours, made.id, timeout_s=60)
    assert record.problem is not None
    assert record.problem.code == "inference.wrong_capability"


# -- documents of an older house --------------------------------------------------------------------


async def test_what_an_older_house_has_read_is_made_anew_by_itself(house: House, ours: Scope) -> None:
    store = house.store
    lease = await taken_in(house, ours, "lease.md", LEASE, "cases")
    await taken_in(house, ours, "menu.md", MENU, "staff")
    await house.knowledge.upkeep.set_members(ours, "staff", {new_id("usr"): "manage"})
    assert await house.knowledge.upkeep.bring_up_to_date(ours) is None
    system = await house.tenancy.system_scope(ours.tenant)
    async with store.under(system, past_members=True) as db:
        await db.run(OLDER)
        await db.run(STALE)
    before = await vectors(house, ours)
    made = await house.knowledge.upkeep.bring_up_to_date(system)
    assert made is not None
    record = await house.workflows.result(ours, made.id, timeout_s=60)
    assert record.output == {"documents": 2, "chunks": record.output["chunks"], "failed": []}  # type: ignore[index,call-overload]
    assert record.priority == -100
    async with store.under(system, past_members=True) as db:
        assert await db.rows(tuple, RECIPES) == [(RECIPE,)]
    assert await vectors(house, ours) == before
    found = await house.knowledge.search(ours, "When does the lease of the workshop end?")
    assert (found.passages[0].document_id, found.passages[0].version) == (lease, 1)
    assert await house.knowledge.upkeep.bring_up_to_date(system) is None


async def test_a_house_that_starts_looks_for_them(own: Settings, house: House) -> None:
    store = house.store
    made = await house.tenancy.first_start() or await house.tenancy.renew_admin_key()
    home = await house.tenancy.authenticate(made.key)
    await taken_in(house, home, "lease.md", LEASE, "cases")
    async with store.under(home) as db:
        await db.run(OLDER)
    async with open_house(own, sequence=False, work=True) as newer:
        while not (found := (await newer.workflows.jobs(home, type="knowledge.upgrade")).items):
            await asyncio.sleep(0.05)  # nobody is told that it has begun: the test's own time limit ends this
        record = await newer.workflows.result(home, found[0].id, timeout_s=60)
    assert record.status == "done"
    async with store.under(home) as db:
        assert await db.rows(tuple, RECIPES) == [(RECIPE,)]
