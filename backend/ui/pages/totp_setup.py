"""What the two pages share on which a second factor is set up: one after the password, one of the account."""

from dataclasses import dataclass
from typing import Any

import segno
from flask import request
from markupsafe import Markup
from marshmallow import EXCLUDE

from backend.api.second_factors import SecondFactorIn
from backend.web.parsing import load

GROUP = 4


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A secret on offer: nothing is stored of it before an app has shown a right code."""

    secret: str
    uri: str

    @property
    def groups(self) -> str:
        """The secret as people type it."""
        return " ".join(self.secret[start : start + GROUP] for start in range(0, len(self.secret), GROUP))

    @property
    def qr(self) -> Markup:
        """The QR code as SVG: black on white in either theme, else no camera reads it."""
        image = segno.make_qr(self.uri, error="m").svg_inline(
            dark="#000", light="#fff", border=4, omitsize=True, svgclass="qr", lineclass=None
        )
        return Markup(image)  # noqa: S704 - made here, of squares


def enrolment_of_form() -> dict[str, Any]:
    """The secret, the code and, where it was asked for, the password. Raises ValidationFailed for what is none."""
    form = {name: request.form.get(name, "") for name in ("secret", "otp", "password") if request.form.get(name)}
    if "otp" in form:
        form["otp"] = form["otp"].replace(" ", "")
    return load(SecondFactorIn(unknown=EXCLUDE), form)
