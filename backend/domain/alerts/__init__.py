"""Alerts: what asks for somebody's attention."""
