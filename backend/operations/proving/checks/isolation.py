"""Whether one hospital has seen anything of another: ids are the only thing that their rows do not share."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import Uuid

from backend.domain.models import Base
from backend.operations.proving.exchange import ID
from backend.operations.proving.history import UNDERSTANDING, Operation
from backend.operations.proving.stand import Stand, read

NOT_FOUND = 404


def leaks(operations: Sequence[Operation], stand: Stand) -> Iterator[Operation]:
    """The operations of which an answer holds an id of another hospital that its request did not hold."""
    told: dict[str, set[bytes]] = defaultdict(set)
    for operation in operations:
        told[operation.key[0]] |= _told(operation)
    foreign: dict[str, set[bytes]] = defaultdict(set)
    for owner, name in _ids(stand):
        for organization_id, ids in told.items():
            if organization_id != owner and name in ids:
                foreign[organization_id].add(name)
    if foreign:
        yield from (each for each in operations if not foreign[each.key[0]].isdisjoint(_told(each)))


def admitted(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The probes that were not told 404, and did something or may have."""
    for operation in operations:
        statuses = {reply.status for reply in operation.replies}
        if operation.probe and (operation.changed or not statuses <= {NOT_FOUND, *UNDERSTANDING}):
            yield operation


def _told(operation: Operation) -> set[bytes]:
    """Every id that the answers hold; of a probe those left out that it asked with."""
    ids = {name for attempt in operation.attempts if attempt.reply for name in ID.findall(attempt.reply.body)}
    return ids - operation.wish.ids if operation.probe else ids


def _ids(stand: Stand) -> Iterator[tuple[str, bytes]]:
    """Every row of a hospital: whose it is, and its id."""
    for hospital in stand.hospitals:
        yield str(hospital.organization_id), str(hospital.organization_id).encode()
    for table in Base.metadata.sorted_tables:
        if "organization_id" in table.columns and "id" in table.columns and isinstance(table.columns["id"].type, Uuid):
            rows = read(stand.superuser_url, f"SELECT organization_id::text, id::text FROM {table.name}")
            yield from ((owner, name.encode()) for owner, name in rows)
