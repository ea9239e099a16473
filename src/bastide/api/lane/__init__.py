"""The fast lane: requests of the model wires, answered without the application; everything else goes on.

A connection begins here. As long as its requests are plain ones for a model wire, they are parsed, let in and handed
to the gateway in a few microseconds each; the first one that is anything else takes the whole connection, with not a
byte lost, to whoever answers it: the HTTP server behind in this process, or the porter of a process that does nothing
else, who passes it on. One port, one law: all ways lead to the same rooms.
"""

from bastide.api.lane.answering import SAFETY
from bastide.api.lane.callers import Callers
from bastide.api.lane.lane import Behind, Lane
from bastide.api.lane.letting_in import let_in
from bastide.api.lane.listening import address_of, bound, bound_together
from bastide.api.lane.parts import grounds, means
from bastide.api.lane.porter import Porter
from bastide.api.lane.reading import check, check_text, parse
from bastide.api.lane.values import CallRooms, Part

__all__ = [
    "SAFETY",
    "Behind",
    "CallRooms",
    "Callers",
    "Lane",
    "Part",
    "Porter",
    "address_of",
    "bound",
    "bound_together",
    "check",
    "check_text",
    "grounds",
    "let_in",
    "means",
    "parse",
]
