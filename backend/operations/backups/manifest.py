"""What is known of a backup, in a JSON file beside it that is written last."""

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from backend.operations.backups.errors import BackupError

FORMAT = 1
SUFFIX = ".json"
FILE_MODE = 0o600  # a backup names patients


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Times are ISO 8601 in UTC. `broken` of `checks` of `valmed verify` did not hold in the same snapshot."""

    kind: str  # dump, or physical: a whole cluster
    sha256: str  # of the dump; of a cluster's own backup_manifest
    bytes: int
    started_at: str
    completed_at: str
    valmed: str
    postgresql: str
    program: str
    database: str
    owner: str
    revision: str
    roles: list[str]
    rows: dict[str, int] = field(default_factory=dict)
    checks: int = 0
    broken: int = 0
    format: int = FORMAT


def manifest_of(backup: Path) -> Path:
    """Where the manifest of a backup is."""
    return backup.with_name(backup.name + SUFFIX)


def write_manifest(backup: Path, manifest: Manifest) -> None:
    """Gives `backup` its manifest, in one step that survives a power failure."""
    target = manifest_of(backup)
    partial = partial_of(target)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "w") as out:
        out.write(json.dumps(asdict(manifest), indent=2) + "\n")
        out.flush()
        os.fsync(out.fileno())
    settle(partial, target)


def read_manifest(backup: Path) -> Manifest:
    """The manifest of `backup`. Raises BackupError where there is none, or none that this code understands."""
    try:
        found: dict[str, Any] = json.loads(manifest_of(backup).read_text())
        if found.get("format") != FORMAT:
            raise BackupError(f"{manifest_of(backup)} has format {found.get('format')}; this code reads {FORMAT}")
        return Manifest(**{each.name: found[each.name] for each in fields(Manifest)})
    except FileNotFoundError:
        raise BackupError(f"{manifest_of(backup)} is missing: without it this is no complete backup") from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BackupError(f"{manifest_of(backup)} cannot be read: {type(error).__name__}") from None


def partial_of(target: Path) -> Path:
    """A name under which `target` is made: nobody takes it for complete, and no other backup writes there."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


def settle(partial: Path, target: Path) -> None:
    """Gives what is complete its name, for good."""
    os.rename(partial, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises BackupError where it cannot be read."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}") from None
