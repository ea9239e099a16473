"""A real engine with a small model made here: chosen, started, asked through the gateway, killed, begun again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ctranslate2.specs import common_spec, transformer_spec
from tokenizers import Tokenizer, models, pre_tokenizers

from bastide.errors import NoRuntime, RuntimeFailed, UnknownModelFolder
from bastide.inference import ModelSpec
from bastide.inference.runtimes import Runtime, choose_runtime, watched_runtime
from bastide.store import Scope, new_id

from .conftest import Rooms
from .test_gateway import call

SENTENCE = ["The", "lease", "ends", "in", "June", "."]
WORDS = ["<unk>", "<s>", "</s>", "user:", "assistant:", "When", "does", "the", "end", "?", *SENTENCE]


def small_model(folder: Path) -> Path:
    """A transformer of two layers whose weights say one sentence: each word points to the one that follows it."""
    size, heads, groups = 32, 4, 2
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        num_layers=2,
        num_heads=heads,
        activation=common_spec.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        num_heads_kv=groups,
    )
    place = {word: number for number, word in enumerate(WORDS)}
    embedding = np.eye(len(WORDS), size, dtype=np.float32)
    following = np.zeros((len(WORDS), size), np.float32)
    chain = ["assistant:", *SENTENCE, "</s>"]
    for before, after in pairwise(chain):
        following[place[after], place[before]] = 10.0
    ones = np.ones(size, np.float32)
    decoder = spec.decoder
    decoder.embeddings.weight, decoder.projection.weight = embedding, following
    decoder.layer_norm.gamma, decoder.scale_embeddings = ones, False
    for layer in decoder.layer:
        layer.self_attention.layer_norm.gamma = layer.ffn.layer_norm.gamma = ones
        layer.self_attention.linear[0].weight = np.zeros((size + 2 * groups * size // heads, size), np.float32)
        layer.self_attention.linear[1].weight = np.zeros((size, size), np.float32)
        layer.ffn.linear_0.weight = layer.ffn.linear_0_noact.weight = np.zeros((64, size), np.float32)
        layer.ffn.linear_1.weight = np.zeros((size, 64), np.float32)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "<s>", "</s>", "<unk>"
    spec.register_vocabulary(WORDS)
    spec.validate()
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokenizer = Tokenizer(models.WordLevel(place, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def scope() -> Scope:
    allowed = frozenset({"model:use", "model:manage", "policy:read", "policy:manage", "audit:read"})
    return Scope(new_id("ten"), None, None, frozenset(), allowed, key=new_id("key"))


SEEN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
BEYOND_IT: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, SEEN]}]}, "text only"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, "calls no tools"),
    ({"response_format": {"type": "json_object"}}, "no certain form"),
]
ASKED = {"model": "small", "messages": [{"role": "user", "content": "When does the lease end ?"}]}


async def test_a_real_engine_answers_through_the_gateway_and_comes_back_after_a_kill(
    rooms: Rooms, scope: Scope, model: Path
) -> None:
    told: list[str] = []
    runtime = choose_runtime(model)
    assert (runtime.program, runtime.kind) == ("CTranslate2", "openai")
    async with asyncio.timeout(120), watched_runtime(runtime, said=told.append) as server:
        spec = ModelSpec("small", url=server.url, local=True, upstream=runtime.model, capabilities=("chat",))
        made = await rooms.inference.add_model(scope, spec)
        assert made.problem == ""
        whole = await call(rooms, scope, ASKED)
        assert whole.json["choices"][0]["message"]["content"] == "The lease ends in June ."
        assert whole.json["choices"][0]["finish_reason"] == "stop"
        streamed = await call(rooms, scope, {**ASKED, "stream": True})
        assert streamed.text == "The lease ends in June ."
        assert len([one for one in streamed.events if isinstance(one, dict) and one["choices"]]) > 3, "piece by piece"
        short = await call(rooms, scope, {**ASKED, "max_tokens": 2})
        assert short.json["choices"][0] | {"message": None} == {"index": 0, "finish_reason": "length", "message": None}
        refused = await call(rooms, scope, {**ASKED, "max_tokens": -1})
        assert refused.json["error"]["code"] == "inference.upstream_refused"
        for beyond, word in BEYOND_IT:
            no = await call(rooms, scope, {**ASKED, **beyond})
            assert (no.status, no.json["error"]["code"]) == (400, "inference.upstream_refused"), no.body
            assert word in no.json["error"]["message"]
        receipt = await rooms.audit.receipt(scope, whole.headers["x-bastide-receipt"])
        assert receipt.body["assurance"] == "local-measured"
        staying = asyncio.create_task(server.stay())
        assert server._process is not None
        os.kill(server._process.pid, signal.SIGKILL)
        while not (server.restarts and await server._answers()):
            await asyncio.sleep(0.05)
        again = await call(rooms, scope, ASKED)
        assert again.json["choices"][0]["message"]["content"] == "The lease ends in June ."
        staying.cancel()
    assert told == ["CTranslate2 ended by itself; it is started again."]


async def test_what_cannot_stay_up_is_told_with_its_last_words() -> None:
    dies = Runtime("openai", "a program", ("sh", "-c", "echo out of memory; exit 3"), "m")
    with pytest.raises(RuntimeFailed, match="out of memory"):
        async with watched_runtime(dies, said=lambda line: None):
            pass


def test_the_folder_and_the_machine_choose_the_program(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownModelFolder):
        choose_runtime(tmp_path)
    gguf = tmp_path / "a.gguf"
    gguf.write_bytes(b"GGUF")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoRuntime, match="llama-server"):
        choose_runtime(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("llama-server", "vllm", "transformers"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert choose_runtime(gguf).kind == "llamacpp"
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnknownModelFolder, match="2 models"):
        choose_runtime(tmp_path)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (weights / "model.safetensors").write_bytes(b"")
    assert choose_runtime(weights, gpu=True).program == "vLLM"
    assert choose_runtime(weights, gpu=False).program == "transformers"
    assert dict(choose_runtime(weights, gpu=False).environment)["HF_HUB_OFFLINE"] == "1"
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.bin").write_bytes(b"")
    (broken / "config.json").write_text(json.dumps({}))
    with pytest.raises(UnknownModelFolder, match="tokenizer"):
        choose_runtime(broken)
