"""Reading a document: type, then blocks, then order, then tree."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from bastide.errors import EmptyFile, FileTooLarge
from bastide.knowledge.reading import media, ocr
from bastide.knowledge.reading.archives import open_bzip2, open_gzip, open_tar, open_xz, open_zip
from bastide.knowledge.reading.arranging import arrange
from bastide.knowledge.reading.blocks import FORMLESS, Block, Draft
from bastide.knowledge.reading.code import reader_of_code
from bastide.knowledge.reading.data import read_json, read_ndjson
from bastide.knowledge.reading.decoding import clean
from bastide.knowledge.reading.elements import read_xml
from bastide.knowledge.reading.epub import read_epub
from bastide.knowledge.reading.extractors import Extractor, OwnReader, extract
from bastide.knowledge.reading.hypertext import read_html
from bastide.knowledge.reading.languages import detect_language, section_language
from bastide.knowledge.reading.languages_of_code import TYPES
from bastide.knowledge.reading.mail import open_mail
from bastide.knowledge.reading.markdown import read_markdown
from bastide.knowledge.reading.members import Containers, Opener, Reader
from bastide.knowledge.reading.odf import read_odf
from bastide.knowledge.reading.outlook import open_outlook
from bastide.knowledge.reading.pdf import read_pdf
from bastide.knowledge.reading.pictures import read_picture
from bastide.knowledge.reading.plain import read_plain
from bastide.knowledge.reading.sheets import read_xlsx
from bastide.knowledge.reading.slides import read_pptx
from bastide.knowledge.reading.tabular import read_csv, read_tsv
from bastide.knowledge.reading.tree import Tree, grow
from bastide.knowledge.reading.values import Limits, Node, Reading
from bastide.knowledge.reading.word import read_docx
from bastide.knowledge.reading.xberg_reading import XbergExtractor

READERS: dict[str, Reader] = {
    media.PLAIN: read_plain,
    media.MARKDOWN: read_markdown,
    media.HTML: read_html,
    media.XHTML: read_html,
    media.PDF: read_pdf,
    media.DOCX: read_docx,
    media.PPTX: read_pptx,
    media.XLSX: read_xlsx,
    media.ODT: read_odf,
    media.ODS: read_odf,
    media.ODP: read_odf,
    media.EPUB: read_epub,
    media.CSV: read_csv,
    media.TSV: read_tsv,
    media.JSON: read_json,
    media.NDJSON: read_ndjson,
    media.XML: read_xml,
    **dict.fromkeys((media.PNG, media.JPEG, media.TIFF, media.WEBP, media.GIF, media.BMP), read_picture),
    **{kind: reader_of_code(language) for kind, language in TYPES.items()},
}
"""One reader per media type; another format is one more line here."""

OPENERS: dict[str, Opener] = {
    media.EML: open_mail,
    media.MSG: open_outlook,
    media.ZIP: open_zip,
    media.TAR: open_tar,
    media.GZIP: open_gzip,
    media.BZIP2: open_bzip2,
    media.XZ: open_xz,
}
"""What holds files of its own: each is read by the reader of its type, in one document."""

_CONTAINERS = Containers(OPENERS, READERS)
READERS.update({kind: _CONTAINERS.reader(kind) for kind in OPENERS})

_XBERG = XbergExtractor()
_TITLE_MAX = 300
_SPEAKING = frozenset({"section", "paragraph", "list_item", "quote", "footnote", "notes"})
_BLANKS = re.compile(r"\s+")


def read(name: str, data: bytes, limits: Limits | None = None, *, extractors: Sequence[Extractor] = ()) -> Reading:
    """What `data` says and how it is built. `name` only helps to tell Markdown from plain text, and to give a title.

    CPU-bound (a second reads some 3 MB of HTML or text, 1 MB of Markdown, 150 pages of PDF): call it in a thread.
    The lines of a PDF are found by a process of their own, with limits on its time and memory.

    `extractors` are asked in their order, instead of those that are meant for the type.

    Raises EmptyFile, UnreadableFile, EncryptedFile, UnsupportedType, FileTooLarge or BombFile, whatever the bytes;
    ReaderUnavailable if that process cannot be started.
    """
    limits = limits or Limits()
    if len(data) > limits.bytes_max:
        raise FileTooLarge(
            f"The file has {len(data):,} bytes; the limit is {limits.bytes_max:,}.",
            next_step="Split the file, or let an administrator raise BASTIDE_DOCUMENT_MB.",
        )
    if not data.strip(b"\0 \t\r\n"):
        raise EmptyFile("The file is empty.", next_step="Check that the file is the one you meant.")
    kind = media.media_type(name, data)
    draft = extract(data, limits, extractors or extractors_for(kind))
    _check(draft, limits)
    title = _title(_only_outermost(draft.blocks) or draft.title, name)
    tree = grow(replace(draft, blocks=arrange(draft.blocks)), title)
    language = detect_language(tree.text if draft.prose is None else draft.prose)
    return Reading(
        media_type=kind,
        title=title,
        language=language,
        nodes=_with_languages(tree, language) if draft.prose is None else tree.nodes,
        text=tree.text,
        pages=draft.pages,
        problems=tuple(dict.fromkeys(draft.problems)),
        marks=tuple(dict.fromkeys(draft.marks)),
        page_starts=tree.page_starts,
        page_reads=tuple(draft.page_reads),
    )


def extractors_for(kind: str) -> tuple[Extractor, ...]:
    """Who reads files of a media type, in order: our own reader; xberg where it is installed and knows the type."""
    own = OwnReader(kind, READERS[kind])
    return (own, _XBERG) if kind in _XBERG.media_types and XbergExtractor.installed() else (own,)


def _check(draft: Draft, limits: Limits) -> None:
    """Cleans what the formats' own readers let through, and holds the result to its limits."""
    kept: list[Block] = []
    size = 0
    for block in draft.blocks:
        text = clean(block.text, draft.problems)
        block.text = text.strip("\n").rstrip() if block.kind == "code" else text.strip()
        if not block.text.strip():
            continue
        size += len(block.text)
        kept.append(block)
    draft.blocks = kept
    draft.marks = [mark for mark in (clean(mark, []).strip() for mark in draft.marks) if mark]
    if not kept:
        raise _empty(draft)
    if size > limits.text_max:
        raise FileTooLarge(f"The file holds {size:,} characters of text; the limit is {limits.text_max:,}.")
    if len(kept) > limits.nodes_max:
        raise FileTooLarge(f"The file holds {len(kept):,} paragraphs and rows; the limit is {limits.nodes_max:,}.")


