"""A cross-encoder small enough to be made in a test: its logit counts the tokens that query and text have in common."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *[
        "lease",
        "ends",
        "in",
        "june",
        "when",
        "does",
        "the",
        "soup",
        "is",
        "hot",
        "mill",
        "gate",
        "opens",
        "at",
        "eight",
    ],
)


def crossing(folder: Path, *, width: int = 1) -> Path:
    """The folder, filled; a graph of another `width` is none of a re-ranker."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(WORDS)))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 64}))
    onnx.save(_graph(width), str(folder / "onnx" / "model.onnx"))
    return folder


def _graph(width: int) -> onnx.ModelProto:
    whole = TensorProto.INT64
    constants = [
        helper.make_tensor("first", whole, [1], [1]),
        helper.make_tensor("second", whole, [1], [2]),
        helper.make_tensor("marks", whole, [1], [3]),
        helper.make_tensor("both", whole, [2], [1, 2]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("shape", whole, [2], [1, 1]),
        helper.make_tensor("wide", whole, [2], [1, width]),
    ]
    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["input_ids", "second"], ["down"]),
        node("Unsqueeze", ["input_ids", "first"], ["across"]),
        node("Equal", ["down", "across"], ["alike"]),
        node("Cast", ["alike"], ["same"], to=TensorProto.FLOAT),
        node("Greater", ["down", "marks"], ["said"]),
        node("Cast", ["said"], ["words"], to=TensorProto.FLOAT),
        node("Cast", ["token_type_ids"], ["kinds"], to=TensorProto.FLOAT),
        node("Sub", ["one", "kinds"], ["asked"]),
        node("Unsqueeze", ["asked", "second"], ["of_query"]),
        node("Unsqueeze", ["kinds", "first"], ["of_text"]),
        node("Mul", ["same", "words"], ["shared"]),
        node("Mul", ["of_query", "of_text"], ["crossed"]),
        node("Mul", ["shared", "crossed"], ["hits"]),
        node("ReduceSum", ["hits", "both"], ["count"], keepdims=0),
        node("Reshape", ["count", "shape"], ["narrow"]),
        node("Expand", ["narrow", "wide"], ["logits"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, whole, [1, "s"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, width])]
    graph = helper.make_graph(nodes, "crossing", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model
