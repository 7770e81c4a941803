"""What only another hospital knows, and how to tell whether some of it is shown."""

import re

import sqlalchemy as sa

from backend.domain.models import Base
from tests.domain.claims.filing import claims, file_claims, run
from tests.hospital import Hospital

MARK = "Theirs"
GTIN = "05012345678900"  # of a drug that nobody else has
INSERT_ONLY = {
    "audit_events",
    "audit_seals",
    "claim_records",
    "dose_remainders",
    "drift_events",
    "idempotency_keys",
    "stock_movements",
}
UNMARKED = {  # what is read by machines, or how their staff signs in
    *("users.email", "users.password_hash", "users.totp_secret", "organizations.slug", "organizations.time_zone"),
    *("drugs.gtin", "drugs.ndc", "drugs.atc"),
}
ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def mark(hospital: Hospital) -> None:
    """Puts MARK into every text of the hospital; what is insert-only is filed anew with it, where a user names it."""
    for name, table in Base.metadata.tables.items():
        texts = [
            column.name
            for column in table.columns
            if isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum) and column.computed is None
        ]
        marked = [f"{text} = '{MARK} ' || {text}" for text in texts if f"{name}.{text}" not in UNMARKED]
        if marked and name not in INSERT_ONLY:
            hospital.change(f"UPDATE {name} SET {', '.join(marked)}")
    hospital.change("UPDATE drugs SET gtin = :p1 WHERE id = :p2", GTIN, hospital.drug_id)
    words = {"payer": f"{MARK} payer", "cpt_group": f"{MARK} group"}
    file_claims(hospital, claims(30, ago=50, **words), claims(30, ago=7, denied=30, **words))
    run(hospital)


class Foreign:
    """Every id of a hospital, its slug and its mark."""

    def __init__(self, hospital: Hospital) -> None:
        self._words = re.compile(f"{MARK}|{hospital.slug}")
        self._ids = {str(hospital.organization_id)}
        for name, table in Base.metadata.tables.items():
            if "id" in table.columns:
                self._ids |= {str(row[0]) for row in hospital.rows(f"SELECT id FROM {name}")}

    def search(self, text: str, sent: str = "") -> list[str]:
        """What `text` shows of the hospital, but for `sent`, which whoever asked knew before."""
        shown = text.replace(sent, "") if sent else text
        return [*self._words.findall(shown), *(found for found in ID.findall(shown) if found in self._ids)]
