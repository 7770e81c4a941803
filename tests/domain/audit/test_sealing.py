"""What the sealer takes and what it leaves, while others write, and that nobody waits for it."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg2.extensions
import pytest

from backend.config import Config
from backend.db import Session
from backend.db.provision import application_url, connect
from backend.domain.audit import sealing
from backend.domain.audit.rendering import NEWEST
from backend.domain.audit.sealing import Floor, Sealed, floors_of, seal_hospital, seal_part
from tests.concurrency.threads import retries, together
from tests.domain.audit.tampering import Evidence
from tests.domain.claims.filing import claims, file_claims
from tests.hospital import Hospital

Connection = psycopg2.extensions.connection
pytestmark = pytest.mark.concurrency


@pytest.fixture
def evidence(hospital: Hospital, config: Config, owner: Connection) -> Evidence:
    """A hospital with some stock, nothing sealed."""
    hospital.receive(50)
    return Evidence(hospital, config, owner)


@contextmanager
def slow(evidence: Evidence) -> Iterator[psycopg2.extensions.cursor]:
    """A transaction that has written to the trail and to a table with numbers, and is committed at the end."""
    hospital = evidence.hospital
    with closing(connect(application_url(evidence.config))) as connection, connection.cursor() as cursor:
        cursor.execute(f"BEGIN; SET LOCAL app.organization_id = '{hospital.organization_id}'")
        ward = "INSERT INTO wards (organization_id, id, name, kind) VALUES (%s, gen_random_uuid(), 'Slow', 'ward')"
        cursor.execute(ward, (str(hospital.organization_id),))
        cursor.execute(
            "INSERT INTO claim_records (organization_id, id, claim_id, revision, payer, cpt, cpt_group, submitted_date,"
            " outcome) SELECT id, gen_random_uuid(), 'slow', 1, 'p', '1', 'g', now(), 'PENDING' FROM organizations"
        )
        yield cursor
        cursor.execute("COMMIT")


def test_the_rows_of_a_slow_transaction_are_in_the_next_seal_and_neither_lost_nor_reported(evidence: Evidence) -> None:
    hospital = evidence.hospital
    file_claims(hospital, claims(1, ago=9))
    evidence.seal()
    with slow(evidence):
        for ago in range(3):  # what commits meanwhile has higher numbers and is sealed
            hospital.receive(1)
            file_claims(hospital, claims(1, ago=ago))
            assert evidence.seal().rows > 0
            checked = evidence.check()
            assert (checked.findings, checked.unsealed) == ([], 0)
    for table in ("audit_events", "claim_records"):
        sealed = [row for _, rows in evidence.seals_of(table) for row in rows]
        (late,) = set(evidence.ids(table)) - set(sealed)
        assert evidence.ids(table).index(late) < len(sealed), "its number is lower than sealed ones"
    checked = evidence.check()
    assert (checked.findings, checked.unsealed) == ([], 2)
    assert evidence.seal() == Sealed(seals=2, rows=2)
    hospital.receive(1)
    evidence.seal()
    checked = evidence.check()
    assert (checked.findings, checked.unsealed) == ([], 0)


def test_what_is_rolled_back_leaves_a_gap_that_is_no_finding(evidence: Evidence) -> None:
    with slow(evidence) as cursor:
        cursor.execute("ROLLBACK; BEGIN")
    evidence.hospital.receive(1)
    evidence.seal()
    assert evidence.findings() == []


def test_a_transaction_has_its_id_before_a_row_takes_its_number(owner: Connection) -> None:
    """Else a transaction that begins after a seal could take a number below its floor. No session hoards numbers."""
    with owner.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, regexp_replace(trim(column_default, E'\\n'), '\\s+', ' ', 'g')"
            " FROM information_schema.columns"
            " WHERE column_name = 'number' AND table_schema = 'public' ORDER BY 1"
        )
        default = "CASE WHEN (txid_current() > 0) THEN nextval('ledger_numbers'::regclass) ELSE NULL::bigint END"
        assert cursor.fetchall() == [(table, default) for table in sorted(set(NEWEST) - {"audit_events"})]
        cursor.execute(
            "SELECT count(*), max(cache_size) FROM pg_sequences WHERE sequencename IN"
            " ('ledger_numbers', 'audit_events_id_seq')"
        )
        assert cursor.fetchall() == [(2, 1)]


@pytest.mark.parametrize("lanes", [True, False], ids=["with lanes", "by the key alone"])
def test_several_sealers_at_once_make_one_chain_with_each_row_once(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch, lanes: bool
) -> None:
    if not lanes:
        monkeypatch.setattr(Session, "take_lanes", lambda session, lanes: None)
    before = retries()
    for _ in range(3):
        evidence.hospital.receive(1)
        together(*[evidence.seal] * 6)
    assert evidence.findings() == []
    for table in ("audit_events", "stock_movements"):
        assert [row for _, rows in evidence.seals_of(table) for row in rows] == evidence.ids(table)
    if lanes:
        assert retries() == before, "they waited before their snapshots"


def test_a_ward_waits_for_no_sealer_and_a_sealer_for_no_ward(evidence: Evidence) -> None:
    hospital = evidence.hospital
    orders = hospital.place_many(2)

    def give_while_sealing(session: Session) -> Sealed:
        sealed = seal_part(session, organization_id=hospital.organization_id)
        hospital.fulfil(orders[0])  # on another connection, before the seals are committed
        hospital.add_ward()
        return sealed

    assert hospital.run(give_while_sealing).rows > 0

    def seal_while_giving(session: Session) -> Sealed:
        session.take_lanes([hospital.shelf.lane])
        session.execute(sealing.text("SELECT 1 FROM stock_levels FOR UPDATE"))
        return evidence.seal()

    assert hospital.run(seal_while_giving).rows > 0
    hospital.fulfil(orders[1])
    evidence.seal()
    assert evidence.check().unsealed == 0


def test_a_change_of_the_hospital_itself_does_not_stop_a_round(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each seal points at its row, under a snapshot that is older than the change."""
    monkeypatch.setattr(sealing, "SEAL_ROWS", 2)
    append = sealing._Chain.append

    def append_and_change(*arguments: Any) -> None:
        append(*arguments)
        evidence.hospital.change("UPDATE organizations SET version = version + 1")

    monkeypatch.setattr(sealing._Chain, "append", append_and_change)
    before = retries()
    assert evidence.seal().seals > 3
    assert retries() == before
    assert evidence.findings() == []


