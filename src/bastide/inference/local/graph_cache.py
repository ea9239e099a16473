"""Int8 graphs, made once for each set of weights and kept beside the home's data.

A cached graph is used only if its bytes still have the fingerprint written beside it; otherwise it is
made again from the weights. Several processes may make the same one at once: each writes a file of
its own and renames it, and whoever comes last replaces equal bytes by equal bytes.

    <digest>-int8.onnx           the graph;  digest = SHA-256 over weights, settings and the graph's revision
    <digest>-int8.onnx.sha256    the fingerprint of its bytes
    <stat>.digest                the digest of a folder whose files have not been touched since: hashing
                                 gigabytes of weights at every start would take seconds
    <stat>-<kind>.json           what is known of the model without opening it: see `resting`
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from bastide.inference.local.bert_graph import REVISION, Dense, Precision, build
from bastide.inference.local.model_folder import ModelFolder, open_weights
from bastide.telemetry import log


def graph_bytes(folder: ModelFolder, cache: Path) -> bytes:
    """The int8 graph of `folder`, from `cache` if it is there and whole, else made and put there."""
    file = cache / f"{known_digest(folder, cache)}-int8.onnx"
    found = _read_checked(file)
    if found is None:
        found = make_graph(folder, precision="int8")
        write(file, found)
        write(_beside(file), hashlib.sha256(found).hexdigest().encode())
    return found


def make_graph(folder: ModelFolder, *, precision: Precision) -> bytes:
    """The graph of `folder`, serialised."""
    encoder = folder.encoder
    assert encoder is not None, "a folder is read with its encoder unless it carries a graph"
    dense = []
    for each in folder.dense:
        weight = open_weights(each.path / "model.safetensors")
        dense.append(Dense(weight("linear.weight").T, weight("linear.bias") if each.bias else None, each.activation))
    weights = open_weights(folder.path / "model.safetensors")
    model = build(encoder, weights, dense=tuple(dense), precision=precision)
    return bytes(model.SerializeToString(deterministic=True))


def known_digest(folder: ModelFolder, cache: Path) -> str:
    """The folder's digest, remembered for as long as no file of it is written, moved or replaced."""
    note = cache / f"{seen(folder)}.digest"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        digest = note.read_text(encoding="ascii").strip()
        if len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
            return digest
    digest = hashlib.sha256(f"{REVISION}|{folder.digest()}".encode()).hexdigest()
    write(note, digest.encode())
    return digest


def seen(folder: ModelFolder) -> str:
    """What is another word once a file of the folder is written, moved or replaced; no file is read for it."""
    found = hashlib.sha256(str(REVISION).encode())
    for file in folder.files():
        stat = file.stat()
        found.update(f"{file.absolute()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}\n".encode())
    return found.hexdigest()


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _read_checked(file: Path) -> bytes | None:
    try:
        content, expected = file.read_bytes(), _beside(file).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest().encode() == expected.strip():
        return content
    log.warning("the cached graph %s is damaged; it is made again", file.name)
    return None


def write(file: Path, content: bytes) -> None:
    """Whole or not at all; a cache that cannot be written costs time at the next start, nothing else."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as fault:
        log.warning("the cache %s cannot be written: %s", file.parent, fault.strerror)
