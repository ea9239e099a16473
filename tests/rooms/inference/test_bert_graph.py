"""The graph computes what the model means: held against a forward pass written out in numpy."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, save
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from bastide.errors import UnsupportedEmbedder
from bastide.inference.local.embedder import Embedder, open_embedder
from bastide.inference.local.graph_cache import make_graph
from bastide.inference.local.model_folder import read_folder

Array = NDArray[np.float64]
HIDDEN, HEADS, LAYERS, INNER, WORDS, POSITIONS = 24, 4, 2, 40, 60, 34
SENTENCES = ["w4 w9 w17", "w21", "w5 w6 w7 w8 w9 w10 w11 w12 w13", "", "nothing known here", " ".join(["w30"] * 200)]


@dataclass(frozen=True)
class Shape:
    """What differs between the families."""

    kind: str
    offset: int
    pooling: str
    prefix: str = ""
    activation: str = "gelu"
    dense: bool = False
    segments: int = 1


SHAPES = [
    Shape("xlm-roberta", 2, "mean"),
    Shape("xlm-roberta", 2, "cls", prefix="roberta."),
    Shape("roberta", 2, "mean", activation="relu"),
    Shape("bert", 0, "cls", segments=2, activation="gelu_new"),
    Shape("bert", 0, "mean", prefix="bert.", segments=2, dense=True),
]


def make_folder(path: Path, shape: Shape) -> dict[str, NDArray[np.float32]]:
    """A model of random weights in `path`, written as the trainers write it; returns the weights."""
    chance = np.random.default_rng(7)

    def tensor(*size: int) -> NDArray[np.float32]:
        return chance.normal(0, 0.3, size).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": tensor(WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": tensor(POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": tensor(shape.segments, HIDDEN),
    }
    norms, linears = ["embeddings.LayerNorm"], []
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
        parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
        linears += [(f"{at}{part}", HIDDEN, HIDDEN) for part in parts]
        linears += [(f"{at}intermediate.dense", INNER, HIDDEN), (f"{at}output.dense", HIDDEN, INNER)]
    for name in norms:
        weights |= {f"{name}.weight": 1 + tensor(HIDDEN), f"{name}.bias": tensor(HIDDEN)}
    for name, out, into in linears:
        weights |= {f"{name}.weight": tensor(out, into), f"{name}.bias": tensor(out)}
    path.mkdir(parents=True, exist_ok=True)
    save_file({shape.prefix + name: value for name, value in weights.items()}, path / "model.safetensors")
    config = {
        "model_type": shape.kind,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "hidden_act": shape.activation,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": shape.segments,
        "pad_token_id": 1,
        "vocab_size": WORDS,
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "1_Pooling").mkdir(exist_ok=True)
    modes = {"pooling_mode_mean_tokens": shape.pooling == "mean", "pooling_mode_cls_token": shape.pooling == "cls"}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    steps = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "3_Normalize")]
    if shape.dense:
        steps.insert(2, ("Dense", "2_Dense"))
        (path / "2_Dense").mkdir(exist_ok=True)
        head = {"linear.weight": tensor(10, HIDDEN), "linear.bias": tensor(10)}
        save_file(head, path / "2_Dense" / "model.safetensors")
        settings = {"in_features": HIDDEN, "out_features": 10, "bias": True, "activation_function": "torch.nn.Tanh"}
        (path / "2_Dense" / "config.json").write_text(json.dumps(settings))
        weights |= head
    (path / "modules.json").write_text(
        json.dumps([{"type": f"sentence_transformers.models.{kind}", "path": place} for kind, place in steps])
    )
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **{f"w{n}": n for n in range(4, WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.enable_padding(length=16, pad_id=1)  # as found in real folders; it must not count
    tokenizer.enable_truncation(8)
    tokenizer.save(str(path / "tokenizer.json"))
    return weights


def forward(shape: Shape, weights: dict[str, NDArray[np.float32]], ids: list[int]) -> Array:
    """The published computation, one text, in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}

    def norm(x: Array, name: str) -> Array:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Array, name: str) -> Array:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def active(x: Array) -> Array:
        if shape.activation == "relu":
            return np.maximum(x, 0)
        if shape.activation == "gelu_new":
            return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def heads(x: Array) -> Array:
        return x.reshape(len(ids), HEADS, HIDDEN // HEADS).transpose(1, 0, 2)

    places = np.arange(len(ids)) + shape.offset
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][places]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        q, k, v = (heads(linear(x, f"{at}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(HIDDEN // HEADS)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (share / share.sum(-1, keepdims=True)) @ v
        seen = seen.transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        x = norm(x + linear(seen, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        inner = active(linear(x, f"{at}intermediate.dense"))
        x = norm(x + linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
    y = x[0] if shape.pooling == "cls" else x.mean(0)
    if shape.dense:
        y = np.tanh(linear(y, "linear"))
    return y / np.linalg.norm(y)


def tokens(sentence: str, shape: Shape) -> list[int]:
    known = {f"w{n}": n for n in range(4, WORDS)}
    return [0, *[known.get(word, 3) for word in sentence.split()][: POSITIONS - shape.offset - 2], 2]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.kind}-{shape.pooling}-{shape.activation}")
def test_the_graph_is_the_model(tmp_path: Path, shape: Shape) -> None:
    weights = make_folder(tmp_path, shape)
    expected = np.stack([forward(shape, weights, tokens(sentence, shape)) for sentence in SENTENCES])
    folder = read_folder(tmp_path)
    exact = Embedder("exact", folder, make_graph(folder, precision="fp32"))
    np.testing.assert_allclose(exact.embed(SENTENCES), expected, atol=2e-6)
    small = open_embedder(tmp_path, tmp_path / "cache")
    assert small is not None
    assert np.sum(small.embed(SENTENCES) * expected, axis=1).min() > 0.99
    assert small.max_tokens == POSITIONS - shape.offset
    assert small.dimensions == (10 if shape.dense else HIDDEN)


def test_other_weights_are_another_name(tmp_path: Path) -> None:
    names = set()
    for number, pooling in enumerate(("mean", "cls")):
        folder = tmp_path / str(number) / "my Model"
        make_folder(folder, Shape("xlm-roberta", 2, pooling))
        opened = open_embedder(folder, tmp_path / "cache")
        assert opened is not None
        names.add(opened.name)
    assert len(names) == 2
    assert all(name.startswith("local/my-model-") for name in names)


def test_prompts_are_put_before_the_text(tmp_path: Path) -> None:
    make_folder(tmp_path, SHAPES[0])
    bare = open_embedder(tmp_path, tmp_path / "cache")
    prompts = {"prompts": {"query": "w8 ", "document": "w9 "}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    told = open_embedder(tmp_path, tmp_path / "cache")
    assert bare is not None
    assert told is not None
    np.testing.assert_array_equal(told.embed(["w5"], kind="query"), bare.embed(["w8 w5"]))
    np.testing.assert_array_equal(told.embed(["w5"]), bare.embed(["w9 w5"]))


def test_a_folder_with_vocabulary_only_is_read(tmp_path: Path) -> None:
    make_folder(tmp_path, Shape("bert", 0, "mean", segments=2))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UnsupportedEmbedder, match=r"vocab\.txt"):
        open_embedder(tmp_path, tmp_path / "cache")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nlease\nend\n##s\n")
    opened = open_embedder(tmp_path, tmp_path / "cache")
    assert opened is not None
    assert opened.count_tokens(["Lease ends"]) == [5]


def test_a_graph_in_the_folder_is_used(tmp_path: Path) -> None:
    make_folder(tmp_path, SHAPES[0])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of the future"}))
    (tmp_path / "onnx").mkdir()
    table = np.random.default_rng(1).normal(size=(WORDS, 6)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"], axis=0)],
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["b", "s", 6])],
        [helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.tobytes(), raw=True)],
    )
    opsets = [helper.make_opsetid("", 20)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "onnx" / "model.onnx")
    opened = open_embedder(tmp_path, tmp_path / "cache")
    assert opened is not None
    expected = table[[0, 4, 2]].mean(0)
    np.testing.assert_allclose(opened.embed(["w4"])[0], expected / np.linalg.norm(expected), atol=1e-6)