def test_rows_from_before_there_were_seals_are_sealed_too(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `valmed db upgrade` leaves them: without a number."""
    monkeypatch.setattr(sealing, "SEAL_ROWS", 2)
    hospital = evidence.hospital
    for _ in range(6):
        hospital.receive(1)
    evidence.tamper("stock_movements", "UPDATE stock_movements SET number = 0")
    old = sorted(evidence.ids("stock_movements"))
    hospital.receive(1)
    assert evidence.check().unsealed > 0
    sealed = evidence.seal()
    checked = evidence.check()
    assert (checked.findings, checked.unsealed, checked.rows) == ([], 0, sealed.rows)
    assert [row for _, rows in evidence.seals_of("stock_movements") for row in rows][:-1] == old
    assert all(len(rows) <= 2 for _, rows in evidence.seals_of("stock_movements"))
    hospital.receive(1)
    assert {table for table in NEWEST if len(evidence.seals_of(table)) > 0} == {"audit_events", "stock_movements"}
    assert evidence.seal().rows == evidence.check().rows - sealed.rows > 0
    assert evidence.check().unsealed == 0


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Sealed]:
    """What each transaction of the rounds seals: of new rows two seals of two at most."""
    made: list[Sealed] = []
    seal = sealing.seal_part

    def seal_and_tell(*arguments: Any, **options: Any) -> Sealed:
        made.append(seal(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sealing, "SEAL_ROWS", 2)
    monkeypatch.setattr(sealing, "SEALS_MAX", 2)
    monkeypatch.setattr(sealing, "seal_part", seal_and_tell)
    return made


def test_a_long_past_is_sealed_in_transactions_of_bounded_size(evidence: Evidence, parts: list[Sealed]) -> None:
    hospital = evidence.hospital
    for _ in range(6):
        hospital.receive(1)
    evidence.tamper("stock_movements", "UPDATE stock_movements SET number = 0")  # as an upgrade leaves them
    hospital.receive(1)
    sealed = evidence.seal()
    assert [part.is_whole for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) > 5
    assert max(part.rows for part in parts) <= 4
    ((most,),) = hospital.rows("SELECT max(n) FROM (SELECT count(*) n FROM audit_seals GROUP BY transaction_id) t")
    assert most == 2
    checked = evidence.check()
    assert (checked.findings, checked.unsealed, checked.rows) == ([], 0, sealed.rows)


def test_a_round_that_is_stopped_is_taken_up_where_it_was(evidence: Evidence, parts: list[Sealed]) -> None:
    hospital = evidence.hospital
    for _ in range(3):
        hospital.receive(1)
    there = len(evidence.ids("audit_events")) + len(evidence.ids("stock_movements"))
    stopped = seal_hospital(hospital.database, organization_id=hospital.organization_id, is_stopped=lambda: True)
    assert stopped == Sealed(seals=2, rows=4, is_whole=False)
    assert (evidence.findings(), evidence.check().unsealed) == ([], there - 4)
    assert evidence.seal().rows == there - 4
    assert evidence.findings() == []


def test_what_ends_between_two_transactions_of_a_round_is_not_left_below_the_floor(
    evidence: Evidence, parts: list[Sealed]
) -> None:
    hospital = evidence.hospital
    file_claims(hospital, claims(1, ago=9))
    evidence.seal()
    parts.clear()
    slower = ExitStack()
    slower.enter_context(slow(evidence))
    for _ in range(3):
        hospital.receive(1)
    file_claims(hospital, claims(1, ago=8))

    def end_it() -> bool:
        slower.close()
        return False

    seal_hospital(hospital.database, organization_id=hospital.organization_id, is_stopped=end_it)
    assert len(parts) > 2
    evidence.settle()
    checked = evidence.check()
    assert (checked.findings, checked.unsealed) == ([], 0)
    for table in ("audit_events", "claim_records"):
        sealed = [row for _, rows in evidence.seals_of(table) for row in rows]
        assert sorted(sealed) == sorted(evidence.ids(table))


def test_a_round_behind_a_slow_transaction_looks_once_for_what_was_left(
    evidence: Evidence, parts: list[Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of its transactions would read again all that was sealed since."""
    looks = []
    look = sealing.floors_of
    monkeypatch.setattr(sealing, "floors_of", lambda *arguments: looks.append(1) or look(*arguments))
    with slow(evidence):
        for _ in range(3):
            evidence.hospital.receive(1)
        evidence.seal()
        assert len(parts) > 2
        assert len(looks) == 1
    evidence.settle()
    assert (evidence.findings(), evidence.check().unsealed) == ([], 0)


def test_a_seal_is_a_floor_once_a_round_has_seen_all_before_it_ended(evidence: Evidence) -> None:
    def floor() -> Floor:
        return hospital.run(lambda session: floors_of(session, hospital.organization_id)["audit_events"])

    hospital = evidence.hospital
    assert floor() == Floor(0, 0)
    with slow(evidence):
        evidence.seal()
        assert floor() == Floor(0, 0), "a transaction that was open then may still bring lower numbers"
    through = int(evidence.ids("audit_events")[-1])
    evidence.settle()
    assert floor().through >= through
    # As on a younger server, to which the database was restored: its next seal has a lower transaction id.
    hospital.receive(1)
    evidence.seal()
    last = int(evidence.ids("audit_events")[-1])
    newest = "(SELECT max(sealed_at) FROM audit_seals)"
    for transaction, horizon, when in ((10**12, 10**12, "<"), (700, 690, "=")):
        ids = f"transaction_id = {transaction}, horizon = {horizon}"
        evidence.tamper("audit_seals", f"UPDATE audit_seals SET {ids} WHERE sealed_at {when} {newest}")
    assert floor().through == int(evidence.seals_of("audit_events")[-2][1][-1]) < last
