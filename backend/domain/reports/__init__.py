"""Reports: what can be said of a whole hospital, the proof of its invariants first."""
