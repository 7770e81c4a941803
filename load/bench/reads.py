"""What the wards look at, on a database of each size: no answer may take longer because others have more data.

Decision: the board is that of a hospital of usual size beside the large one. Because a board has a ward's active orders
at most, and no ward has the large one's millions. Cost: a second hospital in the database.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from urllib.parse import quote
from uuid import UUID, uuid4

from backend.actor import Actor, Role
from backend.db.provision import connect
from backend.operations.seeding import seed
from load.bench.generator import Job, generate
from load.bench.requests import reading
from load.bench.samples import Interval, length_of
from load.bench.served import HOST, Served, serving_valmed
from load.bench.stand import PASSWORD, Stand, sign_in

LOAD = "reads"
PER_SECOND_MAX = 3_000
USUAL = {"orders": 800, "movements": 4_000, "drugs": 100, "wards": 4}
VALUES = 200  # different wards, drugs and names that are asked for in turn
ROWS, BOARD = '"next_cursor":', '"truncated":'  # once in every answer of a list, of a board

WARDS = "SELECT id FROM wards ORDER BY id LIMIT %(values)s"
DRUGS = "SELECT id FROM drugs ORDER BY id LIMIT %(values)s"
NAMES = "SELECT name FROM patients WHERE id IN (SELECT id FROM patients ORDER BY id DESC LIMIT %(values)s)"


@dataclass(frozen=True, slots=True)
class Read:
    """What is asked, with each of the values that a query finds."""

    name: str
    path: str
    values: str
    mark: str = ROWS


BOARD_READ = Read("board", "/api/v1/mar?ward_id=", WARDS, BOARD)
LISTS = (
    Read("stock", "/api/v1/stock?ward_id=", WARDS),
    Read("movements", "/api/v1/stock/movements?drug_id=", DRUGS),
    Read("orders", "/api/v1/orders?status=active&ward_id=", WARDS),
    Read("patient_search", "/api/v1/patients?q=", NAMES),
)


class Question:
    """A contestant that only asks."""

    guessed_per_second = 0.0  # it needs no orders

    def __init__(self, served: Served, read: Read, values: Sequence[str], token: str) -> None:
        self.name = read.name
        self.master = served.master
        self._port = served.port
        self._values = values
        self._request = reading(read.path, token, read.mark)

    def run(self, _orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Asks for each value in turn."""
        length = length_of(seconds)
        values = list(islice(cycle(self._values), int(PER_SECOND_MAX * length)))
        return generate(Job(HOST, self._port, clients, length, self._request, values))


class NoOrders:
    """What a measurement of reads has to do."""

    def provide(self, _load: str, _number: int) -> Sequence[UUID]:
        """None."""
        return ()

    def settle(self, _load: str) -> int | None:
        """Nothing is changed."""
        return None


@contextmanager
def asking(stand: Stand) -> Iterator[list[Question]]:
    """ValMed on `stand` and the questions to it."""
    usual = _usual_hospital(stand)
    with serving_valmed(stand, "reads", reading("/healthz", stand.token, "")) as served:
        board = Question(served, BOARD_READ, _values(stand, usual.organization_id, WARDS), sign_in(stand.config, usual))
        organization_id = stand.nurse.organization_id
        lists = [Question(served, read, _values(stand, organization_id, read.values), stand.token) for read in LISTS]
        yield [board, *lists]


def _usual_hospital(stand: Stand) -> Actor:
    """The nurse of a hospital that was seeded beside the large one."""
    slug = f"bench-usual-{uuid4().hex[:12]}"
    made = seed(stand.config, organization=slug, password=PASSWORD, report=lambda _done: None, **USUAL)
    return Actor(made.organization_id, made.nurse_id, Role.NURSE, "Nurse", str(uuid4()))


def _values(stand: Stand, organization_id: UUID, query: str) -> list[str]:
    with closing(connect(stand.owner_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(organization_id),))
        cursor.execute(query, {"values": VALUES})
        return [quote(str(value)) for (value,) in cursor.fetchall()]
