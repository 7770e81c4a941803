"""Claims, drift runs and the events that a run finds."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Double, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.db import Base, Numbered, Tenant, Timestamped, belongs_to, of_organization, pg_enum


class ClaimOutcome(StrEnum):
    """How the payer decided; a claim is pending until it has."""

    PAID = "PAID"
    DENIED = "DENIED"
    PENDING = "PENDING"


class RunStatus(StrEnum):
    """running -> success, running -> failed; a failed run that is asked for again runs anew."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class DriftType(StrEnum):
    """What drifted: the share of decided claims that was denied, or the median of days until the decision."""

    DENIAL_RATE = "DENIAL_RATE"
    DECISION_TIME = "DECISION_TIME"


class ClaimRecord(Tenant, Numbered, Base):
    """What an import said of a claim. Insert-only: the highest `revision` of a claim stands, without gaps from 1.

    Decision: a claim that is decided later is a new row. Because every table is audited or insert-only, and an audit
    row for each of a million claims costs more than the claims. Cost: whoever reads looks for a newer revision.
    """

    __tablename__ = "claim_records"
    __table_args__ = (
        of_organization(),
        belongs_to("users", "imported_by_id"),
        UniqueConstraint("organization_id", "claim_id", "revision"),
        CheckConstraint("revision > 0", name="revision_positive"),
        CheckConstraint("(outcome = 'PENDING') = (decided_date IS NULL)", name="decided_date_with_outcome"),
        CheckConstraint("decided_date >= submitted_date", name="decided_after_submitted"),
        Index("ix_claim_records_submitted_date", "organization_id", "submitted_date"),
        Index("ix_claim_records_number", "organization_id", "number"),
    )

    claim_id: Mapped[str] = mapped_column(Text(collation="C"))
    revision: Mapped[int] = mapped_column(Integer)
    payer: Mapped[str] = mapped_column(Text(collation="C"))
    cpt: Mapped[str]
    cpt_group: Mapped[str] = mapped_column(Text(collation="C"))
    submitted_date: Mapped[date]
    decided_date: Mapped[date | None]
    outcome: Mapped[ClaimOutcome] = mapped_column(pg_enum(ClaimOutcome, "claim_outcome"))
    imported_by_id: Mapped[UUID | None]
    imported_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


class ReportRun(Tenant, Timestamped, Base):
    """A comparison of two windows of claims, its parameters and how it ended."""

    __tablename__ = "report_runs"
    __table_args__ = (
        of_organization(),
        belongs_to("users", "started_by_id"),
        CheckConstraint("baseline_days > 0 AND current_days > 0 AND min_volume > 0", name="parameters_positive"),
        CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_at_with_status"),
        CheckConstraint("(status = 'success') = (events_created IS NOT NULL)", name="events_created_with_success"),
        CheckConstraint("(events_created IS NULL) = (groups_considered IS NULL)", name="groups_with_events"),
        CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="failure_with_status"),
        Index("ix_report_runs_started_at", "organization_id", "started_at", "id"),
    )

    as_of: Mapped[date]
    baseline_days: Mapped[int] = mapped_column(Integer)
    current_days: Mapped[int] = mapped_column(Integer)
    min_volume: Mapped[int] = mapped_column(Integer)
    adjust: Mapped[bool]
    status: Mapped[RunStatus] = mapped_column(pg_enum(RunStatus, "report_run_status"), server_default="running")
    groups_considered: Mapped[int | None] = mapped_column(Integer)
    events_created: Mapped[int | None] = mapped_column(Integer)
    failure: Mapped[str | None]
    started_by_id: Mapped[UUID | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class DriftEvent(Tenant, Numbered, Base):
    """A group of claims that a run found to have drifted, with everything a reader needs to judge it. Insert-only.

    Values are rates from 0 to 1, or days. A window begins with its first day and ends before its `end`. `low` and
    `high` are 95 % intervals. `survives` is None unless the run adjusted for the number of its comparisons.
    """

    __tablename__ = "drift_events"
    __table_args__ = (
        belongs_to("report_runs", "report_run_id"),
        UniqueConstraint(
            "organization_id", "report_run_id", "payer", "cpt_group", "drift_type", name="driftevent_unique_signal"
        ),
        CheckConstraint("severity BETWEEN 0 AND 1", name="severity_range"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_range"),
        Index("ix_drift_events_number", "organization_id", "number"),
    )

    report_run_id: Mapped[UUID]
    payer: Mapped[str]
    cpt_group: Mapped[str]
    drift_type: Mapped[DriftType] = mapped_column(pg_enum(DriftType, "drift_type"))
    baseline_value: Mapped[float] = mapped_column(Double)
    current_value: Mapped[float] = mapped_column(Double)
    delta_value: Mapped[float] = mapped_column(Double)
    severity: Mapped[float] = mapped_column(Double)
    confidence: Mapped[float] = mapped_column(Double)
    baseline_low: Mapped[float] = mapped_column(Double)
    baseline_high: Mapped[float] = mapped_column(Double)
    current_low: Mapped[float] = mapped_column(Double)
    current_high: Mapped[float] = mapped_column(Double)
    p_value: Mapped[float] = mapped_column(Double)
    survives: Mapped[bool | None]
    baseline_start: Mapped[date]
    baseline_end: Mapped[date]
    current_start: Mapped[date]
    current_end: Mapped[date]
    baseline_volume: Mapped[int] = mapped_column(Integer)
    current_volume: Mapped[int] = mapped_column(Integer)
    current_undecided: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
