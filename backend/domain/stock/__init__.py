"""Stock: levels by ward and drug, lots, and the ledger that explains every unit."""
