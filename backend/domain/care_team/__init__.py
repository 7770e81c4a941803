"""Who cares for a patient: one PRIMARY provider, specialists and consultants."""
