"""The formulary: the drugs a hospital uses."""
