"""Compliance: what a person may ask for, and what an operator must show.

Access to and erasure of one person's data across every room, the technical file of an AI system
written from the live state, and the way out. Each room erases its own rows; this one asks, gathers and
reports.

Of this, the platform's upkeep is here: the log verified and exported, the database backed up, the house looked
over, each as a job. The rest has its place and no operation yet.
"""

from bastide.compliance.upgrading import bring_up_to_date
from bastide.compliance.upkeep import Upkeep

__all__ = ["Upkeep", "bring_up_to_date"]
