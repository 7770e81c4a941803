"""GS1 codes as scanners send them: read whole, or refused with a reason; never guessed at."""

from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.formulary.scanning import GS, Scan, ScanUnreadable, matches_gtin, parse_scan

GTIN = "04006381333931"
DAY = date(2027, 12, 31)


@pytest.mark.parametrize(
    ("text", "scan"),
    [
        (f"]d201{GTIN}1727123110ABC123{GS}21SN1", Scan(GTIN, "ABC123", DAY, "SN1")),
        (f"]C101{GTIN}21SN1{GS}10ABC123{GS}17271231", Scan(GTIN, "ABC123", DAY, "SN1")),
        (f"01{GTIN}1727123110ABC123", Scan(GTIN, "ABC123", DAY)),
        (f"01{GTIN}10ABC123{GS}17271231", Scan(GTIN, "ABC123", DAY)),
        (f"01{GTIN}10ABC123~17271231", Scan(GTIN, "ABC123", DAY)),
        (f"01{GTIN}17280200", Scan(GTIN, None, date(2028, 2, 29))),
        (f"01{GTIN}1727123110L2109{GS}21SN1", Scan(GTIN, "L2109", DAY, "SN1")),
        (f"]d201{GTIN}1727123110L2109", Scan(GTIN, "L2109", DAY)),
        (f"(01){GTIN}(17)271231(10)L2109", Scan(GTIN, "L2109", DAY)),
        (f"(01){GTIN}(10)AB(21)x", Scan(GTIN, "AB", None, "x")),
        (f"  01{GTIN}17271231 ", Scan(GTIN, None, DAY)),
        (f"01{GTIN}01{GTIN}", Scan(GTIN)),
        (GTIN, Scan(GTIN)),
        ("4006381333931", Scan(GTIN)),
        ("]E04006381333931", Scan(GTIN)),
        ("036000291452", Scan("00036000291452")),
        ("96385074", Scan("00000096385074")),
    ],
)
def test_a_good_code_is_read(text: str, scan: Scan) -> None:
    assert parse_scan(text) == scan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with a product"),
        ("10ABC123", "does not begin with a product"),
        ("hello", "does not begin with a product"),
        ("]d210ABC123", "does not name a product"),
        ("]d217271231", "does not name a product"),
        ("4006381333932", "check digit"),
        ("0104006381333932", "check digit"),
        (f"(01){GTIN[:-1]}2(17)271231", "check digit"),
        (f"01{GTIN}17271331", "damaged"),
        (f"01{GTIN}17270230", "damaged"),
        (f"01{GTIN}10{'A' * 21}", "damaged"),
        (f"01{GTIN}1712", "damaged"),
        (f"01{GTIN[:10]}", "damaged"),
        (f"01{GTIN}10A B", "damaged"),
        (f"01{GTIN}10A{GS}10B", "two things of (10)"),
        (f"01{GTIN}17271231172801{'01'}", "two things of (17)"),
        (f"01{GTIN}0104012345678901", "two things of (01)"),
        (f"01{GTIN}10ABC12317271231", "swallowed"),
        (f"01{GTIN}10ABC1231727123121SN1", "swallowed"),
        (f"]d201{GTIN}10ABC1231727123121SN1", "swallowed"),
        (f"]d201{GTIN}21SN117271200{GS}10ABC", "swallowed"),
        (f"01{GTIN}1727123110ABC12321SN1", "swallowed"),
        (f"(01){GTIN}(10)A(B)", "form with brackets"),
        (f"(01){GTIN}10ABC(", "form with brackets"),
        (f"(99){GTIN}", "does not name a product"),
        ("]Q1http://example.com", "not the symbology"),
        (f"01{GTIN}10ÄB", "printable ASCII"),
        (f"01{GTIN}10A\0B", "printable ASCII"),
        (f"01{GTIN}10A\nB", "printable ASCII"),
        ("1" * 201, "printable ASCII"),
    ],
)
def test_a_bad_code_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ScanUnreadable) as refused:
        parse_scan(text)
    assert said in refused.value.detail


def _with_check_digit(payload: str) -> str:
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(payload))
    return payload + str(-total % 10)


NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz023456789-./", min_size=1, max_size=20)


@given(
    payload=st.integers(10**11, 10**12 - 1).map(lambda number: f"0{number}"),
    lot=NAMES,
    expires_on=st.dates(date(2000, 1, 1), date(2060, 1, 1)),
    serial=st.none() | NAMES,
    order=st.permutations(["17", "10", "21"]),
    symbology=st.sampled_from(["", "]d2", "]C1"]),
)
def test_what_was_printed_is_read_in_every_order(
    payload: str, lot: str, expires_on: date, serial: str | None, order: list[str], symbology: str
) -> None:
    printed = {"17": f"{expires_on:%y%m%d}", "10": lot + GS, "21": None if serial is None else serial + GS}
    gtin = _with_check_digit(payload)
    text = f"{symbology}01{gtin}" + "".join(name + printed[name] for name in order if printed[name] is not None)
    assert parse_scan(text) == Scan(gtin, lot, expires_on, serial)


@given(st.text() | st.text("0123456789()]dC1~\x1dAB", max_size=60).map(lambda text: "01" + text))
@example("(")
@example("]")
@example("01" + GS * 40)
@example("(01)")
def test_whatever_is_scanned_is_read_or_refused(text: str) -> None:
    try:
        scan = parse_scan(text)
    except ScanUnreadable:
        return
    assert len(scan.gtin) == 14
    assert scan.lot_number is None or 1 <= len(scan.lot_number) <= 20
    assert scan.expires_on is None or abs(scan.expires_on - date(2026, 1, 1)) < timedelta(days=60 * 366)


@pytest.mark.parametrize("known", [GTIN, "4006381333931"])
def test_a_product_is_known_by_any_length_of_its_number(known: str) -> None:
    assert matches_gtin(GTIN, known)
    assert matches_gtin("4006381333931", known)


def test_another_product_or_none_is_not_the_same() -> None:
    assert not matches_gtin(GTIN, None)
    assert not matches_gtin(GTIN, "96385074")
