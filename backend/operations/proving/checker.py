"""The checker: what every client was told, held against what the database holds.

The audit trail says which request each transaction belonged to, the ledger which units moved for what, the idempotency
rows what was answered. None of the three is asked by the clients, so the history and the database are two witnesses.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from backend.config import Config
from backend.domain.models import Base
from backend.operations.proving.checks import boards, people, picking, teams, trail
from backend.operations.proving.checks.answers import Entries
from backend.operations.proving.checks.clocks import strayed
from backend.operations.proving.checks.cupboards import Cupboards, Tally, counts_of_variances
from backend.operations.proving.checks.isolation import NOT_FOUND, admitted, leaks
from backend.operations.proving.exchange import Reply
from backend.operations.proving.faults import Downtime
from backend.operations.proving.history import BUSY, UNDERSTANDING, Attempt, History, Operation
from backend.operations.proving.stand import Stand, ask, read
from backend.operations.verification.verify import Finding, verify

EXAMPLES_MAX = 10
# Refusals that no client of ours deserves: its requests are well-formed, its token is good, its key its own. And what
# only a constraint refused, the use case should have.
KEY_REUSED, FORBIDDEN = "idempotency_key_reused", "forbidden"
BUGS = frozenset(
    {
        "validation_failed",
        "not_authenticated",
        FORBIDDEN,
        KEY_REUSED,
        "constraint_violated",
        "value_out_of_range",
        "bad_request",
    }
)
# The application tries for so long before it says 503, whatever the reason, but where it cannot connect at all; a
# tenth is for clocks. Nothing that is slow makes an answer come sooner, so there is no false alarm on a busy machine.
TRIES_SECONDS = 0.9 * min(Config.retry_seconds_max, Config.lock_timeout_ms / 1000)
GAVE_UP = f"503 only after the application tried for {TRIES_SECONDS:.1f} s, or while PostgreSQL let nobody in"
AFTERMATH_SECONDS = 1.0  # after PostgreSQL is up a connection may fail that was asked for before
TRANSACTIONS = """SELECT organization_id::text, split_part(request_id, '.', 1), count(DISTINCT transaction_id)
  FROM audit_events WHERE request_id ~ '^[0-9]+-[0-9]+(-[23])?[.]' GROUP BY 1, 2"""
ANSWERS = "SELECT organization_id::text, key, sha256(answer) FROM idempotency_keys"
LEDGER = """SELECT reference_id::text, reason::text, sum(units) FROM stock_movements
  WHERE actor_id IS NOT NULL GROUP BY 1, 2 HAVING sum(units) <> 0"""
TWICE = """SELECT 'order ' || order_id || ' dose ' || dose_number || ': ' || count(*) || ' times'
  FROM medication_administrations WHERE entered_in_error_at IS NULL
  GROUP BY order_id, dose_number HAVING count(*) > 1"""
NEGATIVE = """SELECT 'level ' || id || ': ' || on_hand_units FROM stock_levels WHERE on_hand_units < 0
  UNION ALL SELECT 'lot ' || id || ': ' || quantity_units FROM stock_lots WHERE quantity_units < 0
  UNION ALL SELECT 'movement ' || id || ': balance ' || balance_after_units FROM stock_movements
    WHERE balance_after_units < 0"""
HELD = """SELECT o.id::text,
    (SELECT coalesce(sum(on_hand_units), 0) FROM stock_levels WHERE organization_id = o.id),
    (SELECT coalesce(sum(dispatched_units - received_units - returned_units - lost_units), 0)
      FROM stock_transfer_lots WHERE organization_id = o.id),
    (SELECT coalesce(sum(lost_units), 0) FROM stock_transfer_lots WHERE organization_id = o.id)
  FROM organizations AS o"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what breaks it; the first examples of it."""

    title: str
    broken: int
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class Units:
    """Where all units of a hospital went: `moved` by the clients' answers, the rest as the database holds it."""

    initial: int
    moved: dict[str, int]  # by reason of the ledger, transfers left out
    on_hand: int
    on_the_way: int
    lost_on_the_way: int

    @property
    def missing(self) -> int:
        """Units that are not accounted for: 0, or the proof has failed."""
        return self.initial + sum(self.moved.values()) - self.on_hand - self.on_the_way - self.lost_on_the_way


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks, the balance of units of each hospital, the places on care teams, and what was counted."""

    checks: Sequence[Check]
    units: dict[str, Units]
    seats: teams.Seats
    cupboards: Tally

    @property
    def proven(self) -> bool:
        """Whether nothing is broken."""
        return not any(check.broken for check in self.checks)


def check(history: History, stand: Stand, downtimes: Sequence[Downtime] = (), unaware: Sequence[str] = ()) -> Verdict:
    """Every check, on a stand at rest: no client asks and no request is under way.

    `unaware` are the nodes that did not say how far their clock is off.
    """
    operations = history.operations
    changes = [change for change in history.changes if not change.borrowed]
    units, (unlike_seats, seats) = _units(changes, stand), teams.compare(changes, stand)
    told = [
        _check("Every operation was answered in the end", (op for op in history.changes if not op.ended)),
        _check("No answer is a 5xx but 503", _failures(operations)),
        _check(GAVE_UP, _given_up(operations, downtimes)),
        _check("No refusal speaks of a bug", (op for op in history.changes if _speaks_of_a_bug(op))),
    ]
    there = _check_transactions(changes, _transactions(stand))
    repeats = [
        _check(
            "An operation was done for one request, every other one was told so",
            (op for op in changes if _done_twice(op)),
        ),
        _check("Every repeat got the same bytes, those that are stored", _other_bytes(changes, _answers(stand))),
    ]
    stock = [
        _check("The ledger moved the units that were acknowledged, and no other", _unlike(changes, stand)),
        _check("No dose is given twice", (what for (what,) in ask(stand.superuser_url, TWICE))),
        _check("Nothing is negative", (what for (what,) in ask(stand.superuser_url, NEGATIVE))),
        _check("All units are on hand, on their way, or went as acknowledged", _missing(units)),
    ]
    care = [
        _check("A patient has one PRIMARY at a time", teams.primaries_at_once(stand)),
        _check("Care teams changed as was acknowledged, and not otherwise", unlike_seats),
        _check("All places on care teams are those that were acknowledged", [str(seats)] if seats.missing else []),
    ]
    apart = [
        _check("No answer holds an id of another hospital", leaks(operations, stand)),
        _check("Who asks with an id of another hospital finds nothing and changes nothing", admitted(changes)),
    ]
    verified = _checks_of_verify(verify(stand.owner_url, Base.metadata))
    cupboards = Cupboards(changes, counts_of_variances(stand))
    content = _check_content(operations, changes, stand, cupboards)
    time = [
        _check("Every moment on record lies between its request and its answer", strayed(changes, history, stand)),
        _check("A node whose clock is off says so", unaware),
    ]
    checks = [*told, *there, *repeats, *stock, *content, *time, *care, *apart, *verified]
    return Verdict(checks, units, seats, cupboards.tally())


def _check_content(
    operations: Sequence[Operation], changes: Sequence[Operation], stand: Stand, cupboards: Cupboards
) -> list[Check]:
    """Check what answers say beside that it is done, which lots were taken, by whom, and what was physically there."""
    picks, entries = picking.replay(stand), Entries(stand)
    return [
        _check("What is left on the shelf by an answer is left by the ledger", entries.other_balances(changes)),
        _check("The lots of an answer are those of the ledger", entries.other_lots(changes)),
        _check("The first to expire was taken first", picks.out_of_order),
        _check("No lot was taken that had expired", picks.expired),
        _check("No lot was taken that was on hold", picks.on_hold),
        _check("No lot was taken that was recalled", picks.recalled),
        _check("The names on record are those of who asked and who witnessed", people.misnamed(changes, stand)),
        _check("Only nurses of the ward gave, before witnesses of the ward", people.strangers(changes, stand)),
        _check("A key answers nobody but the person who used it first", (op for op in operations if _is_lent(op))),
        _check("A board that was read after an answer shows it", boards.stale(operations)),
        _check("The audit trail retells every row of every table", trail.gaps(stand)),
        _check("A count finds missing what is missing, and nothing else", cupboards.false_variances()),
        _check("No variance was written off that was none, or was written off before", cupboards.false_write_offs()),
    ]


def _is_lent(operation: Operation) -> bool:
    """Tell whether somebody else's key got another answer than that it is somebody else's."""
    answered = operation.acknowledged is not None or (bool(operation.replies) and operation.refusal != KEY_REUSED)
    return bool(operation.borrowed) and answered


def _transactions(stand: Stand) -> dict[tuple[str, str], int]:
    return {(owner, name): count for owner, name, count in read(stand.superuser_url, TRANSACTIONS)}


def _answers(stand: Stand) -> dict[tuple[str, str], bytes]:
    return {(owner, key): bytes(digest) for owner, key, digest in read(stand.superuser_url, ANSWERS)}


def _check(title: str, broken: Iterator[Operation | str] | Any) -> Check:
    found = [_shown(one) for one in broken]
    return Check(title, len(found), found[:EXAMPLES_MAX])


def _shown(one: Operation | str) -> str:
    if isinstance(one, str):
        return one
    heard = [_heard(attempt.reply) for attempt in one.attempts]
    return f"{one.name} {one.act} {one.wish.path}: {', '.join(heard)}"


def _heard(reply: Reply | None) -> str:
    if reply is None:
        return "no answer"
    return f"{reply.status}{' replayed' if reply.replayed else ''}"


def _failures(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        replies = [attempt.reply for attempt in operation.attempts if attempt.reply is not None]
        if any(reply.status >= 500 and reply.status != BUSY for reply in replies):
            yield operation


def _given_up(operations: Sequence[Operation], downtimes: Sequence[Downtime]) -> Iterator[Operation]:
    for operation in operations:
        busy = (each for each in operation.attempts if each.reply is not None and each.reply.status == BUSY)
        if any(_too_soon(attempt, downtimes) for attempt in busy):
            yield operation


def _too_soon(attempt: Attempt, downtimes: Sequence[Downtime]) -> bool:
    excused = any(
        down.begins <= attempt.answered_at and attempt.sent_at <= down.ends + AFTERMATH_SECONDS for down in downtimes
    )
    return attempt.answered_at - attempt.sent_at < TRIES_SECONDS and not excused


def _speaks_of_a_bug(operation: Operation) -> bool:
    """A probe may be told that there is no such thing, nobody else: nothing is ever taken away."""
    if operation.refusal and not operation.probe and operation.replies[-1].status == NOT_FOUND:
        return True
    return operation.refusal in BUGS - {operation.wish.excused, *_deserved(operation)}


def _deserved(operation: Operation) -> Iterator[str]:
    """List the refusals that this person, or this key, has to expect."""
    if operation.borrowed:
        yield KEY_REUSED
    if operation.wish.ward_id and not operation.person.works_on(operation.wish.ward_id):
        yield FORBIDDEN


def _check_transactions(changes: Sequence[Operation], transactions: dict[tuple[str, str], int]) -> list[Check]:
    """An operation's transactions by the audit trail: one where it was acknowledged, none where it was not."""
    lost, twice, unasked = list[Operation](), list[Operation](), list[Operation | str]()
    for operation in changes:
        count, changed = transactions.pop(operation.key, 0), operation.changed
        lost += [operation] if changed and not count else []
        twice += [operation] if count > 1 else []
        unasked += [operation] if count and not changed else []
    unasked += [f"{name}: a change that nobody asked for" for _, name in transactions]
    return [
        _check("Every acknowledged change is there", lost),
        _check("No change is there twice", twice),
        _check("Nothing that was refused is there", unasked),
    ]


