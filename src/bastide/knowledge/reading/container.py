"""Containers: the zip file that an Office document or a book is, opened without trust in what it says of itself."""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from lxml import etree

from bastide.errors import BombFile, EncryptedFile, FileTooLarge, Refusal, UnreadableFile
from bastide.knowledge.reading.values import Limits

BROKEN_ZIP = (
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""What the zip reader raises for damaged or unknown parts."""
_PARTS_MAX = 20_000
_SMALL = 1_000_000
"""Bytes up to which a part may be packed as tightly as it likes: empty tables compress a thousandfold."""
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_DECLARES = re.compile(rb"<!DOCTYPE|<!ENTITY|<\0!\0[DE]\0[ON]\0|\0<\0!\0[DE]\0[ON]")


@dataclass(frozen=True, slots=True)
class Relation:
    """From one part of an Office document to another; `target` is the full name of a part, or an address outside."""

    id: str
    kind: str
    """The last word of its type: "slide", "header", "footnotes"."""
    target: str


def swells(part: zipfile.ZipInfo, limits: Limits) -> bool:
    """Whether a part would unpack to far more than it is."""
    return part.file_size > _SMALL and part.file_size > limits.ratio_max * max(part.compress_size, 1)


class Container:
    """The parts of a document by name; refuses bombs and locked parts before anything is unpacked."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except BROKEN_ZIP as error:
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
            if swells(part, limits):
                raise BombFile(
                    f"A part of the document would unpack to {part.file_size:,} bytes from {part.compress_size:,}."
                )
        self._names = {part.filename: part for part in parts}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def raw(self, name: str) -> bytes:
        """The bytes of a part."""
        try:
            return self._zip.read(name)
        except BROKEN_ZIP as error:
            raise UnreadableFile(f"The document is damaged: its part {name} cannot be unpacked.") from error

    def xml(self, name: str) -> etree._Element:
        """The root of an XML part. Entities are never resolved; a part that declares any is refused."""
        data = self._undeclaring(name)
        try:
            return etree.fromstring(data, _parser())
        except etree.XMLSyntaxError as error:
            raise _malformed(name, error) from error

    def stream(self, name: str, *tags: str) -> Iterator[etree._Element]:
        """The elements `tags` of an XML part, one by one, each forgotten when the next is asked for."""
        data = self._undeclaring(name)
        try:
            walk = etree.iterparse(
                io.BytesIO(data), tag=tags, resolve_entities=False, no_network=True, load_dtd=False, remove_pis=True
            )
            for _, element in walk:
                yield element
                element.clear(keep_tail=False)
                while element.getprevious() is not None and element.getparent() is not None:
                    del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            raise _malformed(name, error) from error

    def relations(self, name: str) -> list[Relation]:
        """Where the part `name` leads to; "" = the document itself."""
        folder, file = posixpath.split(name)
        part = posixpath.join(folder, "_rels", f"{file}.rels")
        if part not in self:
            return []
        found = []
        for relation in self.xml(part).iter(_RELATION):
            target = relation.get("Target") or ""
            if relation.get("TargetMode") != "External":
                inside = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, unquote(target))
                target = posixpath.normpath(inside)
            kind = (relation.get("Type") or "").rpartition("/")[2]
            found.append(Relation(relation.get("Id") or "", kind, target))
        return found

    def _undeclaring(self, name: str) -> bytes:
        data = self.raw(name)
        if _DECLARES.search(data) is not None:
            raise UnreadableFile(f"The document's part {name} declares entities, which Office documents may not.")
        return data


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )


def parse_xml(data: bytes, what: str) -> etree._Element:
    """The root of an XML file that stands by itself; one that declares entities is refused."""
    if _DECLARES_ENTITY.search(data) is not None:
        raise UnreadableFile(f"The {what} declares entities of its own, which are not resolved here.")
    damaged = f"The {what} is not well-formed XML."
    try:
        return etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise _unparsed(f"the {what}", error, damaged) from error
    except ValueError as error:
        raise UnreadableFile(damaged) from error


_DECLARES_ENTITY = re.compile(rb"<!ENTITY|<\0!\0E\0N\0T\0I|\0<\0!\0E\0N\0T\0I")


def _malformed(name: str, error: etree.XMLSyntaxError) -> Refusal:
    return _unparsed(f"the part {name}", error, f"The document is damaged: its part {name} is not well-formed XML.")


_TOO_MUCH = "XML_PARSE_HUGE"
"""What the XML parser says of elements nested deeper than 256, or of ten million letters without a tag."""


def _unparsed(what: str, error: etree.XMLSyntaxError, damaged: str) -> Refusal:
    """Why an XML file or part could not be taken apart: it asks for too much, or it breaks the rules."""
    if _TOO_MUCH not in (error.msg or ""):
        return UnreadableFile(damaged)
    if "depth" in (error.msg or ""):
        return FileTooLarge(
            f"The elements of {what} are nested too deeply; the limit is 256.",
            next_step="Send the part that matters as text or as a table.",
        )
    return FileTooLarge(f"{what[0].upper()}{what[1:]} holds more text in one piece than an XML file may have here.")
