"""Tasks: what a text can be asked for, each as a type of durable work.

Each says in its output how it was done: written by a model and verified, or without one, by sentences of the text,
patterns, likeness. What a model says is used only as far as it can be checked against the text.
"""

from bastide.inference.tasks.catalogue import job_types

__all__ = ["job_types"]
