"""The local embedder: its vectors are right, and they depend on the text alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bastide.errors import UnsupportedEmbedder
from bastide.inference.local.embedder import CARRIER, Embedder, open_embedder, refuse_reporting
from bastide.inference.local.graph_cache import make_graph
from bastide.inference.local.model_folder import read_folder

TEXTS = (
    "In the case of a personal data breach, the controller shall notify the supervisory authority within 72 hours.",
    "Der Verantwortliche meldet die Verletzung unverzüglich und möglichst binnen 72 Stunden der Aufsichtsbehörde.",
    "Toute personne a le droit d'accéder aux documents administratifs qui la concernent.",
    "Dit artikel is van toepassing op aanbieders van systemen met een hoog risico.",
    "El responsable del tratamiento conservará la documentación durante diez años.",
    "Ο υπεύθυνος επεξεργασίας γνωστοποιεί την παραβίαση στην αρχή.",
    "Umowa wygasa z końcem czerwca.",
    "The lease ends in June.",
    "Short",
)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    opened = open_embedder(None, tmp_path_factory.mktemp("graphs"))
    assert opened is not None, f"the tests need the package {CARRIER}"
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def exact(embedder: Embedder) -> Iterator[Embedder]:
    """The same model in fp32."""
    folder = read_folder(embedder.folder)
    opened = Embedder("exact", folder, make_graph(folder, precision="fp32"))
    yield opened
    opened.close()


def test_int8_stays_with_fp32_in_every_language(embedder: Embedder, exact: Embedder) -> None:
    cosine = np.sum(embedder.embed(TEXTS) * exact.embed(TEXTS), axis=1)
    assert cosine.min() >= 0.985, cosine


def test_meaning_is_near(embedder: Embedder) -> None:
    question = embedder.embed(["When does the tenancy finish?"], kind="query")
    assert int(np.argmax(embedder.embed(TEXTS) @ question[0])) == TEXTS.index("The lease ends in June.")


def test_vectors_are_normalised_float32_rows(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimensions) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.embed([]).shape == (0, 384)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(order=st.permutations(range(len(TEXTS))), batch=st.integers(1, len(TEXTS)))
def test_company_and_order_change_no_bit(embedder: Embedder, order: list[int], batch: int) -> None:
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    texts = [TEXTS[row] for row in order]
    together = np.concatenate([embedder.embed(texts[at : at + batch]) for at in range(0, len(texts), batch)])
    np.testing.assert_array_equal(together, alone[order])


def test_many_threads_get_the_same(embedder: Embedder) -> None:
    alone = embedder.embed(TEXTS)
    with ThreadPoolExecutor(8) as threads:
        for each in threads.map(lambda _: embedder.embed(TEXTS), range(16)):
            np.testing.assert_array_equal(each, alone)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "a\0b",
        "\0",
        "👩‍🚀🇪🇺",
        "\ud800",
        "x" * 300_000,
        "word " * 300_000,
        "a\u0301" * 5_000,
        "漢字" * 3_000,
    ],
    ids=["empty", "blank", "NUL", "only NUL", "emoji", "half a pair", "one long word", "many words", "accents", "Han"],
)
def test_any_text_has_a_vector(embedder: Embedder, text: str) -> None:
    vector = embedder.embed([text])[0]
    assert np.isfinite(vector).all()
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-4


def test_tokens_are_counted_past_the_limit(embedder: Embedder) -> None:
    assert embedder.count_tokens(["", "the lease", "the " * 1_000]) == [2, 4, 1_002]
    assert embedder.max_tokens == 256


def test_the_carrier_is_not_imported(embedder: Embedder) -> None:
    assert embedder.name == "local/minilm"
    assert CARRIER not in sys.modules
    assert "torch" not in sys.modules


def test_a_damaged_cache_is_made_again(tmp_path: Path, embedder: Embedder) -> None:
    first = open_embedder(None, tmp_path)
    assert first is not None
    (graph,) = tmp_path.glob("*-int8.onnx")
    whole = graph.read_bytes()
    for damaged in (whole[:-7], whole[:1_000] + b"\xff" + whole[1_001:], b""):
        graph.write_bytes(damaged)
        again = open_embedder(None, tmp_path)
        assert again is not None
        np.testing.assert_array_equal(again.embed(TEXTS[:2]), embedder.embed(TEXTS[:2]))
        assert graph.read_bytes() == whole
        again.close()
    first.close()
    assert not list(tmp_path.glob(".*"))


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, embedder: Embedder) -> None:
    (tmp_path / "file").write_text("in the way")
    opened = open_embedder(None, tmp_path / "file")
    assert opened is not None
    np.testing.assert_array_equal(opened.embed(TEXTS[:1]), embedder.embed(TEXTS[:1]))
    opened.close()


def test_processes_may_race_for_one_cache(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: open_embedder(None, tmp_path), range(4)))
    vectors = [each.embed(TEXTS[:1]) for each in opened if each is not None]
    assert len(vectors) == 4
    assert all(np.array_equal(vectors[0], each) for each in vectors)
    assert len(list(tmp_path.glob("*-int8.onnx"))) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "t5"}, "t5"),
        ({"position_embedding_type": "relative_key"}, "relative"),
        ({"hidden_act": "silu"}, "silu"),
        ({"hidden_size": None}, "lacks a number"),
        ({"num_attention_heads": 7}, "multiple"),
    ],
)
def test_an_unsupported_folder_says_why(tmp_path: Path, change: dict[str, object], says: str) -> None:
    config = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 16, **change}))
    with pytest.raises(UnsupportedEmbedder, match=says) as caught:
        open_embedder(tmp_path, tmp_path / "cache")
    assert caught.value.code == "inference.unsupported_embedder"
    assert "BERT" in caught.value.next_step


def test_missing_pieces_say_so(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedEmbedder, match="no folder"):
        open_embedder(tmp_path / "nowhere", tmp_path)
    with pytest.raises(UnsupportedEmbedder, match=r"config\.json"):
        open_embedder(tmp_path, tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UnsupportedEmbedder, match="not a JSON object"):
        open_embedder(tmp_path, tmp_path)


@pytest.mark.parametrize("version", ["1.29.0", "1.31.1", "2.0.0"])
def test_a_runtime_that_reports_to_its_maker_is_not_loaded(version: str) -> None:
    with pytest.raises(UnsupportedEmbedder, match="reports to its maker"):
        refuse_reporting(version)


@pytest.mark.parametrize("version", ["1.23.2", "1.28.0"])
def test_a_quiet_runtime_is_loaded(version: str) -> None:
    refuse_reporting(version)
