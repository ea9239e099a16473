"""Bastide: the platform on which an organisation runs its AI in a closed loop, and can prove it."""

__version__ = "0.1.0"
