"""Wires: one request and one answer in the words of each format, whole and as a stream.

A format reads its own words into a neutral form and writes that form in its own words. Nothing here opens, waits or
keeps; what a format cannot say is refused with the name of the field, or left out as its page in the documentation
lists it.
"""

from bastide.inference.wires.events import (
    Cut,
    Ended,
    Event,
    Gathering,
    Grew,
    StreamReader,
    StreamWriter,
    gathered,
    told,
)
from bastide.inference.wires.formats import FORMATS, Format
from bastide.inference.wires.values import Asked, Counted, Replied

__all__ = [
    "FORMATS",
    "Asked",
    "Counted",
    "Cut",
    "Ended",
    "Event",
    "Format",
    "Gathering",
    "Grew",
    "Replied",
    "StreamReader",
    "StreamWriter",
    "gathered",
    "told",
]
