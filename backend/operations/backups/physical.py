"""A copy of the whole cluster with pg_basebackup: the base from which archived WAL leads to any moment."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData
from sqlalchemy.engine.url import URL

from backend.config import VERSION
from backend.operations.backups.backup import MAJOR, OWNER, REVISION, Report, ensure_all_is_seen, now
from backend.operations.backups.content import one_moment
from backend.operations.backups.manifest import Manifest, digest, manifest_of, partial_of, settle, write_manifest
from backend.operations.backups.programs import discard, ensure_absent, find_program, run
from backend.operations.verification.verify import verify

CONTENTS = "backup_manifest"  # PostgreSQL's own list of files with their SHA-256


@dataclass(frozen=True, slots=True)
class _Cluster:
    """What is known of the cluster from its database, just before it is copied."""

    major: int
    postgresql: str
    owner: str
    revision: str
    roles: list[str]
    checks: int
    broken: int


def back_up_cluster(url: URL, metadata: MetaData, target: Path, *, report: Report) -> Manifest:
    """Copies the cluster that holds the database of `url` to the folder `target`, which must not exist yet.

    `url` signs in as a role with REPLICATION that sees every row, and the server accepts replication from here. The
    copy is checked file by file. Raises as `back_up` does.
    """
    ensure_absent(target)
    ensure_absent(manifest_of(target))
    started_at, partial = now(), partial_of(target)
    report("proving the database")
    cluster = _look_at(url, metadata)
    copy = find_program("pg_basebackup", cluster.major, same_major=True)
    check = find_program("pg_verifybackup", cluster.major, same_major=True)
    try:
        report("copying the cluster")
        options = ("--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256")
        run(copy, url, *options, f"--pgdata={partial}")
        report("checking the copy")
        run(check, None, str(partial))
        ensure_absent(target)  # another backup may have been faster
        settle(partial, target)
    finally:
        discard(partial)
    manifest = Manifest(
        kind="physical",
        sha256=digest(target / CONTENTS),
        bytes=sum(file.stat().st_size for file in target.rglob("*") if file.is_file()),
        started_at=started_at,
        completed_at=now(),
        valmed=VERSION,
        postgresql=cluster.postgresql,
        program=f"pg_basebackup {cluster.major}",
        database=str(url.database),
        owner=cluster.owner,
        revision=cluster.revision,
        roles=cluster.roles,
        checks=cluster.checks,
        broken=cluster.broken,
    )
    write_manifest(target, manifest)
    return manifest


def _look_at(url: URL, metadata: MetaData) -> _Cluster:
    with one_moment(url) as moment:
        ensure_all_is_seen(moment)
        findings = verify(url, metadata, snapshot=moment.snapshot)
        return _Cluster(
            major=int(moment.value(MAJOR)),
            postgresql=moment.value("SHOW server_version"),
            owner=moment.value(OWNER),
            revision=moment.value(REVISION),
            roles=moment.roles(),
            checks=len(findings),
            broken=sum(1 for finding in findings if finding.broken),
        )
