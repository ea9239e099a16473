"""MSG: a message as Outlook saves it: properties in the streams of a compound file ([MS-OXMSG], [MS-OXPROPS])."""

import io
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import olefile

from bastide.errors import Refusal, UnreadableFile
from bastide.knowledge.reading import media
from bastide.knowledge.reading.blocks import Block
from bastide.knowledge.reading.decoding import decode
from bastide.knowledge.reading.mail import body, written
from bastide.knowledge.reading.members import Budget, Member, Opened

_SUBJECT, _BODY, _HTML, _RTF = "0037", "1000", "1013", "1009"
_SENDER, _ADDRESS, _SMTP, _TO, _CC = "0C1A", "0C1F", "5D01", "0E04", "0E03"
_DATA, _LONG_NAME, _NAME, _SHOWN_NAME = "3701", "3707", "3704", "3001"
_SENT, _RECEIVED, _SENSITIVITY = 0x0039, 0x0E06, 0x0036
_LEVELS = {1: "Personal", 2: "Private", 3: "Confidential"}
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_STREAM_MAX = 100_000_000
_BROKEN = (OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error, RecursionError,
           MemoryError, OverflowError)  # fmt: skip


def open_outlook(data: bytes, budget: Budget) -> Opened:
    """A message: its own words, and its attachments."""
    try:
        file = olefile.OleFileIO(io.BytesIO(data))
        return _opened(_Properties(file, (), 32, budget))
    except Refusal:
        raise
    except _BROKEN as error:
        raise UnreadableFile("The message is damaged or cut off.") from error


class _Properties:
    """The properties of a message or of an attachment, by their four hexadecimal digits."""

    def __init__(self, file: olefile.OleFileIO, path: tuple[str, ...], header: int, budget: Budget) -> None:
        self._file = file
        self.path = path
        self.budget = budget
        self._streams = {
            entry[-1].upper(): entry for entry in file.listdir() if tuple(entry[:-1]) == path and len(entry) > len(path)
        }
        self._fixed = self._fixed_values(header)

    def _fixed_values(self, header: int) -> dict[int, bytes]:
        """Numbers and times stand together in one stream, 16 bytes each, behind a header."""
        stream = self._read("__PROPERTIES_VERSION1.0")
        entries = (stream[at : at + 16] for at in range(header, len(stream) - 15, 16))
        return {int.from_bytes(entry[2:4], "little"): entry[8:16] for entry in entries}

    def _read(self, name: str) -> bytes:
        entry = self._streams.get(name)
        if entry is None:
            return b""
        size = self._file.get_size(entry)
        if size > _STREAM_MAX:
            raise UnreadableFile(f"A part of the message claims to have {size:,} bytes.")
        self.budget.unpack(size)
        return bytes(self._file.openstream(entry).read())

    def text(self, tag: str) -> str:
        """A property of words, in whichever of its two forms it is there."""
        wide = self._read(f"__SUBSTG1.0_{tag}001F")
        if wide:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        return decode(self._read(f"__SUBSTG1.0_{tag}001E"), []).rstrip("\0")

    def raw(self, tag: str) -> bytes:
        """A property of bytes."""
        return self._read(f"__SUBSTG1.0_{tag}0102")

    def number(self, tag: int) -> int:
        """A property that is a whole number; 0 where it is not there."""
        return int.from_bytes(self._fixed.get(tag, b"")[:4], "little")

    def moment(self, tag: int) -> str:
        """A property that is a time, as ISO 8601."""
        ticks = int.from_bytes(self._fixed.get(tag, b""), "little")
        if not 0 < ticks < 2**62:
            return ""
        return (_EPOCH + timedelta(microseconds=ticks // 10)).isoformat(" ", "minutes")

    def attachments(self) -> list["_Properties"]:
        """The properties of each attachment."""
        depth = len(self.path)
        folders = {
            entry[depth]
            for entry in self._file.listdir()
            if tuple(entry[:depth]) == self.path and entry[depth].lower().startswith("__attach_version1.0")
        }
        return [_Properties(self._file, (*self.path, folder), 8, self.budget) for folder in sorted(folders)]

    def message(self) -> "_Properties | None":
        """The message that an attachment is, where it is one."""
        folder = f"__substg1.0_{_DATA}000D"
        if not self._file.exists([*self.path, folder, "__properties_version1.0"]):
            return None
        return _Properties(self._file, (*self.path, folder), 24, self.budget)


def _opened(message: _Properties) -> Opened:
    sender = message.text(_SENDER)
    address = message.text(_SMTP) or message.text(_ADDRESS)
    fields = {
        "From": f"{sender} <{address}>" if sender and "@" in address else sender or address,
        "To": message.text(_TO),
        "Cc": message.text(_CC),
        "Date": message.moment(_SENT) or message.moment(_RECEIVED),
    }
    draft = written(" ".join(message.text(_SUBJECT).split()), fields)
    if (level := message.number(_SENSITIVITY)) in _LEVELS:
        draft.marks.append(f"Sensitivity: {_LEVELS[level]}")
    page = message.raw(_HTML) or message.text(_HTML).encode()
    limits = message.budget.left()
    blocks: list[Block] = body(page, media.HTML, "", draft, limits) if page.strip() else []
    plain = "" if blocks else message.text(_BODY)
    if plain.strip():
        blocks = body(plain.encode(), media.PLAIN, "", draft, limits)
    if not blocks and message.raw(_RTF):
        draft.problems.append("the text of the message is kept as RTF only, which is not read")
    draft.blocks += blocks
    return Opened(draft, _members(message), level=2)


def _members(message: _Properties) -> Iterator[Member]:
    for number, part in enumerate(message.attachments(), 1):
        name = f"attachment {number}"
        try:
            name = part.text(_LONG_NAME) or part.text(_NAME) or part.text(_SHOWN_NAME) or name
            inner = part.message()
            yield Member(name, opened=_opened(inner)) if inner is not None else Member(name, part.raw(_DATA))
        except Refusal as refusal:
            if message.budget.spent:
                raise
            yield Member(name, refused=refusal)
        except _BROKEN:
            yield Member(name, refused=UnreadableFile("It is damaged."))
