"""Api: the rooms' operations over HTTP, and calls of models by a lane of their own.

Nothing is decided here: a request becomes a scope, one operation of one room, and its value on the wire. This face is
what every process has that listens; `bastide.api.doors` is the application, which not all of them need load.
"""

from bastide.api.lane import (
    Behind,
    Callers,
    CallRooms,
    Lane,
    Part,
    Porter,
    address_of,
    bound,
    bound_together,
)

__all__ = ["Behind", "CallRooms", "Callers", "Lane", "Part", "Porter", "address_of", "bound", "bound_together"]
