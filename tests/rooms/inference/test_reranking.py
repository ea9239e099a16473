"""Re-ranking: by a cross-encoder on this machine and by a server; decided, recorded, and nothing believed unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bastide.errors import (
    BastideError,
    Forbidden,
    NoPermittedModel,
    UnknownModel,
    UnsupportedReranker,
    UpstreamGarbage,
    WrongCapability,
)
from bastide.inference import Inference, ModelSpec
from bastide.inference.local.cross_encoder import open_cross_encoder
from bastide.store import Scope
from bastide.testing import Fails, Raw, ScriptedModel

from .conftest import Rooms
from .crossing import crossing
from .test_inference import CONFIDENTIAL, HEAD, LEAST, add, receipt

ASKED = "When does the lease end?"
TEXTS = ["The soup is hot.", "The lease ends in June.", "The mill gate opens at eight."]


async def test_a_cross_encoder_reads_query_and_text_together(rooms: Rooms, ours: Scope, tmp_path: Path) -> None:
    settings = replace(rooms.inference._settings, reranker_folder=crossing(tmp_path / "Tiny Cross"))
    inference = Inference(rooms.store, rooms.audit, rooms.policy, rooms.egress, settings)
    await inference.start()
    try:
        assert await inference.has_reranker(ours)
        found = await inference.rerank(ours, ASKED, TEXTS, label=CONFIDENTIAL)
        assert max(range(3), key=lambda place: found.scores[place]) == 1
        assert all(0 < score <= 1 for score in found.scores)
        assert found.model.startswith("local/tiny-cross-")
        assert found.usage.input > 20
        told = await receipt(rooms, ours, found.receipt)
        assert (told["model"], told["assurance"], told["endpoint"]["id"]) == (
            found.model,
            "local-measured",
            "local/onnx",
        )
        assert told["label"]["class"] == "confidential"
        # alone or among others, cut or not: the numbers of a text depend on the query and on that text
        alone = await inference.rerank(ours, ASKED, [TEXTS[1]], label=LEAST)
        assert alone.scores[0] == found.scores[1]
        await inference.rerank(ours, "lease " * 9_000, ["soup " * 9_000, "", "\ud800"], label=LEAST)
        assert (await inference.rerank(ours, ASKED, [], label=LEAST)).scores == ()
    finally:
        await inference.stop()


@pytest.mark.parametrize("wrong", ["nothing", "no graph", "damaged", "two numbers", "no words"])
def test_a_folder_that_holds_no_re_ranker_is_refused(tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "model"
    if wrong != "nothing":
        crossing(folder, width=2 if wrong == "two numbers" else 1)
    if wrong == "no graph":
        (folder / "onnx" / "model.onnx").unlink()
    if wrong == "damaged":
        (folder / "onnx" / "model.onnx").write_bytes(b"no graph at all")
    if wrong == "no words":
        (folder / "vocab.txt").unlink()
    with pytest.raises(UnsupportedReranker):
        open_cross_encoder(folder)
    assert open_cross_encoder(None) is None


async def test_a_server_reranks_and_its_call_is_recorded(rooms: Rooms, ours: Scope, neighbour: Scope) -> None:
    async with ScriptedModel(names=("bge-reranker-v2",)) as server:
        assert not await rooms.inference.has_reranker(ours)
        await add(rooms, ours, server, "ranker", key="sk-secret-of-the-ranker")
        assert await rooms.inference.has_reranker(ours)
        found = await rooms.inference.rerank(ours, ASKED, TEXTS, label=CONFIDENTIAL)
        sent = next(one for one in server.asked if one.path == "/v1/rerank")
    assert max(range(3), key=lambda place: found.scores[place]) == 1
    assert found.model == "ranker"
    expected = {"model": "bge-reranker-v2", "query": ASKED, "documents": TEXTS, "top_n": 3, "return_documents": False}
    assert sent.body == expected
    assert sent.headers["authorization"] == "Bearer sk-secret-of-the-ranker"
    told = await receipt(rooms, ours, found.receipt)
    assert told["endpoint"]["id"] == "local/runtime/bge-reranker-v2"
    assert told["tls"]["ip"] == "127.0.0.1"
    # a neighbour has no part in it, and a model of another kind is not taken for one
    assert not await rooms.inference.has_reranker(neighbour)
    with pytest.raises(UnknownModel):
        await rooms.inference.rerank(neighbour, ASKED, TEXTS, label=LEAST, model="ranker")
    with pytest.raises(BastideError):
        await rooms.audit.receipt(neighbour, found.receipt)
    with pytest.raises(WrongCapability):
        await rooms.inference.embed(ours, ["x"], label=LEAST, model="ranker")
    with pytest.raises(WrongCapability):
        await rooms.inference.rerank(ours, ASKED, TEXTS, label=LEAST, model="local/extractive")


async def test_who_may_use_no_model_reranks_nothing(rooms: Rooms, nobody: Scope) -> None:
    assert not await rooms.inference.has_reranker(nobody)
    with pytest.raises(Forbidden):
        await rooms.inference.rerank(nobody, ASKED, TEXTS, label=LEAST)


async def test_bytes_go_to_no_re_ranker_that_policy_refuses(rooms: Rooms, ours: Scope) -> None:
    asked = len(rooms.world.asked)
    await rooms.inference.add_model(ours, ModelSpec("dark", provider="test/unknown", capabilities=("rerank",)))
    assert await rooms.inference.has_reranker(ours)
    for label in (LEAST, CONFIDENTIAL):
        with pytest.raises(NoPermittedModel):
            await rooms.inference.rerank(ours, ASKED, TEXTS, label=label)
    assert len(rooms.world.asked) == asked


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"no json",
        b'{"results": []}',
        b'{"results": [{"index": 0, "relevance_score": 1}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 1}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 7, "relevance_score": 1}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": true, "relevance_score": 1}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": "much"}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": 1e999}]}',
        b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 1}]}',
        b'{"results": [1, 2]}',
    ],
)
async def test_an_answer_of_another_shape_is_no_order(rooms: Rooms, ours: Scope, answer: bytes) -> None:
    async with ScriptedModel(Raw(HEAD + answer), names=("reranker",)) as server:
        await add(rooms, ours, server, "ranker")
        with pytest.raises(UpstreamGarbage):
            await rooms.inference.rerank(ours, ASKED, TEXTS[:2], label=LEAST)


async def test_a_server_that_fails_is_told_with_its_receipt(rooms: Rooms, ours: Scope) -> None:
    async with ScriptedModel(Fails(500), names=("reranker",)) as server:
        await add(rooms, ours, server, "ranker")
        with pytest.raises(BastideError, match="failed"):
            await rooms.inference.rerank(ours, ASKED, TEXTS, label=LEAST)
