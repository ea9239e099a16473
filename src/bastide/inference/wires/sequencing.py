"""Parts one after the other, for formats in which a part must be whole before the next one begins."""

from __future__ import annotations

from bastide.inference.wires.events import Closed, Event, Grew, Opened, Sealed


class InTurn:
    """Holds back what is told of a part while another one is open."""

    def __init__(self) -> None:
        self._open: int | None = None
        self._held: dict[int, list[Event]] = {}

    def take(self, event: Event) -> list[Event]:
        """What may be told now."""
        if not isinstance(event, Opened | Grew | Sealed | Closed):
            return [event]
        if self._open is None and isinstance(event, Opened):
            self._open = event.place
        if event.place != self._open:
            self._held.setdefault(event.place, []).append(event)
            return []
        events: list[Event] = [event]
        if isinstance(event, Closed):
            self._open = None
            while self._held and self._open is None:
                place = min(self._held)
                held = self._held.pop(place)
                events += held
                self._open = None if isinstance(held[-1], Closed) else place
        return events
