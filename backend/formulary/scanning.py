"""Scanned packages: the GS1 code on a box, as product, lot, expiry and serial number.

Decision: a code is read whole or refused, never guessed at. Because scanners that act as keyboards often drop the
separator GS after a lot, and then the lot swallows what follows it: such a code still parses, into a lot that was never
made. Cost: of a scanner that sends neither separators nor the symbology identifier, a lot that looks as if it had
swallowed something is refused, also where it has not.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime

from biip import ParseError
from biip.gs1_element_strings import GS1ElementString
from biip.gs1_messages import GS1Message
from biip.gtin import Gtin

from backend.errors import Invalid

LENGTH_MAX = 200
GS = "\x1d"
GS1_SYMBOLOGIES = ("]d2", "]C1", "]Q3", "]e0")  # DataMatrix, GS1-128, QR, DataBar: what carries elements
EAN_SYMBOLOGIES = ("]E0", "]E4", "]I1")  # what carries a bare GTIN
_GTIN = re.compile(r"[0-9]{8}|[0-9]{12,14}")
_READABLE = re.compile(r"(\([0-9]{2,4}\)[^()]+)+")
_DATED = re.compile(r"1[1357]([0-9]{6})")
_SWALLOWED_SERIAL = re.compile(r".+21.+")


class ScanUnreadable(Invalid):
    """The scanned code is no GS1 code that names a product, or it is damaged. `detail` says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a package says of itself. What was not in the code is None: it never stands for something known."""

    gtin: str
    lot_number: str | None = None
    expires_on: date | None = None
    serial: str | None = None


def parse_scan(text: str) -> Scan:
    """What `text` names: a code with or without symbology identifier, with GS or "~" as separator, in the readable form
    "(01)...(17)...(10)...", or a bare GTIN of 8, 12, 13 or 14 digits. Raises ScanUnreadable.
    """
    if not (len(text) <= LENGTH_MAX and all(" " <= character <= "~" or character == GS for character in text)):
        raise ScanUnreadable("A code is at most 200 printable ASCII characters and the separator GS.")
    text = text.strip(" ")
    symbology = text[:3] if text.startswith("]") else ""
    if symbology and symbology not in (*GS1_SYMBOLOGIES, *EAN_SYMBOLOGIES):
        raise ScanUnreadable(f"{symbology} is not the symbology of a GS1 code.")
    content = text.removeprefix(symbology)
    if symbology in EAN_SYMBOLOGIES or (not symbology and _GTIN.fullmatch(content)):
        return Scan(_gtin(content))
    if not symbology and content.startswith("("):
        return _read(_readable(content), separated=True)
    if not symbology and not content.startswith("01"):
        raise ScanUnreadable("The code does not begin with a product: a GS1 code of a package begins with 01.")
    if GS not in content:
        content = content.replace("~", GS)
    return _read(_elements(content), separated=bool(symbology) or GS in content)


def matches_gtin(scanned: str, known: str | None) -> bool:
    """Whether both name one product: a GTIN of 8, 12 or 13 digits is the one of 14 without its zeros."""
    return known is not None and scanned.zfill(14) == known.zfill(14)


def _gtin(digits: str) -> str:
    try:
        return Gtin.parse(digits).as_gtin_14()
    except ParseError:
        raise ScanUnreadable("The product number is damaged: its check digit is wrong.") from None


def _elements(content: str) -> list[GS1ElementString]:
    try:
        return GS1Message.parse(content).element_strings
    except ParseError:
        raise ScanUnreadable("The code is damaged, or it is no GS1 code.") from None


def _readable(content: str) -> list[GS1ElementString]:
    if not _READABLE.fullmatch(content):
        raise ScanUnreadable("The form with brackets is (01)product(17)expiry(10)lot.")
    try:
        return GS1Message.parse_hri(content).element_strings
    except ParseError:
        raise ScanUnreadable("What stands in the brackets is no GS1 code.") from None


def _read(elements: list[GS1ElementString], *, separated: bool) -> Scan:
    """The scan that the elements make; `separated` says that the end of a lot can be told."""
    values: dict[str, GS1ElementString] = {}
    for element in elements:
        known = values.setdefault(element.ai.ai, element)
        if known.value != element.value:
            raise ScanUnreadable(f"The code says two things of ({element.ai.ai}).")
    product = values.get("01")
    if product is None:
        raise ScanUnreadable("The code does not name a product: (01) is missing.")
    lot, serial = _value(values, "10"), _value(values, "21")
    for name, value in (("lot", lot), ("serial number", serial)):
        _ensure_whole(name, value, known=values, separated=separated)
    return Scan(_gtin(product.value), lot, _expiry(values), serial)


def _value(values: dict[str, GS1ElementString], identifier: str) -> str | None:
    element = values.get(identifier)
    return None if element is None else element.value


def _expiry(values: dict[str, GS1ElementString]) -> date | None:
    """The expiry day; day 00 is the last of its month (GS1 General Specifications, AI 17)."""
    element = values.get("17")
    if element is None:
        return None
    if element.date is None:
        raise ScanUnreadable("The expiry is no date.")
    return element.date


def _ensure_whole(name: str, value: str | None, *, known: dict[str, GS1ElementString], separated: bool) -> None:
    """Raises ScanUnreadable where `value` ends in what reads like another element that the code lacks."""
    if value is None:
        return
    swallowed = "17" not in known and any(_is_day(found[1]) for found in _overlapping(value))
    if name == "lot" and not separated and "21" not in known:
        swallowed = swallowed or _SWALLOWED_SERIAL.fullmatch(value) is not None
    if swallowed:
        raise ScanUnreadable(
            f"The {name} seems to have swallowed what follows it: set the scanner up to send the separator GS,"
            " or type the code with brackets."
        )


def _overlapping(value: str) -> list[re.Match[str]]:
    return [found for start in range(1, len(value)) if (found := _DATED.match(value, start))]


def _is_day(digits: str) -> bool:
    """Whether YYMMDD is a day, 00 standing for the end of the month."""
    try:
        datetime.strptime(digits[:4] + digits[4:].replace("00", "01"), "%y%m%d")  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return False
    return True
