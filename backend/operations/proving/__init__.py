"""The proof that anyone can run: a hospital at work while everything under it breaks (`valmed prove`)."""

from backend.operations.proving.proof import Plan, prove
from backend.operations.proving.stand import Stand, standing

__all__ = ["Plan", "Stand", "prove", "standing"]
