"""Upgrading: what an older version of the house has made is made anew, by a job of each tenant."""

from __future__ import annotations

from bastide.errors import BastideError
from bastide.knowledge import Knowledge
from bastide.telemetry import log
from bastide.tenancy import Tenancy


async def bring_up_to_date(tenancy: Tenancy, knowledge: Knowledge) -> None:
    """Dispatch the job of each tenant whose documents are behind. What fails is begun at the next start."""
    try:
        for tenant in await tenancy.active_tenants():
            await knowledge.upkeep.bring_up_to_date(await tenancy.system_scope(tenant))
    except BastideError as fault:  # nobody waits for this
        log.warning("documents of an older house were not looked for: %s", fault)
