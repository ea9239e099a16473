"""Types: what a node or a tie of the graph can be. The shipped ones stand in `types.toml`; a tenant adds its own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from bastide.errors import BadGraphType
from bastide.knowledge.graph.values import GraphType

NAME = re.compile(r"[a-z][a-z0-9_]{1,47}")
TYPES_MAX = 200
"""Of one tenant, beside the shipped ones."""

_ABOUT_MAX = 300


@dataclass(frozen=True, slots=True)
class Registry:
    """Every type that a tenant has, by kind and name."""

    nodes: Mapping[str, GraphType]
    relations: Mapping[str, GraphType]

    def fits(self, relation: str, a: str, b: str) -> tuple[str, str] | None:
        """The types of both ends if the relation may stand between them; None if it may not.

        A `concept`, which is also what a name of unknown type is, becomes the only type that the relation allows there.
        """
        known = self.relations.get(relation)
        if known is None:
            return None
        left, right = _end(known.from_types, a), _end(known.to_types, b)
        return (left, right) if left and right else None

    def all(self) -> tuple[GraphType, ...]:
        """Nodes, then relations, as they were declared."""
        return (*self.nodes.values(), *self.relations.values())

    def with_more(self, types: Iterable[GraphType]) -> Registry:
        """The same with a tenant's own."""
        nodes, relations = dict(self.nodes), dict(self.relations)
        for one in types:
            (nodes if one.kind == "node" else relations)[one.name] = one
        return Registry(nodes, relations)


def _end(allowed: tuple[str, ...], type: str) -> str:
    if not allowed or type in allowed:
        return type
    return allowed[0] if type == "concept" and len(allowed) == 1 else ""


def _shipped() -> Registry:
    read: dict[str, dict[str, Any]] = tomllib.loads(
        (files("bastide.knowledge.graph") / "types.toml").read_text(encoding="utf-8")
    )
    nodes = {name: GraphType("node", name, about) for name, about in read["node"].items()}
    relations = {
        name: GraphType(
            "relation",
            name,
            said["about"],
            from_types=tuple(said.get("from", ())),
            to_types=tuple(said.get("to", ())),
            symmetric=said.get("symmetric", False),
            inverse=said.get("inverse", ""),
            transitive=said.get("transitive", False),
        )
        for name, said in read["relation"].items()
    }
    return Registry(nodes, relations)


SHIPPED: Final = _shipped()
"""The types of every tenant."""


def checked(type: GraphType, registry: Registry) -> GraphType:
    """The same type, if a tenant may add it. Raises BadGraphType, which says what is wrong."""
    if type.kind not in {"node", "relation"}:
        raise BadGraphType("A type is a node or a relation.", field="kind")
    if not isinstance(type.name, str) or not NAME.fullmatch(type.name):
        raise BadGraphType("A type's name has 2 to 48 small letters, digits and `_`, and begins with a letter.")
    if type.name in registry.nodes or type.name in registry.relations:
        raise BadGraphType(f"There is a type {type.name!r} already.", field="name")
    if not isinstance(type.about, str) or not type.about.strip() or len(type.about) > _ABOUT_MAX or "\0" in type.about:
        raise BadGraphType(f"`about` says in 1 to {_ABOUT_MAX} characters what the type is.", field="about")
    if type.kind == "node":
        if type.from_types or type.to_types or type.symmetric or type.inverse or type.transitive:
            raise BadGraphType("Only a relation has ends, an inverse, or is symmetric or transitive.", field="kind")
        return type
    for end in (*type.from_types, *type.to_types):
        if end not in registry.nodes:
            raise BadGraphType(f"There is no node type {end!r} here.", field="from_types")
    if type.symmetric and (type.inverse or set(type.from_types) != set(type.to_types)):
        raise BadGraphType(
            "What is symmetric has the same types at both ends and is its own inverse.", field="symmetric"
        )
    taken = set(registry.relations) | {one.inverse for one in registry.relations.values()}
    if type.inverse and (not NAME.fullmatch(type.inverse) or type.inverse in taken | {type.name}):
        raise BadGraphType("An inverse is a name that is not in use yet.", field="inverse")
    if type.name in taken:
        raise BadGraphType(f"{type.name!r} is the inverse of another relation.", field="name")
    return type
