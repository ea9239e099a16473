"""A folder with a sentence-embedding model, read: its shape, its weights, its tokenizer, its habits.

The layout is the one that sentence-transformers writes: config.json, model.safetensors, tokenizer.json
or vocab.txt; optionally modules.json, 1_Pooling/config.json, 2_Dense/, sentence_bert_config.json and
config_sentence_transformers.json. Only files in the folder are read; nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bastide.errors import UnsupportedEmbedder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

# Where positions begin: RoBERTa and its children count from the padding's id + 1.
_OFFSET_AFTER_PADDING = {"bert": False, "roberta": True, "xlm-roberta": True, "camembert": True}
_ACTIVATIONS = frozenset({"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"})
_TRANSFORMER, _POOLING, _NORMALISE, _DENSE = "Transformer", "Pooling", "Normalize", "Dense"
Pooling = Literal["mean", "cls"]

_HASHED = (
    "config.json",
    "modules.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
)


@dataclass(frozen=True, slots=True)
class Encoder:
    """The numbers that fix the graph."""

    hidden: int
    heads: int
    layers: int
    activation: str
    epsilon: float
    positions: int  # usable ones, after the offset
    position_offset: int
    segments: bool
    pooling: Pooling


@dataclass(frozen=True, slots=True)
class DenseFolder:
    """A projection after pooling, as its own folder of the model."""

    path: Path
    activation: str
    bias: bool


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Everything about a model but its weights."""

    path: Path
    encoder: Encoder | None  # None only where the folder carries a graph of its own
    pooling: Pooling
    dense: tuple[DenseFolder, ...]
    tokens_max: int
    prompts: Mapping[str, str]  # "query" and "passage": what is put before a text; "" where nothing is
    ready_graph: Path | None  # onnx/model.onnx, where the folder carries one

    def files(self) -> Iterator[Path]:
        """The files that decide the vectors, in a fixed order."""
        names = [*_HASHED, "1_Pooling/config.json"]
        names += [f"{each.path.name}/{file}" for each in self.dense for file in ("config.json", "model.safetensors")]
        return (self.path / name for name in names if (self.path / name).is_file())

    def digest(self) -> str:
        """SHA-256 over names and contents of `files()`: what two equal models have in common."""
        total = hashlib.sha256()
        for file in self.files():
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
            total.update(file.relative_to(self.path).as_posix().encode() + b"\0" + content)
        return total.hexdigest()


def read_folder(path: Path) -> ModelFolder:
    """The model in `path`. Raises UnsupportedEmbedder for anything that cannot be run faithfully."""
    if not path.is_dir():
        raise UnsupportedEmbedder(f"There is no folder {path}.")
    config = _json(path / "config.json", required=True)
    pooling, dense = _modules(path)
    ready = path / "onnx" / "model.onnx"
    carried = ready.is_file()
    encoder = None if carried else _encoder(path, config, pooling)
    return ModelFolder(
        path=path,
        encoder=encoder,
        pooling=pooling,
        dense=dense,
        tokens_max=_tokens_max(path, encoder.positions if encoder else _positions(config)),
        prompts=_prompts(path),
        ready_graph=ready if carried else None,
    )


def open_weights(file: Path) -> Callable[[str], NDArray[np.float32]]:
    """Reads tensors of a safetensors file by name as float32, whatever prefix the file puts before them."""
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(str(file), framework="numpy")  # the library's types are incomplete
        names = list(opened.keys())
    except (OSError, SafetensorError) as fault:
        raise UnsupportedEmbedder(f"{file} cannot be read: {fault}.") from fault
    marker = "embeddings.word_embeddings.weight"
    prefix = next((name.removesuffix(marker) for name in names if name.endswith(marker)), "")

    def weight(name: str) -> NDArray[np.float32]:
        try:
            return np.asarray(opened.get_tensor(prefix + name)).astype(np.float32)
        except (SafetensorError, TypeError, ValueError) as fault:
            raise UnsupportedEmbedder(f"{file} lacks the weight {name}, or has it in a form unknown here.") from fault

    return weight


