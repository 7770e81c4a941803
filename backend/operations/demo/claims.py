"""Claims of the sample hospitals: three payers, of whom one has changed lately, and the run that finds it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from itertools import count
from typing import Any, NamedTuple

from backend.domain.claims.drift import BASELINE_DAYS, CURRENT_DAYS, Parameters
from backend.domain.claims.imports import ClaimFile, import_claims
from backend.domain.claims.models import ClaimOutcome
from backend.domain.claims.runs import run_drift
from backend.domain.organizations.calendar import today_of
from backend.operations.demo.site import Hospital

PAYERS = ("Harbor Mutual", "Meridian Health", "Northlake Plan")
CPT_GROUPS = {"Imaging": "72148", "Office visits": "99213", "Surgery": "27447"}
CLAIMS_PER_DAY = 6  # of each payer and group


class Habit(NamedTuple):
    """How a payer decides: one claim of `denies_one_of` is denied, after so many `days`, in turn."""

    denies_one_of: int
    days: tuple[int, ...]


USUAL = Habit(denies_one_of=12, days=(2, 3, 3, 4))
LATELY = {
    ("Meridian Health", "Imaging"): Habit(denies_one_of=3, days=(2, 3, 3, 4)),
    ("Meridian Health", "Surgery"): Habit(denies_one_of=12, days=(6, 7, 7, 8)),
}


def file_claims(hospital: Hospital) -> None:
    """The claims of both windows up to yesterday, and a run as of today."""
    actor, organization_id = hospital.staff["admin"], hospital.organization_id
    today = hospital.read(lambda session: today_of(session, organization_id=organization_id, now=hospital.now))
    with closing(ClaimFile()) as file:
        for line, claim in enumerate(_claims(today), start=2):
            file.accept(line, claim)
        hospital.database.transact(
            lambda session: import_claims(session, actor=actor, file=file, now=hospital.now), actor=actor, report=True
        )
    parameters = Parameters(as_of=today, adjust=True)
    run_drift(hospital.database, actor=actor, asked_by="demo", parameters=parameters, now=hospital.now)


def _claims(today: date) -> Iterator[dict[str, Any]]:
    """Oldest first; what would be decided after today is pending."""
    number = count(1)
    for ago in range(BASELINE_DAYS + CURRENT_DAYS, 0, -1):
        submitted = today - timedelta(days=ago)
        for payer in PAYERS:
            for cpt_group, cpt in CPT_GROUPS.items():
                habit = LATELY.get((payer, cpt_group), USUAL) if ago <= CURRENT_DAYS else USUAL
                for of_day in range(CLAIMS_PER_DAY):
                    nth = ago * CLAIMS_PER_DAY + of_day
                    decided = submitted + timedelta(days=habit.days[nth % len(habit.days)])
                    outcome = ClaimOutcome.DENIED if nth % habit.denies_one_of == 0 else ClaimOutcome.PAID
                    yield {
                        "claim_id": f"CL-{next(number):06d}",
                        "payer": payer,
                        "cpt": cpt,
                        "cpt_group": cpt_group,
                        "submitted_date": submitted,
                        "decided_date": decided if decided <= today else None,
                        "outcome": outcome if decided <= today else ClaimOutcome.PENDING,
                    }
