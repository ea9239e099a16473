"""Pacing: how often an endpoint may be asked under one key, and how much it takes at a time.

A provider counts by key and model, and so does a pace: models of a tenant that have both in common share one. In no
stretch of sixty seconds are there more requests than the rate says, however they arrive and whichever process of the
database makes them: each holds a share of the rate and counts what it asks itself. A server that asks to wait is not
asked until then.
"""

from bastide.inference.pacing.pace import Limits, Pace, limits_of
from bastide.inference.pacing.paces import Paces
from bastide.inference.pacing.sharing import Sharing

__all__ = ["Limits", "Pace", "Paces", "Sharing", "limits_of"]
