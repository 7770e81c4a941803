"""Counts: what lies on a ward's shelves, compared with the ledger."""
