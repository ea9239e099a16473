"""What persons say, and what follows from it: the rules alone, without a database."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadStepResult
from bastide.workflows.decisions import Asking, Verdict, difference, digest_of, fold, strictest, told, why_not_yours
from bastide.workflows.registry import OVERSIGHT_RANK

PEOPLE = ["usr_a", "usr_b", "usr_c", "key_k"]
A, B = "a" * 64, "b" * 64

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**50), 2**50)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
sayings = st.builds(
    Verdict,
    who=st.sampled_from(PEOPLE),
    verdict=st.sampled_from(["approved", "edited", "refused", "taken_over", "stopped"]),
    digest=st.sampled_from([A, B]),
)
yeses = st.builds(
    Verdict,
    who=st.sampled_from(PEOPLE),
    verdict=st.sampled_from(["approved", "edited"]),
    digest=st.sampled_from([A, B]),
)


@given(st.lists(sayings, max_size=8))
def test_two_persons_is_two_distinct_persons_for_the_same_digest_and_no_no_before(said: list[Verdict]) -> None:
    standing, agreed = fold("two_persons", A, said)
    before = next((n for n, one in enumerate(said) if one.verdict not in {"approved", "edited"}), len(said))
    yes = said[:before]
    now = [A]
    for one in yes:
        now.append(one.digest if one.verdict == "edited" else now[-1])
    # At some moment two distinct persons had said yes to what was proposed at that moment.
    moments = [n for n in range(1, len(yes) + 1) if len({one.who for one in yes[:n] if one.digest == now[n]}) >= 2]
    assert (standing == "approved") == bool(moments)
    if moments:
        assert agreed == now[moments[0]]
    elif before < len(said):
        assert standing == said[before].verdict
    else:
        assert standing == "pending"


@given(st.lists(yeses, min_size=1, max_size=8))
def test_one_yes_is_enough_where_one_is_asked(said: list[Verdict]) -> None:
    ours = next((one for one in said if one.verdict == "edited" or one.digest == A), None)
    assert fold("approve", A, said)[0] == ("approved" if ours else "pending")


@given(st.lists(sayings, max_size=6), st.lists(sayings, max_size=4))
def test_what_is_decided_stays_decided(said: list[Verdict], more: list[Verdict]) -> None:
    first = fold("two_persons", A, said)
    if first[0] != "pending":
        assert fold("two_persons", A, said + more) == first


@given(st.sampled_from(PEOPLE), st.sets(st.sampled_from(PEOPLE[:3])), st.booleans(), st.sampled_from(PEOPLE))
def test_who_dispatched_a_job_never_agrees_to_it_as_one_of_two(
    who: str, named: set[str], called: bool, dispatcher: str
) -> None:
    asked = Asking("two_persons", dispatcher, tuple(sorted(named)), ("usr_c",), called)
    if who == dispatcher or who.startswith("key_"):
        for saying in ("approved", "edited", "taken_over"):
            assert why_not_yours(asked, who, saying)  # type: ignore[arg-type]
    assert not why_not_yours(asked, who, "stopped"), "whoever oversees may stop"


@given(st.booleans(), st.sampled_from(["approve", "two_persons"]))
def test_a_stand_in_has_a_turn_and_a_stranger_never(called: bool, mode: str) -> None:
    asked = Asking(mode, "usr_d", ("usr_a",), ("usr_b",), called)  # type: ignore[arg-type]
    assert why_not_yours(asked, "usr_a", "approved") == ""
    assert (why_not_yours(asked, "usr_b", "approved") == "") == called
    assert "other persons" in why_not_yours(asked, "usr_c", "refused")


def test_the_only_named_person_may_agree_to_their_own_job_and_nobody_else_to_theirs() -> None:
    assert why_not_yours(Asking("approve", "usr_a", ("usr_a",)), "usr_a", "approved") == ""
    assert "dispatched" in why_not_yours(Asking("approve", "usr_a"), "usr_a", "approved")
    assert "dispatched" in why_not_yours(Asking("approve", "usr_a", ("usr_a", "usr_b")), "usr_a", "approved")
    assert why_not_yours(Asking("approve", "usr_a"), "usr_a", "refused") == "", "a no is always open"


def test_a_key_is_no_person_and_nobody_is_nobody() -> None:
    for mode in ("approve", "two_persons"):
        for saying in ("approved", "edited", "taken_over"):
            assert "X-User-ID" in why_not_yours(Asking(mode, "usr_a"), "key_k", saying)  # type: ignore[arg-type]
        assert why_not_yours(Asking(mode, "usr_a"), "key_k", "refused") == ""  # type: ignore[arg-type]
    assert why_not_yours(Asking("approve", "usr_a"), None, "refused")


@given(st.lists(st.sampled_from(list(OVERSIGHT_RANK)), min_size=1))
def test_oversight_only_grows(modes: list[str]) -> None:
    ranks = [OVERSIGHT_RANK[strictest(*modes[:n])] for n in range(1, len(modes) + 1)]  # type: ignore[arg-type]
    assert all(before <= after for before, after in pairwise(ranks))
    assert ranks[-1] == max(OVERSIGHT_RANK[mode] for mode in modes)


@given(json_values, st.text(max_size=20))
def test_a_digest_is_of_the_effect_the_arguments_and_what_is_shown(arguments: object, shown: str) -> None:
    one = digest_of("send", arguments, shown)  # type: ignore[arg-type]
    assert one == digest_of("send", arguments, shown)  # type: ignore[arg-type]
    assert len({one, digest_of("send#2", arguments, shown), digest_of("send", [arguments], shown)}) == 3  # type: ignore[arg-type, list-item]
    assert one != digest_of("send", arguments, shown + ".")  # type: ignore[arg-type]


def test_the_order_of_keys_is_no_difference() -> None:
    assert digest_of("send", {"a": 1, "b": 2}, "") == digest_of("send", {"b": 2, "a": 1}, "")


@pytest.mark.parametrize("bad", [{1, 2}, float("nan"), {"n": 2**70 + 1}, b"bytes"])
def test_what_is_not_json_has_no_digest(bad: object) -> None:
    with pytest.raises(BadStepResult, match="send"):
        digest_of("send", bad, "")  # type: ignore[arg-type]


@given(json_values)
def test_arguments_have_their_own_shape(arguments: object) -> None:
    assert difference(arguments, arguments) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"to": "ada@example.org"}, "must have 'n'"),
        ({"to": "ada@example.org", "n": 1, "cc": []}, "must have 'tags'"),
        ({"to": "a", "n": 1, "tags": [], "cc": 1}, "must not have 'cc'"),
        ({"to": 7, "n": 1, "tags": []}, "to must be a text, not a number"),
        ({"to": "a", "n": True, "tags": []}, "n must be a number, not a truth value"),
        ({"to": "a", "n": 1.5, "tags": ["x", 1]}, "tags[1] must be a text"),
        ({"to": "a", "n": 1, "tags": {}}, "tags must be a list, not an object"),
        ([], "the arguments must be an object, not a list"),
        (None, "the arguments must be an object, not null"),
    ],
)
def test_an_edit_of_another_shape_is_told(after: object, said: str) -> None:
    assert said in difference({"to": "eve@example.org", "n": 3, "tags": ["a"]}, after)  # type: ignore[arg-type]


def test_an_edit_of_the_same_shape_passes() -> None:
    before = {"to": "eve@example.org", "n": 3, "tags": ["a"], "note": None}
    assert difference(before, {"to": "", "n": 0.5, "tags": ["b", "c"], "note": "now said"}) == ""


def test_a_time_line_tells_it_in_plain_words() -> None:
    assert told({"approval": "apr_1", "effect": "send", "mode": "approve"}) == (
        "A person was asked about the effect send: apr_1."
    )
    assert told({"approval": "apr_1", "effect": "send", "mode": "informed"}).startswith("Persons are informed")
    assert told({"approval": "apr_1", "verdict": "taken_over", "status": "taken_over"}) == (
        "A person said taken over to apr_1; it is taken over."
    )
    assert told({"approval": "apr_1", "status": "expired"}) == "apr_1: expired."
