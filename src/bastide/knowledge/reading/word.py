"""DOCX (first cut)."""

from bastide.knowledge.reading.blocks import Draft
from bastide.knowledge.reading.values import Limits


def read_docx(data: bytes, limits: Limits) -> Draft:
    """Not yet."""
    raise NotImplementedError
