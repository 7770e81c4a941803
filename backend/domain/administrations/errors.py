"""Why a recorded dose may not be changed."""

from backend.errors import Conflict, NotFound


class AdministrationNotFound(NotFound):
    """There is no such administration in your organization."""


class AlreadyEnteredInError(Conflict):
    """This entry has been marked as entered in error; `entered_in_error_at` says when."""


class DoseNotGiven(Conflict):
    """Nothing was withdrawn for this dose: it was held, refused or unavailable."""


class DoseHasRemainder(Conflict):
    """Units withdrawn for this dose were wasted or put back, so it was withdrawn: the entry is no mistake."""


class RemainderTooLarge(Conflict):
    """More would be wasted and returned than was withdrawn; `open_units` are not accounted for yet."""
