"""The pure parts of triggers: filters, placeholders, thresholds, chains, and the signature of a webhook."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadTrigger, JobInputWrong, JobTooLarge, TriggerLoop, WebhookRefused
from bastide.workflows.chains import LINKS_MAX, refuse_loop
from bastide.workflows.metrics import Threshold
from bastide.workflows.templates import check_filter, check_input, fill, matches
from bastide.workflows.webhooks import new_secret, refuse_large, sign, verified

FACTS: dict[str, Any] = {
    "name": "lease.txt",
    "version": 3,
    "draft": False,
    "none": None,
    "tags": ["a", "b"],
    "body": {"order": {"id": "o-7", "total": 12.5}, "items": [1, 2]},
}
KNOWN = frozenset(FACTS)

# -- placeholders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ("{version}", 3),
        ("{draft}", False),
        ("{none}", None),
        ("{tags}", ["a", "b"]),
        ("{body.order}", {"id": "o-7", "total": 12.5}),
        ("{body.order.total}", 12.5),
        ("{version} ", "3 "),
        ("v{version} of {name}", "v3 of lease.txt"),
        ("{tags}/{draft}/{none}", '["a", "b"]/false/null'),
        ("{{version}}", "{version}"),
        ("{{{version}}}", "{3}"),
        ("plain", "plain"),
        (5, 5),
        ({"a": ["{name}", {"b": "{version}"}]}, {"a": ["lease.txt", {"b": 3}]}),
    ],
    ids=str,
)
def test_a_placeholder_becomes_the_fact(given: Any, filled: Any) -> None:
    check_input(given, KNOWN)
    assert fill(given, FACTS) == filled
    assert isinstance(fill(given, FACTS), bool) == isinstance(filled, bool)


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_read_again(name: str, around: str) -> None:
    braced = "{secret}" + name + "{{}}{"
    wrapped = around.replace("{", "{{").replace("}", "}}")
    assert fill("{name}", {"name": braced, "secret": "s3cret"}) == braced
    assert fill(wrapped + "{name}", {"name": braced, "secret": "s3cret"}) == around + braced


unbraced = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]))
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | unbraced,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(plain_values)
def test_an_input_without_braces_stays_what_it_is(value: Any) -> None:
    assert check_input(value, KNOWN) is False
    assert fill(value, FACTS) == value


@pytest.mark.parametrize(
    "text", ["{", "a}b", "{}", "{a b}", "{name.}", "{.name}", "{na{me}", "{0}", "{__class__!r}", "{name:>10}"]
)
def test_what_is_no_placeholder_is_refused(text: str) -> None:
    with pytest.raises(BadTrigger):
        check_input({"text": text}, KNOWN)


def test_a_fact_that_the_event_never_has_is_refused_at_once() -> None:
    with pytest.raises(BadTrigger) as caught:
        check_input({"text": "{titel}"}, KNOWN)
    assert "'titel'" in caught.value.message
    assert "name" in caught.value.message, "it says which facts there are"
    assert check_input({"text": "{titel}"}, None) is True, "an event whose facts nobody knows yet"
    with pytest.raises(JobInputWrong) as missed:
        fill("{body.order.nr}", FACTS)
    assert missed.value.facts == {"field": "body.order.nr"}
    for attribute in ("{name.upper}", "{tags.0}", "{body.__class__}"):
        with pytest.raises(JobInputWrong):
            fill(attribute, FACTS)


def test_an_input_as_deep_as_a_well_is_refused() -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(BadTrigger):
        check_input(deep, KNOWN)


# -- filters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "matched"),
    [
        ({}, True),
        ({"name": "lease.txt"}, True),
        ({"name": "Lease.txt"}, False),
        ({"name": ["x", "lease.txt"]}, True),
        ({"version": 3, "name": "lease.txt"}, True),
        ({"version": 3, "name": "other"}, False),
        ({"version": "3"}, False),
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"version": True}, False),
        ({"none": None}, True),
        ({"body.order.id": "o-7"}, True),
        ({"body.order.nr": None}, False),
        ({"missing": None}, False),
    ],
    ids=str,
)
def test_a_filter_is_exact(filter: dict[str, Any], matched: bool) -> None:
    check_filter(filter, None)
    assert matches(filter, FACTS) is matched


@pytest.mark.parametrize(
    "filter",
    [
        {"titel": "x"},
        {"name": {"like": "%"}},
        {"name": []},
        {"name": [["x"]]},
        {"name": ["x"] * 101},
        {"": "x"},
        {"name; drop": "x"},
        {f"body.f{n}": n for n in range(21)},
    ],
    ids=lambda filter: str(filter)[:30],
)
def test_what_is_no_filter_is_refused(filter: dict[str, Any]) -> None:
    with pytest.raises(BadTrigger) as caught:
        check_filter(filter, KNOWN)
    assert caught.value.facts == {"field": "filter"}


# -- thresholds -------------------------------------------------------------------------------------


def crossings(filter: dict[str, Any], values: list[float]) -> list[bool]:
    """For each look whether it fires: only when it was on this side, and now is on the other."""
    threshold, before, fired = Threshold.read({"metric": "m", **filter}), None, []
    for value in values:
        crossed = threshold.crossed(value, before)
        fired.append(crossed and before is False)
        before = crossed
    return fired


def test_only_the_crossing_fires() -> None:
    assert crossings({"above": 10}, [11, 12]) == [False, False], "it was beyond when first looked at"
    assert crossings({"above": 10}, [9, 10, 11, 12, 11, 10, 11]) == [False, False, True, False, False, False, True]
    assert crossings({"below": 2}, [3, 1, 0, 2, 1]) == [False, True, False, False, True]


def test_a_number_that_trembles_fires_once() -> None:
    assert sum(crossings({"above": 10, "hysteresis": 3}, [9, 11, 9, 11, 8, 11, 7, 11])) == 2
    assert sum(crossings({"below": 10, "hysteresis": 3}, [11, 9, 11, 9, 12.9, 9, 13, 9])) == 2


@given(st.lists(st.floats(-100, 100), max_size=30), st.floats(-50, 50), st.floats(0, 20))
def test_below_is_above_in_the_mirror(values: list[float], limit: float, hysteresis: float) -> None:
    above = crossings({"above": limit, "hysteresis": hysteresis}, values)
    below = crossings({"below": -limit, "hysteresis": hysteresis}, [-value for value in values])
    assert above == below
    assert not any(one and other for one, other in pairwise(above)), "never twice in a row"


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"metric": "m"},
        {"metric": "m", "above": 1, "below": 0},
        {"metric": "m", "above": "1"},
        {"metric": "m", "above": True},
        {"metric": "m", "above": float("nan")},
        {"metric": "m", "above": 1, "hysteresis": -1},
        {"metric": 5, "above": 1},
        {"metric": "m", "above": 1, "name": "x"},
    ],
    ids=str,
)
def test_what_is_no_threshold_is_refused(filter: dict[str, Any]) -> None:
    with pytest.raises(BadTrigger):
        Threshold.read(filter)


# -- chains -----------------------------------------------------------------------------------------


def test_a_loop_is_told_with_its_whole_chain() -> None:
    chain = [("trg_A", "job_1"), ("trg_B", "job_2")]
    refuse_loop(chain, "trg_C")
    with pytest.raises(TriggerLoop) as caught:
        refuse_loop(chain, "trg_A")
    assert "trg_A -> job_1 -> trg_B -> job_2 -> trg_A" in caught.value.message
    assert caught.value.facts["chain"] == "trg_A -> job_1 -> trg_B -> job_2 -> trg_A"


def test_a_chain_of_many_triggers_comes_to_an_end() -> None:
    chain = [(f"trg_{n}", f"job_{n}") for n in range(LINKS_MAX)]
    refuse_loop(chain[:-1], "trg_new")
    with pytest.raises(TriggerLoop) as caught:
        refuse_loop(chain, "trg_new")
    assert "trg_0 -> job_0" in caught.value.message


# -- signatures -------------------------------------------------------------------------------------

NOW = 1_700_000_000
BODY = b'{"order": {"id": "o-7"}}'


def headers(secret: str, *, id: str = "msg_1", at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    return {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": sign(secret, id, at, body)}


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example that the libraries of the standard are tested with.
    secret, id, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(secret, id, at, b'{"test": 2432232314}') == expected


def test_who_holds_the_secret_is_known() -> None:
    secret, other = new_secret(), new_secret()
    assert secret != other
    assert secret.startswith("whsec_")
    came = verified(headers(secret), BODY, [secret], now_s=NOW + 299)
    assert came.facts() == {"id": "msg_1", "timestamp": NOW, "body": {"order": {"id": "o-7"}}}
    assert verified(headers(secret), BODY, [other, secret], now_s=NOW).id == "msg_1"
    upper = {name.upper(): value for name, value in headers(secret).items()}
    assert verified(upper, BODY, [secret], now_s=NOW).id == "msg_1"
    several = {**headers(secret), "webhook-signature": f"v1a,xyz v1,AAAA {sign(secret, 'msg_1', NOW, BODY)}"}
    assert verified(several, BODY, [secret], now_s=NOW).id == "msg_1"


SECRET = new_secret()


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": ""},
        {"webhook-id": "msg_2"},
        {"webhook-id": "x" * 161},
        {"webhook-id": "msg 1"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "-1"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v2," + sign(SECRET, "msg_1", NOW, BODY)[3:]},
        {"webhook-signature": sign(SECRET, "msg_1", NOW, BODY)[3:]},
        {"webhook-signature": "v1,ü"},
        {"webhook-signature": "v1,AAAA " * 5000},
    ],
    ids=lambda changed: next(iter(changed)),  # not the values: a signature is new each time
)
def test_whatever_is_wrong_gets_the_same_answer(changed: dict[str, str]) -> None:
    with pytest.raises(WebhookRefused) as caught:
        verified({**headers(SECRET), **changed}, BODY, [SECRET], now_s=NOW)
    assert caught.value.to_wire() == WebhookRefused().to_wire()


def test_an_old_a_foreign_and_a_changed_message_are_refused() -> None:
    for now in (NOW + 301, NOW - 301):
        with pytest.raises(WebhookRefused):
            verified(headers(SECRET), BODY, [SECRET], now_s=now)
    for known in ([], [new_secret()]):
        with pytest.raises(WebhookRefused):
            verified(headers(SECRET), BODY, known, now_s=NOW)
    with pytest.raises(WebhookRefused):
        verified(headers(SECRET), BODY + b" ", [SECRET], now_s=NOW)
    with pytest.raises(WebhookRefused):
        verified({}, BODY, [SECRET], now_s=NOW)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"5", b"{", b"\xff{}", b'{"a": NaN}', b"[" * 100_000], ids=lambda b: repr(b[:12])
)
def test_a_signed_body_that_is_no_object_is_told_so(body: bytes) -> None:
    with pytest.raises(JobInputWrong):
        verified(headers(SECRET, body=body), body, [SECRET], now_s=NOW)


def test_a_body_over_a_mebibyte_is_refused() -> None:
    refuse_large(b"x" * 1024 * 1024)
    with pytest.raises(JobTooLarge):
        refuse_large(b"x" * (1024 * 1024 + 1))
