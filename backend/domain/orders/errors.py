"""Why an order may not be changed, in the order in which an answer names them."""

from backend.errors import Conflict, NotFound


class OrderNotFound(NotFound):
    """There is no such order in your organization."""


class OrderAlreadyCompleted(Conflict):
    """The last dose of this order has been given. The answer to a fulfilment says by whom and when with `fulfilled_by`
    and `fulfilled_at`; the answer to any other request says when with `completed_at`."""


class DoseAlreadyGiven(Conflict):
    """This dose has been given; `fulfilled_by` and `fulfilled_at` say by whom and when, `next_dose` what is next."""


class DoseOutOfSequence(Conflict):
    """An earlier dose of this order has not been given or skipped yet; `next_dose` is the one to name."""


class OrderDiscontinued(Conflict):
    """A doctor has discontinued this order; `discontinued_at` says when."""


class OrderNotVerified(Conflict):
    """Your organization wants a pharmacist to verify an order before it is fulfilled. See POST /orders/{id}/verify."""


class DoseTooSoon(Conflict):
    """The time between two doses of this order has not passed yet; `earliest_at` says when it has."""


class DoseNotDue(Conflict):
    """A round gives what is due; the next dose of this order is due at `due_at`. Name the dose to give it earlier."""


class ScanContradicts(Conflict):
    """What was scanned is not what the order is filled with; `contradiction` says how and `detail` says it in words.
    Where it is another lot, `lot_number` and `expires_on` name the lot to take."""
