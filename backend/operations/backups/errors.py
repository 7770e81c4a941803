"""What a backup or a restore says when it cannot be trusted."""


class BackupError(Exception):
    """Nothing that looks like a backup was left, or nothing was restored; the message says why and what to do."""
