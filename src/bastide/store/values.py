"""The values that cross the store's door."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from bastide.errors import Forbidden

if TYPE_CHECKING:
    import numpy as np


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A stretch of a list; `cursor` asks for the next one, and is None at the end."""

    items: tuple[Item, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Who acts, and within which tenant: the proof that an operation asks for.

    Built by `tenancy` alone (a house test holds that). `label` is the canonical JSON of the least
    strict label this caller may use; `policy` reads it, and it can only tighten. `models` are those
    that the caller's key may name, as exact names or beginnings with `*` at the end; None is all.
    """

    tenant: str
    user: str | None
    app: str | None
    roles: frozenset[str]
    permissions: frozenset[str]
    label: str = "{}"
    key: str | None = None
    models: tuple[str, ...] | None = None

    def may_name(self, model: str) -> bool:
        """Whether the caller's key may name this model or route."""
        if self.models is None:
            return True
        return any(model.startswith(one[:-1]) if one.endswith("*") else model == one for one in self.models)

    def need(self, permission: str) -> None:
        """Refuse the call unless this scope holds `permission`.

        Raises Forbidden, which names the permission.
        """
        if permission not in self.permissions:
            raise Forbidden(f"This needs the permission {permission}, which this key does not have.", needs=permission)


def vector_text(vector: np.ndarray) -> str:
    """A vector of shape (d,) as pgvector reads it, with six significant digits."""
    return _form(len(vector)) % tuple(vector.tolist())


@lru_cache(maxsize=16)
def _form(dimensions: int) -> str:
    return "[" + ",".join(["%.6g"] * dimensions) + "]"
