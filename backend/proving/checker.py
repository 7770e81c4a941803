"""The checker: what every client was told, held against what the database holds.

The audit trail says which request each transaction belonged to, the ledger which units moved for what, the idempotency
rows what was answered. None of the three is asked by the clients, so the history and the database are two witnesses.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.models import Base
from backend.proving.exchange import Reply
from backend.proving.history import BUSY, UNDERSTANDING, History, Operation
from backend.proving.stand import Stand, ask
from backend.reports.verification import Finding, verify

EXAMPLES_MAX = 10
# Refusals that no client of ours deserves: its requests are well-formed, its token is good, its key its own. And what
# only a constraint refused, the use case should have.
BUGS = frozenset(
    {
        "validation_failed",
        "not_authenticated",
        "forbidden",
        "idempotency_key_reused",
        "constraint_violated",
        "value_out_of_range",
        "bad_request",
        "not_found",
    }
)
TRANSACTIONS = """SELECT split_part(request_id, '.', 1), count(DISTINCT transaction_id) FROM audit_events
  WHERE request_id ~ '^[0-9]+-[0-9]+(-2)?[.]' GROUP BY 1"""
ANSWERS = "SELECT key, answer FROM idempotency_keys"
LEDGER = """SELECT reference_id::text, reason::text, sum(units) FROM stock_movements
  WHERE actor_id IS NOT NULL GROUP BY 1, 2 HAVING sum(units) <> 0"""
TWICE = """SELECT 'order ' || order_id || ' dose ' || dose_number || ': ' || count(*) || ' times'
  FROM medication_administrations WHERE entered_in_error_at IS NULL
  GROUP BY order_id, dose_number HAVING count(*) > 1"""
NEGATIVE = """SELECT 'level ' || id || ': ' || on_hand_units FROM stock_levels WHERE on_hand_units < 0
  UNION ALL SELECT 'lot ' || id || ': ' || quantity_units FROM stock_lots WHERE quantity_units < 0
  UNION ALL SELECT 'movement ' || id || ': balance ' || balance_after_units FROM stock_movements
    WHERE balance_after_units < 0"""
HELD = """SELECT (SELECT coalesce(sum(on_hand_units), 0) FROM stock_levels),
  (SELECT coalesce(sum(dispatched_units - received_units - returned_units - lost_units), 0) FROM stock_transfer_lots),
  (SELECT coalesce(sum(lost_units), 0) FROM stock_transfer_lots)"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what breaks it; the first examples of it."""

    title: str
    broken: int
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class Units:
    """Where all units went: `came` and `went` by the clients' answers, the rest as the database holds it."""

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
    """All checks and the balance of units."""

    checks: Sequence[Check]
    units: Units

    @property
    def proven(self) -> bool:
        """Whether nothing is broken."""
        return not any(check.broken for check in self.checks)


def check(history: History, stand: Stand) -> Verdict:
    """Every check, on a stand at rest: no client asks and no request is under way."""
    changes = history.changes
    units = _units(changes, stand)
    told = [
        _check("Every operation was answered in the end", (op for op in changes if not op.ended)),
        _check("No answer is a 5xx but 503", _failures(history.operations)),
        _check("No refusal speaks of a bug", (op for op in changes if op.refusal in BUGS - {op.wish.excused})),
    ]
    there = _check_transactions(changes, dict(_rows(stand, TRANSACTIONS)))
    answers = {str(key): bytes(answer) for key, answer in _rows(stand, ANSWERS)}
    repeats = [
        _check(
            "An operation was done for one request, every other one was told so",
            (op for op in changes if _done_twice(op)),
        ),
        _check("Every repeat got the same bytes, those that are stored", _other_bytes(changes, answers)),
    ]
    stock = [
        _check("The ledger moved the units that were acknowledged, and no other", _unlike(changes, stand)),
        _check("No dose is given twice", (what for (what,) in _rows(stand, TWICE))),
        _check("Nothing is negative", (what for (what,) in _rows(stand, NEGATIVE))),
        _check("All units are on hand, on their way, or went as acknowledged", _missing(units)),
    ]
    verified = _checks_of_verify(verify(stand.owner_url, Base.metadata))
    return Verdict([*told, *there, *repeats, *stock, *verified], units)


def _rows(stand: Stand, query: str) -> list[Any]:
    return ask(stand.superuser_url, query)


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


def _check_transactions(changes: Sequence[Operation], transactions: dict[str, int]) -> list[Check]:
    """An operation's transactions by the audit trail: one where it was acknowledged, none where it was not."""
    lost = (op for op in changes if op.changed and not transactions.get(op.name))
    twice = (op for op in changes if transactions.get(op.name, 0) > 1)
    unasked = (op for op in changes if not op.changed and transactions.get(op.name))
    return [
        _check("Every acknowledged change is there", lost),
        _check("No change is there twice", twice),
        _check("Nothing that was refused is there", unasked),
    ]


def _done_twice(operation: Operation) -> bool:
    return sum(reply.status in UNDERSTANDING and not reply.replayed for reply in operation.replies) > 1


def _other_bytes(changes: Sequence[Operation], answers: dict[str, bytes]) -> Iterator[Operation | str]:
    for operation in changes:
        bodies = {reply.body for reply in operation.replies if reply.status in UNDERSTANDING}
        stored = answers.pop(operation.name, None)
        if bodies != ({stored} if stored is not None else set()):
            yield operation
    yield from (f"key {key}: stored for nobody" for key in answers)


def _unlike(changes: Sequence[Operation], stand: Stand) -> Iterator[str]:
    told: Counter[tuple[str, str]] = Counter()
    for operation in changes:
        for posted in operation.posted:
            told[posted.reference_id, posted.reason] += posted.units
    found = {(reference, reason): int(units) for reference, reason, units in _rows(stand, LEDGER)}
    for key in sorted({key for key, units in told.items() if units} | set(found)):
        if told[key] != found.get(key, 0):
            yield f"{key[1]} {key[0]}: acknowledged {told[key]}, ledger {found.get(key, 0)}"


def _units(changes: Sequence[Operation], stand: Stand) -> Units:
    moved: Counter[str] = Counter()
    for operation in changes:
        for posted in operation.posted:
            if not posted.reason.startswith("transfer"):
                moved[posted.reason] += posted.units
    ((on_hand, on_the_way, lost),) = _rows(stand, HELD)
    return Units(stand.hospital.initial_units, dict(moved), int(on_hand), int(on_the_way), int(lost))


def _missing(units: Units) -> Iterator[str]:
    if units.missing:
        yield f"{units.missing} units are missing"


def _checks_of_verify(findings: Sequence[Finding]) -> list[Check]:
    """What `valmed verify` finds: a check for each that is broken, one for all the others."""
    sound = sum(not finding.broken for finding in findings)
    broken = [Check(f"verify: {f.invariant.title}", f.broken, f.rows[:EXAMPLES_MAX]) for f in findings if f.broken]
    return [*broken, Check(f"verify: {sound} checks of `valmed verify`", 0, [])]
