"""Run what an operator runs: proofs, backups, retention, seeding, the demo."""
