"""Blotting: the names of what was erased, found in what schedules and triggers hold, and taken out of it.

A document is named by its id, a person by the identifier that labels use. Of a person nothing may stay, so an order
that names one is deleted. A document's id says nothing by itself: it is blotted out, and the order is paused, because
with what is left it would do something else than its maker asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from bastide.workflows.values import JsonValue, Problem

BLOT = "[erased]"
"""Stands where a name was. No document has this id, and no event this value, so a filter becomes no wider by it."""

ERASED = Problem(
    "workflows.names_erased",
    "It named a document that has been deleted; the name was taken out.",
    "Make another one without that document, and delete this.",
)


class Named:
    """The names that are looked for, each as a whole word."""

    def __init__(self, names: Collection[str]) -> None:
        longest_first = sorted(names, key=len, reverse=True)
        self._names = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)") if names else None

    def found_in(self, value: object) -> bool:
        """Whether one of them stands anywhere in this JSON, keys included."""
        if isinstance(value, str):
            return self._names is not None and self._names.search(value) is not None
        if isinstance(value, Mapping):
            return any(self.found_in(key) or self.found_in(inner) for key, inner in value.items())
        return isinstance(value, Sequence) and any(self.found_in(inner) for inner in value)

    def blotted(self, value: JsonValue) -> JsonValue:
        """The same JSON with BLOT where they stood."""
        if isinstance(value, str):
            return value if self._names is None else self._names.sub(BLOT, value)
        if isinstance(value, Mapping):
            return {str(self.blotted(key)): self.blotted(inner) for key, inner in value.items()}
        return [self.blotted(inner) for inner in value] if isinstance(value, Sequence) else value
