"""Embedders that rest: opened when they are first needed, and at the start where nobody has opened them before."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bastide.errors import UnsupportedEmbedder
from bastide.inference.local.embedder import carried, open_embedder
from bastide.inference.local.resting import rest


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the embedder that a package carries was opened before."""
    place = tmp_path_factory.mktemp("graphs")
    opened = rest(None, place)
    assert opened is not None
    opened.close()
    return place


def test_the_first_start_opens_and_the_next_does_not(tmp_path: Path) -> None:
    cache = tmp_path / "graphs"
    first, plain = rest(None, cache), open_embedder(None, cache)
    assert first is not None
    assert plain is not None
    assert first.is_open
    again = rest(None, cache)
    assert again is not None
    assert not again.is_open
    said = (again.name, again.dimensions, again.max_tokens)
    assert said == (first.name, first.dimensions, first.max_tokens) == (plain.name, plain.dimensions, plain.max_tokens)
    with ThreadPoolExecutor(4) as threads:  # all of them want it at once, and one opens it
        opened = list(threads.map(lambda _: again.open(), range(4)))
    assert again.is_open
    assert all(one is opened[0] for one in opened)
    texts = ["The lease ends in June.", ""]
    assert np.array_equal(again.embed(texts), plain.embed(texts))
    assert again.count_tokens(texts) == plain.count_tokens(texts)
    for one in (first, again, plain):
        one.close()


@pytest.mark.parametrize("said", ["", "[]", "{}", '{"name": 1}', "another runtime", "another width"])
def test_a_note_that_cannot_be_believed_is_not(cache: Path, said: str) -> None:
    note = next(cache.glob("*-carried.json"))
    before = note.read_text()
    known = json.loads(before)
    other = {"another runtime": {"runtime": "0.1"}, "another width": {"dimensions": 0}}.get(said)
    note.write_text(json.dumps({**known, **other}) if other else said)
    found = rest(None, cache)
    assert found is not None
    assert found.is_open
    assert json.loads(note.read_text()) == known
    found.close()


def test_a_folder_that_was_changed_is_opened_at_the_start(tmp_path: Path) -> None:
    place = carried()
    assert place is not None
    folder = tmp_path / "model"
    shutil.copytree(place, folder)
    first = rest(folder, tmp_path / "cache")
    assert first is not None
    first.close()
    resting = rest(folder, tmp_path / "cache")
    assert resting is not None
    assert not resting.is_open
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(UnsupportedEmbedder):
        rest(folder, tmp_path / "cache")
    assert rest(None, tmp_path / "nowhere-else") is not None, "the one that a package carries is another model"
    with pytest.raises(UnsupportedEmbedder):
        rest(tmp_path / "nothing", tmp_path / "cache")
