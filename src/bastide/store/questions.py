"""Every question a room asks the database stands in its `queries.sql`, by name.

A room with several ideas may keep each idea's questions in a file of its own beside it.

A name is bound at import, so that a wrong one fails at start. The text comes from a file that ships
with the package and never from a value, which is why it may be sent as SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

_NAME = re.compile(r"^--\s*name:\s*(?P<name>[a-z_0-9]+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One named question: its room, its name, its text."""

    room: str
    name: str
    sql: str


def queries(package: str) -> Mapping[str, Query]:
    """The named queries of a room, read from the `.sql` files beside its face.

    Raises ValueError when a name stands twice or a query is empty.
    """
    room = package.rsplit(".", 1)[-1]
    found: dict[str, Query] = {}
    for file in sorted(files(package).iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        text = file.read_text(encoding="utf-8")
        marks = list(_NAME.finditer(text))
        for mark, following in zip(marks, [*marks[1:], None], strict=True):
            name, sql = mark["name"], text[mark.end() : following.start() if following else len(text)].strip()
            if name in found or not sql:
                raise ValueError(f"{room}/{file.name}: {name} stands twice or is empty")
            found[name] = Query(room, name, sql)
    return found
