"""Medication orders: placed by doctors, verified by pharmacists, fulfilled by nurses."""
