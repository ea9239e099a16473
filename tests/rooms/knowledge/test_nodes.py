"""Places of documents: ids that outlive a new version, what differs between versions, pages and their pictures."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastide.errors import BadOption, UnknownDocument, UnknownPage
from bastide.knowledge.aligning import aligned, sketches
from bastide.knowledge.comparing import called, changes
from bastide.knowledge.documents import Shelf
from bastide.knowledge.naming import marks, matched, named, word_sketches
from bastide.knowledge.reading import Limits, Reading, read
from bastide.store import Scope
from tests.rooms.knowledge.conftest import Rooms
from tests.rooms.knowledge.reading.made import paragraph, pdf

SERIES = st.lists(st.integers(0, 12), max_size=40)


def reading(text: str) -> Reading:
    return read("notes.md", text.encode())


def versions(*texts: str) -> list[tuple[Reading, list[int]]]:
    """Each text read, with the ids that its nodes have after all before it."""
    found: list[tuple[Reading, list[int]]] = []
    ids: list[int] = []
    known: list[int] = []
    words: list[int] = []
    last = -1
    for text in texts:
        one = reading(text)
        own, said = marks(one), word_sketches(one)
        ids, last = named(ids, known, last, own, sketched=(words, said))
        known, words = own, said
        found.append((one, ids))
    return found


def id_of(version: tuple[Reading, list[int]], words: str) -> int:
    one, ids = version
    (ord,) = (node.ord for node in one.nodes if one.text[node.start : node.end] == words and node.kind != "section")
    return ids[ord]


LEASE = "# Lease\n\n## Rent\n\nThe rent is 900 euro.\n\nIt is paid monthly.\n\n## Term\n\nThe lease ends in June.\n"
LATER = (
    "# Lease\n\nThis lease was amended.\n\n## Rent\n\nThe rent is 950 euro.\n\nA late payment costs ten euro.\n\n"
    "It is paid monthly.\n\n## Term\n\nThe lease ends in June.\n"
)


def test_a_paragraph_that_did_not_change_keeps_its_id_though_others_were_inserted() -> None:
    old, new = versions(LEASE, LATER)
    for words in ("It is paid monthly.", "The lease ends in June."):
        assert id_of(old, words) == id_of(new, words)
    assert set(new[1]) > set(old[1])


def test_what_differs_is_told_in_words() -> None:
    old, new = versions(LEASE, LATER)
    told = [(one.what, one.before, one.after) for one in changes(*old, *new)]
    assert ("added", "", "This lease was amended.") in told
    assert ("added", "", "A late payment costs ten euro.") in told
    assert not [one for one in told if "monthly" in one[1] + one[2]]
    assert ("changed", "The rent is 900 euro.", "The rent is 950 euro.") in told
    assert len(told) == 3
    rent = [one for one in changes(*old, *new) if "950" in one.after]
    assert [one.section for one in rent] == [["Lease", "Rent"]]


def test_one_changed_paragraph_keeps_its_id() -> None:
    old, new = versions(LEASE, LEASE.replace("900", "950"))
    assert id_of(old, "The rent is 900 euro.") == id_of(new, "The rent is 950 euro.")
    (change,) = changes(*old, *new)
    assert (change.what, change.before, change.after) == ("changed", "The rent is 900 euro.", "The rent is 950 euro.")


PARAGRAPHS = (
    "The tenant keeps the workshop clean and reports every damage to the owner within a week.",
    "Rent is paid in advance on the first working day of each month to the account named below.",
    "The owner may enter the rooms after two days of notice, in an emergency at once.",
    "Ende der Mietzeit ist der letzte Tag im Juni, sofern nicht vorher schriftlich verlängert wird.",
)


def reworded(text: str) -> str:
    """The same with its second word replaced and one appended."""
    first, _, *rest = text.split()
    return " ".join([first, "now", *rest, "again"])


def told(*texts: str) -> list[tuple[str, str, str]]:
    old, new = versions(*texts)
    return [(one.what, one.before, one.after) for one in changes(*old, *new)]


@pytest.mark.parametrize("kept", range(4))
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_changed_paragraph_is_changed_though_another_was_added_beside_it(kept: int, where: str) -> None:
    old, other = PARAGRAPHS[kept], PARAGRAPHS[(kept + 1) % 4]
    new = [reworded(old), other] if where == "after" else [other, reworded(old)]
    assert sorted(told(f"Top.\n\n{old}\n\nEnd.", "\n\n".join(["Top.", *new, "End."]))) == sorted(
        [("changed", old, reworded(old)), ("added", "", other)]
    )


def test_of_a_paragraph_that_was_split_the_greater_part_keeps_the_id() -> None:
    first, second = PARAGRAPHS[0], PARAGRAPHS[1]
    old, new = versions(f"{first} {second}", f"{first}\n\n{second}")
    assert len({*old[1], *new[1]}) == len(old[1]) + 1
    assert [one.what for one in changes(*old, *new)] == ["added", "changed"] or [
        one.what for one in changes(*old, *new)
    ] == ["changed", "added"]


def test_two_paragraphs_that_changed_places_keep_their_ids() -> None:
    old, new = versions("\n\n".join(PARAGRAPHS), "\n\n".join([*PARAGRAPHS[1::-1], *PARAGRAPHS[2:]]))
    assert sorted(old[1]) == sorted(new[1])
    for words in PARAGRAPHS:
        assert id_of(old, words) == id_of(new, words)


def test_a_paragraph_that_was_replaced_beside_an_added_one_is_not_called_changed() -> None:
    assert {one[0] for one in told(PARAGRAPHS[0], f"{PARAGRAPHS[1]}\n\n{PARAGRAPHS[2]}")} == {"added", "removed"}


def test_without_words_nothing_is_alike() -> None:
    assert sketches(["", " – ", "word"])[:2] == [0, 0]
    assert aligned([0], [0], [1], [1]) == []
    assert aligned(*[sketches(["one word"])] * 2, [1], [2]) == []  # a list is no paragraph


TEXTS = st.lists(
    st.lists(st.sampled_from(["rent", "owner", "tenant", "month", "key", "door", "June", "euro"]), max_size=8),
    max_size=9,
)


@given(TEXTS, TEXTS)
def test_with_words_too_names_are_unique_and_the_same_text_keeps_all(
    old: list[list[str]], new: list[list[str]]
) -> None:
    def text(parts: list[list[str]]) -> str:
        return "Start.\n\n" + "\n\n".join(" ".join(part) for part in parts)

    first, second, third = versions(text(old), text(new), text(new))
    for _, ids in (first, second):
        assert len(set(ids)) == len(ids)
    assert second[1] == third[1]
    same = changes(*second, *third)
    assert same == ()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12))
def test_alignment_is_in_order_and_takes_a_place_once(old: list[int], new: list[int]) -> None:
    pairs = aligned(old, new, [1] * len(old), [1] * len(new))
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(pairs))
    assert len(aligned(old, old, [1] * len(old), [1] * len(old))) == sum(one != 0 for one in old)


def test_a_section_that_moved_is_moved_and_nothing_else() -> None:
    parts = [f"## Part {k}\n\nThe words of part {k} are its own.\n\n" for k in range(6)]
    old, new = versions("".join(parts), "".join([parts[0], *parts[2:], parts[1]]))
    told = changes(*old, *new)
    assert {one.what for one in told} == {"moved"}
    assert {one.after for one in told} == {"Part 1", "The words of part 1 are its own."}
    assert sorted(old[1]) == sorted(new[1])


def test_an_id_is_never_given_out_twice() -> None:
    found = versions("one thing\n\ntwo things", "one thing", "one thing\n\nthree things are here now")
    gone = id_of(found[0], "two things")
    assert gone not in found[1][1]
    assert gone not in found[2][1]


@given(SERIES, SERIES)
def test_matching_pairs_each_place_once_and_all_that_is_equal(old: list[int], new: list[int]) -> None:
    pairs = matched(old, new)
    assert len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs})
    assert all(0 <= a < len(old) and 0 <= b < len(new) for a, b in pairs)
    if old and new:
        assert (0, 0) in pairs
    assert len(matched(old, old)) == len(old)


@given(SERIES, SERIES)
def test_names_are_unique_and_the_same_text_keeps_all(old: list[int], new: list[int]) -> None:
    first, last = named([], [], -1, old)
    second, later = named(first, old, last, new)
    assert len(set(second)) == len(second)
    assert later >= last
    assert all(id_ <= later for id_ in second)
    assert named(first, old, last, old) == (first, last)


def test_many_equal_rows_are_matched_in_time() -> None:
    chance = random.Random(5)
    old = [0, *(chance.choice((3, 5)) for _ in range(20_000))]
    new = [*old[:9_000], 7, *old[9_500:]]
    assert len(matched(old, new)) >= len(new) - 600


def test_a_reader_that_has_learnt_since_still_finds_the_ids() -> None:
    (one, ids), (again, _) = versions(LEASE, LATER)
    assert called(ids, marks(one), one) == ids
    found = called(ids, marks(one), again)
    assert found[0] == ids[0]
    assert len({id_ for id_ in found if id_ >= 0}) == len([id_ for id_ in found if id_ >= 0])


# -- through the room -------------------------------------------------------------------------------


@pytest.fixture
def shelf(rooms: Rooms) -> Shelf:
    return Shelf(rooms.store, rooms.audit, rooms.workflows)


LIMITS = Limits()


async def _two_versions(rooms: Rooms, scope: Scope) -> str:
    await rooms.knowledge.ingest(scope, "lease.md", LEASE.encode(), vectors=False)
    taken = await rooms.knowledge.ingest(scope, "lease.md", LATER.encode(), vectors=False)
    return taken.documents[0].id or ""


async def test_ids_outlive_a_version_and_a_reindex(rooms: Rooms, shelf: Shelf, ours: Scope) -> None:
    taken = await rooms.knowledge.ingest(ours, "lease.md", LEASE.encode(), vectors=False)
    identifier = taken.documents[0].id or ""
    first = {node.title: node.id for node in await shelf.structure(ours, identifier) if node.kind == "section"}
    await rooms.knowledge.ingest(ours, "lease.md", LATER.encode(), vectors=False)
    second = await shelf.structure(ours, identifier)
    assert {node.title: node.id for node in second if node.kind == "section"} == first
    await rooms.knowledge.reindex(ours, identifier)
    assert await shelf.structure(ours, identifier) == second
    assert len({node.id for node in second}) == len(second)


async def test_versions_are_compared_and_strangers_see_nothing(
    rooms: Rooms, shelf: Shelf, ours: Scope, neighbour: Scope
) -> None:
    identifier = await _two_versions(rooms, ours)
    found = await shelf.diff(ours, identifier, 1, 2, limits=LIMITS)
    assert "A late payment costs ten euro." in {one.after for one in found if one.what == "added"}
    ids = {node.id for node in await shelf.structure(ours, identifier)}
    assert {one.node for one in found if one.what in {"added", "changed"}} <= ids
    assert await shelf.diff(ours, identifier, 2, 2, limits=LIMITS) == ()
    back = await shelf.diff(ours, identifier, 2, 1, limits=LIMITS)
    assert "A late payment costs ten euro." in {one.before for one in back if one.what == "removed"}
    with pytest.raises(UnknownDocument):
        await shelf.diff(neighbour, identifier, 1, 2, limits=LIMITS)
    with pytest.raises(UnknownDocument):
        await shelf.diff(ours, identifier, 1, 3, limits=LIMITS)


PAGES = pdf([paragraph("Words on the first page,\nand more of them."), [], paragraph("And on the third page.")])


async def test_pages_boxes_and_pictures(rooms: Rooms, shelf: Shelf, ours: Scope, neighbour: Scope) -> None:
    taken = await rooms.knowledge.ingest(ours, "a.pdf", PAGES, vectors=False)
    identifier = taken.documents[0].id or ""
    pages = await shelf.pages(ours, identifier)
    assert [(page.page, page.width, page.height, page.tier) for page in pages] == [
        (1, 595, 842, "text"), (2, 595, 842, "none"), (3, 595, 842, "text"),
    ]  # fmt: skip
    assert all(page.reason for page in pages)
    first, third = (node for node in await shelf.structure(ours, identifier) if node.kind == "paragraph")
    ((page, left, top, right, bottom),) = first.boxes
    assert (page, left) == (1, 72)
    assert 120 < top < 142 < bottom < 162, "points from the upper left: the first line stands at 842 - 700"
    assert right > left + 60
    assert [box[0] for box in third.boxes] == [3]
    chunks = (await shelf.chunks(ours, identifier, cursor=None, limit=9)).items
    assert [box[0] for chunk in chunks for box in chunk.boxes] == [1, 3]
    picture = await shelf.page_image(ours, identifier, 1, dpi=36, version=None, limits=LIMITS)
    assert picture_size(picture) == (298, 421)
    for page_number, dpi, error in ((4, 72, UnknownPage), (0, 72, UnknownPage), (1, 5000, BadOption)):
        with pytest.raises(error):
            await shelf.page_image(ours, identifier, page_number, dpi=dpi, version=None, limits=LIMITS)
    for call in (shelf.pages(neighbour, identifier), shelf.structure(neighbour, identifier)):
        with pytest.raises(UnknownDocument):
            await call
    with pytest.raises(UnknownDocument):
        await shelf.page_image(neighbour, identifier, 1, dpi=72, version=None, limits=LIMITS)


async def test_a_text_has_no_pages(rooms: Rooms, shelf: Shelf, ours: Scope) -> None:
    identifier = (await rooms.knowledge.ingest(ours, "a.md", LEASE.encode(), vectors=False)).documents[0].id or ""
    assert await shelf.pages(ours, identifier) == ()
    with pytest.raises(UnknownPage):
        await shelf.page_image(ours, identifier, 1, dpi=72, version=None, limits=LIMITS)


def picture_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    wide, high = struct.unpack(">II", data[16:24])
    return wide, high
