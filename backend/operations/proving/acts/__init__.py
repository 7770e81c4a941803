"""What clients do, and how often.

An act picks with the client's chance from what the board knows, so the same seed draws the same acts; what they meet
depends on who was faster. To add an act, write its `wish_...` and put it into ACTS: the checker needs nothing else.
"""

from backend.actor import Role
from backend.operations.proving.acts import cupboards, custody, doses, shelves, teams
from backend.operations.proving.acts.wish import Act, Posted, Seat, Shown, Wish

__all__ = ["ACTS", "CARE_TEAM", "CUPBOARDS", "Act", "Posted", "Seat", "Shown", "Wish"]

CARE_TEAM = (
    Act("assign to a care team", Role.DOCTOR, 10, teams.wish_assignment),
    Act("change the PRIMARY", Role.DOCTOR, 12, teams.wish_primary),
    Act("remove from a care team", Role.DOCTOR, 8, teams.wish_removal),
)
CUPBOARDS = (
    Act("order from a cupboard", Role.DOCTOR, 4, cupboards.wish_order, at_cupboard=True),
    Act("give from a cupboard", Role.NURSE, 7, cupboards.wish_dose, at_cupboard=True),
    Act("put a unit back", Role.NURSE, 1, cupboards.wish_return, at_cupboard=True),
    Act("entry in error, of a cupboard", Role.NURSE, 1, cupboards.wish_error, at_cupboard=True),
    Act("put into a cupboard", Role.PHARMACIST, 2, cupboards.wish_receipt, at_cupboard=True),
    Act("waste from a cupboard", Role.PHARMACIST, 2, cupboards.wish_waste, at_cupboard=True),
    *(
        act
        for role in (Role.NURSE, Role.PHARMACIST)
        for act in (
            Act("begin to count a cupboard", role, 4, cupboards.wish_count, at_cupboard=True),
            Act("count a cupboard", role, 5, cupboards.wish_look, at_cupboard=True),
            Act("end the count of a cupboard", role, 5, cupboards.wish_count_end, at_cupboard=True),
        )
    ),
    Act("look for variances of a cupboard", Role.PHARMACIST, 2, cupboards.wish_variances, at_cupboard=True),
    Act("resolve a variance of a cupboard", Role.PHARMACIST, 3, cupboards.wish_resolution, at_cupboard=True),
)
ACTS = (
    *CARE_TEAM,
    *CUPBOARDS,
    Act("place an order", Role.DOCTOR, 92, doses.wish_order),
    Act("discontinue an order", Role.DOCTOR, 8, doses.wish_end),
    Act("fulfil", Role.NURSE, 50, doses.wish_dose),
    Act("round", Role.NURSE, 12, doses.wish_round),
    Act("skip a dose", Role.NURSE, 4, doses.wish_skip),
    Act("entry in error", Role.NURSE, 6, doses.wish_error),
    Act("remainder of a dose", Role.NURSE, 6, doses.wish_remainder),
    Act("request a transfer", Role.NURSE, 6, custody.wish_transfer),
    Act("receive a transfer", Role.NURSE, 6, custody.wish_arrival),
    Act("open a count", Role.NURSE, 3, custody.wish_count),
    Act("count", Role.NURSE, 4, custody.wish_counting),
    Act("end a count", Role.NURSE, 3, custody.wish_count_end),
    Act("receipt", Role.PHARMACIST, 44, shelves.wish_receipt),
    Act("waste or loss", Role.PHARMACIST, 10, shelves.wish_adjustment),
    Act("hold or recall", Role.PHARMACIST, 6, shelves.wish_hold),
    Act("release", Role.PHARMACIST, 7, shelves.wish_release),
    Act("request a transfer", Role.PHARMACIST, 8, custody.wish_transfer),
    Act("dispatch a transfer", Role.PHARMACIST, 14, custody.wish_dispatch),
    Act("receive a transfer", Role.PHARMACIST, 5, custody.wish_arrival),
    Act("look for discrepancies", Role.PHARMACIST, 1, custody.wish_look),
    Act("resolve a discrepancy", Role.PHARMACIST, 5, custody.wish_resolution),
)
