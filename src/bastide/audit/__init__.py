"""Audit: what happened, in a log that nobody can rewrite.

An event is recorded in the transaction of the act itself; a sequencer appends it to a Merkle tree
(RFC 6962, C2SP tlog-tiles) and signs. Leaves hold pseudonyms and commitments, never text; what can be
read lies sealed under the tenant's key and can be erased while the log still verifies. Receipts and
exported logs are verified by `verify_file`, offline, by somebody who does not trust us. There is no
setting that switches it off.
"""

from bastide.audit.audit import Audit
from bastide.audit.canonical import JsonValue, canonical
from bastide.audit.committing import Entry, Promise
from bastide.audit.counsel import log_step
from bastide.audit.journal import Journal
from bastide.audit.values import CallFacts, Event, Exported, Health, Receipt, ReceiptFacts, Verification
from bastide.audit.verify import verify_file

__all__ = [
    "Audit",
    "CallFacts",
    "Entry",
    "Event",
    "Exported",
    "Health",
    "Journal",
    "JsonValue",
    "Promise",
    "Receipt",
    "ReceiptFacts",
    "Verification",
    "canonical",
    "log_step",
    "verify_file",
]
