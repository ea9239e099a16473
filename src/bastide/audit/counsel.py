"""Counsel: what to do about what the house says of its log, in one place for everybody who shows it."""

from __future__ import annotations

from bastide.audit.audit import Audit
from bastide.errors import JournalUnwritable


def log_step(audit: Audit) -> str:
    """The next step where the health of the log names a problem."""
    if audit.journal.problem:  # the disk of this process, which no sequencer would mend
        return JournalUnwritable.next
    return "Start a sequencer (`bastide serve --role sequencer`); where one runs, its own log says what keeps it."