def _done_twice(operation: Operation) -> bool:
    return sum(reply.status in UNDERSTANDING and not reply.replayed for reply in operation.replies) > 1


def _other_bytes(changes: Sequence[Operation], answers: dict[tuple[str, str], bytes]) -> Iterator[Operation | str]:
    for operation in changes:
        bodies = {sha256(reply.body).digest() for reply in operation.replies if reply.status in UNDERSTANDING}
        stored = answers.pop(operation.key, None)
        if bodies != ({stored} if stored is not None else set()):
            yield operation
    yield from (f"key {key}: stored for nobody" for _, key in answers)


def _unlike(changes: Sequence[Operation], stand: Stand) -> Iterator[str]:
    told: Counter[tuple[str, str]] = Counter()
    for operation in changes:
        for posted in operation.posted:
            told[posted.reference_id, posted.reason] += posted.units
    found = {(reference, reason): int(units) for reference, reason, units in read(stand.superuser_url, LEDGER)}
    for key in sorted({key for key, units in told.items() if units} | set(found)):
        if told[key] != found.get(key, 0):
            yield f"{key[1]} {key[0]}: acknowledged {told[key]}, ledger {found.get(key, 0)}"


def _units(changes: Sequence[Operation], stand: Stand) -> dict[str, Units]:
    moved: dict[str, Counter[str]] = defaultdict(Counter)
    for operation in changes:
        for posted in operation.posted:
            if not posted.reason.startswith("transfer"):
                moved[operation.key[0]][posted.reason] += posted.units
    held = {owner: [int(units) for units in rest] for owner, *rest in ask(stand.superuser_url, HELD)}
    owners = {hospital.slug: (hospital, str(hospital.organization_id)) for hospital in stand.hospitals}
    return {
        slug: Units(hospital.initial_units, dict(moved[owner]), *held[owner])
        for slug, (hospital, owner) in owners.items()
    }


def _missing(units: dict[str, Units]) -> Iterator[str]:
    yield from (f"{slug}: {each.missing} units missing" for slug, each in units.items() if each.missing)


def _checks_of_verify(findings: Sequence[Finding]) -> list[Check]:
    """What `valmed verify` finds: a check for each that is broken, one for all the others."""
    sound = sum(not finding.broken for finding in findings)
    broken = [Check(f"verify: {f.invariant.title}", f.broken, f.rows[:EXAMPLES_MAX]) for f in findings if f.broken]
    return [*broken, Check(f"verify: {sound} checks of `valmed verify`", 0, [])]
