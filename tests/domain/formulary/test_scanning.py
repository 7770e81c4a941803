"""Scans: what is sound is read, what could be read in two ways is refused. Pure, so tried on anything."""

from dataclasses import astuple
from datetime import UTC, date, datetime
from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.domain.formulary.scanning import Scan, ScanUnreadable, matches_gtin, parse_scan

GS = "\x1d"
EAN = "4006381333931"
GTIN = "04006381333931"
ITEM = f"01{GTIN}"
DAY = date(2027, 12, 31)
GS1_CHARACTERS = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
EXPIRY_WINDOW = (date(datetime.now(UTC).year - 49, 1, 1), date(datetime.now(UTC).year + 50, 12, 31))

SOUND = {
    # a GTIN alone
    EAN: (GTIN, None, None, None),
    f" {EAN} ": (GTIN, None, None, None),
    GTIN: (GTIN, None, None, None),
    "96385074": ("00000096385074", None, None, None),
    "036000291452": ("00036000291452", None, None, None),
    "14006381333938": ("14006381333938", None, None, None),
    "01234567890128": ("01234567890128", None, None, None),  # a GTIN-14, although it starts like AI 01
    f"]E0{EAN}": (GTIN, None, None, None),
    "]E496385074": ("00000096385074", None, None, None),
    "]I114006381333938": ("14006381333938", None, None, None),
    # from a scanner, in the orders of real packs
    ITEM: (GTIN, None, None, None),
    f"]d2{ITEM}17271231": (GTIN, None, DAY, None),
    f"]d2{ITEM}1727123110ABC123": (GTIN, "ABC123", DAY, None),
    f"]C1{ITEM}1727123110ABC123{GS}21SN1": (GTIN, "ABC123", DAY, "SN1"),
    f"]Q3{ITEM}10ABC123{GS}1727123121SN1": (GTIN, "ABC123", DAY, "SN1"),
    f"]e0{ITEM}21SN1{GS}1727123110ABC123": (GTIN, "ABC123", DAY, "SN1"),
    f"]d21727123110ABC123{GS}{ITEM}": (GTIN, "ABC123", DAY, None),
    f"{ITEM}21SN1~10ABC123~17271231": (GTIN, "ABC123", DAY, "SN1"),
    f"{GS}{ITEM}{GS}17271231{GS}{GS}10ABC123{GS}": (GTIN, "ABC123", DAY, None),
    f"{ITEM}112512011727123110ABC123{GS}7101234567{GS}91XY": (GTIN, "ABC123", DAY, None),
    # lots
    f"{ITEM}10ABC123": (GTIN, "ABC123", None, None),
    f"{ITEM}1727123110{'A' * 20}": (GTIN, "A" * 20, DAY, None),
    f"{ITEM}1727123110{GS1_CHARACTERS[:20]}": (GTIN, GS1_CHARACTERS[:20], DAY, None),
    f"{ITEM}1727123110A(17)1": (GTIN, "A(17)1", DAY, None),
    f"{ITEM}1727123110L17993199": (GTIN, "L17993199", DAY, None),  # 17, but no date
    f"{ITEM}172712311017271231": (GTIN, "17271231", DAY, None),  # a lot has at least one character of its own
    f"{ITEM}1727123110L2105{GS}": (GTIN, "L2105", DAY, None),  # a separator ends it
    f"{ITEM}21SN1{GS}1727123110L11250101": (GTIN, "L11250101", DAY, "SN1"),  # the scanner sends separators
    f"{ITEM}1727123121SN1{GS}10L2105": (GTIN, "L2105", DAY, "SN1"),
    f"{ITEM}70032710011300": (GTIN, None, None, None),  # of fixed length: it cannot hold a lot "011300"
    # dates
    f"{ITEM}17270200": (GTIN, None, date(2027, 2, 28), None),
    f"{ITEM}17280200": (GTIN, None, date(2028, 2, 29), None),
    f"{ITEM}17271200": (GTIN, None, DAY, None),
    f"{ITEM}17280229": (GTIN, None, date(2028, 2, 29), None),
    # said twice, but the same
    f"{ITEM}1727123117271231{ITEM}10A{GS}10A": (GTIN, "A", DAY, None),
    # typed
    f"(01){GTIN}(17)271231(10)ABC123": (GTIN, "ABC123", DAY, None),
    f" (01) {GTIN} (10) ABC123 (17) 271231 (21) SN1 ": (GTIN, "ABC123", DAY, "SN1"),
    f"(10)L2105(17)271231(01){GTIN}": (GTIN, "L2105", DAY, None),
    f"(01){GTIN}(17)271231(10)A17280101": (GTIN, "A17280101", DAY, None),
}

