"""What identifies a person is found however it is written, a number that only looks like one is not, and in time."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.policy.personal import find, kinds, kinds_in
from bastide.policy.personal.prefilter import suspicious, without_blobs

SAID = [
    ("Write to Ada.Lovelace+x@mail.example.org, please.", "email", "ada.lovelace+x@mail.example.org"),
    ("Paid from DE89 3704 0044 0532 0130 00 by mail.", "iban", "DE89370400440532013000"),
    ("iban: mt84malt011000012345mtlcast001s", "iban", "MT84MALT011000012345MTLCAST001S"),
    ("Card 4111-1111-1111-1111, 12/29", "card", "4111111111111111"),
    ("Née le 14, NIR 2 55 08 14 168 025 38.", "nir", "255081416802538"),
    ("Il codice è RSSMRA85T10A562S.", "codice_fiscale", "RSSMRA85T10A562S"),
    ("PESEL 44051401359", "pesel", "44051401359"),
    ("con DNI 12.345.678-Z", "dni", "12345678Z"),
    ("su NIE es X-1234567-L", "dni", "X1234567L"),
    ("IdNr. 86 095 742 719", "steuer_id", "86095742719"),
    ("haar BSN (111222333) is bekend", "bsn", "111222333"),
    ("rijksregisternummer 85.07.30-033.28", "belgian_id", "85073003328"),
    ("NIF 123 456 789", "nif", "123456789"),
    ("ΑΦΜ: 094259216", "afm", "094259216"),
    ("personnummer 811218-9876", "personnummer", "8112189876"),
    ("hetu 131052-308t", "hetu", "131052-308T"),
    ("CPR 280203-1235", "cpr", "2802031235"),
    ("SVNR 1237 010180", "svnr", "1237010180"),
    ("PPS 1234567FA", "pps", "1234567FA"),
    ("CNP 1800101221144", "cnp", "1800101221144"),
    ("ЕГН 7523169263", "egn", "7523169263"),
    ("rodné číslo 736028/5163", "rodne_cislo", "7360285163"),
    ("OIB 69435151530", "oib", "69435151530"),
    ("isikukood 37605030299", "baltic_id", "37605030299"),
    ("AHV 756.9217.0769.85", "ahv", "7569217076985"),
    ("NHS number 943 476 5919", "nhs", "9434765919"),
    ("KVNR A123456780", "kvnr", "A123456780"),
    ("NI number AB 12 34 56 C", "nino", "AB123456C"),
    ("Reisepass C01X00T47", "passport", "C01X00T47"),
    ("Call +33 (0)6 12 34 56 78 today", "phone", "+33612345678"),
    ("tel. 612 345 678", "phone", "612345678"),
    ("ruf an: 030 901820", "phone", "030901820"),
]


@pytest.mark.parametrize(("text", "kind", "normal"), SAID, ids=[kind for _, kind, _ in SAID])
def test_it_is_found_in_a_text_and_raises_the_label_of_a_body(text: str, kind: str, normal: str) -> None:
    assert [(one.kind, one.normal) for one in find(text) if one.personal] == [(kind, normal)]
    for ascii_only in (True, False):
        for depth in range(3):
            said = text
            for _ in range(depth):  # the arguments of a tool are JSON in a string of JSON
                said = json.dumps({"arguments": said}, ensure_ascii=ascii_only)
            body = json.dumps({"messages": [{"role": "user", "content": said}]}, ensure_ascii=ascii_only).encode()
            assert kinds(body) == "personal", body
            assert kinds_in(body) == (kind,)


@pytest.mark.parametrize(
    "text",
    [
        "Invoice 2026-11-0012345678 of 29.11.2026",
        "Order no. 0123 456789",
        "ISBN 978-3-16-148410-0",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "at 1732894232 or 1732894232000 or 2026-11-29T20:50:32Z",
        "1.234.567,89 EUR and 12 345 678 zł and 0.123456789",
        "version 10.0.22621.3007, see RFC 9110",
        "Art. 5 of Regulation (EU) 2016/679, OJ L 119, 4.5.2016, p. 1-88",
        "The account DE88 3704 0044 0532 0130 00 and the card 4111 1111 1111 1112 are none.",
        "SIRET 732 829 320 00074",
        "the number 111222333 says nothing of itself",
        "an @ in @property and user@host",
        "pages 1234567 to 1234599",
        "claude-3-5-sonnet-20241022 with max_tokens 1000000",
        "192.168.17.4",
    ],
)
def test_what_only_looks_like_it_raises_nothing(text: str) -> None:
    assert [one for one in find(text) if one.personal] == []
    assert kinds(json.dumps({"input": text}).encode()) == "none"


@pytest.mark.parametrize(
    "hidden",
    [
        b'{"input": "a\\u0040b.example.eu"}',
        b'{"input": "\\u0061@b.example.eu"}',
        b'{"input": "41\\u00311 1111\\u00a01111 1111"}',
        b'{"input": "4111\\u200b1111 11111111"}'.replace(b" 1", b"1"),
        '{"input": "４１１１ １１１１ １１１１ １１１１"}'.encode(),
        b'{"input": "\\uff14\\uff11\\uff11\\uff11111111111111"}',
        '{"input": "4111\u00a01111\u202f1111\u20071111"}'.encode(),
        '{"input": "4111‑1111‑1111‑1111"}'.encode(),
        '{"input": "a\u200bda@exam\u00adple.org"}'.encode(),
        b'{"input": "{\\"to\\": \\"a\\\\u0040b.example.eu\\"}"}',
        b'{"input": "\\n4111111111111111\\n"}',
        b'{"input": "\\"4111111111111111\\""}',
        b'{"input": "x\\/\\/4111111111111111"}'.replace(b"x", b"see "),
    ],
)
def test_no_escape_and_no_unseen_sign_hides_it(hidden: bytes) -> None:
    assert kinds(hidden) == "personal"


@pytest.mark.parametrize("times", [100, 10_000])
@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_a_picture_is_not_read(times: int, slash: str) -> None:
    picture = "iVBORw0KGgo" + "4111111111111111/" * times
    body = json.dumps({"input": [{"url": "data:image/png;base64," + picture}, {"type": "base64", "data": picture}]})
    sent = body.replace("/", slash).encode()
    assert kinds(sent) == "none"
    assert kinds_in(sent) == ()
    assert b"4111" not in without_blobs(sent)


@pytest.mark.parametrize("said", ["my card is 4111111111111111", "4111111111111111\\n", "a@example.org", "\\u0040"])
def test_what_is_no_picture_is_read_where_one_is_said_to_be(said: str) -> None:
    body = b'{"url": "data:image/png;base64,%b"}' % ("A" * 20_000 + said + "A" * 500).encode()
    assert without_blobs(body) == body
    unended = b'{"url": "data:image/png;base64,' + b"4" * 20_000
    assert without_blobs(unended) == unended


def test_a_table_of_more_numbers_than_are_read_closely_counts_as_personal() -> None:
    assert kinds(b'{"input": "%b"}' % (b"1234567, " * 5_000)) == "none"
    assert kinds(b'{"input": "%b"}' % (b"1234567, " * 20_000)) == "personal"


def test_the_word_that_tells_a_number_may_follow_it_or_stand_at_the_head_of_a_table() -> None:
    assert [one.kind for one in find("Noteer 111222333 (BSN) in het dossier.")] == ["bsn"]
    rows = "".join(f"Jan de Vries;Utrecht;Kerkstraat {number}\n" for number in range(10))
    assert [one.kind for one in find(f"naam;plaats;BSN\n{rows}Anna Nowak;Hamburg;111222333\n")] == ["bsn"]
    assert find(f"naam;plaats;nummer\n{rows}Anna Nowak;Hamburg;111222333\n") == ()


# -- laws -----------------------------------------------------------------------------------------------

BITS = st.sampled_from(
    [
        *(text for text, _, _ in SAID),
        "@",
        "\\",
        '"',
        "\n",
        "1",
        "00",
        " ",
        ".",
        "-",
        "\u200b",
        "\u00a0",
        "é",
        "A",
        "+49",
    ]
)
TEXTS = st.lists(st.one_of(BITS, st.text(max_size=8)), max_size=8).map("".join)


@given(TEXTS)
def test_what_is_found_stands_there_in_order_and_can_be_put_into_json(text: str) -> None:
    found = find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    for one in found:
        said = text[one.start : one.end]
        assert not set(said) & set('"\\\n\r\t'), "it goes back into an answer at any depth of JSON"


@given(TEXTS, st.booleans())
def test_the_fast_look_misses_nothing_that_the_close_one_finds(text: str, ascii_only: bool) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    body = json.dumps({"input": text}, ensure_ascii=ascii_only).encode()
    personal = any(one.personal for one in find(text) if one.kind != "passport")
    assert not personal or suspicious(body)


# -- no text is too odd ---------------------------------------------------------------------------------


def cpu_s(bit: str, size: int) -> float:
    text = (bit * (size // len(bit) + 1))[:size]
    best = float("inf")
    for _ in range(2):
        began = time.process_time()
        find(text)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize(
    "bit",
    [
        "1",
        "1 ",
        "1-",
        "0(",
        "00 ",
        "+1",
        "A1",
        "AA11",
        "a@",
        "@",
        "a.",
        "a'",
        "a@a.",
        "DE89 ",
        "tel 0",
        "12345678",
        "1 2/",
    ],
)
def test_ten_times_the_text_takes_about_ten_times_the_time(bit: str) -> None:
    small, large = cpu_s(bit, 3_000), cpu_s(bit, 30_000)
    assert large < 40 * max(small, 0.0005), (bit, small, large)  # quadratic would be a hundred times
