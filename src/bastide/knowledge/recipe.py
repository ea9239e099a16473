"""Recipe: the number of how documents are read, cut and indexed."""

RECIPE = 4
"""Raised by whoever changes what reading, cutting, phrases or the graph's rules make of a document that is here.

What was made by a lower number is made anew in the background (`knowledge.upgrade`). A house that kept no number counts
as 0.
"""
