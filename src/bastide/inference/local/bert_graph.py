"""A sentence encoder as an ONNX graph, written straight from its weights.

BERT, RoBERTa and XLM-RoBERTa differ only in where their positions begin, so one graph serves all
three. Nothing of PyTorch is needed. The numbers of a text depend on that text alone: the graph takes
texts of one length at a time and knows no padding, because dynamic int8 scales are taken over all
that is in a run, and a neighbour in the batch would move them.

Two precisions of the same graph:

    fp32   as trained; the measure for the other
    int8   weights per output channel, word vectors per row, activations per run. Written here and
           not by a quantisation tool: those hold the fp32 graph as one message (2 GB at most) and
           give all word vectors one common scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bastide.inference.local.model_folder import Encoder

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Precision = Literal["fp32", "int8"]
INPUT, OUTPUT = "input_ids", "embedding"
REVISION = 3  # raise it when the same weights give another graph: cached graphs are then made anew

_MICROSOFT = "com.microsoft"  # onnxruntime's own operators: fused attention, quantised product
_ACTIVATIONS: Mapping[str, tuple[str, dict[str, str]]] = {
    "gelu": ("Gelu", {"approximate": "none"}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "identity": ("Identity", {}),
}


@dataclass(frozen=True, slots=True)
class Dense:
    """A projection after pooling: `weight` is (in, out)."""

    weight: Array
    bias: Array | None
    activation: str


def build(
    encoder: Encoder, weight: Callable[[str], Array], *, dense: tuple[Dense, ...] = (), precision: Precision = "int8"
) -> onnx.ModelProto:
    """The graph `input_ids (b, s) int64 -> embedding (b, d) float32`, L2-normalised; all rows of one length.

    `weight` gives the tensor of a name in the encoder's own naming, such as
    `encoder.layer.0.output.dense.weight`.
    """
    import numpy as np

    graph = _Graph(precision)
    x = _embeddings(graph, encoder, weight)
    for layer in range(encoder.layers):
        x = _layer(graph, encoder, weight, f"encoder.layer.{layer}.", x)
    y = _pool(graph, encoder.pooling, x)
    for projection in dense:
        y = graph.linear(y, projection.weight, projection.bias)
        y = graph.activation(y, projection.activation)
    norm = graph.op("ReduceL2", [y, graph.integers([-1])], keepdims=1)
    norm = graph.op("Max", [norm, graph.constant(np.float32(1e-12))])
    graph.op("Div", [y, norm], output=OUTPUT)
    return graph.model()


def _embeddings(graph: _Graph, encoder: Encoder, weight: Callable[[str], Array]) -> str:
    # Every text is of one segment, so the first row of the segment table is added to the positions here.
    words = graph.rows(INPUT, weight("embeddings.word_embeddings.weight"))
    positions = weight("embeddings.position_embeddings.weight")[encoder.position_offset :]
    if encoder.segments:
        positions = positions + weight("embeddings.token_type_embeddings.weight")[0]
    length = graph.op("Gather", [graph.op("Shape", [INPUT]), graph.integers([1])], axis=0)
    places = graph.op("Slice", [graph.constant(positions), graph.integers([0]), length, graph.integers([0])])
    return graph.layer_norm(words, places, encoder.epsilon, weight, "embeddings.LayerNorm")


def _layer(graph: _Graph, encoder: Encoder, weight: Callable[[str], Array], at: str, x: str) -> str:
    import numpy as np

    parts = [f"{at}attention.self.{part}" for part in ("query", "key", "value")]
    together = np.concatenate([weight(f"{part}.weight").T for part in parts], axis=1)
    bias = np.concatenate([weight(f"{part}.bias") for part in parts])
    split = graph.split(graph.linear(x, together, bias), 3)
    attended = graph.op("MultiHeadAttention", split, domain=_MICROSOFT, num_heads=encoder.heads)
    projected = _project(graph, weight, f"{at}attention.output.dense", attended)
    x = graph.layer_norm(projected, x, encoder.epsilon, weight, f"{at}attention.output.LayerNorm")
    inner = graph.activation(_project(graph, weight, f"{at}intermediate.dense", x), encoder.activation)
    outer = graph.linear_by_row(inner, weight(f"{at}output.dense.weight").T, weight(f"{at}output.dense.bias"))
    return graph.layer_norm(outer, x, encoder.epsilon, weight, f"{at}output.LayerNorm")


def _project(graph: _Graph, weight: Callable[[str], Array], name: str, x: str) -> str:
    return graph.linear(x, weight(f"{name}.weight").T, weight(f"{name}.bias"))


def _pool(graph: _Graph, pooling: str, x: str) -> str:
    import numpy as np

    if pooling == "cls":
        return graph.op("Gather", [x, graph.constant(np.int64(0))], axis=1)
    return graph.op("ReduceMean", [x, graph.integers([1])], keepdims=0)


class _Graph:
    """Nodes and weights in the order in which they are named."""

    def __init__(self, precision: Precision) -> None:
        import onnx

        self._onnx = onnx
        self._precision = precision
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def op(self, kind: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """One operator; returns the name of what it gives."""
        name = output or f"v{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def split(self, x: str, count: int) -> list[str]:
        names = [f"v{len(self._nodes)}_{part}" for part in range(count)]
        self._nodes.append(self._onnx.helper.make_node("Split", [x], names, axis=-1, num_outputs=count))
        return names

    def constant(self, value: NDArray[np.generic] | np.generic) -> str:
        import numpy as np

        name = f"w{len(self._weights)}"
        self._weights.append(
            self._onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        )
        return name

    def integers(self, values: list[int]) -> str:
        import numpy as np

        return self.constant(np.array(values, dtype=np.int64))

    def rows(self, ids: str, table: Array) -> str:
        """The rows of `table` that `ids` name."""
        if self._precision == "fp32":
            return self.op("Gather", [self.constant(table), ids], axis=0)
        quantised, scale = _quantise(table, axis=1)
        found = self.op("Gather", [self.constant(quantised), ids], axis=0)
        scales = self.op("Gather", [self.constant(scale), ids], axis=0)
        return self.op("Mul", [self.op("Cast", [found], to=self._onnx.TensorProto.FLOAT), scales])

    def linear(self, x: str, weight: Array, bias: Array | None = None) -> str:
        """`x @ weight + bias`, weight (in, out)."""
        if self._precision == "fp32":
            product = self.op("MatMul", [x, self.constant(weight)])
            return product if bias is None else self.op("Add", [product, self.constant(bias)])
        quantised, scale = _quantise(weight, axis=0)
        inputs = [x, self.constant(quantised), self.constant(scale.reshape(-1))]
        if bias is not None:
            inputs += ["", self.constant(bias)]
        return self.op("DynamicQuantizeMatMul", inputs, domain=_MICROSOFT)

    def linear_by_row(self, x: str, weight: Array, bias: Array) -> str:
        """The same for what comes out of an activation, each row with a scale of its own in int8.

        A few tokens have activations ten times those of others; under one scale the others would lose
        their digits there. This product alone made half of the distance to fp32.
        """
        import numpy as np

        if self._precision == "fp32":
            return self.linear(x, weight, bias)
        # Nothing comes out of these activations below -0.17, so the largest value is the span.
        largest = self.op("ReduceMax", [x, self.integers([-1])], keepdims=1)
        span = self.op("Max", [largest, self.constant(np.float32(0.2))])
        product = self.linear(self.op("Mul", [x, self.op("Reciprocal", [span])]), weight)
        return self.op("Add", [self.op("Mul", [product, span]), self.constant(bias)])

    def activation(self, x: str, name: str) -> str:
        kind, attributes = _ACTIVATIONS[name]
        return self.op(kind, [x], **attributes)

    def layer_norm(self, x: str, y: str, epsilon: float, weight: Callable[[str], Array], at: str) -> str:
        """The layer norm of `x + y`, as one operator: the runtime's own for a norm alone takes four times as long."""
        inputs = [x, y, self.constant(weight(f"{at}.weight")), self.constant(weight(f"{at}.bias"))]
        return self.op("SkipLayerNormalization", inputs, domain=_MICROSOFT, epsilon=epsilon)

    def model(self) -> onnx.ModelProto:
        source = self._onnx.helper.make_tensor_value_info(INPUT, self._onnx.TensorProto.INT64, ["b", "s"])
        target = self._onnx.helper.make_tensor_value_info(OUTPUT, self._onnx.TensorProto.FLOAT, ["b", "d"])
        graph = self._onnx.helper.make_graph(self._nodes, "sentence_encoder", [source], [target], self._weights)
        domains = [self._onnx.helper.make_opsetid("", 20), self._onnx.helper.make_opsetid(_MICROSOFT, 1)]
        return self._onnx.helper.make_model(graph, opset_imports=domains, ir_version=10, producer_name="bastide")


def _quantise(weight: Array, *, axis: int) -> tuple[NDArray[np.int8], Array]:
    """Symmetric int8 along `axis`, and the scale that leads back, kept as an axis of length one."""
    import numpy as np

    scale = np.abs(weight).max(axis=axis, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale
