"""Many at once: threads that start together, and what each of them got."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from werkzeug.test import TestResponse

from backend.observability import RETRIES
from tests.hospital import Client
from tests.waiting import PATIENCE_SECONDS

T = TypeVar("T")


def together(*acts: Callable[[], T]) -> list[T]:
    """What each act returned; all start at the same moment, each in a thread of its own."""
    barrier = Barrier(len(acts))

    def start(act: Callable[[], T]) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(timeout=PATIENCE_SECONDS) for future in [pool.submit(start, act) for act in acts]]


def fulfil_all(client: Client, order_ids: Sequence[object], clients: int) -> list[TestResponse]:
    """The answers when `clients` work through `order_ids` together, each its share."""

    def work(mine: Sequence[object]) -> list[TestResponse]:
        return [client.post(f"/orders/{order_id}/fulfill") for order_id in mine]

    shares = [order_ids[start::clients] for start in range(clients)]
    return [
        answer for answers in together(*(lambda share=share: work(share) for share in shares)) for answer in answers
    ]


def outcomes(answers: Sequence[TestResponse]) -> dict[str, int]:
    """How often each outcome came: the status, and the code of a problem."""
    counted: dict[str, int] = {}
    for answer in answers:
        name = f"{answer.status_code} {answer.json.get('code', '')}".strip() if answer.json else str(answer.status_code)
        counted[name] = counted.get(name, 0) + 1
    return counted


def retries() -> float:
    """How many transactions of this process have been run again, for whatever reason."""
    return sum(
        sample.value for metric in RETRIES.collect() for sample in metric.samples if sample.name.endswith("_total")
    )