def _empty(draft: Draft) -> EmptyFile:
    """Why nothing came out of a file: of a PDF, what kept its pages from being read."""
    if not draft.pages:
        return EmptyFile("There is no text in this file.")
    reasons = draft.problems or list(dict.fromkeys(read.reason for read in draft.page_reads if read.reason))
    told = "; ".join(reasons[:3])
    ready = ocr.available()
    how = "If there is writing on it, scan it again: straight, at 300 dpi, dark on white."
    how = how if ready.ready else f"Text recognition is missing here: {ready.next}"
    return EmptyFile(
        f"There is no text in this file, in its {draft.pages} pages{': ' + told if told else ''}.",
        next_step=f"Check that the file is the one you meant. {how}",
    )


def _only_outermost(blocks: list[Block]) -> str:
    """The one heading of the outermost level, where there is just one and the text begins with it: the title."""
    first = next((block for block in blocks if block.kind != "code"), None)
    headings = [block for block in blocks if block.kind == "heading"]
    outermost = min((block.level for block in headings), default=FORMLESS)
    alone = [block for block in headings if block.level == outermost < FORMLESS]
    return alone[0].text if len(alone) == 1 and alone[0] is first else ""


def _title(found: str, name: str) -> str:
    title = _BLANKS.sub(" ", clean(found, [])).strip() or _BLANKS.sub(" ", clean(PurePath(name).stem, [])).strip()
    title = title or "untitled"
    return title if len(title) <= _TITLE_MAX else f"{title[: _TITLE_MAX - 1].rstrip()}…"


def _with_languages(tree: Tree, usual: str) -> tuple[Node, ...]:
    """Marks the sections and the long paragraphs that are in another language than what holds them."""
    languages = {0: usual}
    nodes = list(tree.nodes)
    for node in tree.nodes:
        if node.parent is None:
            continue
        above = languages[node.parent]
        languages[node.ord] = above
        if node.kind in _SPEAKING:
            language = section_language(tree.text[node.start : node.end], above)
            if language:
                languages[node.ord] = language
                nodes[node.ord] = replace(node, language=language)
    return tuple(nodes)
