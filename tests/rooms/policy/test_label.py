"""Labels: the laws of the join, the wire form, and what is refused."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.errors import BadLabel
from bastide.policy.label import CLASSES, EVIDENCE, INTEGRITIES, KINDS, OBJECTIVES, PATHS, RISKS, Label
from bastide.policy.places import EEA, EU
from bastide.store import Scope

_names = st.frozensets(st.sampled_from("abcd"), max_size=3)
_countries = st.frozensets(st.sampled_from(["FR", "DE", "NO", "CH", "US"]), max_size=4)
_kinds = st.frozensets(st.sampled_from(KINDS), min_size=1, max_size=3).map("+".join)
_pairs = st.frozensets(st.tuples(st.sampled_from(["US", "CA"]), st.sampled_from(PATHS)), max_size=4)
_seals = st.dictionaries(st.sampled_from(OBJECTIVES), st.integers(1, 4), max_size=3)

labels: st.SearchStrategy[Label] = st.builds(
    Label,
    cls=st.sampled_from(CLASSES),
    personal=_kinds,
    zone=st.none() | _countries,
    min_seal=_seals.map(lambda levels: tuple(sorted(levels.items()))),
    min_ual=st.integers(0, 4),
    min_evidence=st.sampled_from(EVIDENCE),
    tolerate=st.none() | _pairs,
    purposes=st.none() | _names,
    air_gap=st.booleans(),
    integrity=st.sampled_from(INTEGRITIES),
    risk=st.sampled_from(RISKS),
    subjects=_names,
    origin=_names,
)


@given(labels, labels, labels)
@settings(max_examples=400)
def test_a_join_is_associative_commutative_and_idempotent(a: Label, b: Label, c: Label) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).join(c) == a.join(b.join(c))
    assert a.join(a) == a
    assert a.join(Label()) == a


@given(labels, labels, labels)
def test_a_join_is_monotone(a: Label, b: Label, c: Label) -> None:
    """`a <= b` means that joining a to b changes nothing; then a with c stays below b with c."""
    above = a.join(b)
    assert a.join(above) == above
    assert a.join(c).join(above.join(c)) == above.join(c)


@given(labels, labels)
def test_a_join_takes_the_stricter_side_everywhere(a: Label, b: Label) -> None:
    both = a.join(b)
    for one in (a, b):
        assert both.rank >= one.rank
        assert one.zone is None or (both.zone is not None and both.zone <= one.zone)
        assert one.tolerate is None or (both.tolerate is not None and both.tolerate <= one.tolerate)
        assert both.air_gap >= one.air_gap
        assert both.subjects >= one.subjects
        assert all(dict(both.min_seal)[name] >= level for name, level in one.min_seal)


@given(labels)
def test_the_wire_gives_the_same_label_back(label: Label) -> None:
    assert Label.from_wire(json.loads(json.dumps(label.to_wire()))) == label


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("none", "pseudonymised", "pseudonymised"),
        ("pseudonymised", "personal", "personal"),
        ("personal", "special", "special"),
        ("special", "minor", "special+minor"),
        ("criminal", "special+minor", "special+criminal+minor"),
        ("none", "none", "none"),
    ],
)
def test_no_kind_of_personal_data_is_lost(one: str, other: str, both: str) -> None:
    assert Label(personal=one).join(Label(personal=other)).personal == both


def test_the_wire_names_one_kind_and_lists_the_others_beside_it() -> None:
    wire = Label(personal="minor+special").to_wire()
    assert wire["personal"] == "special"
    assert wire["personal_kinds"] == ["special", "minor"]
    assert "personal_kinds" not in Label(personal="special").to_wire()


def test_disjoint_zones_leave_nowhere() -> None:
    both = Label(zone=frozenset({"FR"})).join(Label(zone=frozenset({"DE"})))
    assert both.zone == frozenset()
    assert both.to_wire()["zone"] == []


def test_the_wire_has_every_field_of_the_surface() -> None:
    surface = {"class", "personal", "zone", "min_seal", "tolerate", "air_gap", "integrity", "subjects"}
    assert set(Label().to_wire()) == surface


def test_what_the_wire_leaves_out_is_as_the_default() -> None:
    default = Label(cls="internal", personal="personal", zone=frozenset({"FR"}))
    assert Label.from_wire({"class": "secret"}, default) == Label(
        cls="secret", personal="personal", zone=frozenset({"FR"})
    )
    assert Label.from_wire({}) == Label()


def test_unions_are_spelt_out() -> None:
    assert Label.from_wire({"zone": ["EU"]}).zone == EU
    assert Label.from_wire({"zone": ["EEA", "CH"]}).zone == EEA | {"CH"}


@pytest.mark.parametrize(
    "wire",
    [
        {"clas": "public"},
        {"class": "top-secret"},
        {"class": None},
        {"class": ["public"]},
        {"personal": "special+minor"},
        {"personal_kinds": "special"},
        {"zone": "FR"},
        {"zone": ["France"]},
        {"zone": ["UK"]},
        {"zone": [1]},
        {"zone": [["FR"]]},
        {"min_seal": {"SOV-9": 1}},
        {"min_seal": {"SOV-1": 5}},
        {"min_seal": {"SOV-1": True}},
        {"min_seal": [3]},
        {"min_ual": -1},
        {"min_evidence": "gossip"},
        {"tolerate": {"FR": ["direct"]}},
        {"tolerate": {"US": ["sideways"]}},
        {"tolerate": {"US": "direct"}},
        {"tolerate": []},
        {"air_gap": "no"},
        {"integrity": "high"},
        {"subjects": [""]},
        {"subjects": [{}]},
        {"risk": "some"},
        [],
        "secret",
    ],
)
def test_what_is_not_known_is_refused(wire: object) -> None:
    with pytest.raises(BadLabel) as refusal:
        Label.from_wire(wire)  # type: ignore[arg-type]
    assert refusal.value.code == "policy.bad_label"
    assert refusal.value.status == 400
    assert refusal.value.next_step


@pytest.mark.parametrize(
    "words", [{"cls": "x"}, {"personal": "x"}, {"personal": ""}, {"risk": "x"}, {"integrity": "x"}]
)
def test_a_label_cannot_be_built_with_a_word_that_no_rule_knows(words: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        Label(**words)  # type: ignore[arg-type]


def test_the_label_of_a_scope(scope_with: Callable[[str], Scope]) -> None:
    assert Label.of_scope(scope_with("{}")) == Label()
    assert Label.of_scope(scope_with('{"class": "internal", "zone": ["FR"]}')).zone == frozenset({"FR"})
    for unreadable in ("", "{", "[]", '{"zon": []}', "null"):
        with pytest.raises(BadLabel):
            Label.of_scope(scope_with(unreadable))


def test_nothing_joined_is_the_least_strict_label() -> None:
    assert Label.join_all([]) == Label()
    assert Label.join_all([Label(cls="secret"), Label(personal="minor")]) == Label(cls="secret", personal="minor")
