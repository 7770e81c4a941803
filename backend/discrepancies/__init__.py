"""Discrepancies: units that a count or a transfer could not account for, until somebody resolves them."""
