"""Verify that a database keeps every invariant."""
