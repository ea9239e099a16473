"""The documentation names every setting, and holds no address of a machine of ours."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_setting_is_on_the_page() -> None:
    code = (ROOT / "src" / "bastide" / "settings.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    names = set(re.findall(r'"(BASTIDE_[A-Z_]+)"', code))
    assert names == set(re.findall(r"`(BASTIDE_[A-Z_]+)`", page))


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            if page.parent == ROOT / "examples" and page.name != "README.md":
                continue  # the texts of others
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} -> {target}"


def test_every_test_that_the_page_of_failures_names_is_there() -> None:
    page = (ROOT / "docs" / "reference" / "failures.md").read_text(encoding="utf-8")
    named, file = 0, ""
    for path, test in re.findall(r"`([\w/]+\.py)?(?:::(\w+))?`", page):
        file = path or file
        if path or test:
            code = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert not test or re.search(rf"def {test}\(", code), f"{file}::{test}"
            named += 1
    assert named > 50


def test_decisions_are_short_and_name_their_test() -> None:
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 60, page.name
        assert "**Held by**" in text, page.name


def test_no_file_carries_the_address_of_an_index() -> None:
    for name in ("pyproject.toml", "Makefile", ".ci/run", *(p.name for p in ROOT.glob("requirements*.txt"))):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8"), name
