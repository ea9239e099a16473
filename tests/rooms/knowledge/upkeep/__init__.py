"""Tests of how documents are looked after."""
