"""What led to what: the chain of triggers and jobs behind an event, and when it is stopped.

A trigger that stands in its own chain would go on for ever, so it is not fired again; nor is any trigger at the end
of a chain that has grown too long. What a job does while it is at work counts as caused by it.
"""

from __future__ import annotations

from contextvars import ContextVar

from bastide.errors import TriggerLoop
from bastide.workflows.dispatching import Chain

LINKS_MAX = 8

AT_WORK: ContextVar[Chain] = ContextVar("chain of the job at work", default=())
"""Set by the worker around a job's code, so that events inside it know what led to them."""


def refuse_loop(chain: Chain, trigger: str) -> None:
    """Raise TriggerLoop, with the chain spelled out, if this trigger may not follow it."""
    if any(link[0] == trigger for link in chain):
        raise TriggerLoop(f"It would start itself again: {spelt(chain, trigger)}.", chain=spelt(chain, trigger))
    if len(chain) >= LINKS_MAX:
        raise TriggerLoop(
            f"{len(chain)} triggers have already followed one another: {spelt(chain, trigger)}.",
            next_step="Break the chain: narrow the filter of one of its triggers.",
            chain=spelt(chain, trigger),
        )


def spelt(chain: Chain, trigger: str) -> str:
    """The chain as a person reads it: `trg_A -> job_1 -> trg_B -> job_2 -> trg_A`."""
    return " -> ".join([*(part for link in chain for part in link if part), trigger])
