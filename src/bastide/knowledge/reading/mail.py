"""Mail: a message with its fields, its text, and its attachments as files (RFC 5322, 2045-2049).

Of the same text in two forms the one with structure is read; what its styles hide is left out as in any page.
"""

import email
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import Header, decode_header
from email.message import Message
from email.policy import compat32

from bastide.errors import BombFile, EncryptedFile, Refusal, UnreadableFile
from bastide.knowledge.reading import media
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.decoding import decode, hold
from bastide.knowledge.reading.hypertext import read_html
from bastide.knowledge.reading.members import Budget, Member, Opened
from bastide.knowledge.reading.plain import plain_blocks
from bastide.knowledge.reading.values import Limits

_FIELDS = ("From", "To", "Cc", "Date")
_MARKING = ("Sensitivity", "X-Classification", "X-Protective-Marking", "X-Sensitivity", "Classification")
_SIGNATURES = {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
_LOCKED = {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"}
_BLANKS = re.compile(r"\s+")
_QUOTED = re.compile(r"^(?:> ?)+")
_DEEPEST = 50
_FIELD_MAX = 10_000
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, UnicodeError, RecursionError, AssertionError)
"""What the standard library's mail package raises for messages that break its rules."""


def open_mail(data: bytes, budget: Budget) -> Opened:
    """A message: its own words, and its attachments."""
    try:
        message = email.message_from_bytes(data, policy=compat32)
        return _opened(message, budget)
    except RecursionError as error:
        raise BombFile("The parts of the message are nested too deeply.") from error
    except Refusal:
        raise
    except _BROKEN as error:
        raise UnreadableFile("The message is damaged: it breaks the rules of mail.") from error


def _opened(message: "Message[str, str]", budget: Budget) -> Opened:
    fields = {name: words(message.get(name)) for name in ("Subject", *_FIELDS, *_MARKING)}
    draft = written(fields["Subject"], {name: fields[name] for name in _FIELDS})
    draft.marks += [f"{name}: {fields[name]}" for name in _MARKING if fields[name]]
    parts = _Parts(draft, budget)
    parts.sort(message, 0)
    parts.tell()
    return Opened(draft, parts.members(), level=2)


def written(subject: str, fields: dict[str, str]) -> Draft:
    """A message that holds its subject and its fields only."""
    title = subject or "Message without a subject"
    lines = "\n".join(f"{name}: {value}" for name, value in fields.items() if value)
    return Draft([Block("heading", title, level=1, member=True), Block("paragraph", lines)], title=title)


class _Parts:
    """The parts of a message: what is read as its text, and what is attached to it."""

    def __init__(self, draft: Draft, budget: Budget) -> None:
        self._draft = draft
        self._budget = budget
        self._texts: list[Message[str, str]] = []
        self._attached: list[Message[str, str]] = []
        self._pictures = 0

    def sort(self, part: "Message[str, str]", depth: int) -> None:
        """Goes through the parts; of alternatives the last that can be read is meant (RFC 2046, 5.1.4)."""
        if depth > _DEEPEST:
            raise BombFile(f"The parts of the message are nested deeper than {_DEEPEST}.")
        kind = part.get_content_type()
        if kind in _LOCKED and part.get_param("smime-type") != "signed-data":
            raise EncryptedFile("The message is encrypted.")
        if kind == "message/rfc822" or (part.get_filename() and not part.is_multipart()) or _is_attachment(part):
            self._attach(part, kind)
        elif part.is_multipart():
            inner = [child for child in part.get_payload() if isinstance(child, Message)]
            if kind == "multipart/alternative":
                inner = _best(inner)
            for child in inner:
                self.sort(child, depth + 1)
        elif kind.startswith("text/") and kind in {"text/plain", "text/html", "text/markdown", "text/enriched"}:
            self._texts.append(part)
        elif kind not in _SIGNATURES:
            self._attach(part, kind)

    def _attach(self, part: "Message[str, str]", kind: str) -> None:
        if kind in _SIGNATURES:
            return
        if kind.startswith("image/") and part.get("Content-ID") and not _is_attachment(part):
            self._pictures += 1
        else:
            self._attached.append(part)

    def tell(self) -> None:
        """Adds the message's own text."""
        for part in self._texts:
            data = _bytes(part)
            self._budget.unpack(len(data))
            if data.strip():
                charset = part.get_content_charset() or ""
                kind = part.get_content_type()
                self._draft.blocks += body(data, kind, charset, self._draft, self._budget.left())
        if self._pictures:
            self._draft.problems.append(f"{self._pictures} pictures within the text of the message were left out")

    def members(self) -> Iterator[Member]:
        """The attachments, one by one."""
        for number, part in enumerate(self._attached, 1):
            yield _member(part, number, self._budget)


def _member(part: "Message[str, str]", number: int, budget: Budget) -> Member:
    name = words(part.get_filename()) or ""
    try:
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload()
            message = inner[0] if isinstance(inner, list) and inner else None
            if not isinstance(message, Message):
                return Member(name or f"message {number}", refused=UnreadableFile("The message is empty."))
            name = name or words(message.get("Subject")) or f"message {number}"
            return Member(name, opened=_opened(message, budget))
        data = _bytes(part)
        budget.unpack(len(data))
        return Member(name or f"attachment {number}{_ending(part)}", data)
    except _BROKEN:
        return Member(name or f"attachment {number}", refused=UnreadableFile("It breaks the rules of mail."))
    except Refusal as refusal:
        if budget.spent:
            raise
        return Member(name or f"attachment {number}", refused=refusal)


def body(data: bytes, kind: str, charset: str, draft: Draft, limits: Limits) -> list[Block]:
    """The blocks of a message's text, one level below its subject."""
    if kind == "text/html":
        page = read_html(_unified(data, charset, draft.problems), limits)
        draft.problems += page.problems
        for block in page.blocks:
            block.level += block.kind == "heading" and block.level < 9
        return page.blocks
    text = hold(decode(data, draft.problems, charset), limits)
    return _quoting(text)


def _unified(data: bytes, charset: str, problems: list[str]) -> bytes:
    """A page as UTF-8: of what the message and the page say of its encoding, the message is believed."""
    return b"\xef\xbb\xbf" + decode(data, problems, charset).encode() if charset else data


def _quoting(text: str) -> list[Block]:
    """The paragraphs of a plain message; lines that begin with ">" are somebody else's words."""
    blocks: list[Block] = []
    run: list[str] = []
    quoting = False
    for line in (*text.split("\n"), None):
        quoted = line is not None and line.startswith(">")
        if (line is None or quoted != quoting) and run:
            stretch = "\n".join(run)
            if quoting:
                blocks += [Block("quote", part.strip()) for part in stretch.split("\n\n") if part.strip()]
            else:
                blocks += plain_blocks(stretch)
            run = []
        if line is not None:
            run.append(_QUOTED.sub("", line).rstrip() if quoted else line)
        quoting = quoted
    return blocks


def _best(alternatives: "list[Message[str, str]]") -> "list[Message[str, str]]":
    """The page, else the plain text, else all: calendars and the like."""
    for kind in ("text/html", "multipart/related", "multipart/mixed", "text/plain"):
        found = [part for part in alternatives if part.get_content_type() == kind]
        if found and (kind != "text/html" or any(re.sub(rb"<[^>]*>|\s", b"", _bytes(part)) for part in found)):
            return found[-1:]
    return alternatives


def _is_attachment(part: "Message[str, str]") -> bool:
    return part.get_content_disposition() == "attachment"


def _bytes(part: "Message[str, str]") -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except _BROKEN as error:
        raise UnreadableFile("A part of the message cannot be decoded.") from error
    return payload if isinstance(payload, bytes) else b""


def _ending(part: "Message[str, str]") -> str:
    kind = part.get_content_type()
    return {media.HTML: ".html", media.MARKDOWN: ".md", media.CSV: ".csv", media.JSON: ".json"}.get(kind, "")


def words(field: object) -> str:
    """A field of the header in letters, whatever it was encoded in (RFC 2047)."""
    if field is None:
        return ""
    raw = field if isinstance(field, Header) else str(field)[:_FIELD_MAX]
    try:
        parts = decode_header(raw)
    except (*_BROKEN, HeaderParseError):
        return _BLANKS.sub(" ", str(raw)).strip()
    out: list[str] = []
    for part, charset in parts:
        if isinstance(part, str):
            out.append(part)
            continue
        known = charset if charset not in {None, "unknown-8bit", "x-unknown"} else "utf-8"
        try:
            out.append(part.decode(known or "utf-8"))
        except (LookupError, ValueError):
            out.append(part.decode("cp1252", "replace"))
    return _BLANKS.sub(" ", "".join(out)).strip()
