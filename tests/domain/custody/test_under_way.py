"""A count against doses that are under way: what had left the shelf when it was counted is no variance."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Flask

from backend.actor import Actor, Role
from backend.domain.custody.counting import Counted
from backend.domain.custody.errors import VarianceOutdated
from backend.domain.custody.models import Resolution
from tests import day
from tests.hospital import PASSWORD, Hospital, now, sign_in


def _nurse_who_asks_now(hospital: Hospital) -> Actor:
    """The nurse with a request that has just arrived."""
    return replace(hospital.nurse, requested_at=hospital.database.now())


def test_dose_under_way_while_its_lot_was_counted_is_no_variance(hospital: Hospital) -> None:
    hospital.receive(10)
    order_id, count_id = hospital.place(), day.open_count(hospital)
    nurse = _nurse_who_asks_now(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 9))  # the ampoule is in the nurse's hand
    hospital.fulfil(order_id, actor=nurse)
    day.complete_count(hospital, count_id)
    assert day.discrepancies(hospital) == []
    assert hospital.rows("SELECT expected_units, counted_units FROM stock_count_lines") == [(9, 9)]


def test_dose_asked_for_after_the_count_stays_out_of_it(hospital: Hospital) -> None:
    hospital.receive(10)
    order_id, count_id = hospital.place(), day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 9))
    hospital.fulfil(order_id, actor=_nurse_who_asks_now(hospital))
    day.complete_count(hospital, count_id)
    assert hospital.rows("SELECT expected_units, found_units FROM discrepancies") == [(10, 9)]


def test_variance_is_outdated_once_its_dose_is_recorded(hospital: Hospital) -> None:
    """The dose is recorded only after the count was completed: resolving would take its unit a second time."""
    hospital.receive(10)
    order_id, count_id = hospital.place(), day.open_count(hospital)
    nurse = _nurse_who_asks_now(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 9))
    day.complete_count(hospital, count_id)
    (variance_id,) = day.discrepancies(hospital)
    hospital.fulfil(order_id, actor=nurse)
    for resolution in (Resolution.LOSS, Resolution.CORRECTION):
        with day.refused(hospital, VarianceOutdated):
            day.resolve(hospital, variance_id, resolution)
    day.resolve(hospital, variance_id, Resolution.MISCOUNT)
    assert hospital.on_hand() == 9


def test_dose_entered_late_from_paper_outdates_a_variance(hospital: Hospital) -> None:
    hospital.receive(10)
    order_id, before = hospital.place(), hospital.database.now() - timedelta(minutes=5)
    variance_id = _missing_one(hospital)
    hospital.fulfil(order_id, given_at=before)
    with day.refused(hospital, VarianceOutdated):
        day.resolve(hospital, variance_id, Resolution.LOSS)


def test_counts_by_clocks_that_are_ahead_write_a_unit_off_once(hospital: Hospital) -> None:
    hospital.receive(10)
    ahead = timedelta(seconds=50)
    first, second = _missing_one(hospital), _missing_one(hospital, counted_at=now() + ahead)
    day.resolve(hospital, first, Resolution.LOSS)
    with day.refused(hospital, VarianceOutdated):
        day.resolve(hospital, second, Resolution.LOSS)
    assert hospital.on_hand() == 9


def test_count_beside_a_witnessed_dose_finds_nothing_missing(app: Flask, hospital: Hospital) -> None:
    """Over HTTP, in whichever order they reach the shelf: the witness's password takes longer than the count."""
    hospital.drug_id = hospital.add_drug("Fentanyl", controlled_schedule=2, unit="ampoule")
    hospital.receive(20)
    nurse, counter = sign_in(app, hospital, "nurse"), sign_in(app, hospital, "pharmacist")
    hospital.add_staff("second", Role.NURSE, (hospital.ward_id,))
    witness = {"email": f"second@{hospital.slug}.example", "password": PASSWORD}
    lot_id = str(day.lot_id(hospital))
    for held in range(20, 15, -1):
        order_id = hospital.place()
        opened = counter.post("/counts", {"ward_id": str(hospital.ward_id)}).json["id"]
        with ThreadPoolExecutor(1) as hands:
            dose = hands.submit(nurse.post, f"/orders/{order_id}/fulfill", {"witness": witness})
            time.sleep(0.03)
            line = {"lot_id": lot_id, "counted_units": held - 1}
            assert counter.post(f"/counts/{opened}/lines", {"lines": [line]}).status_code == 200
        assert counter.post(f"/counts/{opened}/complete").status_code == 200
        assert dose.result().status_code == 200
    assert day.discrepancies(hospital) == []


def _missing_one(hospital: Hospital, **counted: Any) -> Any:
    """The variance of a count that finds nine of ten."""
    known, count_id = set(day.discrepancies(hospital)), day.open_count(hospital)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 9, **counted))
    day.complete_count(hospital, count_id)
    (variance_id,) = set(day.discrepancies(hospital)) - known
    return variance_id


def test_correction_is_known_by_its_number_whatever_the_clock(hospital: Hospital) -> None:
    """The database's clock was set back after the second count: by time, the write-off lies before it."""
    hospital.receive(10)
    first, second = _missing_one(hospital), _missing_one(hospital)
    hospital.change("UPDATE stock_count_lines SET counted_at = counted_at + interval '1 hour'")
    day.resolve(hospital, first, Resolution.LOSS)
    with day.refused(hospital, VarianceOutdated):
        day.resolve(hospital, second, Resolution.LOSS)
