"""Text recognition: a page as a picture in; its words with places, figures and the reason for each decision out.

A cascade: the page is made even, large, upright and straight, read by Tesseract, and accepted only where the engine
is sure, the ink is covered by words and the language is what it was read as; then, where the caller hands one in, a
vision model is asked, and its answer is held against what was read and the ink. Nothing here opens a connection.
"""

from bastide.knowledge.reading.ocr.cascade import read_page, read_pages
from bastide.knowledge.reading.ocr.decoding import pictures
from bastide.knowledge.reading.ocr.tesseract import available
from bastide.knowledge.reading.ocr.textlayer import agreement, sampled, trustworthy
from bastide.knowledge.reading.ocr.tiers import file_key, hints_with
from bastide.knowledge.reading.ocr.values import (
    Hints,
    Line,
    PageText,
    Picture,
    Place,
    Readiness,
    Seen,
    Task,
    Tesseract,
    Vision,
    Word,
)

__all__ = [
    "Hints",
    "Line",
    "PageText",
    "Picture",
    "Place",
    "Readiness",
    "Seen",
    "Task",
    "Tesseract",
    "Vision",
    "Word",
    "agreement",
    "available",
    "file_key",
    "hints_with",
    "pictures",
    "read_page",
    "read_pages",
    "sampled",
    "trustworthy",
]