UNREADABLE = {
    "nothing": ("", "no GTIN"),
    "blank": ("   ", "no GTIN"),
    "prose": ("Amoxicillin 500 mg", "no GTIN"),
    "a link": (f"https://id.gs1.org/01/{GTIN}", "no GTIN"),
    "eleven digits": ("40063813339", "no GTIN"),
    "check digit of an EAN-13": ("4006381333932", "check digit"),
    "check digit of an EAN-8": ("96385075", "check digit"),
    "check digit of a UPC": ("036000291453", "check digit"),
    "check digit of a GTIN-14": ("14006381333931", "check digit"),
    "check digit in AI 01": ("]d201040063813339321727123110A", "check digit"),
    "check digit, typed": ("(01)04006381333932(10)A", "check digit"),
    "a separator within a GTIN's length": (f"{GS}400638133393", "no GTIN"),
    "a separator behind an EAN": (f"]E0{EAN}{GS}", "8, 12, 13 or 14 digits"),
    "DataMatrix without FNC1": (f"]d1{ITEM}", "no GS1 barcode"),
    "Code 128 without FNC1": (f"]C0{ITEM}", "no GS1 barcode"),
    "an unknown symbology": (f"]z9{ITEM}", "no GS1 barcode"),
    "elements without 01 in front": (f"1727123110A{GS}{ITEM}", "no GS1 barcode"),
    "a symbology and nothing": ("]d2", "names no drug"),
    "an EAN as GS1 elements": (f"]d2{EAN}", "names no drug"),
    "expiry without GTIN": ("]d217271231", "names no drug"),
    "lot without GTIN": ("(10)ABC123", "names no drug"),
    "a GTIN of contents": (f"]d202{GTIN}3712", "names no drug"),
    "GTIN too short": ("]d2010400638133393", "right length"),
    "an EAN in AI 01": (f"(01){EAN}", "right length"),
    "no identifier": (f"{ITEM}5512", "GS1 element"),
    "no element": (f"{ITEM}10", "right length"),
    "day 32": (f"{ITEM}17271232", "date does not exist"),
    "30 February": (f"{ITEM}17270230", "date does not exist"),
    "29 February of a common year": (f"(01){GTIN}(17)270229", "date does not exist"),
    "month 13": (f"{ITEM}17271301", "date does not exist"),
    "month 0": (f"{ITEM}17270000", "date does not exist"),
    "made on no day": (f"{ITEM}112502301727123110A", "date does not exist"),
    "two lots": (f"{ITEM}10A{GS}10B", "twice"),
    "two GTINs": (f"{ITEM}0100000096385074", "twice"),
    "two dates": (f"(01){GTIN}(17)271231(17)280101", "twice"),
    "two serials": (f"{ITEM}21A{GS}21B", "twice"),
    "a lot of 21 characters": (f"{ITEM}1727123110{'A' * 21}{GS}21SN1", "too long"),
    "a lot of 21 characters, typed": (f"(01){GTIN}(10){'A' * 21}", "too long"),
    "a lot with a blank": (f"{ITEM}1727123110ABC 123", "does not allow"),
    "a lot with a blank, typed": (f"(01){GTIN}(10)ABC 123", "does not allow"),
    "a lot with a hash": (f"{ITEM}1727123110ABC#1", "does not allow"),
    "a typed separator": (f"(01){GTIN}(10)ABC{GS}(17)271231", "does not allow"),
    "a lot with a letter beyond ASCII": (f"{ITEM}1727123110ABCÄ", "ASCII"),
    "digits beyond ASCII": ("٤٠٠٦٣٨١٣٣٣٩٣١", "ASCII"),
    "an Enter": (f"{ITEM}1727123110ABC\r", "printable"),
    "a NUL": (f"{ITEM}10A\x00B", "printable"),
    "a DEL": (f"{ITEM}10A\x7f", "printable"),
    "a record separator": (f"{ITEM}10A\x1e17271231", "printable"),
    "201 characters": (EAN.ljust(201), "longer than 200"),
    "an unclosed parenthesis": (f"(01){GTIN}(10ABC", "Parentheses"),
    "a parenthesis in a typed lot": (f"(01){GTIN}(10)AB(C)", "Parentheses"),
    "a letter as identifier": (f"(01){GTIN}(X)ABC", "Parentheses"),
    "a typed identifier without value": (f"(01){GTIN}(10)(17)271231", "Parentheses"),
    "a typed identifier cut in two": (f"(01){GTIN}(100)ABC", "no GS1 application identifier"),
    "a typed identifier of one digit more": (f"(01){GTIN}(172)71231", "no GS1 application identifier"),
    "typed behind a symbology": (f"]d2(01){GTIN}", "GS1 element"),
}

