"""Care teams: what was acknowledged against the audit trail, request by request, and the trail against the table."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.domain.care_team.models import CareRole
from backend.operations.proving.acts import Seat
from backend.operations.proving.history import Operation
from backend.operations.proving.stand import Stand, ask, read

TRAIL = """SELECT organization_id::text, split_part(request_id, '.', 1), operation = 'INSERT',
    after->>'patient_id', after->>'provider_id', after->>'role'
  FROM audit_events WHERE table_name = 'care_team_assignments'
    AND (operation = 'INSERT' OR before->>'removed_at' IS NULL AND after->>'removed_at' IS NOT NULL)"""
TABLE = "SELECT count(*), count(removed_at) FROM care_team_assignments"
AT_ONCE = """SELECT 'patient ' || patient_id || ': a second PRIMARY since ' || assigned_at FROM (
    SELECT patient_id, assigned_at, lag(removed_at, 1, '-infinity') OVER
      (PARTITION BY organization_id, patient_id ORDER BY assigned_at, removed_at NULLS LAST, id) AS before
    FROM care_team_assignments WHERE role = 'PRIMARY') AS one
  WHERE before IS NULL OR before > assigned_at"""


@dataclass(frozen=True, slots=True)
class Seats:
    """Places on care teams by the clients' answers and by the table."""

    begun: int
    ended: int
    rows: int
    rows_ended: int

    @property
    def missing(self) -> int:
        """Places of the answers and of the table that are not in both: 0, or the proof has failed."""
        return abs(self.begun - self.rows) + abs(self.ended - self.rows_ended)


def primaries_at_once(stand: Stand) -> Iterator[str]:
    """Patients who had two PRIMARYs, at present or at any time."""
    yield from (what for (what,) in ask(stand.superuser_url, AT_ONCE))


def compare(changes: Sequence[Operation], stand: Stand) -> tuple[list[Operation | str], Seats]:
    """The operations of which the audit trail tells other seats than their answers; and all seats."""
    trail: dict[tuple[str, str], Counter[Seat]] = defaultdict(Counter)
    for organization_id, name, *seat in read(stand.superuser_url, TRAIL):
        trail[organization_id, name][Seat(*seat)] += 1
    begun = ended = 0
    unlike: list[Operation | str] = []
    for operation in changes:
        told, found = operation.seats, trail.pop(operation.key, Counter())
        begun += sum(seat.begins for seat in told)
        ended += sum(not seat.begins for seat in told)
        unforeseen = found - Counter(told)
        given_up = [seat for seat in unforeseen.elements() if _gives_way(seat, told)]
        ended += len(given_up)
        if Counter(told) - found or unforeseen - Counter(given_up[:1]):
            unlike.append(operation)
    unlike += [f"{name}: seats of nobody's request" for _, name in trail]
    ((rows, rows_ended),) = ask(stand.superuser_url, TABLE)
    return unlike, Seats(begun, ended, rows, rows_ended)


def _gives_way(seat: Seat, told: Sequence[Seat]) -> bool:
    """Whether it is the lesser seat of who has become PRIMARY, of which no answer tells."""
    promoted = Seat(True, seat.patient_id, seat.provider_id, CareRole.PRIMARY)
    return not seat.begins and seat.role != CareRole.PRIMARY and promoted in told
