"""Commands that list: nothing is left out without a word."""

import re
from collections.abc import Callable
from dataclasses import replace

from backend.config import Config
from backend.db import Database
from backend.db.paging import LIMIT_MAX
from backend.db.provision import application_url
from backend.operations.verification.verify import ROWS_SHOWN_MAX
from tests.cli.running import Loaded
from tests.domain.claims.filing import AS_OF, Claim, claims, file_claims
from tests.hospital import Hospital, open_hospital

Succeed = Callable[..., str]


def test_more_alerts_than_shown_are_counted_and_all_are_to_be_had(
    hospital: Hospital, config: Config, succeed: Succeed
) -> None:
    """Each drug has a reorder point and nothing on its shelf."""
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)"
        " SELECT :p1, gen_random_uuid(), 'Bulk ' || n, 'bulk', '1', 'tablet', 'tablet' FROM generate_series(1, :p2) n",
        hospital.organization_id,
        LIMIT_MAX + 3,
    )
    hospital.change(
        "INSERT INTO stock_levels (organization_id, id, ward_id, drug_id, reorder_point_units, par_level_units)"
        " SELECT organization_id, gen_random_uuid(), :p1, id, 5, 9 FROM drugs WHERE name LIKE 'Bulk%'"
        " ON CONFLICT (organization_id, ward_id, drug_id) DO UPDATE SET reorder_point_units = 5, par_level_units = 9",
        hospital.ward_id,
    )
    first = succeed(config, "alerts", hospital.slug)
    everything = succeed(config, "alerts", hospital.slug, "--all")
    total = hospital.rows("SELECT count(*) FROM alerts WHERE cleared_at IS NULL")[0][0]
    assert total > LIMIT_MAX
    assert f"... and {total - LIMIT_MAX} older ones: see them with --all\n{total} open alerts\n" in first
    assert len(re.findall(r"Bulk", first)) <= LIMIT_MAX
    drugs = re.findall(r": (Bulk \d+) \(", everything)
    assert len(drugs) == len(set(drugs)) == LIMIT_MAX + 3
    assert "... and" not in everything


def test_run_of_drift_shows_every_event(hospital: Hospital, config: Config, succeed: Succeed) -> None:
    filed: list[Claim] = []
    payers = [f"Payer {number}" for number in range(LIMIT_MAX + 2)]
    for payer in payers:
        filed.extend(claims(30, ago=50, denied=3, payer=payer))
        filed.extend(claims(30, ago=7, denied=18, payer=payer))
    file_claims(hospital, filed)
    shown = succeed(config, "drift", "run", "--organization", hospital.slug, "--as-of", str(AS_OF))
    assert set(re.findall(r"(Payer \d+) /", shown)) == set(payers)
    assert f"{len(re.findall(r' -> ', shown))} events in " in shown


def test_verify_counts_the_rows_it_leaves_out_and_names_all(
    succeed: Succeed, valmed: Loaded, fresh_config: Config
) -> None:
    database = Database(fresh_config, application_url(fresh_config))
    hospital = open_hospital(database)
    for number in range(ROWS_SHOWN_MAX + 3):
        shelf = replace(hospital.shelf, drug_id=hospital.add_drug(f"Bulk {number}"))
        hospital.receive(5, shelf=shelf)
    assert "--all" not in succeed(fresh_config, "verify")
    hospital.change("UPDATE stock_levels SET on_hand_units = 4 WHERE on_hand_units = 5")
    first = valmed("verify", database_url=fresh_config.database_url).stdout
    assert first.count(": level 4, lots 5\n") == ROWS_SHOWN_MAX
    assert "\n  ... and 3 more: see them with --all\n" in first
    everything = valmed("verify", "--all", database_url=fresh_config.database_url).stdout
    assert everything.count(": level 4, lots 5\n") == ROWS_SHOWN_MAX + 3
    assert "... and" not in everything
    database.engine.dispose()
