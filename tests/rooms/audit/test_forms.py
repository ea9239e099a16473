"""Notes, proofs and canonical JSON: what is accepted, and that nothing else is."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.audit.canonical import canonical, parse_json
from bastide.audit.leaf import Pseudonyms, compose, mac, verdicts, word
from bastide.audit.merkle import NotProven, inclusion_proof, leaf_hash, leaf_hashes
from bastide.audit.note import Checkpoint, PublicKey, SecretKey, open_note
from bastide.audit.proof import Proof
from bastide.audit.tiles import Frontier, TileReader

# The example of the signed-note specification's reference implementation (Go, x/mod/sumdb/note).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

KEY = SecretKey("bastide/test", bytes(range(32)))


def test_a_note_signed_elsewhere_is_read() -> None:
    key = PublicKey.parse(PETER)
    assert str(key) == PETER
    assert open_note(NOTE, key).startswith("If you think")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE.replace("answer", "Answer"),
        NOTE.replace("— ", "- "),
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "x\n",
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("x08g", "x08h"),
        NOTE.replace("JnAM=", "JnAN="),
        NOTE.replace("PeterNeumann", "Peter Neumann"),
        NOTE.replace("PeterNeumann", "Somebody"),
        NOTE.replace("If", "If\0"),
        NOTE * 20_000,
    ],
)
def test_a_note_that_was_touched_is_refused(note: str) -> None:
    with pytest.raises(NotProven):
        open_note(note, PublicKey.parse(PETER))


@pytest.mark.parametrize("position", range(0, len(PETER), 3))
def test_a_key_with_a_changed_letter_is_refused(position: int) -> None:
    letter = "A" if PETER[position] != "A" else "B"
    with pytest.raises(NotProven):
        PublicKey.parse(PETER[:position] + letter + PETER[position + 1 :])


@pytest.mark.parametrize("text", ["", "+", "++", "a+b+c", "\ud800+00000000+AAAA", " +aaaaaaaa+AAAA", PETER + "+"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        PublicKey.parse(text)


def test_a_secret_key_comes_back_and_does_not_show_itself() -> None:
    again = SecretKey.parse(KEY.reveal())
    assert again.public == KEY.public
    assert base64.b64encode(bytes(range(32))).decode()[:20] not in repr(KEY)
    for text in ("", KEY.reveal()[:-5], str(KEY.public), KEY.reveal().replace("test", "best")):
        with pytest.raises(NotProven):
            SecretKey.parse(text)


def _checkpoint(*lines: str) -> str:
    return KEY.sign("".join(f"{line}\n" for line in lines))


ROOT = base64.b64encode(b"\1" * 32).decode()


@pytest.mark.parametrize(
    "lines",
    [
        ("bastide/other", "1", ROOT),
        ("bastide/test", "01", ROOT),
        ("bastide/test", "-1", ROOT),
        ("bastide/test", "1e3", ROOT),
        ("bastide/test", "٣", ROOT),
        ("bastide/test", "9" * 30, ROOT),
        ("bastide/test", "", ROOT),
        ("bastide/test", "1", ROOT[:-4]),
        ("bastide/test", "1", ROOT + "\x7f"),
        ("bastide/test", "1"),
    ],
)
def test_a_checkpoint_has_one_form_even_when_it_is_signed(lines: tuple[str, ...]) -> None:
    with pytest.raises(NotProven):
        Checkpoint.open(_checkpoint(*lines), KEY.public)


def test_other_signatures_under_a_checkpoint_are_left_aside() -> None:
    note = Checkpoint.sign(KEY, 7, b"\1" * 32).note
    witness = SecretKey("witness.example/w1", b"\3" * 32).sign(note.split("\n\n")[0] + "\n").split("\n\n")[1]
    opened = Checkpoint.open(note + witness, KEY.public)
    assert (opened.size, opened.root) == (7, b"\1" * 32)
    with pytest.raises(NotProven):
        Checkpoint.open(note.split("\n\n")[0] + "\n\n" + witness, KEY.public)


def _proof(size: int, index: int) -> tuple[Proof, bytes]:
    entries = [b"entry %d" % i for i in range(size)]
    frontier = Frontier()
    tiles = frontier.extend(leaf_hashes(entries))
    checkpoint = Checkpoint.sign(KEY, size, frontier.root())
    return Proof(index, tuple(inclusion_proof(index, size, TileReader(tiles))), checkpoint.note), entries[index]


@given(st.integers(1, 300), st.data())
def test_a_proof_is_written_read_and_checked(size: int, data: st.DataObject) -> None:
    proof, entry = _proof(size, data.draw(st.integers(0, size - 1)))
    again = Proof.parse(str(proof))
    assert again == proof
    assert again.check(entry, KEY.public).size == size
    with pytest.raises(NotProven):
        again.check(entry + b"x", KEY.public)


def test_a_proof_may_carry_an_extra_line() -> None:
    proof, entry = _proof(5, 2)
    text = str(proof).replace("\nindex", "\nextra AAAA\nindex", 1)
    assert Proof.parse(text).check(entry, KEY.public).size == 5


def test_every_changed_letter_of_a_proof_is_noticed() -> None:
    proof, entry = _proof(11, 6)
    text = str(proof)
    for position, letter in enumerate(text):
        changed = text[:position] + ("x" if letter != "x" else "y") + text[position + 1 :]
        with pytest.raises(NotProven):
            Proof.parse(changed).check(entry, KEY.public)


@given(st.text(max_size=200))
def test_any_text_is_refused_without_an_accident(text: str) -> None:
    for read in (Proof.parse, PublicKey.parse, SecretKey.parse, lambda t: open_note(t, KEY.public)):
        with pytest.raises(NotProven):
            read(text)


# -- canonical JSON -----------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_canonical_json_means_the_same_and_is_stable(value: object) -> None:
    first = canonical(value)  # type: ignore[arg-type]
    assert canonical(parse_json(first)) == first
    assert parse_json(first) == value


@pytest.mark.parametrize(
    ("number", "text"),  # RFC 8785, appendix B, and their neighbours
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (-1.7976931348623157e308, "-1.7976931348623157e+308"),
        (295147905179352830000.0, "295147905179352830000"),
        (1e21, "1e+21"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (333333333.3333333, "333333333.3333333"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (1e16, "10000000000000000"),
        (123e18, "123000000000000000000"),
    ],
)
def test_numbers_are_written_as_the_standard_says(number: float, text: str) -> None:
    assert canonical(number).decode() == text


def test_keys_are_sorted_by_utf16_and_strings_escaped_as_the_standard_says() -> None:
    value = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\x80": 6, "ö": 7}
    assert canonical(value).decode() == '{"\\r":2,"1":4,"\x80":6,"ö":7,"€":1,"😀":5,"\ufb33":3}'
    assert canonical('€$\x0f\nA\'B"\\\\"/').decode() == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, "\ud800", {1: 2}, {"a": b"x"}, object()])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "NaN", "[Infinity]", "{", "", "[" * 100_000, "1" * 10_000])
def test_json_with_two_meanings_is_refused(text: str) -> None:
    with pytest.raises(NotProven):
        parse_json(text)


# -- leaves -------------------------------------------------------------------------------------------


def _leaf(**changes: object) -> str:
    given = {
        "id": "evt_1", "act": "a.b", "outcome": "done", "t": 1, "who": Pseudonyms("T"), "subjects": ["x"],
        "payload": b"p", "secret": b"s" * 32,
    }  # fmt: skip
    return compose(**{**given, **changes})  # type: ignore[arg-type]


def test_a_leaf_is_canonical() -> None:
    body = _leaf(evidence={"model": "local/minilm", "decision": {"allowed": True, "policy": "x", "rules": ["R01"]}})
    assert canonical(parse_json(body)).decode() == body
    assert body.count('"log":{}') == 1


def test_equal_events_have_unequal_leaves() -> None:
    assert leaf_hash(_leaf().encode()) != leaf_hash(_leaf().encode())


def test_many_subjects_are_one_commitment() -> None:
    assert len(_leaf(subjects=[f"person {i}" for i in range(100_000)])) < 1000


def test_only_plain_names_stand_in_a_leaf() -> None:
    assert word("local/minilm", b"k") == "local/minilm"
    assert word("", b"k") == ""
    for told in ("Anna's model", "anna@example.org", "é", "x" * 200, "a\nb"):
        assert word(told, b"k").startswith("~")
    assert verdicts({"rules": "x"}, b"k") == {"allowed": False, "policy": "", "rules": []}
    rules = [{"id": "R01", "ok": True}, {"id": "R02", "ok": False, "why": "Anna"}, "junk"]
    assert verdicts({"allowed": True, "policy": "sha256:aa", "rules": rules}, b"k") == {
        "allowed": True,
        "policy": "sha256:aa",
        "rules": ["R01", "!R02"],
    }


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_a_commitment_is_the_standards_hmac(key: bytes, content: bytes) -> None:
    assert mac(key, content) == hmac.digest(key, content, "sha256")
