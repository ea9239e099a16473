"""Archive: the zip file of an export, compared with its manifest before anything is taken out of it. Blocks."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from bastide.errors import BadLabel, BadName, BadOption, BrokenExport, ExportTooLarge
from bastide.knowledge import bounds
from bastide.knowledge.graph import MERGES_MAX, SPLITS_MAX, Parted, Told, in_order
from bastide.knowledge.metadata import Metadata, checked
from bastide.policy import Label

DOCUMENTS_MAX = 50_000
FORMAT = "bastide/collection/1"
"""What the manifest of an export calls itself."""

_MANIFEST_BYTES_MAX = 64 * 1024 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Filed:
    """One version of a document, as a file of the archive."""

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """One document of the manifest, its versions from the oldest to that of today."""

    id: str
    name: str
    label: Label
    created: datetime
    updated: datetime
    versions: tuple[Filed, ...]
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says of itself."""

    collection: str
    retention_days: int | None
    members: dict[str, str]
    documents: tuple[Kept, ...]
    splits: tuple[Parted, ...]
    merges: tuple[Told, ...]


def opened(data: IO[bytes], bytes_max: int) -> tuple[Manifest, zipfile.ZipFile]:
    """The manifest of an export, every file compared with it. Raises BrokenExport; ExportTooLarge above `bytes_max`."""
    try:
        archive = zipfile.ZipFile(data)
        if sum(entry.file_size for entry in archive.infolist()) > bytes_max + _MANIFEST_BYTES_MAX:
            raise ExportTooLarge(f"The archive holds more than {bytes_max // 1024**2} MiB.")
        manifest = _manifest(json.loads(unpacked(archive, "manifest.json", _MANIFEST_BYTES_MAX)))
        for document in manifest.documents:
            for version in document.versions:
                _compare(archive, version)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, RecursionError) as fault:
        raise BrokenExport("The zip file is damaged.") from fault
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise BrokenExport(f"The manifest is not one of {FORMAT}, or names a file that is not there.") from fault
    except (BadName, BadLabel, BadOption) as fault:
        raise BrokenExport(f"The manifest holds what cannot be: {fault.message}") from fault
    return manifest, archive


def unpacked(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the archive, never more than a byte beyond `most`: what an entry says of its size may be wrong."""
    try:
        with archive.open(name) as file:
            return file.read(most + 1)
    except (zipfile.BadZipFile, RuntimeError) as fault:  # a wrong checksum, or a password
        raise BrokenExport(f"{name!r} cannot be unpacked.") from fault


def _compare(archive: zipfile.ZipFile, version: Filed) -> None:
    digest, left = hashlib.sha256(), version.bytes + 1
    try:
        with archive.open(version.file) as file:
            while left and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
    except (zipfile.BadZipFile, RuntimeError) as fault:
        raise BrokenExport(f"{version.file!r} cannot be unpacked.") from fault
    if left != 1 or digest.hexdigest() != version.sha256:
        raise BrokenExport(f"{version.file!r} is not what its manifest says.")


def _manifest(wire: Mapping[str, Any]) -> Manifest:
    if wire["format"] != FORMAT or len(wire["documents"]) > DOCUMENTS_MAX:
        raise ValueError(wire["format"])
    days = wire["retention_days"]
    if days is not None and type(days) is not int:
        raise ValueError(days)
    documents = tuple(_document(one) for one in wire["documents"])
    if len({one.name for one in documents}) < len(documents):
        raise ValueError("two documents of one name")
    splits = [Parted.from_wire(one) for one in _listed(wire, "splits", SPLITS_MAX)]
    merges = [Told.from_wire(one) for one in _listed(wire, "merges", MERGES_MAX)]
    in_order(splits, merges)
    name = bounds.collection(wire["collection"])
    return Manifest(name, days, dict(wire["members"]), documents, tuple(splits), tuple(merges))


def _listed(wire: Mapping[str, Any], word: str, most: int) -> list[Any]:
    said = wire.get(word, [])  # exports of earlier days have none
    if not isinstance(said, list) or len(said) > most:
        raise ValueError(word)
    return said


def _document(wire: Mapping[str, Any]) -> Kept:
    versions = tuple(Filed(str(one["file"]), str(one["sha256"]), int(one["bytes"])) for one in wire["versions"])
    if not versions or any(one.bytes < 0 for one in versions):
        raise ValueError("a document without a version")
    label = Label.from_wire(wire["label"])
    bounds.subjects(label.subjects)
    times = [datetime.fromisoformat(wire[word]) for word in ("created", "updated")]
    if any(moment.tzinfo is None for moment in times):
        raise ValueError("a time without its zone")
    metadata = checked(wire.get("metadata", {}))  # exports of earlier days have none
    return Kept(str(wire["id"]), bounds.name(wire["name"]), label, times[0], times[1], versions, metadata)
