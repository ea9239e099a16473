"""EPUB: the chapters in the order of the book, each read as the page it is; the table of contents gives titles to
chapters that have none of their own (EPUB 3.3, and 2.0.1 for its older table).
"""

import posixpath
import re
from urllib.parse import unquote

from lxml import etree

from bastide.errors import EncryptedFile, FileTooLarge, UnreadableFile
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.container import Container
from bastide.knowledge.reading.hypertext import read_html
from bastide.knowledge.reading.values import Limits

_ROOTFILE = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_NCX = "{http://www.daisy.org/z3986/2005/ncx/}"
_OPS = "{http://www.idpf.org/2007/ops}"
_XHTML = "{http://www.w3.org/1999/xhtml}"
_PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml"}
_FONT_LOCKS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_NO_ORDER = "the book does not say in which order its parts are read; they stand in the order in which it lists them"
_DOCTYPE = re.compile(rb"<!DOCTYPE[^\[>]*>")


def read_epub(data: bytes, limits: Limits) -> Draft:
    """The blocks of a book."""
    container = Container(data, limits)
    if "META-INF/encryption.xml" in container:
        methods = [e.get("Algorithm", "") for e in container.xml("META-INF/encryption.xml").iter("{*}EncryptionMethod")]
        if any(not method.startswith(_FONT_LOCKS) for method in methods):
            raise EncryptedFile("The book is protected (DRM).")
    package = _package(container)
    root = container.xml(package)
    folder = posixpath.dirname(package)
    items = {item.get("id", ""): item for item in root.iter(f"{_OPF}item")}
    order = dict.fromkeys(ref.get("idref", "") for ref in root.iter(f"{_OPF}itemref"))  # a part has one place in a book
    spine = [items[part] for part in order if part in items]
    ordered = bool(spine)
    spine = spine or list(items.values())
    if len(spine) > limits.pages_max:
        raise FileTooLarge(f"The book has {len(spine):,} parts; the limit is {limits.pages_max:,}.")
    draft = Draft([], problems=[] if ordered else [_NO_ORDER])
    draft.title = " ".join((next((e.text or "" for e in root.iter(f"{_DC}title")), "")).split())
    titles = _contents(container, root, folder)
    size = tables = 0
    for item in spine:
        part = _inside(folder, item.get("href", ""))
        if "nav" in (item.get("properties") or "").split() or item.get("media-type") not in _PAGES:
            continue
        if part not in container:
            draft.problems.append(f"the part {part} of the book is missing")
            continue
        chapter = _chapter(container.raw(part), limits, titles.get(part, ""), part, draft)
        for block in chapter:
            block.table += tables if block.table else 0
        tables = max((block.table for block in chapter), default=tables) or tables
        size += sum(len(block.text) for block in chapter)
        draft.blocks += chapter
        if size > limits.text_max or len(draft.blocks) > limits.nodes_max:
            raise FileTooLarge(f"The book holds more than {limits.text_max:,} characters of text.")
    return draft


def _package(container: Container) -> str:
    if "META-INF/container.xml" in container:
        for element in container.xml("META-INF/container.xml").iter(_ROOTFILE):
            path = element.get("full-path", "")
            if path in container:
                return path
    found = next((name for name in container if name.endswith(".opf")), "")
    if not found:
        raise UnreadableFile("The book is damaged: its package file is missing.")
    return found


def _chapter(data: bytes, limits: Limits, title: str, part: str, draft: Draft) -> list[Block]:
    """The blocks of one part; one that has no heading takes its title from the table of contents."""
    try:
        page = read_html(data, limits)
    except UnreadableFile:
        draft.problems.append(f"the part {part} of the book cannot be read")
        return []
    draft.problems += [problem for problem in page.problems if problem not in draft.problems]
    blocks = page.blocks
    if title and blocks and not any(block.kind == "heading" for block in blocks):
        blocks.insert(0, Block("heading", title, level=1))
    return blocks


def _contents(container: Container, root: etree._Element, folder: str) -> dict[str, str]:
    """The titles of the chapters by part, as the book's table of contents has them."""
    titles: dict[str, str] = {}
    for item in root.iter(f"{_OPF}item"):
        part = _inside(folder, item.get("href", ""))
        if part not in container:
            continue
        navigates = "nav" in (item.get("properties") or "").split()
        if not navigates and item.get("media-type") != "application/x-dtbncx+xml":
            continue
        try:
            contents = etree.fromstring(_DOCTYPE.sub(b"", container.raw(part)), _lenient())
        except etree.XMLSyntaxError:
            continue
        if contents is None:
            continue
        base = posixpath.dirname(part)
        for link in contents.iter(f"{_XHTML}a"):
            _note(titles, _inside(base, link.get("href", "")), "".join(map(str, link.itertext())))
        for point in contents.iter(f"{_NCX}navPoint"):
            leads = point.find(f"{_NCX}content")
            said = point.findtext(f"{_NCX}navLabel/{_NCX}text") or ""
            _note(titles, _inside(base, leads.get("src", "") if leads is not None else ""), said)
    return titles


def _note(titles: dict[str, str], part: str, title: str) -> None:
    titles.setdefault(part, " ".join(title.split())[:300])


def _inside(folder: str, address: str) -> str:
    """The part that an address within the book leads to."""
    return posixpath.normpath(posixpath.join(folder, unquote(address.partition("#")[0]))).lstrip("/")


def _lenient() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
