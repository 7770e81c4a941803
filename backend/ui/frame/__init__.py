"""Give every page what it needs: its frame, its session, its forms."""
