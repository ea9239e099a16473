"""Runtimes: a model folder becomes a server on this machine, started, watched and ended by us.

Which program serves a folder follows from what lies in it and from what this machine has. A runtime speaks the
OpenAI-style wire on loopback; it is added as a local model like any other server, and nothing is downloaded.
"""

from bastide.inference.runtimes.choosing import Runtime, choose_runtime
from bastide.inference.runtimes.watching import Watched, watched_runtime

__all__ = ["Runtime", "Watched", "choose_runtime", "watched_runtime"]
