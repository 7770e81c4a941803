"""Payer drift: claims from a file, runs, and what each of them found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.api.claims import ImportQuery, closed_in_the_end
from backend.api.claims_csv import read_claims
from backend.domain.claims.drift import BASELINE_DAYS, CURRENT_DAYS, MIN_VOLUME
from backend.domain.claims.imports import COLUMNS
from backend.domain.claims.models import DriftType
from backend.errors import DomainError
from backend.ui.frame.asking import answer_of, ask, ensure_may
from backend.ui.frame.downloads import file_of
from backend.ui.frame.forms import by, number_of, query_fields
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key
from backend.ui.frame.svg import LABELS_MAX, Estimate, IntervalChart, interval_chart
from backend.web.parsing import load

blueprint = blueprint_of("drift", body_max="CLAIMS_BYTES_MAX")
EVENTS = "GET /drift/runs/<uuid:run_id>/events"
NUMBERS = {"baseline_days": BASELINE_DAYS, "current_days": CURRENT_DAYS, "min_volume": MIN_VOLUME}
ADVICE = {"busy": "Another run takes long, or the database does. Nothing was changed; try again."}


@dataclass(frozen=True)
class PayerChart:
    """What drifted at one payer by one measure; `rest` are further groups that the chart has no room for."""

    payer: str
    drift_type: DriftType
    chart: IntervalChart
    events: Sequence[dict[str, Any]]
    rest: int


@blueprint.get("/drift")
def show_runs() -> str:
    """Runs, newest first, and the forms for a new one and for claims."""
    return _runs(None, {})


@blueprint.post("/drift")
def run() -> AnyResponse | tuple[str, int]:
    """Looks for drift now."""
    typed = {name: request.form.get(name, "").strip() for name in ("as_of", *NUMBERS)}
    body = {name: number_of(value) if name in NUMBERS else value for name, value in typed.items() if value}
    try:
        made = ask("POST /drift/runs", body={**body, "adjust": "adjust" in request.form}, key=form_key())
    except DomainError as refusal:
        return _runs(refusal, {**typed, "adjust": "adjust" in request.form}), refusal.status
    return redirect(url_for(".show_run", run_id=made["id"]))


@blueprint.post("/drift/claims")
def import_claims() -> str | tuple[str, int]:
    """Imports a file of claims and shows what became of its lines."""
    ensure_may("POST /claims/imports")
    try:
        after = load(ImportQuery(), {"after_line": request.form.get("after_line", "0").strip()})["after_line"]
        sent = request.files.get("file")
        file = closed_in_the_end(read_claims(sent.stream, told_after=after)) if sent is not None else None
        imported = ask("POST /claims/imports", body={"file": file} if file else {}, key=form_key())
    except DomainError as refusal:
        return _runs(refusal, {}), refusal.status
    return render_template("claims_imported.html", imported=imported)


@blueprint.get("/drift/runs/<uuid:run_id>")
def show_run(run_id: UUID) -> str:
    """A run with a page of its events, the most severe first, and a chart for each of their payers."""
    path = {"run_id": run_id}
    run = ask("GET /drift/runs/<uuid:run_id>", path=path)
    page = ask(EVENTS, path=path, query=query_fields("cursor"))
    events = page["items"]
    return render_template("drift_run.html", run=run, events=events, charts=charts_of(events), more=page["next_cursor"])


@blueprint.get("/drift/runs/<uuid:run_id>/events.csv")
def export_events(run_id: UUID) -> Response:
    """All events of a run as a file."""
    answer = answer_of(f"{EVENTS}.csv", path={"run_id": run_id})
    return file_of(answer.body, f"drift-{run_id}")


def charts_of(events: Sequence[dict[str, Any]]) -> list[PayerChart]:
    """A chart for each payer and measure among the events, in their order."""
    charts = []
    for payer, of_payer in by(events, "payer").items():
        for drift_type, drifted in by(of_payer, "drift_type").items():
            shown = drifted[:LABELS_MAX]
            is_rate = drift_type == DriftType.DENIAL_RATE
            pairs = [(event["cpt_group"], *_estimates(event, 100 if is_rate else 1)) for event in shown]
            chart = interval_chart(pairs, unit=" %" if is_rate else " d")
            charts.append(PayerChart(payer, DriftType(drift_type), chart, shown, len(drifted) - len(shown)))
    return charts


def _estimates(event: dict[str, Any], scale: int) -> tuple[Estimate, Estimate]:
    before, now = (
        Estimate(*(event[f"{window}_{name}"] * scale for name in ("value", "low", "high")))
        for window in ("baseline", "current")
    )
    return before, now


def _runs(refusal: DomainError | None, given: dict[str, Any]) -> str:
    page = ask("GET /drift/runs", query=query_fields("cursor"))
    return render_template(
        "drift.html",
        runs=page["items"],
        more=page["next_cursor"],
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal else "",
        key=kept_key(refusal),
        given={**NUMBERS, **given},
        columns=COLUMNS,
    )
