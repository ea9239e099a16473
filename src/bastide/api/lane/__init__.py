"""The fast lane: requests of the model wires, answered without the application; everything else goes on to it.

A connection begins here. As long as its requests are plain ones for a model wire, they are parsed, let in and handed
to the gateway in a few microseconds each; the first one that is anything else takes the whole connection, with not a
byte lost, to the HTTP server behind. One port, one law: both ways lead to the same rooms.
"""

from bastide.api.lane.callers import Callers
from bastide.api.lane.lane import Behind, Lane, lane

__all__ = ["Behind", "Callers", "Lane", "lane"]
