"""Policy: may these bytes go there? One pure decision, with its reasons; nothing said means no.

Bytes carry a `Label`, destinations a `Record` with evidence, and eighteen rules join the two. What a rule
cannot know counts as the worst, so that less knowledge never turns a no into a yes. Nothing here connects to
anything: `egress` opens a connection only for an allowed `Decision`.
"""

from bastide.policy.drafts import read_policy
from bastide.policy.label import Label
from bastide.policy.personal import IDENTITIES, Found
from bastide.policy.personal import find as find_personal
from bastide.policy.personal import kinds as personal_kind
from bastide.policy.personal import kinds_in as personal_kinds_in
from bastide.policy.policy import Policy
from bastide.policy.record import Price, Record
from bastide.policy.replaying import Replay
from bastide.policy.table import Ruled, Table
from bastide.policy.values import (
    Decision,
    Endpoint,
    Explanation,
    Nearest,
    RuleVerdict,
    TenantPolicy,
    Trial,
)
from bastide.policy.views import View

__all__ = [
    "IDENTITIES",
    "Decision",
    "Endpoint",
    "Explanation",
    "Found",
    "Label",
    "Nearest",
    "Policy",
    "Price",
    "Record",
    "Replay",
    "RuleVerdict",
    "Ruled",
    "Table",
    "TenantPolicy",
    "Trial",
    "View",
    "find_personal",
    "personal_kind",
    "personal_kinds_in",
    "read_policy",
]
