"""Hospitals of any size, for load tests, EXPLAIN and trying things out: everything in them is made up and agrees."""

from backend.operations.seeding.seed import SeedSummary, seed

__all__ = ["SeedSummary", "seed"]
