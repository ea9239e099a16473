"""Archives: ZIP, TAR, and what gzip, bzip2 and xz pack. Nothing is ever written to disk; a link is not followed."""

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from bastide.errors import BombFile, EncryptedFile, FileTooLarge, UnreadableFile, UnsupportedType
from bastide.knowledge.reading import media
from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.container import BROKEN_ZIP, swells
from bastide.knowledge.reading.members import Budget, Member, Opened

_AT_ONCE = 1_000_000
"""Bytes that are unpacked between two looks at the limits."""
_LZMA_MEMORY = 200_000_000
_BLOCK = 512
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")
_LOCKED = EncryptedFile("It is protected by a password.")


def open_zip(data: bytes, budget: Budget) -> Opened:
    """The files of a ZIP archive, in their order."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        parts = [part for part in archive.infolist() if not _litter(part.filename)]
    except BROKEN_ZIP as error:
        raise UnreadableFile("The archive is damaged or cut off: its table of contents is missing.") from error
    if len(parts) > budget.limits.members_max:
        raise FileTooLarge(f"The archive holds {len(parts):,} files; the limit is {budget.limits.members_max:,}.")
    total = sum(part.file_size for part in parts)
    if total > budget.limits.unpacked_max:
        raise BombFile(f"The archive would unpack to {total:,} bytes; the limit is {budget.limits.unpacked_max:,}.")
    return Opened(Draft([]), (_zipped(archive, part, budget) for part in parts))


def _zipped(archive: zipfile.ZipFile, part: zipfile.ZipInfo, budget: Budget) -> Member:
    if part.flag_bits & 0x1:
        return Member(part.filename, refused=_LOCKED)
    if swells(part, budget.limits):
        told = f"It would unpack to {part.file_size:,} bytes from {part.compress_size:,}."
        return Member(part.filename, refused=BombFile(told))
    budget.unpack(part.file_size)
    try:
        return Member(part.filename, archive.read(part))
    except (*BROKEN_ZIP, lzma.LZMAError):
        return Member(part.filename, refused=UnreadableFile("It is damaged and cannot be unpacked."))


def _litter(name: str) -> bool:
    """Folders, and what file systems leave behind; nobody wrote it."""
    return name.startswith(_LITTER[0]) or name.endswith(("/", *_LITTER[1:]))


def open_tar(data: bytes, budget: Budget) -> Opened:
    """The files of a TAR archive, in their order."""
    budget.unpack(len(data))
    return Opened(Draft([]), _tarred(data))


def _tarred(data: bytes) -> Iterator[Member]:
    cut_off = UnreadableFile("The archive is damaged or cut off.")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            while (part := archive.next()) is not None:
                if part.isdir() or _litter(part.name):
                    continue
                yield _tarred_member(archive, part, len(data))
            end = archive.offset
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError, zlib.error) as error:
        raise cut_off from error
    # The reader stops in silence at a header that it does not understand; the end is a block of zeros.
    last = data[end : end + _BLOCK] or data[end - _BLOCK : end]
    if last.strip(b"\0"):
        raise cut_off


def _tarred_member(archive: tarfile.TarFile, part: tarfile.TarInfo, size: int) -> Member:
    if not part.isreg():
        return Member(part.name, refused=UnsupportedType("It is a link or a device, no file."))
    if part.issparse() or part.size > size:
        return Member(part.name, refused=BombFile(f"It would unpack to {part.size:,} bytes."))
    file = archive.extractfile(part)
    return Member(part.name, file.read() if file is not None else b"")


def open_gzip(data: bytes, budget: Budget) -> Opened:
    """The file that gzip packed, or the files of the TAR archive in it."""
    return _packed(data, budget, lambda: zlib.decompressobj(31), _gzip_name(data))


def open_bzip2(data: bytes, budget: Budget) -> Opened:
    """The file that bzip2 packed, or the files of the TAR archive in it."""
    return _packed(data, budget, bz2.BZ2Decompressor, "")


def open_xz(data: bytes, budget: Budget) -> Opened:
    """The file that xz packed, or the files of the TAR archive in it."""
    return _packed(data, budget, lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY), "")


def _packed(data: bytes, budget: Budget, make: Callable[[], "_Decompressor"], name: str) -> Opened:
    content = _unpacked(data, budget, make)
    if media.is_tar(content):
        return Opened(Draft([]), _tarred(content))
    return Opened(Draft([]), [Member(name or "content", content)])


class _Decompressor(Protocol):
    """What the three decompressors of the standard library share."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _unpacked(data: bytes, budget: Budget, make: Callable[[], _Decompressor]) -> bytes:
    """All streams of `data`, one behind the other, within the limits on size and on swelling."""
    out = bytearray()
    rest = data
    allowed = max(budget.limits.ratio_max * len(data), _AT_ONCE)
    try:
        while rest.strip(b"\0"):
            machine = make()
            while not machine.eof:
                piece = machine.decompress(rest, _AT_ONCE)
                rest = getattr(machine, "unconsumed_tail", b"")
                if not piece and not rest and not machine.eof:
                    raise EOFError
                budget.unpack(len(piece))
                out += piece
                if len(out) > allowed:
                    raise BombFile(f"It would unpack to more than {allowed:,} bytes from {len(data):,}.")
            rest = machine.unused_data
    except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise UnreadableFile("The packed file is damaged or cut off.") from error
    return bytes(out)


def _gzip_name(data: bytes) -> str:
    """The name that gzip keeps of the file it packed (RFC 1952, 2.3); "" where it kept none."""
    if len(data) < 12 or not data[3] & 0x08:
        return ""
    at = 10
    if data[3] & 0x04:
        at += 2 + int.from_bytes(data[10:12], "little")
    end = data.find(b"\0", at, at + 1_000)
    return data[at:end].decode("latin-1") if end > at else ""
