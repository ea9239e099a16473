"""What text recognition takes and gives: pictures of pages in; words with places, figures and reasons out."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bastide.knowledge.reading.values import PageRead

Gray = NDArray[np.uint8]
"""(height, width), 0 is black and 255 is white."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A page as it is shown, in shades of gray."""

    pixels: Gray
    dpi: float = 0.0
    """Pixels per inch; 0 where nobody knows."""
    page: int = 1
    key: str = ""
    """What tells the file apart that it is a page of; "" where nothing of it is kept."""

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class Place:
    """A box in pixels of the picture that was handed in, from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a page."""

    text: str
    place: Place
    confidence: float
    """0 to 100, as the engine gives it; -1 where it gives none (a vision model)."""
    doubtful: bool = False
    """An amount, a date or an identifier on which two readings do not agree: do not rely on it."""


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one line, in reading order."""

    words: tuple[Word, ...]
    place: Place
    block: int = 0
    paragraph: int = 0
    """Lines with the same (block, paragraph) belong together, where the engine tells."""

    @property
    def text(self) -> str:
        """The words with single blanks between them."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class PageText:
    """What was read of one page, and how. A rejected page keeps its lines: whoever uses them sees the band."""

    lines: tuple[Line, ...]
    read: PageRead
    """Its width and height are in points, by the picture's dpi (300 where unknown)."""

    @property
    def text(self) -> str:
        """The lines, one below the other; an empty line between paragraphs."""
        parts: list[str] = []
        for number, line in enumerate(self.lines):
            before = self.lines[number - 1] if number else None
            if before is not None and (before.block, before.paragraph) != (line.block, line.paragraph):
                parts.append("")
            parts.append(line.text)
        return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked about a picture."""

    text: str
    """The instruction for the model."""
    speciality: str = ""
    """tables, handwriting, scripts or second: the model that knows these is asked; "" = the general one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a vision model read in a picture."""

    text: str
    engine: str
    """Name and version of the model."""
    receipt: str = ""


Vision = Callable[[Picture, Task], Seen | None]
"""Asks a vision model, in its room's own way, for the text of a picture; None = it is asked, and the page is to be read
again once the answer is there. Raises a Refusal where the policy does not allow it (its message becomes part of the
page's reason); any BastideError leaves the page as the tier before read it."""


@dataclass(frozen=True, slots=True)
class Tesseract:
    """Where the engine is and how much one page may ask of it."""

    program: str = "tesseract"
    """A name to be looked for, or a path."""
    tessdata: str = ""
    """Folder of its language files; "" = its own."""
    seconds_max: int = 120
    """Of computing, for one run over one page."""
    patience: int = 5
    """Seconds of waiting per second of computing: the machine may be busy."""
    memory_max: int = 2_000_000_000
    """Bytes of address space."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known before a page is read. Nothing here is needed."""

    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the languages of earlier pages, the likeliest first; tried before all others."""
    vision: Vision | None = None
    """Tier 2, for pages that tesseract could not read well enough; None = there is none, or it is not allowed."""
    special: Vision | None = None
    """Tier 3: for tables, handwriting and scripts that tier 2 failed on."""
    engine: Tesseract = field(default_factory=Tesseract)
    kept: dict[tuple[str, int], object] | None = None
    """(key, page) of pictures -> what tier 1 made of them; what is here is not read again. None = nothing is kept."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether pages can be recognised here, and what to do where they cannot."""

    ready: bool
    engine: str = ""
    """Name and version, such as "tesseract 5.3.0"."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the European languages whose files are there."""
    missing: tuple[str, ...] = ()
    """What is not there, in plain words; may name languages even when `ready`."""
    next: str = ""
    """The next step; "" where nothing is missing."""
