"""A room is entered by its face: `bastide.knowledge`, never `bastide.knowledge.search`.

A room may have a second face, listed in the contract, for what not everybody who enters need load.
"""

from __future__ import annotations

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FacesContract(Contract):
    """An import from another room must name the room itself, not a file inside it."""

    root = fields.StringField()
    second_faces = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Every import between two rooms that reaches past a face."""
        broken = []
        for importer in sorted(graph.modules):
            if not importer.startswith(f"{self.root}."):
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                inside = imported.startswith(f"{self.root}.") and imported.count(".") > 1
                inside = inside and imported not in self.second_faces  # type: ignore[operator]
                if inside and importer.split(".")[1] != imported.split(".")[1]:
                    broken += graph.get_import_details(importer=importer, imported=imported)[:1]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: Any) -> None:
        """One line a breach, with its file and text."""
        for one in check.metadata["broken"]:
            output.print_error(f"{one['importer']}:{one['line_number']}: {one['line_contents']}")
