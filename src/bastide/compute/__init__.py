"""Compute: machines rented, and given back.

Sovereignty is a filter on where they may stand; heavy work goes to clusters that exist. A rented machine
that nobody uses is returned.

The room holds its place in the order of the house; it has no operation yet.
"""

__all__: list[str] = []
