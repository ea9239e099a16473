"""Upper tiers: what vision models are asked about one file, from one reading of it to the next.

Reading opens no connection and waits for nobody. What it would have told lies here when it ends; whoever may ask a
model lays the answers down here, and the file is read again. Pages that were recognised are not recognised twice.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ASKS_MAX = 48
"""Pictures of one file that models are shown; a line that failed is one of them."""
DOTS_MAX = 60_000_000
"""Dots of all these pictures together: eighteen whole pages."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """One picture whose text is wanted."""

    key: str
    page: int
    speciality: str
    """"" for the general model; tables, handwriting, scripts, second for one that knows them."""
    task: str
    """The instruction."""
    pixels: NDArray[np.uint8]
    """(height, width), 0 is black and 255 is white."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it."""

    text: str = ""
    engine: str = ""
    """Name and version of the model."""
    receipt: str = ""
    refused: str = ""
    """Why there is no answer, in plain words; "" where there is one."""
    final: bool = False
    """Whether no other picture would fare better."""


@dataclass(slots=True)
class Upper:
    """The state of one file's asking; of one thread at a time, but for `ask`."""

    asks_max: int = ASKS_MAX
    dots_max: int = DOTS_MAX
    told: dict[str, Told] = field(default_factory=dict)
    wanted: dict[str, Wanted] = field(default_factory=dict)
    """What has no answer yet, in the order in which it was wanted."""
    kept: dict[tuple[str, int], object] = field(default_factory=dict)
    """(file, page) -> what tier 1 made of it, as the cascade keeps it."""
    closed: str = ""
    """Why nothing more is asked; "" while something may be."""
    edges: list[str] = field(default_factory=list)
    """The first and last lines of the pages that were recognised: a marking of class may stand there."""
    _asked: int = 0
    _dots: int = 0

    def ask(self, wanted: Wanted) -> Told | None:
        """The answer; None where it is wanted from now on."""
        found = self.told.get(wanted.key)
        if found is not None or wanted.key in self.wanted:
            return found
        if self.closed:
            return Told(refused=self.closed)
        if self._asked >= self.asks_max or self._dots + wanted.pixels.size > self.dots_max:
            return Told(refused=f"no more than {self.asks_max} pictures of one file are shown to models")
        self._asked += 1
        self._dots += wanted.pixels.size
        self.wanted[wanted.key] = wanted
        return None

    def tell(self, key: str, told: Told) -> None:
        """Lays an answer down; the picture is let go."""
        self.told[key] = told
        self.wanted.pop(key, None)
