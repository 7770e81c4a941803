"""What the operations say to programs, in the words of the ward: the API's own sentences stay as they are."""

import re
from datetime import datetime

from backend.errors import DomainError

TITLES = {
    "validation_failed": "Something is missing or wrong",
    "idempotency_key_reused": "This form was sent before",
}
_WHEN = "Choose a day and a time that the clocks of the hospital show."
_PLAIN = {
    "Not a valid integer.": "Type a whole number.",
    "Not a valid aware datetime.": _WHEN,
    "Not a valid datetime.": _WHEN,
    "Not a valid date.": "Choose a day.",
    "Not a valid UUID.": "Choose one.",
    "Not a valid email address.": "Type an email address.",
    "Missing data for required field.": "Fill this in.",
    "Field may not be null.": "Fill this in.",
    "Organization, email": "Hospital, email",
    "This Idempotency-Key was used for another request.": "Something else was in it, and that was done. What you typed"
    " now was not: look at what is there, and send it again where it is still needed.",
}
_FOR_PROGRAMS = re.compile(r"[;:,] [^;:.]*`[^.]*(?=\.)")  # ", send it as `witness`" before the end of a sentence
_LENGTH = re.compile(r"Length must be between 1 and ([0-9]+)\.")


def plainly(detail: str) -> str:
    """A refusal's sentence without the terms of a schema."""
    for technical, plain in _PLAIN.items():
        detail = detail.replace(technical, plain)
    return _LENGTH.sub(r"Write 1 to \1 characters.", _FOR_PROGRAMS.sub("", detail))


def title_of(refusal: DomainError) -> str:
    """What a refusal is called on a page."""
    return TITLES.get(refusal.code, refusal.title)


def field_of(pointer: str) -> str:
    """A JSON pointer as people read it: /lines/3/expires_on is Line 3, expires on; /ward_id is Ward."""
    words = re.sub(r"^/lines/([0-9]+)", r"/line \1", pointer).strip("/").replace("/", ", ").replace("_", " ")
    words = words.removesuffix(" id")
    return words[:1].upper() + words[1:]


def is_time(value: object) -> bool:
    """Whether an audited value is a time of the database, which people read in the hospital's own zone."""
    if not isinstance(value, str) or "T" not in value:
        return False
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
