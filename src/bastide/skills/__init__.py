"""Skills: instructions, context and handlers under a version, run under human oversight.

Agents are their catalogue; a run records the exact hash of what it used. No skill chooses a model or a
place: see `inference` and `policy`.

The room holds its place in the order of the house; it has no operation yet.
"""

__all__: list[str] = []
