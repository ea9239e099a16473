"""What inference does as durable work: texts worked on, batches of calls, catalogues asked for again.

A face of its own beside the room's: who only makes calls need not load what jobs stand on.
"""

from bastide.inference.batches import Batches
from bastide.inference.syncing import job_types

__all__ = ["Batches", "job_types"]
