"""The last backup as metrics, for the textfile collector of Prometheus' node exporter.

Decision: a file, and not /metrics of the application. Because the backup runs on a schedule of the operator's, often on
another machine, and the role that serves may not know of it. Cost: a node exporter where backups are taken.
"""

import os
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from backend.operations.backups.manifest import Manifest

FILE_MODE = 0o644  # figures only, which the node exporter's own user reads


def write_textfile(file: Path, manifest: Manifest) -> None:
    """Writes what `manifest` says into `file`, in one step. Raises OSError."""
    registry = CollectorRegistry()
    figures = (
        ("valmed_backup_last_success_timestamp_seconds", "When the last backup was complete.", _seconds(manifest)),
        ("valmed_backup_bytes", "Size of the last backup.", manifest.bytes),
        (
            "valmed_backup_verify_broken",
            "Checks of valmed verify that the last backup's snapshot broke.",
            manifest.broken,
        ),
    )
    for name, meaning, value in figures:
        Gauge(name, meaning, ["kind"], registry=registry).labels(manifest.kind).set(value)
    write_to_textfile(str(file), registry)
    os.chmod(file, FILE_MODE)


def _seconds(manifest: Manifest) -> float:
    return datetime.fromisoformat(manifest.completed_at).timestamp()
