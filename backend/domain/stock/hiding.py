"""Figures that are hidden from some of those who ask.

Every read that tells what a shelf holds takes a `Hides`, which knows what to hide from whoever asks. It is made in
backend/domain/custody/blind.py: the people who count a shelf blind see none of its figures. The type stands here
because custody imports stock.
"""

from typing import Any, Protocol

from sqlalchemy import ColumnElement, case


class Hides(Protocol):
    """Builds the condition that figures are hidden from whoever asks."""

    def __call__(self, *, ward: Any = None, drug: Any = None) -> ColumnElement[bool]:
        """Of the shelf of `drug` on `ward`; with one of the two, of any shelf of that drug or on that ward."""


def unless(hidden: ColumnElement[bool], figure: Any) -> Any:
    """Return `figure` as SQL, NULL in the rows where it is `hidden`."""
    return case((hidden, None), else_=figure)
