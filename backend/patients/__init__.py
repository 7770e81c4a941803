"""Patients and the people who care for them."""
