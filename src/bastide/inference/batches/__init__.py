"""Batches: files of calls that are made one by one behind whoever handed them in, and what came of each.

Each line of a file is a call of its own through the gateway, with its own decision, budget and receipt. What it gave
is kept line by line, so that whatever dies in the middle, no answered line is asked again and none stands there twice.
"""

from bastide.inference.batches.batches import Batches

__all__ = ["Batches"]
