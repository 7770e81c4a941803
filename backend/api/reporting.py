"""What operators are told of fulfilments, after their commit (mission row A12)."""

from uuid import UUID

from backend.observability import FULFILMENTS, log


def report_fulfilment(order_id: UUID | str, outcome: str) -> None:
    """Counts and logs a fulfilment or the refusal of one; `outcome` is "done", "replayed" or a problem's code."""
    FULFILMENTS.labels(outcome).inc()
    event = "order_fulfilled" if outcome in {"done", "replayed"} else "fulfilment_refused"
    log.info(event, order_id=str(order_id), outcome=outcome)
