"""Blobs: bytes of a file that need not fit into memory, measured, packed and unpacked piece by piece. Blocks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import IO, cast

import zstandard

from bastide.errors import BlobDamaged
from bastide.store.keys import TenantKeys

_PURPOSE = "blob address"
_READ_BYTES = 1024 * 1024
_LEVEL = 1  # what is so large is mostly packed already


def measured(file: IO[bytes], keys: TenantKeys) -> tuple[int, bytes]:
    """How many bytes a file has, and their address, the one that `Db.put_blob` would give them."""
    keying, size = keys.keying(_PURPOSE), 0
    file.seek(0)
    while piece := file.read(_READ_BYTES):
        keying.update(piece)
        size += len(piece)
    return size, keying.digest()


def pack(file: IO[bytes], size: int, into: IO[bytes], piece_bytes: int) -> int:
    """Write the file's bytes `into` another, packed as `Db.get_blob` reads them; how many pieces that is."""
    file.seek(0)
    with zstandard.ZstdCompressor(level=_LEVEL).stream_writer(into, size=size, closefd=False) as packing:
        shutil.copyfileobj(file, packing, _READ_BYTES)
    packed = into.tell()
    into.seek(0)
    return -(-packed // piece_bytes)


class Unpacking:
    """Pieces of one blob that are written to a file, in order, and verified at the end."""

    def __init__(self, file: IO[bytes], keys: TenantKeys, address: bytes) -> None:
        self._file, self._keys, self._address = file, keys, address
        self._opening = zstandard.ZstdDecompressor().stream_writer(cast("IO[bytes]", self))
        self._keying = keys.keying(_PURPOSE)

    def add(self, pieces: Sequence[tuple[int, bytes]], count: int) -> None:
        """The next pieces of `count`. Raises BlobDamaged."""
        for ord_, sealed in pieces:
            packed = self._keys.unseal_piece(bytes(sealed), f"{self._address.hex()}|{ord_}|{count}")
            try:
                self._opening.write(packed)
            except zstandard.ZstdError as fault:
                raise BlobDamaged from fault

    def write(self, content: bytes) -> int:
        """What the decompressor gives, a little at a time, however much a piece holds."""
        self._keying.update(content)
        return self._file.write(content)

    def verify(self) -> None:
        """Raises BlobDamaged unless what was written is what was put."""
        if self._keying.digest() != self._address:
            raise BlobDamaged
