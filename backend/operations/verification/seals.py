"""The invariant of the seals, number 6: their chain alone, as backend/domain/audit/chain.py defines it, computed
once more in SQL. `valmed audit verify` also reads the rows that they are about."""

from backend.operations.verification.invariant import Invariant

SEALS = (
    Invariant(
        6,
        "The chain of seals has no gap, and every seal has the hash of what it says",
        r"""SELECT 'seal ' || s.id || ' (' || s.table_name || ')'
        FROM (SELECT *, lag(id, 1, 0::bigint) OVER chain AS id_before,
            lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER chain AS hash_before
          FROM audit_seals WHERE organization_id = $organization WINDOW chain AS (ORDER BY id)) s,
        LATERAL (SELECT string_agg(row_id || ' ' || encode(substr(s.row_hashes, 32 * place::int - 31, 32), 'hex')
            || E'\n', '' ORDER BY place) FROM unnest(s.row_ids) WITH ORDINALITY r (row_id, place)) r (lines)
        WHERE s.id <> s.id_before + 1 OR s.previous_hash <> s.hash_before
          OR s.hash <> sha256(convert_to(concat_ws(E'\n', s.organization_id, s.id, s.table_name, s.form,
          to_char(s.sealed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), s.through, s.transaction_id,
          s.horizon, encode(s.previous_hash, 'hex'), r.lines), 'UTF8'))""",
    ),
)
