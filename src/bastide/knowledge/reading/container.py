"""Containers: the zip file that an Office document is, opened without trust in what it says of itself."""

import io
import zipfile
import zlib

from lxml import etree

from bastide.errors import BombFile, EncryptedFile, UnreadableFile
from bastide.knowledge.reading.values import Limits

_PARTS_MAX = 20_000
_SMALL = 1_000_000
"""Bytes up to which a part may be packed as tightly as it likes: empty tables compress a thousandfold."""


class Container:
    """The parts of a document by name; refuses bombs and locked parts before anything is unpacked."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UnreadableFile("The document is damaged or cut off: its table of contents is missing.") from error
        parts = self._zip.infolist()
        if len(parts) > _PARTS_MAX:
            raise BombFile(f"The document has {len(parts):,} parts.")
        total = sum(part.file_size for part in parts)
        if total > limits.unpacked_max:
            raise BombFile(f"The document would unpack to {total:,} bytes; the limit is {limits.unpacked_max:,}.")
        for part in parts:
            if part.flag_bits & 0x1:
                raise EncryptedFile("Parts of the document are protected by a password.")
            if part.file_size > _SMALL and part.file_size > limits.ratio_max * max(part.compress_size, 1):
                raise BombFile(
                    f"A part of the document would unpack to {part.file_size:,} bytes from {part.compress_size:,}."
                )
        self._names = {part.filename for part in parts}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def xml(self, name: str) -> etree._Element:
        """The root of an XML part. Entities are never resolved; a part that declares any is refused."""
        try:
            data = self._zip.read(name)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise UnreadableFile(f"The document is damaged: its part {name} cannot be unpacked.") from error
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"<\0!\0D\0O\0C" in data:
            raise UnreadableFile(f"The document's part {name} declares entities, which Office documents may not.")
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
        )
        try:
            return etree.fromstring(data, parser)
        except etree.XMLSyntaxError as error:
            raise UnreadableFile(f"The document is damaged: its part {name} is not well-formed XML.") from error
