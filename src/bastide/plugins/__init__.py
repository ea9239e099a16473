"""Plugins: the kit that a plug-in may import, and nothing else of the house.

Discovery, permissions and fencing of distributions that extend the house from outside. A plug-in sees
its caller's scope and can get no key.

The room holds its place in the order of the house; it has no operation yet.
"""

__all__: list[str] = []
