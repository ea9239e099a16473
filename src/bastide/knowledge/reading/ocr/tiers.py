"""The tiers above as a file's reading sees them: what is wanted is noted, what was told is found again."""

from hashlib import blake2b

from bastide.errors import Refusal
from bastide.knowledge.reading.ocr.values import Hints, Picture, Seen, Task
from bastide.knowledge.reading.upper import Upper, Wanted


def hints_with(upper: Upper | None) -> Hints:
    """Both tiers through this file's asking; no tiers where nobody would ask."""
    if upper is None:
        return Hints()

    def vision(picture: Picture, task: Task) -> Seen | None:
        told = upper.ask(Wanted(_key(picture, task), picture.page, task.speciality, task.text, picture.pixels))
        if told is None:
            return None
        if told.refused:
            raise Refusal(told.refused)
        return Seen(told.text, told.engine, told.receipt)

    return Hints(vision=vision, special=vision, kept=upper.kept)


def file_key(data: bytes) -> str:
    """What tells a file apart from the others of one archive."""
    return blake2b(data, digest_size=16).hexdigest()


def _key(picture: Picture, task: Task) -> str:
    """The same picture for the same task is shown once."""
    shape = f"{picture.pixels.shape} {task.speciality} {task.text}".encode()
    return blake2b(picture.pixels.tobytes() + shape, digest_size=16).hexdigest()