def open_tokenizer(path: Path) -> Tokenizer:
    """The folder's tokenizer, without padding or truncation of its own."""
    from tokenizers import Tokenizer

    ready, vocabulary = path / "tokenizer.json", path / "vocab.txt"
    try:
        if ready.is_file():
            tokenizer = Tokenizer.from_file(str(ready))
        elif vocabulary.is_file():
            tokenizer = _wordpiece(path, vocabulary)
        else:
            raise UnsupportedEmbedder(f"{path} has neither tokenizer.json nor vocab.txt.")
    except UnsupportedEmbedder:
        raise
    except Exception as fault:  # the library raises bare Exception for a damaged file
        raise UnsupportedEmbedder(f"The tokenizer in {path} cannot be read: {fault}.") from fault
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _wordpiece(path: Path, vocabulary: Path) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    lower = bool(_json(path / "tokenizer_config.json").get("do_lower_case", True))
    tokenizer = Tokenizer(models.WordPiece.from_file(str(vocabulary), unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    separator, start = tokenizer.token_to_id("[SEP]"), tokenizer.token_to_id("[CLS]")
    if separator is None or start is None:
        raise UnsupportedEmbedder(f"{vocabulary} has no [CLS] or [SEP].")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", separator), ("[CLS]", start))
    return tokenizer


def _json(file: Path, *, required: bool = False) -> dict[str, Any]:
    if not file.is_file() and not required:
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UnsupportedEmbedder(f"{file} cannot be read: {fault}.") from fault
    if not isinstance(value, dict):
        raise UnsupportedEmbedder(f"{file} is not a JSON object.")
    return value


def _modules(path: Path) -> tuple[Pooling, tuple[DenseFolder, ...]]:
    file = path / "modules.json"
    if not file.is_file():
        return _pooling(path / "1_Pooling"), ()
    try:
        modules = [(str(each["type"]).rsplit(".", 1)[-1], str(each["path"])) for each in json.loads(file.read_text())]
    except (ValueError, KeyError, TypeError) as fault:
        raise UnsupportedEmbedder(f"{file} cannot be read: {fault}.") from fault
    pooling: Pooling = "mean"
    dense: list[DenseFolder] = []
    for kind, place in modules:
        if kind == _POOLING:
            pooling = _pooling(path / place)
        elif kind == _DENSE:
            dense.append(_dense(path / place))
        elif kind not in {_TRANSFORMER, _NORMALISE}:
            raise UnsupportedEmbedder(f"The model in {path} has a step {kind!r} that is unknown here.")
    return pooling, tuple(dense)


def _pooling(folder: Path) -> Pooling:
    config = _json(folder / "config.json")
    chosen = sorted(name for name, on in config.items() if name.startswith("pooling_mode_") and on)
    if not chosen or chosen == ["pooling_mode_mean_tokens"]:
        return "mean"
    if chosen == ["pooling_mode_cls_token"]:
        return "cls"
    raise UnsupportedEmbedder(f"The model in {folder.parent} pools by {', '.join(chosen)}; mean and cls are known.")


def _dense(folder: Path) -> DenseFolder:
    config = _json(folder / "config.json", required=True)
    name = str(config.get("activation_function", "")).rsplit(".", 1)[-1].lower()
    if name not in {"tanh", "identity"}:
        raise UnsupportedEmbedder(f"The projection in {folder} uses {name!r}; tanh and identity are known.")
    if not (folder / "model.safetensors").is_file():
        raise UnsupportedEmbedder(f"The projection in {folder} has no model.safetensors.")
    return DenseFolder(folder, name, bool(config.get("bias", True)))


def _encoder(path: Path, config: Mapping[str, Any], pooling: Pooling) -> Encoder:
    kind = config.get("model_type")
    if kind not in _OFFSET_AFTER_PADDING:
        raise UnsupportedEmbedder(f"The model in {path} is of the kind {kind!r}.")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise UnsupportedEmbedder(f"The model in {path} has relative positions.")
    if config.get("hidden_act", "gelu") not in _ACTIVATIONS:
        raise UnsupportedEmbedder(f"The model in {path} uses the activation {config.get('hidden_act')!r}.")
    try:
        offset = int(config["pad_token_id"]) + 1 if _OFFSET_AFTER_PADDING[kind] else 0
        encoder = Encoder(
            hidden=int(config["hidden_size"]),
            heads=int(config["num_attention_heads"]),
            layers=int(config["num_hidden_layers"]),
            activation=str(config.get("hidden_act", "gelu")),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            positions=int(config["max_position_embeddings"]) - offset,
            position_offset=offset,
            segments=int(config.get("type_vocab_size", 2)) > 0,
            pooling=pooling,
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise UnsupportedEmbedder(f"{path / 'config.json'} lacks a number: {fault}.") from fault
    if encoder.hidden % encoder.heads:
        raise UnsupportedEmbedder(f"{path / 'config.json'}: hidden_size is not a multiple of num_attention_heads.")
    return encoder


def _positions(config: Mapping[str, Any]) -> int:
    """How many positions an unknown kind of encoder has, on the safe side."""
    positions = config.get("max_position_embeddings")
    return positions - 2 if isinstance(positions, int) and positions > 2 else 510


def _tokens_max(path: Path, positions: int) -> int:
    wanted = _json(path / "sentence_bert_config.json").get("max_seq_length")
    if not isinstance(wanted, int):
        wanted = _json(path / "tokenizer_config.json").get("model_max_length")
    return min(wanted, positions) if isinstance(wanted, int) and wanted > 2 else positions


def _prompts(path: Path) -> dict[str, str]:
    config = _json(path / "config_sentence_transformers.json")
    known = config.get("prompts")
    prompts = known if isinstance(known, dict) else {}
    usual = str(prompts.get(config.get("default_prompt_name"), ""))
    passage = prompts.get("passage", prompts.get("document", usual))
    return {"query": str(prompts.get("query", usual)), "passage": str(passage)}
