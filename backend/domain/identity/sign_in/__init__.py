"""Sign people in: by password, by passkey, with a second factor."""
