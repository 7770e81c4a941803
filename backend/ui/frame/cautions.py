"""What a doctor must confirm before an order is placed: an allergy of the drug's name, an order of the same drug.

Decision: names are compared, nothing else. Because the formulary holds no classes of drugs, and a warning that pretends
to know them would be trusted. Cost: amoxicillin for a patient allergic to penicillin passes; the page says so.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

WORD_MIN = 4  # letters: shorter words are strengths, salts and "of"


@dataclass(frozen=True, slots=True)
class Caution:
    """One thing to confirm, by its `key`: an allergy's name, the order that is already active, or that not all active
    orders were `read`."""

    key: str
    allergy: str = ""
    order: dict[str, Any] | None = None
    read: bool = True


ORDERS_UNREAD = Caution("orders unread", read=False)


def cautions_of(patient: dict[str, Any], drug: dict[str, Any], active: Iterable[dict[str, Any]]) -> Iterator[Caution]:
    """What speaks against the drug: the patient's allergies by name, then the patient's active orders of it.

    An order of another strength or form counts: it is the same drug where its id or its name is.
    """
    for allergy in patient["allergies"]:
        if names_match(allergy, drug["name"]) or names_match(allergy, drug["generic_name"]):
            yield Caution(f"allergy {allergy}", allergy=allergy)
    for order in active:
        if order["drug_id"] == drug["id"] or order["drug_name"].casefold() == drug["name"].casefold():
            yield Caution(f"order {order['id']}", order=order)


def names_match(one: str, other: str) -> bool:
    """Whether a word of one begins a word of the other: Sulfa and Sulfamethoxazole, PENICILLIN and penicillins."""
    return any(a.startswith(b) or b.startswith(a) for a in _words(one) for b in _words(other))


def _words(name: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+", name.casefold()) if len(word) >= WORD_MIN]