SWALLOWED = {
    "the expiry and serial": f"]d2{ITEM}10ABC1231727123121SN1",
    "the expiry": f"{ITEM}10ABC12317271231",
    "the expiry of a whole month": f"{ITEM}10ABC12317271200",
    "the expiry and a national number": f"{ITEM}10ABC17271231712123456",
    "the serial": f"{ITEM}1727123110ABC12321SN1",
    "the day of making": f"{ITEM}1727123110ABC11250101",
    "best before and serial": f"{ITEM}10AB1527123121SN1",
    "lot in the serial": f"{ITEM}1727123121SN110ABC123",
    "expiry in the serial": f"{ITEM}21SN1727123110ABC123",
    "lot in the manufacturer's part number": f"{ITEM}17271231240REF10ABC",
    "lot in the count": f"{ITEM}1727123130210123",
    "the expiry, though separators come": f"{ITEM}10ABC12317271231{GS}21SN1",
    "the expiry, typed without its parentheses": f"(01){GTIN}(10)ABC12317271231",
}


@pytest.mark.parametrize("text", SOUND)
def test_reads_what_is_sound(text: str) -> None:
    assert astuple(parse_scan(text)) == SOUND[text]


@pytest.mark.parametrize(("text", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_refuses_the_rest_and_says_why(text: str, reason: str) -> None:
    with pytest.raises(ScanUnreadable, match=reason) as refused:
        parse_scan(text)
    assert (refused.value.status, refused.value.code) == (422, "scan_unreadable")


@pytest.mark.parametrize("text", SWALLOWED.values(), ids=SWALLOWED)
def test_refuses_an_element_that_may_have_swallowed_the_next_and_says_what_to_do(text: str) -> None:
    with pytest.raises(ScanUnreadable, match=r"may hold the elements .* send the group separator"):
        parse_scan(text)


@pytest.mark.parametrize(("offset", "years"), [(0, 0), (50, 50), (51, -49), (99, -1)])
def test_a_year_of_two_digits_is_at_most_50_ahead_and_49_past(offset: int, years: int) -> None:
    this_year = datetime.now(UTC).year
    expires_on = parse_scan(f"{ITEM}17{(this_year + offset) % 100:02}0630").expires_on
    assert expires_on == date(this_year + years, 6, 30)


def _check_digit(digits: str) -> str:
    """By the definition: from the right, weights 3 and 1 in turn."""
    return str(-sum(int(digit) * (1 if at % 2 else 3) for at, digit in enumerate(reversed(digits))) % 10)


TRADE_ITEMS = st.text("0123456789", min_size=13, max_size=13).map(lambda digits: digits + _check_digit(digits))
TEXTS = st.text(GS1_CHARACTERS, min_size=1, max_size=20)
SCANS = st.builds(Scan, TRADE_ITEMS, st.none() | TEXTS, st.none() | st.dates(*EXPIRY_WINDOW), st.none() | TEXTS)
ORDERS = st.sampled_from(list(permutations(("01", "10", "17", "21"))))


def _values(scan: Scan) -> dict[str, str]:
    """The values of the elements that `scan` has."""
    expires_on = scan.expires_on.strftime("%y%m%d") if scan.expires_on else None
    values = {"01": scan.gtin, "10": scan.lot_number, "17": expires_on, "21": scan.serial}
    return {identifier: value for identifier, value in values.items() if value is not None}


@given(scan=SCANS, order=ORDERS, separator=st.sampled_from([GS, "~"]))
def test_reads_back_what_a_scanner_sends_with_separators(scan: Scan, order: tuple[str, ...], separator: str) -> None:
    assume(scan.expires_on or "17" not in (scan.lot_number or ""))
    values = _values(scan)
    elements = (f"{at}{values[at]}{separator if at in ('10', '21') else ''}" for at in order if at in values)
    assert parse_scan("]d2" + "".join(elements)) == scan


@given(scan=SCANS, order=ORDERS)
def test_reads_back_what_a_person_types(scan: Scan, order: tuple[str, ...]) -> None:
    values = _values(scan)
    assume(not set(values.get("10", "") + values.get("21", "")) & set("()"))
    assume(scan.expires_on or "17" not in (scan.lot_number or ""))
    assert parse_scan("".join(f"({at}){values[at]}" for at in order if at in values)) == scan


@given(scan=SCANS, order=ORDERS)
def test_without_its_separators_a_scan_is_refused_and_never_misread(scan: Scan, order: tuple[str, ...]) -> None:
    values = _values(scan)
    present = [at for at in order if at in values]
    assume(set(present[:-1]) & {"10", "21"})
    with pytest.raises(ScanUnreadable):
        parse_scan("]d2" + "".join(at + values[at] for at in present))


@given(digits=st.text("0123456789", min_size=13, max_size=13), wrong=st.integers(1, 9))
def test_refuses_every_wrong_check_digit(digits: str, wrong: int) -> None:
    gtin = digits + str((int(_check_digit(digits)) + wrong) % 10)
    for text in (gtin, f"01{gtin}", f"(01){gtin}"):
        with pytest.raises(ScanUnreadable, match="check digit"):
            parse_scan(text)


FRAGMENTS = st.sampled_from(
    [
        "]d2",
        ITEM,
        f"(01){GTIN}",
        EAN,
        GS,
        "~",
        "(",
        ")",
        "(17)",
        "(10)",
        "17",
        "10",
        "21",
        "271231",
        "7007",
        "3929",
        "391",
    ]
)


@given(text=st.text() | st.lists(FRAGMENTS | st.text(GS1_CHARACTERS, max_size=9) | st.text("0123456789")).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        scan = parse_scan(text)
    except ScanUnreadable:
        return
    assert len(scan.gtin) == 14
    assert scan.gtin[-1] == _check_digit(scan.gtin[:-1])
    assert all(0 < len(value) <= 20 for value in (scan.lot_number, scan.serial) if value is not None)


@pytest.mark.parametrize(
    ("scan_gtin", "drug_gtin", "same"),
    [
        (GTIN, EAN, True),
        (GTIN, GTIN, True),
        (EAN, GTIN, True),
        ("00000096385074", "96385074", True),
        ("00036000291452", "036000291452", True),
        ("00036000291452", "0036000291452", True),
        ("14006381333938", EAN, False),  # the outer case is not the pack
        (GTIN, "96385074", False),
        (GTIN, None, False),
        (GTIN, "", False),
        (GTIN, "04006381333931 ", False),
        ("00000096385074", "0096385074", False),  # ten digits are no GTIN
    ],
)
def test_gtins_of_any_length_match_by_the_item_they_name(scan_gtin: str, drug_gtin: str | None, same: bool) -> None:
    assert matches_gtin(scan_gtin, drug_gtin) is same
