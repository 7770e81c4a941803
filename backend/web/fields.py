"""Fields that refuse what a column could not hold or a person could not mean.

marshmallow's own would take "5" and true as 5, a date as naive midnight, and any control character in a text.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from backend.db.paging import LIMIT_DEFAULT, LIMIT_MAX
from backend.domain.identity import passwords
from backend.web.cursors import CURSOR_LENGTH_MAX

UNITS_MAX = 1_000_000
YEAR_MIN, YEAR_MAX = 1900, 2200
# RFC 3339; fromisoformat alone would take 2026-W01-1, and any character at all between day and time.
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(_DAY.pattern + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?")
_DIGITS = re.compile(r"[0-9]{1,9}")
_CURSOR = re.compile(rf"[A-Za-z0-9_-]{{1,{CURSOR_LENGTH_MAX}}}")
NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode categories

# What `described` of a field tells JSON Schema beyond its type and length (web/openapi.py). The characters of
# NOT_IN_A_LINE and of a blank edge are those that a pattern can name; what Unicode has not assigned it cannot.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff"
_EDGE = rf"[^{_CONTROLS}\x20\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]"
_YEAR = r"(?:190[1-9]|19[1-9][0-9]|2[01][0-9]{2})"


class Body(Schema):
    """A request body or query: unknown fields are refused."""

    class Meta:
        """marshmallow's options."""

        unknown = RAISE


class Line(fields.String):
    """One line of text: no control characters, no blank edges, `length` characters at most.

    Composed (NFC): two keyboards write one é in two ways, and a name typed at one is to be found from the other.
    """

    described: ClassVar[dict[str, Any]] = {"pattern": rf"^{_EDGE}(?:[^{_CONTROLS}]*{_EDGE})?$"}

    def __init__(self, *, length: int = 200, validate_also: Any = None, **kwargs: Any) -> None:
        checks = [validate.Length(min=1, max=length)] + ([validate_also] if validate_also else [])
        super().__init__(validate=checks, **kwargs)
        self.length = length

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if len(text) > self.length:  # before each character of a megabyte is looked at
            raise ValidationError(f"Longer than {self.length} characters.")
        if text != text.strip():
            raise ValidationError("Blank at the beginning or end.")
        if text.isascii() and text.isprintable():  # most texts, and without a look at each character
            return text
        text = unicodedata.normalize("NFC", text)
        if any(unicodedata.category(character) in NOT_IN_A_LINE for character in text):
            raise ValidationError("Control characters and line breaks are not allowed.")
        return text


class Count(fields.Integer):
    """A whole number that is a JSON number without a fraction."""

    def __init__(self, *, low: int = 1, high: int = UNITS_MAX, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(min=low, max=high), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class WholeNumber(fields.String):
    """A whole number in a query, where everything is text."""

    described: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 0, "maximum": 999_999_999}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _DIGITS.fullmatch(text):
            raise ValidationError("Not a valid integer.")
        return int(text)


