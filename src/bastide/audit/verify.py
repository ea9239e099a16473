"""Verify a receipt, a checkpoint or an exported log: a file, a public key, and nothing of ours running.

Needs the standard library and one Ed25519 check; no server, no database, no network. What cannot be
read is a problem, never an exception.
"""

from __future__ import annotations

from pathlib import Path

from bastide.audit.canonical import parse_json
from bastide.audit.merkle import HASH_BYTES, NotProven
from bastide.audit.note import Checkpoint, PublicKey
from bastide.audit.receipts import check_receipt
from bastide.audit.replay import Replay
from bastide.audit.tiles import WIDTH, tile_path, unpack_entries, widths
from bastide.audit.values import Verification

VKEY = "log.vkey"
CHECKPOINT = "checkpoint"
_FILE_BYTES_MAX = 16 * 1024 * 1024
_KEY_BYTES_MAX = 4096
_BUNDLE_BYTES_MAX = WIDTH * (2 + 65_535)


def verify_file(path: Path, key: Path | None = None) -> Verification:
    """What `path` proves: a receipt (JSON), a checkpoint (signed note) or the folder of an exported log.

    `key` is a file with the log's public key. Without it `log.vkey` beside the file is used, then the
    key inside the receipt; the result's `key` says which.
    """
    kind = "unknown"
    try:
        if path.is_dir():
            kind = "log"
            return _verify_log(path, key)
        content = _text(path, _FILE_BYTES_MAX)
        if content.lstrip()[:1] == "{":
            kind = "receipt"
            return _verify_receipt(path, content, key)
        kind = "checkpoint" if "\n\n— " in content else "unknown"
        if kind == "unknown":
            raise NotProven("this is neither a receipt, nor a checkpoint, nor an exported log")
        return _verify_checkpoint(path, content, key)
    except NotProven as fault:
        return Verification(False, kind, problems=(str(fault),))
    except OSError as fault:
        return Verification(False, kind, problems=(f"cannot be read: {fault.strerror or fault}",))


def _verify_receipt(path: Path, content: str, key: Path | None) -> Verification:
    receipt = parse_json(content)
    if not isinstance(receipt, dict):
        raise NotProven("this is not a receipt")
    trusted, whence = _key(path.parent, key, embedded=receipt.get("key"))
    assurance = receipt.get("assurance")
    word = assurance if isinstance(assurance, str) else None
    try:
        checkpoint, index = check_receipt(receipt, trusted)
    except NotProven as fault:
        return Verification(False, "receipt", log=trusted.name, problems=(str(fault),), key=whence)
    return Verification(
        True, "receipt", log=checkpoint.origin, index=index, size=checkpoint.size, assurance=word, key=whence
    )


def _verify_checkpoint(path: Path, content: str, key: Path | None) -> Verification:
    trusted, whence = _key(path.parent, key)
    checkpoint = Checkpoint.open(content, trusted)
    return Verification(True, "checkpoint", log=checkpoint.origin, size=checkpoint.size, key=whence)


def _verify_log(folder: Path, key: Path | None) -> Verification:
    trusted, whence = _key(folder, key)
    note = _text(folder / CHECKPOINT, _KEY_BYTES_MAX * 16)
    checkpoint = Checkpoint.open(note, trusted)
    size = checkpoint.size
    upper = {(level, n): _tile(folder, level, n, width) for level, n, width in widths(size) if level}
    replay = Replay(trusted, upper, whole_history=False)
    for first in range(0, size, WIDTH):
        width = min(WIDTH, size - first)
        held = _tile(folder, 0, first // WIDTH, width)
        entries = _entries(folder, first // WIDTH, width, replay, first)
        last = [(size, note)] if first + width == size else []
        replay.block(entries, held, last)
    replay.finish(size)
    valid, index, problems, warnings = replay.outcome()
    return Verification(
        valid, "log", log=trusted.name, index=index, size=size, problems=problems, warnings=warnings, key=whence
    )


def _entries(folder: Path, n: int, width: int, replay: Replay, first: int) -> list[bytes | None]:
    found: list[bytes | None] = []
    try:
        found += unpack_entries(_bytes(_one_of(folder, "entries", n, width), _BUNDLE_BYTES_MAX))[:width]
    except (NotProven, OSError) as fault:
        replay.report(
            first, f"the entry bundle {n} cannot be read: {fault if isinstance(fault, NotProven) else 'missing'}"
        )
    return found + [None] * (width - len(found))


def _tile(folder: Path, level: int, n: int, width: int) -> bytes:
    try:
        return _bytes(_one_of(folder, level, n, width), WIDTH * HASH_BYTES)[: width * HASH_BYTES]
    except (NotProven, OSError):
        return b""


def _one_of(folder: Path, level: int | str, n: int, width: int) -> Path:
    # A partial tile may have been removed once the full one existed (tlog-tiles, Partial Tiles).
    partial = folder / tile_path(level, n, width)
    return partial if width == WIDTH or partial.exists() else folder / tile_path(level, n)


def _key(folder: Path, given: Path | None, *, embedded: object = None) -> tuple[PublicKey, str]:
    if given is not None:
        try:
            return PublicKey.parse(_text(given, _KEY_BYTES_MAX)), "given"
        except OSError as fault:
            raise NotProven(f"the key file cannot be read: {fault.strerror or fault}") from fault
    beside = folder / VKEY
    if beside.is_file():
        return PublicKey.parse(_text(beside, _KEY_BYTES_MAX)), "beside"
    if isinstance(embedded, str) and embedded:
        return PublicKey.parse(embedded), "embedded"
    raise NotProven("no public key is at hand: give the log's with --key")


def _text(path: Path, limit: int) -> str:
    try:
        return _bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as fault:
        raise NotProven(f"{path.name} is not text") from fault


def _bytes(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise NotProven(f"{path.name} is larger than {limit} bytes")
    return content
