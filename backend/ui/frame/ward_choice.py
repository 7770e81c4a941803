"""Which ward a page is about: the one that its address names, else a nurse's own first."""

from typing import Any

from flask import g, request

from backend.actor import Role
from backend.ui.frame.asking import ask, ask_all


def wards() -> list[dict[str, Any]]:
    """List all wards of the hospital by name, however many: a ward that is missing could not be chosen."""
    return ask_all("GET /wards", {})[0]


def own_wards(known: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """List the wards that the person at the screen may act for: a nurse's own, else all of them, which may be `known`
    already."""
    if g.actor.role is Role.NURSE:
        items: list[dict[str, Any]] = ask("GET /me")["wards"]
        return items
    return wards() if known is None else known


def acts_for(ward_id: str) -> bool:
    """Whether who sits at the screen handles the stock of the ward: pharmacists of any, nurses of their own."""
    if g.actor.role is Role.NURSE:
        return any(ward["id"] == ward_id for ward in own_wards())
    return g.actor.role is Role.PHARMACIST


def chosen_ward() -> str:
    """The ward's id; empty for all of them."""
    if "ward_id" in request.args or g.actor.role is not Role.NURSE:
        return request.args.get("ward_id", "").strip()
    own = ask("GET /me")["wards"]
    return str(own[0]["id"]) if own else ""
