"""Mail: fields, the better of two texts, quoted words, attachments read as what they are, and messages made to hurt."""

from __future__ import annotations

import base64
import struct
from email.message import EmailMessage

import pytest

from bastide import errors
from bastide.knowledge.reading import Limits, cut, read
from tests.rooms.knowledge.reading.made import Line, pdf
from tests.rooms.knowledge.reading.office import (
    compound,
    contract_docx,
    contract_xlsx,
    mail,
    tar_of,
    wide,
    zip_of,
)
from tests.rooms.knowledge.reading.test_formats import kinds, outline

LAW = b"Article 1\n\nScope\n\nThis applies to all.\n\nDone at Brussels, 20 November 2026.\n\nFor the Council\n"


def test_fields_text_and_quoted_words() -> None:
    data = mail(
        "Réunion à Zürich", "Dear all,\n\nit is at nine.\n\n> When is it?\n> And where?\n\nBest", Cc="x@example.org"
    )
    reading = read("a.eml", data)
    assert reading.media_type == "message/rfc822"
    assert reading.title == "Réunion à Zürich"
    assert kinds(reading) == [
        ("paragraph", "From: Jürgen Müller <jm@example.org>\nTo: Tenant <t@example.org>\nCc: x@example.org\n"
         "Date: Fri, 20 Nov 2026 10:00:00 +0100"),
        ("paragraph", "Dear all,"),
        ("paragraph", "it is at nine."),
        ("quote", "When is it?\nAnd where?"),
        ("paragraph", "Best"),
    ]  # fmt: skip


def test_of_two_texts_the_one_with_structure_is_read_and_nothing_of_its_scripts_and_styles() -> None:
    page = (
        "<html><head><style>.x{display:none}</style></head><body><h2>Offer</h2><p>Seen.</p><script>steal()</script>"
        '<p class="x">hidden by class</p><p style="font-size:0px">hidden by size</p>'
        '<p style="color:#ffffff">white, but a style sheet may paint the page</p></body></html>'
    )
    reading = read("a.eml", mail(plain="the plain form", page=page))
    assert outline(reading) == ["Your lease", "  Offer"]
    assert "steal" not in reading.text
    assert "hidden" not in reading.text
    assert "the plain form" not in reading.text
    assert any("2 hidden passages" in problem for problem in reading.problems)


def test_attachments_are_sections_read_as_what_they_are() -> None:
    files = [
        ("rates.xlsx", contract_xlsx()),
        ("lease.docx", contract_docx()),
        (
            "scan.pdf",
            pdf([[Line("The first page of the attached scan ends here.")], [Line("A second page begins anew.")]]),
        ),
        ("notes.txt", b"Just a few words of text."),
        ("virus.exe", b"MZ\x90\x00\x03" + bytes(200)),
    ]
    reading = read("a.eml", mail(files=files))
    assert [line for line in outline(reading) if line.startswith("  ") and line[2] != " "] == [
        "  rates.xlsx", "  lease.docx", "  scan.pdf", "  notes.txt",
    ]  # fmt: skip
    assert reading.problems == ("virus.exe: This is a program.",)
    second = next(node for node in reading.nodes if reading.text[node.start : node.end] == "A second page begins anew.")
    assert second.page == 2
    notes = next(node for node in reading.nodes if node.title == "notes.txt")
    assert [piece.page for piece in cut(reading) if piece.start >= notes.start] == [None]
    assert [piece.section for piece in cut(reading) if piece.start >= notes.start] == [("notes.txt",)]


def test_a_law_in_an_attachment_stays_in_it() -> None:
    reading = read("a.eml", mail(files=[("law.txt", LAW), ("next.txt", b"Other words that follow.")]))
    law = next(node for node in reading.nodes if node.title == "law.txt")
    assert "For the Council" in reading.text[law.start : law.end]
    assert outline(reading) == ["Your lease", "  law.txt", "    Article 1 Scope", "  next.txt"]


def test_three_hundred_attachments() -> None:
    files = [(f"note-{n}.txt", f"Words of note number {n}.".encode()) for n in range(300)]
    reading = read("a.eml", mail(files=files))
    assert sum(node.kind == "section" for node in reading.nodes) == 301
    assert "Words of note number 299." in reading.text
    with pytest.raises(errors.FileTooLarge, match="more than 100 files"):
        read("a.eml", mail(files=files), Limits(members_max=100))
    with pytest.raises(errors.FileTooLarge, match="characters"):
        read("a.eml", mail(files=files), Limits(text_max=3_000))


def test_messages_and_archives_within_messages() -> None:
    inner = mail("The answer", "It is forty-two.", files=[("a.zip", zip_of({"deep/b.txt": b"At the bottom."}))])
    message = EmailMessage()
    message["Subject"], message["From"], message["Message-ID"] = "Fwd", "a@example.org", "<2@x>"
    message.set_content("See below.")
    outer = message.as_bytes()
    reading = read("a.eml", mail(files=[("fwd.eml", inner)]))
    assert outline(reading) == ["Your lease", "  fwd.eml", "    The answer", "      a.zip", "        deep/b.txt"]
    for _ in range(7):
        outer = mail(files=[("again.eml", outer)])
    nested = read("a.eml", outer)
    assert any("holds further files" in problem for problem in nested.problems)
    assert "See below." not in nested.text


def test_a_bomb_among_the_attachments_is_left_out_and_told() -> None:
    bomb = zip_of({"zeros.txt": bytes(50_000_000)})
    reading = read("a.eml", mail(files=[("bomb.zip", bomb), ("ok.txt", b"Fine words.")]))
    assert "Fine words." in reading.text
    assert len(reading.problems) == 1
    assert reading.problems[0].startswith("bomb.zip: No file in it could be read. zeros.txt: It would unpack")


