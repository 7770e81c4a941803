"""Who cares for a patient: one PRIMARY provider, specialists and consultants (mission rows B1 to B8)."""
