"""Egress: the only way out.

Every outbound connection of the house is opened here, and only with a permit drawn from an allowed
decision. A name is resolved once, every address is checked, and the connection goes to the checked
address, or through the organisation's own proxy where one is set (`tunnel`); the certificate that
answered is handed to the caller. Nothing here decides: see `policy`.
"""

from bastide.egress.addresses import Reach, check_addresses
from bastide.egress.client import Client, Flow
from bastide.egress.connection import Exchange, Listener, Patience
from bastide.egress.egress import Egress
from bastide.egress.lines import Line
from bastide.egress.loopback import local_client, local_connection
from bastide.egress.outgoing import Outgoing
from bastide.egress.values import Permit, Reply, TlsEvidence

__all__ = [
    "Client",
    "Egress",
    "Exchange",
    "Flow",
    "Line",
    "Listener",
    "Outgoing",
    "Patience",
    "Permit",
    "Reach",
    "Reply",
    "TlsEvidence",
    "check_addresses",
    "local_client",
    "local_connection",
]