def test_names_that_lead_out_and_names_in_other_letters() -> None:
    message = mail(files=[("../../etc/passwd", b"Some words."), ("Ενοίκιο €.txt", b"Other words.")])
    reading = read("a.eml", message)
    assert outline(reading)[1:] == ["  etc/passwd", "  Ενοίκιο €.txt"]
    assert any("leads out of its folder" in problem for problem in reading.problems)


def test_encrypted_signed_and_marked_messages() -> None:
    locked = mail().replace(
        b"Content-Type: text/plain", b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; x"
    )
    with pytest.raises(errors.EncryptedFile):
        read("a.eml", locked)
    reading = read("a.eml", mail(Sensitivity="Company-Confidential"))
    assert reading.marks == ("Sensitivity: Company-Confidential",)


@pytest.mark.parametrize(
    "data",
    [
        b"From: a\nSubject: =?utf-8?B?!!!?=\nMessage-ID: x\n\nbody text",
        b"From: a\nSubject: \xe9\xe8\nMessage-ID: x\nContent-Type: text/plain; charset=no-such\n\nbody \xe9 text",
        b"From: a\nTo: b\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nno end, body text",
        b"From: a\nTo: b\nMIME-Version: 1.0\nContent-Type: multipart/mixed\n\nbody text",
        b"From: a\nTo: b\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n"
        + base64.b64encode(b"body text")
        + b"%%",
    ],
    ids=["subject", "charset", "no-end", "no-boundary", "base64"],
)
def test_messages_that_break_the_rules_are_read_as_far_as_they_go(data: bytes) -> None:
    reading = read("a.eml", data)
    assert reading.media_type == "message/rfc822"
    assert "body" in reading.text


def test_parts_nested_beyond_reason() -> None:
    part = b"Content-Type: text/plain\n\ndeep"
    for n in range(400):
        mark = b"b%d" % n
        part = (
            b"Content-Type: multipart/mixed; boundary="
            + mark
            + b"\n\n--"
            + mark
            + b"\n"
            + part
            + b"\n--"
            + mark
            + b"--\n"
        )
    with pytest.raises(errors.Refusal) as refused:
        read("a.eml", b"From: a\nTo: b\nMIME-Version: 1.0\n" + part)
    assert refused.value.code in {"knowledge.bomb", "knowledge.unreadable_file"}


def test_a_text_that_only_looks_like_mail_is_text() -> None:
    reading = read("memo.txt", b"From: the board\nTo: all\nSubject: coffee\n\nThere is coffee.")
    assert reading.media_type == "text/plain"
    assert read("a.pdf", mail()).media_type == "message/rfc822"


def properties(*numbers: tuple[int, int], header: int = 32) -> bytes:
    """The stream of the properties that are numbers."""
    entries = (struct.pack("<HHIQ", 0x0003, tag, 6, value) for tag, value in numbers)
    return bytes(header) + b"".join(entries)


def outlook() -> bytes:
    """A message of Outlook with a file and a further message."""
    attached = "__attach_version1.0_#00000000"
    further = "__attach_version1.0_#00000001"
    inside = "__substg1.0_3701000D"
    sent = 133_000_000_000_000_000
    return compound(
        {
            ("__properties_version1.0",): properties((0x0039, sent), (0x0036, 3)),
            ("__substg1.0_0037001F",): wide("Loyer élevé"),
            ("__substg1.0_1000001F",): wide("Dear tenant,\r\n\r\nthe rent is due."),
            ("__substg1.0_0C1A001F",): wide("Jürgen"),
            ("__substg1.0_5D01001F",): wide("j@example.org"),
            ("__substg1.0_0E04001F",): wide("Tenant"),
            (attached, "__properties_version1.0"): properties(header=8),
            (attached, "__substg1.0_3707001F"): wide("lease.docx"),
            (attached, "__substg1.0_37010102"): contract_docx(),
            (further, "__properties_version1.0"): properties(header=8),
            (further, "__substg1.0_3001001F"): wide("An older message"),
            (further, inside, "__properties_version1.0"): properties(header=24),
            (further, inside, "__substg1.0_0037001F"): wide("Older"),
            (
                further,
                inside,
                "__substg1.0_10130102",
            ): b"<html><body><p>Older words.</p><script>no()</script></body></html>",
        }
    )


def test_a_message_of_outlook() -> None:
    reading = read("a.msg", outlook())
    assert reading.media_type == "application/vnd.ms-outlook"
    assert reading.title == "Loyer élevé"
    fields = "From: Jürgen <j@example.org>\nTo: Tenant\nDate: 2022-06-18 04:26+00:00"
    assert kinds(reading)[:3] == [
        ("paragraph", fields),
        ("paragraph", "Dear tenant,"),
        ("paragraph", "the rent is due."),
    ]
    assert [line for line in outline(reading) if line[:4] != " " * 4] == [
        "Loyer élevé",
        "  lease.docx",
        "  An older message",
    ]
    assert outline(reading)[-1] == "    Older"
    assert reading.text.endswith("Older words.")
    assert reading.marks == ("Sensitivity: Confidential",)


@pytest.mark.parametrize("cut_at", [700, 3_000, 20_000])
def test_an_outlook_message_that_is_cut_off(cut_at: int) -> None:
    with pytest.raises(errors.Refusal):
        read("a.msg", outlook()[:cut_at])


def test_an_archive_of_messages() -> None:
    reading = read("a.tar", tar_of({"in/1.eml": mail("One"), "in/2.msg": outlook()}))
    assert outline(reading)[:2] == ["in/1.eml", "  One"]
    assert "  Loyer élevé" in outline(reading)
