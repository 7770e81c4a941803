"""What a proof says of counts, on histories made by hand: each rule once kept and once broken."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import orjson
import pytest

from backend.actor import Actor, Role
from backend.operations.proving.acts import Wish
from backend.operations.proving.checks.cupboards import Cupboards
from backend.operations.proving.cupboard import Hands, Look, WriteOff
from backend.operations.proving.exchange import Reply
from backend.operations.proving.history import Attempt, Operation
from backend.operations.proving.hospital import Person

pytestmark = pytest.mark.faults
WARD = UUID(int=1)
NURSE = Person("north", 0, Actor(uuid4(), uuid4(), Role.NURSE, "Nurse", "proof"), "", "", "", frozenset())
REFUSED = Reply(409, False, b'{"code":"variance_outdated"}')


class Day:
    """A day at one cupboard, written down as a history."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.variances: dict[str, str] = {}

    def _add(self, wish: Wish, began: float, ended: float, answer: object) -> Operation:
        reply = answer if isinstance(answer, Reply) or answer is None else Reply(200, False, orjson.dumps(answer))
        operation = Operation(f"0-{len(self.operations)}", "", NURSE, wish, attempts=[Attempt(began, ended, reply)])
        self.operations.append(operation)
        return operation

    def take(self, units: int, began: float, ended: float, *, heard: float | None, answer: object = True) -> None:
        """Units leave the cupboard; ValMed has the request at `heard`."""
        hands = Hands(WARD, -units, began, heard_at=heard)
        if isinstance(answer, Reply):
            hands.back_at = ended
        self._add(Wish("/orders/1/fulfill", hands=hands), began, ended, answer)

    def count(self, found: int, expected: int, at: float, *, lost: int = 0) -> str:
        """Somebody looks at `at`; the record takes a second, the completion another."""
        count_id = str(len(self.operations))
        look = Look(WARD, found, lost, at, datetime.now(UTC), stated=False)
        self._add(Wish(f"/counts/{count_id}/lines", look=look), at, at + 1, True)
        self._add(Wish(f"/counts/{count_id}/complete"), at + 1, at + 2, {"lines": [{"expected_units": expected}]})
        return count_id

    def write_off(self, count_id: str, variance: int, at: float, *, refused: bool = False) -> None:
        """The variance of a count is resolved as it says."""
        self.variances[f"of {count_id}"] = count_id
        wish = Wish(f"/discrepancies/of {count_id}/resolve", write_off=WriteOff(WARD, variance))
        self._add(wish, at, at + 1, REFUSED if refused else {"variance_units": variance})

    def verdict(self) -> tuple[int, int]:
        """How many variances are false, and how many write-offs."""
        cupboards = Cupboards(self.operations, self.variances)
        return len(list(cupboards.false_variances())), len(list(cupboards.false_write_offs()))


@pytest.fixture
def day() -> Day:
    return Day()


def test_count_that_finds_what_is_there_is_right(day: Day) -> None:
    day.take(2, 0, 1, heard=0.5)
    day.count(8, 8, at=2)
    assert day.verdict() == (0, 0)


def test_variance_of_nothing_is_false(day: Day) -> None:
    day.take(2, 0, 1, heard=0.5)
    day.count(8, 9, at=2)
    assert day.verdict() == (1, 0)


def test_unit_that_was_lost_is_to_be_found_missing(day: Day) -> None:
    day.count(9, 10, at=0, lost=1)
    day.count(9, 9, at=5)
    assert day.verdict() == (1, 0), "the second count does not see it"


def test_unit_that_was_written_off_is_not_missing_any_more(day: Day) -> None:
    day.write_off(day.count(9, 10, at=0, lost=1), -1, at=3)
    day.count(9, 9, at=5)
    assert day.verdict() == (0, 0)


def test_unit_that_is_written_off_twice_is_seen(day: Day) -> None:
    counts = [day.count(9, 10, at=0, lost=1), day.count(9, 10, at=3)]
    day.write_off(counts[0], -1, at=6)
    day.write_off(counts[1], -1, at=8)
    assert day.verdict() == (0, 1)


def test_refused_write_off_changes_nothing(day: Day) -> None:
    counts = [day.count(9, 10, at=0, lost=1), day.count(9, 10, at=3)]
    day.write_off(counts[0], -1, at=6)
    day.write_off(counts[1], -1, at=8, refused=True)
    day.count(9, 9, at=10)
    assert day.verdict() == (0, 0)


@pytest.mark.parametrize("expected", [8, 10])
def test_what_is_under_way_until_the_end_may_be_known_or_not(day: Day, expected: int) -> None:
    day.take(2, 0, 9, heard=0.5)
    day.count(8, expected, at=2)
    assert day.verdict() == (0, 0)


def test_what_had_arrived_and_is_recorded_must_be_known_at_the_end(day: Day) -> None:
    day.take(2, 0, 2.5, heard=0.5)
    day.count(8, 10, at=2)
    assert day.verdict() == (1, 0)


@pytest.mark.parametrize("heard", [2.2, None])
def test_what_had_not_arrived_may_be_unknown(day: Day, heard: float | None) -> None:
    day.take(2, 0, 2.5, heard=heard)
    day.write_off(day.count(8, 10, at=2), -2, at=5)
    assert day.verdict() == (0, 0)


def test_variance_of_what_had_arrived_is_never_written_off(day: Day) -> None:
    day.take(2, 0, 4.5, heard=0.5)
    day.write_off(day.count(8, 10, at=2), -2, at=5)
    assert day.verdict() == (0, 1)


def test_nobody_knows_what_an_unanswered_request_has_done(day: Day) -> None:
    day.take(2, 0, 1, heard=None, answer=None)
    day.count(8, 10, at=2)
    day.count(8, 8, at=5)
    assert day.verdict() == (0, 0)


def test_hands_of_a_refused_request_have_put_everything_back(day: Day) -> None:
    day.take(2, 0, 1, heard=0.5, answer=Reply(409, False, b'{"code":"dose_already_given"}'))
    day.count(10, 10, at=2)
    assert day.verdict() == (0, 0)
    day.count(8, 10, at=5)
    assert day.verdict() == (1, 0)
