"""How a sealed row is written down before it is hashed: the same bytes on every server, in every session, for ever.

A row is a JSON array, its table's name first, then each column of its form: text, numbers, ids and enums as strings;
times in UTC with microseconds and dates in ISO 8601, whatever TimeZone and DateStyle say; floating point as the 16 hex
digits of IEEE 754; JSON columns as they stand (jsonb is stored in one canonical order). Its hash is the SHA-256 of that
in UTF-8. Nothing of where the row lies goes in (ctid, xmin), so a dump that is restored has the same hashes.

Decision: a form names its columns and never changes. A migration that adds a column to one of these tables adds a form
with it to the end of FORMS; rows that are sealed stay in theirs, since each seal says which it used. Because "all
columns" would make every sealed row look altered after the next migration. Cost: a list to keep, which a test compares
with the tables.

Decision: the stored answers of idempotency_keys are in no seal. Because the operator may archive and delete them, and
what they answered is in the ledger and the trail. audit_seals are their own chain.
"""

from dataclasses import dataclass

_UTC = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_KINDS = {"time": _UTC, "day": "to_char({}, 'YYYY-MM-DD')", "float": "encode(float8send({}), 'hex')", "json": "{}"}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to render the rows of one table; `columns` are names, with `:kind` where they are not plain text.

    `number` names the column that rises with the transactions (sealing.py), `key` the SQL type of `id`, `since` the
    column that says when a row was written.
    """

    version: int
    table: str
    number: str
    key: str
    since: str
    columns: str

    @property
    def hash(self) -> str:
        """The SQL expression of a row's hash."""
        values = ", ".join(_rendered(column) for column in self.columns.split())
        return f"sha256(convert_to(json_build_array('{self.table}', {values})::text, 'UTF8'))"


def _rendered(column: str) -> str:
    name, _, kind = column.partition(":")
    return _KINDS.get(kind, "{}::text").format(name)


FORMS = (
    Form(
        version=1,
        table="audit_events",
        number="id",
        key="bigint",
        since="occurred_at",
        columns="organization_id id occurred_at:time table_name row_id operation actor_id request_id transaction_id"
        " before:json after:json",
    ),
    Form(
        version=1,
        table="stock_movements",
        number="number",
        key="uuid",
        since="recorded_at",
        columns="organization_id id ward_id drug_id lot_id sequence units balance_after_units reason reference_id"
        " actor_id witness_id corrects_id note occurred_at:time recorded_at:time number",
    ),
    Form(
        version=2,
        table="stock_movements",
        number="number",
        key="uuid",
        since="recorded_at",
        columns="organization_id id ward_id drug_id lot_id sequence units balance_after_units reason reference_id"
        " actor_id witness_id corrects_id note occurred_at:time recorded_at:time requested_at:time number",
    ),
    Form(
        version=3,
        table="stock_movements",
        number="number",
        key="uuid",
        since="recorded_at",
        columns="organization_id id ward_id drug_id lot_id sequence units balance_after_units reason reference_id"
        " actor_id witness_id witness_due corrects_id note occurred_at:time recorded_at:time requested_at:time number",
    ),
    Form(
        version=1,
        table="dose_remainders",
        number="number",
        key="uuid",
        since="recorded_at",
        columns="organization_id id administration_id kind lot_id units reason actor_id witness_id occurred_at:time"
        " recorded_at:time number",
    ),
    Form(
        version=2,
        table="dose_remainders",
        number="number",
        key="uuid",
        since="recorded_at",
        columns="organization_id id administration_id kind lot_id units reason actor_id witness_id witness_due"
        " occurred_at:time recorded_at:time number",
    ),
    Form(
        version=1,
        table="claim_records",
        number="number",
        key="uuid",
        since="imported_at",
        columns="organization_id id claim_id revision payer cpt cpt_group submitted_date:day decided_date:day outcome"
        " imported_by_id imported_at:time number",
    ),
    Form(
        version=1,
        table="drift_events",
        number="number",
        key="uuid",
        since="created_at",
        columns="organization_id id report_run_id payer cpt_group drift_type baseline_value:float current_value:float"
        " delta_value:float severity:float confidence:float baseline_low:float baseline_high:float current_low:float"
        " current_high:float p_value:float survives baseline_start:day baseline_end:day current_start:day"
        " current_end:day baseline_volume current_volume current_undecided created_at:time number",
    ),
)
NEWEST = {form.table: form for form in FORMS}
BY_VERSION = {(form.table, form.version): form for form in FORMS}
