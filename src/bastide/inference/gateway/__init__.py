"""The gateway: calls of models over the wires, at the speed of the wire.

What a call needs is at hand in memory: who may (policy's tables), whom to ask (targets), what it may cost (accounts).
Its answer is passed on as it comes, and its receipt goes to the journal. Nothing here waits before the first byte.
"""

from bastide.inference.gateway.betas import betas_named
from bastide.inference.gateway.by_file import ByFile, Destined, Refused, url_of
from bastide.inference.gateway.call import Running
from bastide.inference.gateway.gateway import Gateway
from bastide.inference.gateway.here import Here
from bastide.inference.gateway.recording import Said
from bastide.inference.gateway.refusing import refusal
from bastide.inference.gateway.targets import Route, View
from bastide.inference.gateway.values import CAPABILITIES, Sink

__all__ = [
    "CAPABILITIES",
    "ByFile",
    "Destined",
    "Gateway",
    "Here",
    "Refused",
    "Route",
    "Running",
    "Said",
    "Sink",
    "View",
    "betas_named",
    "refusal",
    "url_of",
]
