"""Where a command may write, asked before it begins: after an hour's work a missing folder would be news too late."""

import os
from pathlib import Path

from backend.config import ConfigError


def ensure_folder(folder: Path) -> None:
    """Raise ConfigError, which says what to do, unless `folder` is a folder that may be written to."""
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise ConfigError(f"the folder {folder} {what}: make it, or mount what belongs there, and run this again")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing may be written to the folder {folder}: give its rights to who runs this")


def ensure_writable(file: Path) -> None:
    """Raise ConfigError unless `file` can be made, or written anew, in the folder that it names."""
    ensure_folder(file.absolute().parent)
    if file.exists() and not os.access(file, os.W_OK):
        raise ConfigError(f"{file} may not be written: give its rights to who runs this, or name another file")


def ensure_new_name(place: Path) -> None:
    """Raise ConfigError unless `place`, which is no folder, can be the name of something new.

    A name without an extension is taken for a folder that is missing: a volume that is not mounted would else become a
    file of its name, and every next run would fail.
    """
    if not place.exists() and not place.suffix:
        raise ConfigError(
            f"the folder {place} does not exist: make it, or mount what belongs there; to give the name yourself, "
            f"end it with an extension, such as {place.name}.dump"
        )
    ensure_folder(place.absolute().parent)
