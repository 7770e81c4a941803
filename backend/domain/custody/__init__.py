"""Move, count and account for stock: transfers, counts and their discrepancies."""