class Change(Count):
    """A signed whole number of units, not 0."""

    described: ClassVar[dict[str, Any]] = {"not": {"const": 0}}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(low=-UNITS_MAX, high=UNITS_MAX, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        change = super()._deserialize(value, attr, data, **kwargs)
        if change == 0:
            raise ValidationError("Not 0.")
        return change


class Moment(fields.AwareDateTime):
    """A time with its offset from UTC."""

    described: ClassVar[dict[str, Any]] = {"pattern": f"^{_YEAR}-.*$"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", default_timezone=None, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not _MOMENT.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type="datetime")
        moment = super()._deserialize(value, attr, data, **kwargs)
        ensure_year(moment)
        return moment.astimezone(UTC)


class Day(fields.Date):
    """A calendar day."""

    described: ClassVar[dict[str, Any]] = {"pattern": f"^{_YEAR}-[0-9]{{2}}-[0-9]{{2}}$"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise self.make_error("invalid", input=value, obj_type="date")
        day = super()._deserialize(value, attr, data, **kwargs)
        ensure_year(day)
        return day


def ensure_year(value: date) -> None:
    """Raises ValidationError for a year that no record of a hospital can have."""
    if not YEAR_MIN < value.year < YEAR_MAX:
        raise ValidationError(f"The year must lie between {YEAR_MIN} and {YEAR_MAX}.")


class Flag(fields.Boolean):
    """true or false, and nothing that merely looks like it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Choice(fields.Enum[StrEnum]):
    """One of an enumeration's values."""

    def __init__(self, kind: type[StrEnum], **kwargs: Any) -> None:
        super().__init__(kind, by_value=fields.String, **kwargs)


class PageLimit(fields.String):
    """How many rows at most; read by web/cursors.py."""

    described: ClassVar[dict[str, Any]] = {
        "type": "integer",
        "minimum": 1,
        "maximum": LIMIT_MAX,
        "default": LIMIT_DEFAULT,
    }


class PageCursor(fields.String):
    """Where a page begins; read by web/cursors.py, whose base64 would overlook what does not belong in it."""

    described: ClassVar[dict[str, Any]] = {
        "minLength": 1,
        "maxLength": CURSOR_LENGTH_MAX,
        "pattern": "^[A-Za-z0-9_-]+$",
        "description": "`next_cursor` of the page before",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _CURSOR.fullmatch(text):
            raise ValidationError("not a cursor of this list")
        return text


class PageQuery(Body):
    """The parameters of a keyset list."""

    limit = PageLimit()
    cursor = PageCursor()


class PageBody(Body):
    """The same in the body of a search."""

    limit = Count(high=LIMIT_MAX, metadata={"default": LIMIT_DEFAULT})
    cursor = PageCursor()


class Search(Line):
    """What somebody types to find something: blanks at the edges do not count, nothing at all finds everything."""

    described: ClassVar[dict[str, Any]] = {"minLength": 0, "pattern": rf"^[^{_CONTROLS}]*$"}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return super()._deserialize(value.strip() if isinstance(value, str) else value, attr, data, **kwargs)

    def _validate(self, value: Any) -> None:
        if value != "":
            super()._validate(value)


class Several(fields.List[Any]):
    """A list of `least` to `most` items, each `once` where that is asked for, or each with another value of the field
    `once_by`; a longer one is refused before its items are read."""

    def __init__(
        self,
        inner: fields.Field[Any],
        *,
        most: int,
        least: int = 0,
        once: bool = False,
        once_by: str = "",
        **kwargs: Any,
    ) -> None:
        self.most = most
        self.once = once
        self.once_by = once_by
        super().__init__(inner, validate=validate.Length(min=least, max=most), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > self.most:
            raise ValidationError(f"At most {self.most} items.")
        items: list[Any] = super()._deserialize(value, attr, data, **kwargs)
        if self.once and len(set(items)) < len(items):
            raise ValidationError("An item is listed twice.")
        if self.once_by and len({item[self.once_by] for item in items}) < len(items):
            raise ValidationError(f"A {self.once_by} is listed twice.")
        return items


class Whole(fields.List[Any]):
    """A list in an answer that is never cut; `because` says what keeps it short."""

    def __init__(self, inner: fields.Field[Any], *, because: str) -> None:
        super().__init__(inner)
        self.described = {"description": f"Whole: {because}."}


class Newest(fields.List[Any]):
    """A list in an answer that holds `most` items; all of them are listed by the operation `listed_by`."""

    def __init__(self, inner: fields.Field[Any], *, most: int, listed_by: str) -> None:
        super().__init__(inner)
        self.listed_by = listed_by
        told = listed_by.replace("<uuid:", "{").replace(">", "}")
        self.described = {"maxItems": most, "description": f"The newest; `{told}` lists all."}


class Id(fields.UUID):
    """An id, as a string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid_uuid")
        return super()._deserialize(value, attr, data, **kwargs)


class ScannedCode(fields.String):
    """What a scanner read: printable ASCII, and the separator GS (ASCII 29) of GS1."""

    length = 200
    described: ClassVar[dict[str, Any]] = {"minLength": 1, "maxLength": length, "pattern": r"^[ -~\x1d]+$"}

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not 1 <= len(text) <= self.length:
            raise ValidationError(f"1 to {self.length} characters.")
        if not all(" " <= character <= "~" or character == "\x1d" for character in text):
            raise ValidationError("Only printable ASCII characters and the separator GS.")
        return text


class Password(fields.String):
    """A password of `least` characters or more: 1 for one that is known, LENGTH_MIN for a new one."""

    def __init__(self, *, least: int = 1, **kwargs: Any) -> None:
        most = passwords.LENGTH_MAX
        told = f"between {least} and {most} characters, without NUL"
        checks = [validate.Length(least, most, error=told), validate.Regexp(r"[^\x00]*\Z", error=told)]
        super().__init__(validate=checks, **kwargs)


class Secret(fields.String):
    """The secret of an authenticator app: 160 bits in base32."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Regexp(r"[A-Z2-7]{32}\Z"), **kwargs)


class Code(fields.String):
    """A one-time code."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Regexp(r"[0-9]{6}\Z"), **kwargs)
