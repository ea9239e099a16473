"""Media types: what a file is, by its first bytes and inner names; its own name only breaks ties of text."""

import io
import re
import zipfile
from pathlib import PurePath

from bastide.errors import EncryptedFile, UnreadableFile, UnsupportedType
from bastide.knowledge.reading import languages_of_code
from bastide.knowledge.reading.container import BROKEN_ZIP

_OFFICE = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
PDF = "application/pdf"
DOCX = f"{_OFFICE}wordprocessingml.document"
PPTX = f"{_OFFICE}presentationml.presentation"
XLSX = f"{_OFFICE}spreadsheetml.sheet"
ODT, ODS, ODP = f"{_ODF}text", f"{_ODF}spreadsheet", f"{_ODF}presentation"
EPUB = "application/epub+zip"
HTML = "text/html"
XHTML = "application/xhtml+xml"
MARKDOWN = "text/markdown"
PLAIN = "text/plain"
CSV, TSV = "text/csv", "text/tab-separated-values"
JSON, NDJSON, XML = "application/json", "application/x-ndjson", "application/xml"
EML, MSG = "message/rfc822", "application/vnd.ms-outlook"
ZIP, TAR, GZIP = "application/zip", "application/x-tar", "application/gzip"
BZIP2, XZ = "application/x-bzip2", "application/x-xz"
PNG, JPEG, TIFF, WEBP, GIF, BMP = (f"image/{name}" for name in ("png", "jpeg", "tiff", "webp", "gif", "bmp"))

_KNOWN = (
    (b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG), (b"GIF8", GIF), (b"II*\x00", TIFF), (b"MM\x00*", TIFF),
    (b"\x1f\x8b", GZIP), (b"BZh", BZIP2), (b"\xfd7zXZ\x00", XZ), (b"BM", BMP),
)  # fmt: skip
_FOREIGN = (
    (b"7z\xbc\xaf", "a 7-Zip archive"), (b"Rar!", "a RAR archive"), (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"), (b"MZ", "a program"), (b"\xca\xfe\xba\xbe", "a program"), (b"\x00asm", "a program"),
    (b"{\\rtf", "a rich text (RTF) document"), (b"%!PS", "a PostScript document"), (b"SQLite format 3", "a database"),
    (b"OggS", "a sound or film"), (b"ID3", "a sound"), (b"fLaC", "a sound"), (b"\x1aE\xdf\xa3", "a film"),
    (b"RIFF", "a sound or film"),
)  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC_OF_TEXT_TOO = {b"BM", b"MZ", b"ID3", b"BZh", b"GIF8", b"RIFF", b"Rar!", b"OggS", b"fLaC"}
_FOREIGN_ZIPS = {"Index/": "an Apple document", "classes.dex": "an Android program", "xl/workbook.bin": "a binary Excel"
                 " workbook (XLSB)"}  # fmt: skip
_NAMES = {
    ".md": MARKDOWN, ".markdown": MARKDOWN, ".mdown": MARKDOWN, ".mkd": MARKDOWN, ".csv": CSV, ".tsv": TSV,
    ".tab": TSV, ".json": JSON, ".geojson": JSON, ".jsonld": JSON, ".ndjson": NDJSON, ".jsonl": NDJSON,
}  # fmt: skip
_HTML_NAMES = {".html", ".htm", ".xhtml"}
_XML_NAMES = {".xml", ".xsd", ".xsl", ".rdf", ".kml", ".gpx"}
_HTML_START = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,4000}?-->\s*)*<(?:!doctype\s+html|html|head|body|title|meta)\b",
    re.IGNORECASE | re.DOTALL,
)
_HTML_TAG = re.compile(rb"</?(?:p|div|span|table|tr|td|br|ul|ol|li|h[1-6]|a|b|i|em|strong|section|article)[\s>/]", re.I)
_XML_START = re.compile(rb"\s*<\?xml\b")
_JSON_START = re.compile(rb"\s*(?:\{\s*(?:\"[^\"\n]{0,200}\"\s*:|\}\s*\Z)|\[\s*(?:[\[{\"\d\]-]|true|false|null))")
_JSON_END = re.compile(rb"[\]}]\s*\Z")
_MARKDOWN_SIGN = re.compile(r"^(?:#{1,6} \S|```|\[[^\]]+\]: \S|(?:\|[^|\n]+){2,}\|\s*$)", re.MULTILINE)
_HEADER = re.compile(rb"([!-9;-~]{1,80}):[ \t]*(?:[^\r\n]*)(?:\r?\n[ \t][^\r\n]*)*\r?\n")
_MAIL_FIELDS = frozenset(b"from to subject date message-id mime-version received return-path content-type".split())
_SURE_MAIL_FIELDS = frozenset(b"message-id mime-version received return-path".split())


def media_type(name: str, data: bytes) -> str:
    """The media type that decides how `data` is read.

    Raises UnsupportedType (naming what it seems to be), EncryptedFile for a locked Office file, UnreadableFile
    for a damaged container.
    """
    head = data[:1024]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zipped(data)
    if head.startswith(_OLE):
        return _ole(data)
    known = TAR if is_tar(data) else _by_magic(head)
    if known:
        return known
    mail = is_mail(name, data)
    if b"%PDF-" in head and not mail:
        return PDF
    _refuse_foreign(head)
    return EML if mail else _textual(name.lower(), data)


