"""Workflows: durable work that a crash does not lose.

Jobs, steps, schedules, triggers and approvals by a person, dispatched in the caller's transaction. Others
register their jobs here; nothing here imports upward.

The room holds its place in the order of the house; it has no operation yet.
"""

__all__: list[str] = []
