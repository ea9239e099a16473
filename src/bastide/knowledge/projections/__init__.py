"""Projections: copies of documents in Qdrant, Neo4j and S3, for other programs to read; never the source of truth.

Triggers fill an outbox in the transaction of each change; `Projections` feeds the targets from it, verifies them,
rebuilds them, and takes away what was erased. Nothing in this house searches or answers from a target.
"""

from bastide.knowledge.projections.projections import Projections
from bastide.knowledge.projections.values import Departure, NewProjection, Projection

__all__ = ["Departure", "NewProjection", "Projection", "Projections"]
