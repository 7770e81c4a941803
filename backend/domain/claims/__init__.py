"""Claims to payers, and what has changed in how they are decided (payer drift)."""
