"""Compliance: what a person may ask for, and what an operator must show.

Access to and erasure of one person's data across every room, the technical file of an AI system
written from the live state, and the way out. Each room erases its own rows; this one asks, gathers and
reports.

The room holds its place in the order of the house; it has no operation yet.
"""

__all__: list[str] = []