def _by_magic(head: bytes) -> str:
    for magic, kind in _KNOWN:
        if head.startswith(magic) and not (magic in _MAGIC_OF_TEXT_TOO and _looks_textual(head)):
            return kind
    return WEBP if head.startswith(b"RIFF") and head[8:12] == b"WEBP" else ""


def _refuse_foreign(head: bytes) -> None:
    if head[4:8] == b"ftyp":
        raise UnsupportedType("This is a film or a sound, or a picture of a kind (HEIC, AVIF) that is not read here.")
    for magic, what in _FOREIGN:
        if head.startswith(magic) and not (magic in _MAGIC_OF_TEXT_TOO and _looks_textual(head)):
            raise UnsupportedType(f"This is {what}.")


def is_tar(data: bytes) -> bool:
    """Whether `data` begins with the header of a TAR archive (POSIX.1-2001 or GNU)."""
    return data[257:262] == b"ustar"


def is_mail(name: str, data: bytes) -> bool:
    """Whether `data` begins with the header of a message: only fields, and among them those that mail alone has."""
    head = data[:65_536]
    if head.startswith(b"From "):  # a mailbox keeps it above the header
        head = head.partition(b"\n")[2]
    at = 0
    found: set[bytes] = set()
    while (field := _HEADER.match(head, at)) is not None:
        found.add(field[1].lower())
        at = field.end()
    ended = at >= len(head) or head.startswith((b"\n", b"\r\n"), at) or at > 32_768
    named = name.lower().endswith((".eml", ".mht", ".mhtml"))
    return ended and len(found & _MAIL_FIELDS) >= 2 and (named or bool(found & _SURE_MAIL_FIELDS))


def _looks_textual(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _zipped(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as container:
            names = container.namelist()
            known = set(names)
            first = container.read("mimetype")[:200].decode("ascii", "replace").strip() if "mimetype" in known else ""
    except BROKEN_ZIP as error:
        raise UnreadableFile(
            "This Office or zip file is damaged or cut off: its table of contents is missing."
        ) from error
    office = "[Content_Types].xml" in known
    for part, folder, kind in (
        ("word/document.xml", "word/", DOCX), ("ppt/presentation.xml", "ppt/", PPTX), ("xl/workbook.xml", "xl/", XLSX),
    ):  # fmt: skip
        if part in known or (office and "xl/workbook.bin" not in known and any(n.startswith(folder) for n in names)):
            return kind
    if first == EPUB or "META-INF/container.xml" in known:
        return EPUB
    if first.startswith(_ODF) or ("content.xml" in known and "META-INF/manifest.xml" in known):
        kind = first.removesuffix("-template")
        if kind and kind not in {ODT, ODS, ODP}:
            raise UnsupportedType("This is an OpenDocument drawing, chart or formula.")
        return kind or ODT
    for sign, what in _FOREIGN_ZIPS.items():
        if sign in known or (sign.endswith("/") and any(n.startswith(sign) for n in names)):
            raise UnsupportedType(f"This is {what}.")
    return ZIP


def _ole(data: bytes) -> str:
    def holds(stream: str) -> bool:
        return stream.encode("utf-16-le") in data

    if holds("EncryptedPackage") or holds("EncryptionInfo"):
        raise EncryptedFile("This Office document is protected by a password.")
    if holds("__properties_version1.0") or holds("__substg1.0_"):
        return MSG
    what = "Word" if holds("WordDocument") else "Excel" if holds("Workbook") else "PowerPoint"
    what = what if what != "PowerPoint" or holds("PowerPoint Document") else "Office"
    newer = {"Word": "DOCX", "Excel": "XLSX", "PowerPoint": "PPTX", "Office": "DOCX, XLSX or PPTX"}[what]
    next_step = f"Save it in the newer format ({newer}) and send that."
    raise UnsupportedType(f"This is a document of {what} 97-2003.", next_step=next_step)


def _textual(name: str, data: bytes) -> str:
    head = data[:65_536]
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:200].count(0) > 50
    if wide:
        head = head.replace(b"\x00", b"").lstrip(b"\xff\xfe")
    head = head.removeprefix(b"\xef\xbb\xbf")
    ending = PurePath(name).suffix
    told = _marked_up(head, ending) or _NAMES.get(ending) or languages_of_code.media_type(name, head)
    if told:
        return told
    if len(_HTML_TAG.findall(head)) >= (3 if head.lstrip().startswith(b"<") else 1 if ending in _HTML_NAMES else 1e9):
        return HTML
    if _JSON_START.match(head) and (wide or _JSON_END.search(data[-1024:])):
        return JSON
    nameless = "." not in name  # a program's comments begin with "#", too
    return MARKDOWN if nameless and len(_MARKDOWN_SIGN.findall(head.decode("utf-8", "replace"))) >= 3 else PLAIN


def _marked_up(head: bytes, ending: str) -> str:
    """HTML or XML that says so at its beginning."""
    if _HTML_START.match(head):
        return XHTML if b"http://www.w3.org/1999/xhtml" in head[:2000] else HTML
    begins = head.lstrip().startswith(b"<")
    if begins and b"<svg" in head[:1000]:
        raise UnsupportedType("This is an SVG picture.")
    return XML if _XML_START.match(head) or (begins and ending in _XML_NAMES) else ""
