"""Who did it: the names in the database are those whose token asked, and nurses give on their own wards."""

from collections.abc import Iterator, Sequence

from backend.operations.proving.history import Operation
from backend.operations.proving.stand import Stand, read

DOSES = """SELECT a.id::text, a.nurse_id::text, a.witness_id::text, o.ward_id::text FROM medication_administrations AS a
  JOIN medication_orders AS o ON o.organization_id = a.organization_id AND o.id = a.order_id"""
MOVEMENTS = """SELECT DISTINCT reference_id::text, reason::text, actor_id::text, witness_id::text FROM stock_movements
  WHERE actor_id IS NOT NULL"""
TRAIL = """SELECT DISTINCT organization_id::text, split_part(request_id, '.', 1), actor_id::text FROM audit_events
  WHERE request_id ~ '^[0-9]+-[0-9]+(-[23])?[.]'"""


def misnamed(changes: Sequence[Operation], stand: Stand) -> Iterator[str]:
    """Find doses, movements and rows of the audit trail in somebody else's name, or with another witness."""
    doses, moved = {}, {}
    for operation in changes:
        for administration_id, name in _doses(operation):
            doses[administration_id] = operation
            if name != operation.person.actor.name:
                yield f"{operation.name}: asked by {operation.person.actor.name}, answered {name}"
        for posted in operation.posted:
            moved[posted.reference_id, posted.reason] = operation
    for administration_id, nurse_id, witness_id, _ in read(stand.superuser_url, DOSES):
        yield from _unlike(f"dose {administration_id}", doses.get(administration_id), nurse_id, witness_id)
    for reference_id, reason, actor_id, witness_id in read(stand.superuser_url, MOVEMENTS):
        yield from _unlike(f"{reason} {reference_id}", moved.get((reference_id, reason)), actor_id, witness_id)
    asked = {operation.key: str(operation.person.actor.user_id) for operation in changes}
    for owner, name, actor_id in read(stand.superuser_url, TRAIL):
        if actor_id != asked.get((owner, name), actor_id):
            yield f"{name}: asked by {asked[owner, name]}, audit trail {actor_id}"


def strangers(changes: Sequence[Operation], stand: Stand) -> Iterator[str]:
    """Find doses of a nurse who does not work on the order's ward, or before a witness who does not."""
    wards = {str(p.actor.user_id): p for hospital in stand.hospitals for p in (*hospital.people, hospital.witness)}
    for administration_id, nurse_id, witness_id, ward_id in read(stand.superuser_url, DOSES):
        for person_id in filter(None, (nurse_id, witness_id)):
            if not (person_id in wards and wards[person_id].works_on(ward_id)):
                yield f"dose {administration_id}: {person_id} does not work on ward {ward_id}"


def _doses(operation: Operation) -> Iterator[tuple[str, str]]:
    """List the doses, given or not, that an acknowledgement tells of, and who it says recorded them."""
    content = operation.content
    for part in content.get("results", [content]) if isinstance(content, dict) else []:
        name = part.get("fulfilled_by", part.get("recorded_by"))
        if "dose" in part and "administration_id" in part and name is not None:
            yield part["administration_id"], name


def _unlike(what: str, operation: Operation | None, actor_id: str, witness_id: str | None) -> Iterator[str]:
    """Compare a row with its operation. A row of no acknowledged one is another check's."""
    if operation is None:
        return
    asked, witness = str(operation.person.actor.user_id), operation.wish.witness_id
    if (actor_id, witness_id) != (asked, witness):
        yield f"{what}: asked by {asked} before {witness}, written {actor_id} before {witness_id}"
