"""Durable work, tested on the real database."""
