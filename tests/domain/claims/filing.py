"""Claims for tests: made, filed as a hospital's CSV, and looked at by a run."""

import csv
import io
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from backend.actor import Actor
from backend.api.claims_csv import read_claims
from backend.db.paging import PageRequest
from backend.domain.claims import queries
from backend.domain.claims.drift import Parameters
from backend.domain.claims.imports import COLUMNS, Imported, import_claims
from backend.domain.claims.models import DriftType
from backend.domain.claims.runs import run_drift
from tests.day import look
from tests.hospital import Hospital, now

AS_OF = date(2026, 6, 1)
HEADER = ",".join(COLUMNS)


@dataclass(frozen=True)
class Claim:
    """A claim that was submitted `ago` days before AS_OF and decided after `days`; None while it is pending."""

    ago: int
    days: int | None = 10
    denied: bool = False
    payer: str = "Aetna"
    cpt_group: str = "Imaging"
    claim_id: str = ""

    @property
    def outcome(self) -> str:
        """As the file says it."""
        return "PENDING" if self.days is None else "DENIED" if self.denied else "PAID"

    @property
    def row(self) -> tuple[object, ...]:
        """Its line of a file."""
        submitted = AS_OF - timedelta(days=self.ago)
        decided = "" if self.days is None else submitted + timedelta(days=self.days)
        claim_id = self.claim_id or f"C-{uuid.uuid4().hex}"
        return claim_id, self.payer, 72148, self.cpt_group, submitted, decided, self.outcome


def claims(volume: int, *, ago: int, denied: int = 0, days: Sequence[int] = (10,), **values: Any) -> list[Claim]:
    """So many claims of one day, the first `denied` of them denied; `days` are taken in turn."""
    return [Claim(ago, days[at % len(days)], at < denied, **values) for at in range(volume)]


def csv_of(filed: Iterable[Claim]) -> bytes:
    """The file."""
    written = io.StringIO()
    csv.writer(written).writerows([COLUMNS, *(claim.row for claim in filed)])
    return written.getvalue().encode()


def import_csv(hospital: Hospital, raw: bytes, actor: Actor | None = None, *, told_after: int = 0) -> Imported:
    """What became of a file."""
    who = actor or hospital.operator
    with closing(read_claims(io.BytesIO(raw), told_after=told_after)) as file:
        return hospital.database.transact(
            lambda session: import_claims(session, actor=who, file=file, now=now()),
            actor=who,
            repeatable=True,
            report=True,
        )


def file_claims(hospital: Hospital, *filed: Iterable[Claim]) -> None:
    """All of them are in the hospital's claims."""
    rows = [claim for some in filed for claim in some]
    assert import_csv(hospital, csv_of(rows)).created == len(rows)


def run(hospital: Hospital, asked_by: str = "", **parameters: Any) -> UUID:
    """The id of a new run, or of the one that `asked_by` names."""
    return run_drift(
        hospital.database,
        actor=hospital.operator,
        asked_by=asked_by or uuid.uuid4().hex,
        parameters=Parameters(**{"as_of": AS_OF, **parameters}),
        now=now(),
    )


def events_of(hospital: Hospital, run_id: UUID) -> list[Any]:
    """What a run found, the most severe first."""
    at = {"organization_id": hospital.organization_id, "run_id": run_id}
    return list(look(hospital, lambda session: queries.list_events(session, page=PageRequest(limit=200), **at)).items)


def drift(hospital: Hospital, **parameters: Any) -> dict[tuple[str, str, str], Any]:
    """The events of a new run by payer, CPT group and type."""
    found = events_of(hospital, run(hospital, **parameters))
    return {(event.payer, event.cpt_group, str(event.drift_type)): event for event in found}


def states(hospital: Hospital) -> list[tuple[Any, ...]]:
    """Every run with its status, its figures and how many events it has."""
    return hospital.rows(
        "SELECT r.status::text, r.groups_considered, r.events_created, r.failure,"
        " (SELECT count(*) FROM drift_events e WHERE e.report_run_id = r.id) FROM report_runs r ORDER BY r.started_at"
    )


def an_event(payer: str = "Aetna", **values: Any) -> dict[str, Any]:
    """An event as a run writes it."""
    return {
        **dict.fromkeys(("baseline_value", "current_value", "delta_value", "severity", "confidence"), 0.5),
        **dict.fromkeys(("baseline_low", "baseline_high", "current_low", "current_high", "p_value"), 0.5),
        **dict.fromkeys(("baseline_start", "baseline_end", "current_start", "current_end"), AS_OF),
        **dict.fromkeys(("baseline_volume", "current_volume", "current_undecided"), 5),
        "payer": payer,
        "cpt_group": "Imaging",
        "drift_type": DriftType.DENIAL_RATE,
        "survives": None,
        **values,
    }
