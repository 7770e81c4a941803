"""The sample hospitals of `valmed demo`: made-up people, plausible drugs, enough orders to fill every page."""

from backend.operations.demo.hospital import build_hospitals, has_demo_sign_ins

__all__ = ["build_hospitals", "has_demo_sign_ins"]
