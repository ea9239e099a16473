"""Errors: one tree, stable codes, a next step each, all on one page of the documentation."""

from __future__ import annotations

from pathlib import Path

from bastide import errors
from bastide.errors import BastideError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
ROOMS = {
    "bastide", "request", "settings", "store", "audit", "tenancy", "policy", "egress", "inference", "knowledge", "api",
    "app", "cli", "workflows",
}  # fmt: skip


def _tree(kind: type[BastideError] = BastideError) -> list[type[BastideError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def _own(kind: type[BastideError]) -> bool:
    return "code" in vars(kind)


def test_every_error_stands_in_the_one_file() -> None:
    elsewhere = [kind.__qualname__ for kind in _tree() if kind.__module__ != errors.__name__]
    assert not elsewhere


def test_codes_are_unique_and_belong_to_a_room() -> None:
    kinds = [kind for kind in _tree() if _own(kind)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes)), sorted(code for code in codes if codes.count(code) > 1)
    assert {code.split(".")[0] for code in codes} <= ROOMS


def test_every_error_says_what_happened_and_what_to_do() -> None:
    for kind in _tree():
        message = kind().message
        assert message.endswith("."), kind.code
        assert kind.next.endswith((".", ")", "`")), f"{kind.code}: {kind.next}"
        assert 400 <= kind.status <= 599, kind.code


def test_every_error_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [kind.code for kind in _tree() if f"`{kind.code}`" not in page]
    assert not missing, f"run `make docs`: {missing}"
