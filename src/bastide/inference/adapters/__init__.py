"""Adapters: how each kind of model server is spoken to. What differs between them stands here and nowhere else."""

from bastide.inference.adapters.adapter import Adapter, Batched
from bastide.inference.adapters.kinds import ADAPTERS
from bastide.inference.adapters.offering import Offered

__all__ = ["ADAPTERS", "Adapter", "Batched", "Offered"]
