"""Why a transfer may not go on."""

from backend.errors import Conflict, Forbidden, NotFound


class TransferNotFound(NotFound):
    """There is no such transfer in your organization."""


class TransferStatusConflict(Conflict):
    """The transfer's state does not allow this; `transfer_status` says where it stands."""


class ReceiverIsDispatcher(Forbidden):
    """Who sent a transfer does not receive it: a second person checks what arrived."""


class NothingToReplenish(Conflict):
    """Every drug of the ward is at its par level, counting what is on its way."""
