"""Why an order may not be changed, in the order of precedence (domain.md)."""

from backend.errors import Conflict, Forbidden, NotFound


class OrderNotFound(NotFound):
    """There is no such order in your organization."""


class NotOnThisWard(Forbidden):
    """You do not work on the order's ward. An admin adds you to it."""

    code = "forbidden"


class OrderAlreadyCompleted(Conflict):
    """The last dose of this order has been given. A fulfilment is told `fulfilled_by` and `fulfilled_at`, else
    `completed_at` says when."""


class DoseAlreadyGiven(Conflict):
    """This dose has been given; `fulfilled_by` and `fulfilled_at` say by whom and when, `next_dose` what is next."""


class DoseOutOfSequence(Conflict):
    """An earlier dose of this order has not been given or skipped yet; `next_dose` is the one to name."""


class OrderDiscontinued(Conflict):
    """A doctor has discontinued this order; `discontinued_at` says when."""


class OrderNotVerified(Conflict):
    """Your organization wants a pharmacist to verify an order before it is fulfilled. See POST /orders/{id}/verify."""


class WitnessRequired(Forbidden):
    """A controlled drug needs a second member of staff of the ward: send their own credentials as `witness`."""
