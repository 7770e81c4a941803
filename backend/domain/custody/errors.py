"""Name why a transfer or a count may not go on."""

from backend.errors import Conflict, Forbidden, NotFound


class TransferNotFound(NotFound):
    """There is no such transfer in your organization."""


class TransferStatusConflict(Conflict):
    """The transfer's state does not allow this; `transfer_status` says where it stands."""


class ReceiverIsDispatcher(Forbidden):
    """Who sent a transfer does not receive it: a second person checks what arrived."""


class NothingToReplenish(Conflict):
    """Every drug of the ward is at its par level, counting what is on its way."""


class CountNotFound(NotFound):
    """There is no such count in your organization."""


class CountOpen(Conflict):
    """This ward is being counted already; `count_id` is that session."""


class CountEnded(Conflict):
    """This count has been completed or cancelled; `count_status` says which."""


class CountIncomplete(Conflict):
    """Some lots have not been counted yet: `uncounted_count` of them, of which `uncounted_lot_ids` names the first
    1,000; `GET /counts/{id}/lines?state=uncounted` lists all. Count 0 for what is not there."""


class VarianceOutdated(Conflict):
    """The lot's stock was corrected since it was counted, perhaps for this very variance, or units that had left the
    shelf before have been recorded since. Count the lot again, and end this as a miscount."""
