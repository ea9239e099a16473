"""Reading: bytes in; text, structure, chunks and terms out.

Pure: no database, no network, no clock. `read` finds out what the bytes are and builds the
tree; `cut` makes chunks that respect it; `terms`, `sentences` and `detect_language` know words.
Work is CPU-bound and synchronous: call it in a thread.
"""

from bastide.knowledge.reading.values import Limits, Node, Piece, Reading

__all__ = ["Limits", "Node", "Piece", "Reading"]
