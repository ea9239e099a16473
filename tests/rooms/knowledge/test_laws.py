"""Laws of retrieval: fusion loses nobody, what is held forgets the erased, no row is a stranger's; and a guard of
quality on a small library that was written for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.knowledge import Knowledge
from bastide.knowledge.grams import gram_keys, gram_scores, grams_of
from bastide.knowledge.ranking import fuse, led
from bastide.knowledge.walking import Named, Walk
from bastide.knowledge.webs import Webs
from bastide.store import Scope

from .conftest import Rooms

SCORES = st.dictionaries(st.integers(0, 60), st.floats(0, 50), max_size=30)
COSINES = st.dictionaries(st.integers(0, 60), st.floats(-1, 1), max_size=30)
SHARES = st.dictionaries(st.integers(0, 90), st.floats(0, 1), max_size=30)


@given(SCORES, COSINES, SHARES, st.booleans(), st.booleans())
def test_no_candidate_of_a_ranking_is_lost(
    words: dict[int, float], cosines: dict[int, float], shares: dict[int, float], titled: bool, always: bool
) -> None:
    named = (Named("ada", 1, 2, int(titled), False),)
    order = fuse(words, cosines, languages={}, query_language="en", known={"en"})
    after = led(order, Walk(shares, named, {}, 0.2, 0.2), always=always)
    assert {one.chunk for one in order} == words.keys() | cosines.keys()
    reached = shares.keys() if any(shares.values()) else set()
    assert sorted(one.chunk for one in after) == sorted(words.keys() | cosines.keys() | reached)
    assert [one.score for one in after] == sorted((one.score for one in after), reverse=True)
    for one in after:
        assert (one.words, one.cosine) == (words.get(one.chunk, 0.0), cosines.get(one.chunk))


# -- grams ------------------------------------------------------------------------------------------


def test_grams_meet_within_words_and_not_across_them() -> None:
    assert len(gram_keys("abc")) == 1
    assert len(gram_keys("ab cd")) == 0
    assert len(gram_keys("")) == 0
    assert set(gram_keys("Kündigung").tolist()) <= set(gram_keys("die KUNDIGUNG endet").tolist())
    assert set(gram_keys("frist").tolist()) - set(gram_keys("Fristen").tolist()) != set()


def test_a_compound_is_closer_than_what_shares_no_stretch() -> None:
    texts = [gram_keys("Die Frist der Kündigung beträgt drei Monate."), gram_keys("Der Hund frisst."), gram_keys("")]
    compound, dog, nothing = gram_scores("Kündigungsfrist", "de", texts)
    assert compound > dog >= nothing == 0.0


@given(st.text(), st.lists(st.text(), max_size=5))
def test_any_text_has_grams(query: str, texts: list[str]) -> None:
    scores = gram_scores(query, "en", [gram_keys(text) for text in texts])
    assert len(scores) == len(texts)
    assert all(np.isfinite(score) and score >= 0 for score in scores)


@given(st.lists(st.text() | st.text("ab é", max_size=6), max_size=6))
def test_no_gram_leads_from_one_text_into_the_next(texts: list[str]) -> None:
    found = grams_of(texts)
    assert [keys.tolist() for keys in found] == [gram_keys(text).tolist() for text in texts]


# -- what is held -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """The state of an index, as rows of its extent say it."""

    language: str
    written: int
    closed: tuple[str, ...] = ()
    seen: str | None = None
    chunks: int = 2


async def test_what_is_held_forgets_the_erased_and_no_state_sees_another(rooms: Rooms, ours: Scope) -> None:
    taken = [
        await rooms.knowledge.ingest(ours, f"{name}.md", f"# {name}\n\n{name} keeps a ferry.".encode())
        for name in ("Ada Vermeer", "Bram Declerck")
    ]
    webs = Webs()
    async with rooms.store.under(ours) as db:
        first = await webs.of(db, ours.tenant, [Seen("en", 1)])
        assert first.web is not None
        chunks = first.web.chunks.tolist()
        first.keep({chunk: gram_keys("ferry") for chunk in chunks})
        assert webs.held(ours.tenant, [Seen("en", 1)]) is first
        for other in (Seen("en", 2), Seen("en", 1, ("secret",), "1 7")):
            assert webs.held(ours.tenant, [other]).grams == {}
    await rooms.knowledge.delete(ours, str(taken[0].documents[0].id))
    async with rooms.store.under(ours) as db:
        second = await webs.of(db, ours.tenant, [Seen("en", 2)])
    assert second.web is not None
    alive = second.web.chunks[second.web.alive].tolist()
    assert list(second.grams) == alive == chunks[1:]


@pytest.mark.parametrize("mode", ["hybrid", "text"])
async def test_random_queries_of_many_tenants_meet_no_stranger(
    knowledge: Knowledge, scope_with: Callable[..., Scope], mode: str
) -> None:
    chance = random.Random(5)
    words = ["lease", "rent", "ferry", "gate", "bees", "council", "harbour", "lamp", "winter", "oak", "ledger", "coast"]
    own: dict[Scope, set[str | None]] = {}
    for _ in range(4):
        scope = scope_with("knowledge:read", "knowledge:write", "model:use")
        own[scope] = set()
        for n in range(3):
            text = f"# Ada Vermeer {n}\n\n" + " ".join(chance.choices(words, k=20))
            taken = await knowledge.ingest(scope, f"{n}.md", text.encode())
            own[scope].add(taken.documents[0].id)
    met = 0
    for _ in range(80):
        scope = chance.choice(list(own))
        query = " ".join(["Ada Vermeer", *chance.choices(words, k=chance.randint(1, 4))])
        found = await knowledge.search(scope, query, mode=mode, limit=chance.randint(1, 9))
        met += len(found.passages)
        assert {passage.document_id for passage in found.passages} <= own[scope]
    assert met > 80


# -- a guard of quality -----------------------------------------------------------------------------

LIBRARY = {
    "Mill of Haverbeke": "The Mill of Haverbeke grinds rye. It was built by Clara Osters after the great flood.",
    "Clara Osters": "Clara Osters was an engineer who grew up in Veldwijk and drew bridges.",
    "Veldwijk": "Veldwijk is a town on a canal, known for its lace market on Fridays.",
    "Tomas Brandel": "Tomas Brandel wrote the novel The Long Towpath in a single winter.",
    "The Long Towpath": "The Long Towpath follows a lock keeper and his daughter through four wars.",
    "Lace": "Lace is an openwork fabric. Towns with a market for lace are rare, and mills are rarer.",
    "Floods": "A flood is water where none should be. After a great flood many mills are built anew.",
    "Aushang": "Die Frist der Kündigung beträgt drei Monate zum Ende eines Quartals.",
    "Hausordnung": "Fahrräder stehen im Keller. Nach zehn Uhr abends ist es still im Haus.",
    "Garten": "Der Garten wird gemeinsam gepflegt; wer gießt, trägt sich in die Liste ein.",
}
ASKED = [
    ("Who built the Mill of Haverbeke, and where did she grow up?", {"Mill of Haverbeke", "Clara Osters"}),
    ("What is the town known for where Clara Osters grew up?", {"Clara Osters", "Veldwijk"}),
    ("Which trade is the hero of Tomas Brandel's novel in?", {"Tomas Brandel", "The Long Towpath"}),
    ("what is an openwork fabric", {"Lace"}),
    ("Wie lang ist die Kündigungsfrist?", {"Aushang"}),
    ("Wo stelle ich mein Fahrrad ab?", {"Hausordnung"}),
]


async def test_hybrid_finds_what_belongs_together_and_no_less_than_its_parts(knowledge: Knowledge, ours: Scope) -> None:
    for title, text in LIBRARY.items():
        await knowledge.ingest(ours, title, text.encode())

    async def recall(mode: str) -> float:
        shares = []
        for question, gold in ASKED:
            found = await knowledge.search(ours, question, mode=mode, limit=10)
            shares.append(len(gold & {passage.title for passage in found.passages[: len(gold)]}) / len(gold))
        return sum(shares) / len(shares)

    hybrid, text, vector = [await recall(mode) for mode in ("hybrid", "text", "vector")]
    assert hybrid >= 0.9
    assert hybrid >= max(text, vector)
