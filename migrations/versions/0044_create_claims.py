"""Claims, drift runs, drift events, and the lanes in which runs of one hospital wait for each other."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

REPORT_LANES = range(256, 272)
# For the weekly run of every hospital, before any tenant is known: ids, and nothing of what they name.
ORGANIZATION_IDS = " BEGIN RETURN QUERY SELECT id FROM organizations ORDER BY id; END "

ANALYZE_CLAIMS = " BEGIN ANALYZE claim_records; END "


def upgrade() -> None:
    for lane in REPORT_LANES:
        op.execute(f"CREATE TABLE lanes.lane_{lane} (empty boolean, CHECK (false))")
        op.execute(f"GRANT DELETE ON lanes.lane_{lane} TO {ddl.application_role()}")
    ddl.allow_temporary_tables()
    ddl.create_function("organization_ids()", ORGANIZATION_IDS, returns="SETOF uuid", grant=True)
    _create_claim_records()
    ddl.create_function("analyze_claims()", ANALYZE_CLAIMS, returns="void", grant=True)
    _create_report_runs()
    _create_drift_events()


def _create_claim_records() -> None:
    op.create_table(
        "claim_records",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("claim_id", sa.Text(collation="C"), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("payer", sa.Text(collation="C"), nullable=False),
        sa.Column("cpt", sa.Text(), nullable=False),
        sa.Column("cpt_group", sa.Text(collation="C"), nullable=False),
        sa.Column("submitted_date", sa.Date(), nullable=False),
        sa.Column("decided_date", sa.Date(), nullable=True),
        sa.Column("outcome", sa.Enum("PAID", "DENIED", "PENDING", name="claim_outcome"), nullable=False),
        sa.Column("imported_by_id", sa.Uuid(), nullable=True),
        sa.Column("imported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("revision > 0", name=op.f("ck_claim_records_revision_positive")),
        sa.CheckConstraint(
            "(outcome = 'PENDING') = (decided_date IS NULL)", name=op.f("ck_claim_records_decided_date_with_outcome")
        ),
        sa.CheckConstraint("decided_date >= submitted_date", name=op.f("ck_claim_records_decided_after_submitted")),
        sa.ForeignKeyConstraint(
            ["organization_id", "imported_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_claim_records_organization_id_imported_by_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_claim_records_organization_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_claim_records")),
        sa.UniqueConstraint(
            "organization_id", "claim_id", "revision", name=op.f("uq_claim_records_organization_id_claim_id_revision")
        ),
    )
    op.create_index("ix_claim_records_submitted_date", "claim_records", ["organization_id", "submitted_date"])
    ddl.protect("claim_records", grants="SELECT, INSERT")
    ddl.append_only("claim_records")


def _create_report_runs() -> None:
    op.create_table(
        "report_runs",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("baseline_days", sa.Integer(), nullable=False),
        sa.Column("current_days", sa.Integer(), nullable=False),
        sa.Column("min_volume", sa.Integer(), nullable=False),
        sa.Column("adjust", sa.Boolean(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("running", "success", "failed", name="report_run_status"),
            server_default="running",
            nullable=False,
        ),
        sa.Column("groups_considered", sa.Integer(), nullable=True),
        sa.Column("events_created", sa.Integer(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("started_by_id", sa.Uuid(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "baseline_days > 0 AND current_days > 0 AND min_volume > 0",
            name=op.f("ck_report_runs_parameters_positive"),
        ),
        sa.CheckConstraint(
            "(status = 'running') = (finished_at IS NULL)", name=op.f("ck_report_runs_finished_at_with_status")
        ),
        sa.CheckConstraint(
            "(status = 'success') = (events_created IS NOT NULL)",
            name=op.f("ck_report_runs_events_created_with_success"),
        ),
        sa.CheckConstraint(
            "(events_created IS NULL) = (groups_considered IS NULL)", name=op.f("ck_report_runs_groups_with_events")
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (failure IS NOT NULL)", name=op.f("ck_report_runs_failure_with_status")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "started_by_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_report_runs_organization_id_started_by_id"),
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_report_runs_organization_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_report_runs")),
    )
    op.create_index("ix_report_runs_started_at", "report_runs", ["organization_id", "started_at", "id"])
    ddl.protect("report_runs", grants="SELECT, INSERT, UPDATE")
    ddl.audit("report_runs")


def _create_drift_events() -> None:
    """Without its unique constraint, which 0045 and 0046 bring as to a table that is written to."""
    values = ("baseline_value", "current_value", "delta_value", "severity", "confidence")
    intervals = ("baseline_low", "baseline_high", "current_low", "current_high", "p_value")
    windows = ("baseline_start", "baseline_end", "current_start", "current_end")
    volumes = ("baseline_volume", "current_volume", "current_undecided")
    op.create_table(
        "drift_events",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("report_run_id", sa.Uuid(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("cpt_group", sa.Text(), nullable=False),
        sa.Column("drift_type", sa.Enum("DENIAL_RATE", "DECISION_TIME", name="drift_type"), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in (*values, *intervals)),
        sa.Column("survives", sa.Boolean(), nullable=True),
        *(sa.Column(name, sa.Date(), nullable=False) for name in windows),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in volumes),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "severity BETWEEN 0 AND 1 AND confidence BETWEEN 0 AND 1",
            name=op.f("ck_drift_events_severity_and_confidence"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "report_run_id"],
            ["report_runs.organization_id", "report_runs.id"],
            name=op.f("fk_drift_events_organization_id_report_run_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_drift_events")),
    )
    ddl.protect("drift_events", grants="SELECT, INSERT")
    ddl.append_only("drift_events")


def downgrade() -> None:
    op.drop_table("drift_events")
    op.drop_table("report_runs")
    op.drop_table("claim_records")
    for name in ("drift_type", "report_run_status", "claim_outcome"):
        op.execute(f"DROP TYPE {name}")
    op.execute("DROP FUNCTION analyze_claims")
    op.execute("DROP FUNCTION organization_ids")
    ddl.forbid_temporary_tables()
    for lane in REPORT_LANES:
        op.execute(f"DROP TABLE lanes.lane_{lane}")
