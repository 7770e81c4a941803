"""Reads what a scanner sends, or a person types, from the barcode of a medicine: GS1 element strings and plain GTINs.

Never a guess: what can be read in two ways is refused. biip knows the application identifiers (AI), their formats and
dates; where one element ends is decided here, because biip lets a lot number swallow whatever follows a lost separator.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from biip import ParseError
from biip.gs1_element_strings import GS1ElementString
from biip.gtin import Gtin

from backend.errors import Invalid

TEXT_CHARACTERS_MAX = 200
GTIN_DIGITS = (8, 12, 13, 14)
# Symbology identifiers (ISO/IEC 15424) that a scanner may send first.
GS1_SYMBOLOGIES = ("]d2", "]C1", "]Q3", "]e0")  # DataMatrix, GS1-128, QR and DataBar, each with FNC1 in front
GTIN_SYMBOLOGIES = ("]E0", "]E4", "]I1")  # EAN-13 and UPC, EAN-8, ITF-14: a GTIN and nothing else
# "~" is what scanners that cannot send a control character send instead; no element may contain it.
SEPARATORS = "\x1d~"
GTIN, LOT_NUMBER, EXPIRES_ON, SERIAL = "01", "10", "17", "21"
# What is looked for inside an element that no separator ended: lot, serial and dates. With more of the 541 identifiers
# nearly every lot number would seem to hold one.
SWALLOWED = frozenset({LOT_NUMBER, SERIAL, EXPIRES_ON, "11", "13", "15", "16"})
TYPED_ELEMENTS = re.compile(r"(?:\(\d{2,4}\)[^()]+)+")
TYPED_ELEMENT = re.compile(r"\((\d{2,4})\)([^()]+)")
SET_UP = "set up the scanner to send the group separator (GS), or type the elements as (01)…(17)…(10)…"

Elements = dict[str, GS1ElementString]


class ScanUnreadable(Invalid):
    """The scan cannot be read without guessing. `detail` says why; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a barcode says: the item as GTIN-14; its lot, last day of use and serial number where it carries them."""

    gtin: str
    lot_number: str | None = None
    expires_on: date | None = None
    serial: str | None = None


def parse_scan(text: str) -> Scan:
    """The meaning of one scan.

    `text` is a GTIN-8, -12, -13 or -14; or GS1 elements as a scanner sends them, from `]d2`, `]C1`, `]Q3`, `]e0` or AI
    01 on, variable elements ended by GS or `~`; or as a person types them: `(01)…(17)…(10)…`. Raises ScanUnreadable.
    """
    _ensure_printable(text)
    text = text.strip(" ")
    if text.startswith(GTIN_SYMBOLOGIES):
        return Scan(_gtin_14(text[3:]))
    if text.isdigit() and len(text) in GTIN_DIGITS:
        return Scan(_gtin_14(text))
    elements = _by_identifier(_typed_elements(text) if text.startswith("(") else _scanned_elements(text))
    if GTIN not in elements:
        raise ScanUnreadable("The scan has no GTIN (01), so it names no drug.")
    if LOT_NUMBER in elements and EXPIRES_ON not in elements:
        _ensure_holds_none(elements[LOT_NUMBER], frozenset({EXPIRES_ON}))
    return Scan(
        gtin=_gtin_14(elements[GTIN].value),
        lot_number=elements[LOT_NUMBER].value if LOT_NUMBER in elements else None,
        expires_on=elements[EXPIRES_ON].date if EXPIRES_ON in elements else None,
        serial=elements[SERIAL].value if SERIAL in elements else None,
    )


def matches_gtin(scan_gtin: str, drug_gtin: str | None) -> bool:
    """Whether two GTINs of 8, 12, 13 or 14 digits name the same item; a drug without GTIN matches nothing."""
    if drug_gtin is None or len(scan_gtin) not in GTIN_DIGITS or len(drug_gtin) not in GTIN_DIGITS:
        return False
    return scan_gtin.zfill(14) == drug_gtin.zfill(14)


def _ensure_printable(text: str) -> None:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ScanUnreadable(f"The scan is longer than {TEXT_CHARACTERS_MAX} characters.")
    if not text.replace("\x1d", "").isprintable() or not text.isascii():
        raise ScanUnreadable("The scan has characters other than printable ASCII and the group separator (GS).")


def _gtin_14(digits: str) -> str:
    """The GTIN with leading zeros. Not biip's own cleaning: its strip() takes GS for a blank."""
    if not digits.isdigit() or len(digits) not in GTIN_DIGITS:
        raise ScanUnreadable("A GTIN has 8, 12, 13 or 14 digits.")
    try:
        return Gtin.parse(digits).as_gtin_14()
    except ParseError:
        raise ScanUnreadable(f"The check digit of GTIN {digits} is wrong.") from None


