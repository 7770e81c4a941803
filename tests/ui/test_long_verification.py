"""A long list of orders to verify is walked by its links."""

import re

from flask import Flask

from backend.ui.pages.verification import SHOWN_MAX
from tests.hospital import Hospital
from tests.ui.test_long_lists import link, tab


def test_orders_to_verify_beyond_the_first_page_are_reached_by_a_link(app: Flask, hospital: Hospital) -> None:
    hospital.place_many(2 * SHOWN_MAX + 3)
    client = tab(app, hospital, "pharmacist")
    where, counts, seen = "/orders/to-verify", [], []
    while where:
        page = client.get(where).get_data(as_text=True)
        found = re.findall(r'aria-labelledby="o([0-9a-f-]{36})"', page)
        counts.append(len(found))
        seen += found
        where = link(page, "More orders")
    assert counts == [SHOWN_MAX, SHOWN_MAX, 3]
    assert set(seen) == {str(order_id) for (order_id,) in hospital.rows("SELECT id FROM medication_orders")}
    assert len(seen) == len(set(seen))
