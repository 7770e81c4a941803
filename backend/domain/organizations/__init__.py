"""Hospitals, their policies and their wards."""
