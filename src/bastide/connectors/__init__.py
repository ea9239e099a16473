"""Connectors: other people's systems, signed in to, followed and written back to.

Changes are followed, conflicts settled, failures of the other side survived. Every connection leaves
through `egress` with a permit.

The room holds its place in the order of the house; it has no operation yet.
"""

__all__: list[str] = []
