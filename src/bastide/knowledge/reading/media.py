"""Media types: what a file is, by its first bytes and inner names; its own name only breaks ties of text."""

import io
import re
import zipfile

from bastide.errors import EncryptedFile, UnreadableFile, UnsupportedType

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
XHTML = "application/xhtml+xml"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"

_FOREIGN = (
    (b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture"), (b"MM\x00*", "a TIFF picture"), (b"BM", "a bitmap picture"),
    (b"\x1f\x8b", "a gzip archive"), (b"BZh", "a bzip2 archive"), (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"), (b"Rar!", "a RAR archive"), (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"\xca\xfe\xba\xbe", "a program"), (b"\x00asm", "a program"),
    (b"{\\rtf", "a rich text (RTF) document"), (b"%!PS", "a PostScript document"), (b"SQLite format 3", "a database"),
    (b"OggS", "a sound or film"), (b"ID3", "a sound"), (b"fLaC", "a sound"), (b"\x1aE\xdf\xa3", "a film"),
)  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC_OF_TEXT_TOO = {b"BM", b"MZ", b"ID3", b"BZh"}
_OFFICE = {
    "xl/": "an Excel workbook", "ppt/": "a PowerPoint presentation", "META-INF/container.xml": "an EPUB book",
    "content.xml": "an OpenDocument file", "Index/": "an Apple document", "classes.dex": "an Android program",
}  # fmt: skip
_MARKDOWN_NAMES = (".md", ".markdown", ".mdown", ".mkd")
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body|title|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG = re.compile(rb"</?(?:p|div|span|table|tr|td|br|ul|ol|li|h[1-6]|a|b|i|em|strong|section|article)[\s>/]", re.I)
_XML_START = re.compile(rb"\s*<\?xml\b")
_MARKDOWN_SIGN = re.compile(r"^(?:#{1,6} \S|```|\[[^\]]+\]: \S|(?:\|[^|\n]+){2,}\|\s*$)", re.MULTILINE)


def media_type(name: str, data: bytes) -> str:
    """The media type that decides how `data` is read.

    Raises UnsupportedType (naming what it seems to be), EncryptedFile for a locked Office file, UnreadableFile
    for a damaged container.
    """
    head = data[:1024]
    if b"%PDF-" in head:
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zipped(data)
    if head.startswith(_OLE):
        raise _ole(data)
    if head[4:8] == b"ftyp":
        raise UnsupportedType("This is a film or a sound.")
    for magic, what in _FOREIGN:
        if head.startswith(magic) and not (magic in _MAGIC_OF_TEXT_TOO and _looks_textual(head)):
            raise UnsupportedType(f"This is {what}.")
    return _textual(name.lower(), data)


def _looks_textual(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _zipped(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as container:
            names = container.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RecursionError) as error:
        raise UnreadableFile(
            "This Office or zip file is damaged or cut off: its table of contents is missing."
        ) from error
    known = set(names)
    if "word/document.xml" in known or ("[Content_Types].xml" in known and any(n.startswith("word/") for n in names)):
        return DOCX
    for sign, what in _OFFICE.items():
        if sign in known or (sign.endswith("/") and any(n.startswith(sign) for n in names)):
            raise UnsupportedType(f"This is {what}.")
    raise UnsupportedType("This is a zip archive.", next_step="Unpack it and send the documents that are in it.")


def _ole(data: bytes) -> EncryptedFile | UnsupportedType:
    def holds(stream: str) -> bool:
        return stream.encode("utf-16-le") in data

    if holds("EncryptedPackage") or holds("EncryptionInfo"):
        return EncryptedFile("This Office document is protected by a password.")
    next_step = "Save it in the newer format (DOCX) and send that."
    what = "Word" if holds("WordDocument") else "Excel" if holds("Workbook") else "Office"
    return UnsupportedType(f"This is a document of {what} 97-2003.", next_step=next_step)


def _textual(name: str, data: bytes) -> str:
    head = data[:65_536]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:200].count(0) > 50:
        head = head.replace(b"\x00", b"").lstrip(b"\xff\xfe")
    head = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML_START.match(head):
        return XHTML if b"http://www.w3.org/1999/xhtml" in head[:2000] else HTML
    if _XML_START.match(head):
        raise UnsupportedType("This is XML of a kind that is not known here.")
    if name.endswith(_MARKDOWN_NAMES):
        return MARKDOWN
    tags = len(_HTML_TAG.findall(head))
    begins = head.lstrip().startswith(b"<")
    if begins and b"<svg" in head[:1000]:
        raise UnsupportedType("This is an SVG picture.")
    if (begins and tags >= 3) or (tags and name.endswith((".html", ".htm", ".xhtml"))):
        return HTML
    nameless = "." not in name  # a program's comments begin with "#", too
    return MARKDOWN if nameless and len(_MARKDOWN_SIGN.findall(head.decode("utf-8", "replace"))) >= 3 else PLAIN