def _typed_elements(text: str) -> Iterator[GS1ElementString]:
    """Elements with their identifiers in parentheses. Blanks around a value are typing, blanks inside are refused."""
    if not TYPED_ELEMENTS.fullmatch(text):
        raise ScanUnreadable("Parentheses may only enclose identifiers, each followed by its value: (01)…(17)…(10)….")
    for identifier, value in TYPED_ELEMENT.findall(text):
        typed = identifier + value.strip(" ")
        element = _first_element(typed)
        if element.ai.ai != identifier:
            raise ScanUnreadable(f"({identifier}) is no GS1 application identifier.")
        if len(element) != len(typed):
            raise ScanUnreadable(f"({identifier}) is too long or has a character that GS1 does not allow.")
        yield element


def _scanned_elements(text: str) -> Iterator[GS1ElementString]:
    """Elements as a scanner sends them; whatever a separator did not end, ends with the text."""
    if text.startswith(GS1_SYMBOLOGIES):
        text = text[3:]
    elif not text.lstrip(SEPARATORS).startswith(GTIN):
        raise ScanUnreadable("This is no GTIN, and no GS1 barcode: that starts with ]d2, ]C1, ]Q3, ]e0 or 01.")
    found = [element for segment in re.split(f"[{SEPARATORS}]", text) for element in _segment_elements(segment)]
    # One separator shows that the scanner sends them. Without any, the last element may hold what was meant to follow.
    if found and ".." in found[-1].ai.format and not set(text) & set(SEPARATORS):
        _ensure_holds_none(found[-1], SWALLOWED - {element.ai.ai for element in found})
    yield from found


def _segment_elements(segment: str) -> Iterator[GS1ElementString]:
    """The elements between two separators: any of predefined length, then at most one that needs the separator."""
    while segment:
        element = _first_element(segment)
        segment = segment[len(element) :]
        if segment and element.ai.separator_required:
            raise ScanUnreadable(
                f"{element.ai} is too long, has a character that GS1 does not allow, or runs into the next element:"
                f" {SET_UP}."
            )
        yield element


def _first_element(text: str) -> GS1ElementString:
    try:
        return GS1ElementString.extract(text)
    except ParseError:
        raise ScanUnreadable(
            f"{text[:24]!r} does not start with a GS1 element of the right length, or its date does not exist."
        ) from None


def _ensure_holds_none(element: GS1ElementString, missing: frozenset[str]) -> None:
    """Refuses an element whose value ends in what reads as elements, the first of them of `missing` identifiers."""
    value, identifiers = element.value, tuple(missing)
    if any(value.startswith(identifiers, at) and _reads_as_elements(value[at:]) for at in range(1, len(value))):
        raise ScanUnreadable(f"{element.ai} {value!r} may hold the elements that should follow it: {SET_UP}.")


def _reads_as_elements(text: str) -> bool:
    while text:
        try:
            element = GS1ElementString.extract(text)
        except ParseError:
            return False
        if element.ai.separator_required:
            return True
        text = text[len(element) :]
    return True


def _by_identifier(elements: Iterator[GS1ElementString]) -> Elements:
    """Each element under its identifier. The same one twice is a repetition; with two values it is a contradiction."""
    found: Elements = {}
    for element in elements:
        if found.setdefault(element.ai.ai, element).value != element.value:
            raise ScanUnreadable(f"{element.ai} is there twice, with different values.")
    return found
