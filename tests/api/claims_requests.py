"""One valid request for every operation of claims and payer drift."""

from typing import Any
from uuid import UUID

from backend.domain.claims.runs import write_events
from tests.api.custody_requests import Ask, unique
from tests.domain.claims import filing
from tests.domain.claims.filing import AS_OF, HEADER, claims, file_claims, run
from tests.hospital import Hospital

FILED = "SELECT id FROM report_runs WHERE events_created > 1 ORDER BY id LIMIT 1"


def a_file(_hospital: Hospital) -> bytes:
    """A file of one claim that nobody has yet, and a line that is wrong."""
    return f"{HEADER}\n{unique('C')},Aetna,72148,Imaging,2020-01-05,2020-01-20,PAID\nx\n".encode()


def a_run(hospital: Hospital) -> UUID:
    """A run that found two events; the claims are so old that no other run sees them."""
    found = hospital.rows(FILED)
    if not found:
        for payer, denied in (("Aetna", 20), ("Cigna", 30)):
            file_claims(hospital, claims(30, ago=50, payer=payer), claims(30, ago=7, denied=denied, payer=payer))
        run(hospital)
        found = hospital.rows(FILED)
    return UUID(str(found[0][0]))


def an_event(hospital: Hospital, letter: str) -> None:
    """An event of the hospital's only run: the later in the alphabet its group, the less severe."""
    if not hospital.rows("SELECT id FROM report_runs"):
        run(hospital)
    ((run_id,),) = hospital.rows("SELECT id FROM report_runs")
    event = filing.an_event(cpt_group=letter, severity=1 - (ord(letter) - ord("a")) / 30)
    at = {"organization_id": hospital.organization_id, "run_id": run_id}
    hospital.run(lambda session: write_events(session, events=[event], **at))


def _of_run(hospital: Hospital, **query: Any) -> Ask:
    return Ask(path={"run_id": a_run(hospital)}, query=query)


def _new_run(_hospital: Hospital) -> dict[str, Any]:
    return {
        "as_of": AS_OF.isoformat(),
        "baseline_days": 60,
        "current_days": 20,
        "min_volume": int(unique("")[-6:], 16) % 1_000 + 1,
        "adjust": True,
    }


VALID = {
    "POST /claims/imports": lambda h: Ask(data=a_file(h)),
    "POST /drift/runs": lambda h: Ask(body=_new_run(h)),
    "GET /drift/runs": lambda h: Ask(),
    "GET /drift/runs/<uuid:run_id>": _of_run,
    "GET /drift/runs/<uuid:run_id>/events": _of_run,
    "GET /drift/runs/<uuid:run_id>/events.csv": _of_run,
}
