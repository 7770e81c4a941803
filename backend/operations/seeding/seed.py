"""A hospital of a given size, for load tests and for EXPLAIN.

Decision: bounded batches, each its own transaction, not one transaction for all. Because a million orders in one would
keep every row's trigger events in memory. Cost: an interrupted run leaves a smaller hospital under its name; seed again
under another.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from backend.actor import Role
from backend.config import Config
from backend.db import Database, new_id
from backend.db.engine import normalised_url
from backend.domain.identity.passwords import hash_password
from backend.errors import ValidationFailed
from backend.operations.building import Builder, Site
from backend.operations.seeding.admissions import admit
from backend.operations.seeding.history import remember
from backend.operations.seeding.loading import loading
from backend.operations.seeding.people import STAFF, ward_name
from backend.operations.seeding.plan import Plan, Staff
from backend.operations.seeding.shelves import LOTS_PER_SHELF, add_drugs, stock_shelves

TIME_ZONE = "UTC"
ANALYZED = (
    *("wards", "users", "ward_memberships", "drugs", "patients", "lots", "stock_levels", "stock_lots"),
    *("stock_movements", "medication_orders", "medication_administrations", "audit_events"),
)


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """What was made. Staff sign in as `<role>@<slug>.example`."""

    organization_id: UUID
    slug: str
    nurse_id: UUID
    wards: int
    drugs: int
    shelves: int
    patients: int
    orders: int
    movements: int


def seed(
    config: Config,
    *,
    organization: str,
    password: str,
    orders: int,
    drugs: int,
    wards: int,
    movements: int = 0,
    report: Callable[[int], None],
) -> SeedSummary:
    """Makes the organization `organization` (its slug), as the owner of `config.database_url`.

    It gets `wards` wards that each hold `drugs` drugs, and `orders` active orders of one dose, evenly over ward and
    drug, with stock for all. `movements` more, half of them receipts and half fulfilments of completed orders, make
    its past. One nurse works on every ward; everybody signs in with `password`. `report` is told how many orders are
    done, those of the past included. Raises OrganizationExists, ValidationFailed (a figure or the password),
    ConstraintViolated (the slug), psycopg2.Error.
    """
    for name, figure, least in (
        ("orders", orders, 0),
        ("drugs", drugs, 1),
        ("wards", wards, 1),
        ("movements", movements, 0),
    ):
        if figure < least:
            raise ValidationFailed.of(name, f"at least {least}")
    url = normalised_url(config.database_url)
    organization_id = new_id()
    database = Database(replace(config, pool_size=1, pool_max_overflow=0), url)
    try:
        now = database.now()
        site = Site(database, organization_id)
        ward_ids, staff = site.build(lambda builder: _open(builder, organization, wards, password))
    finally:
        database.engine.dispose()
    with loading(url, organization_id) as loader:
        plan = Plan(ward_ids, add_drugs(loader, drugs), orders, staff, now, movements // 2)
        lots = stock_shelves(loader, plan)
        loader.analyze(ANALYZED)  # or the foreign keys of the orders are looked up without an index
        patients, some = admit(loader, plan, report)
        remember(loader, plan, lots=lots, patients=some, report=lambda done: report(orders + done))
        loader.analyze(ANALYZED)
    return SeedSummary(
        organization_id,
        organization,
        staff.nurse,
        wards,
        drugs,
        plan.shelves,
        patients,
        orders + plan.past_orders,
        plan.shelves * LOTS_PER_SHELF + 2 * plan.past_doses,
    )


def _open(builder: Builder, slug: str, wards: int, password: str) -> tuple[tuple[UUID, ...], Staff]:
    """The organization with its wards and staff, by the use cases; only what there is in bulk goes by COPY."""
    title = slug.replace("-", " ").title()
    builder.open(slug, name=title, time_zone=TIME_ZONE)
    ward_ids = tuple(builder.add_ward(ward_name(number)) for number in range(wards))
    emails = {role: f"{role}@{slug}.example" for role, _ in STAFF}
    password_hash = hash_password(password, about=(title, slug, *emails.values(), *(name for _, name in STAFF)))
    users = {
        role: builder.hire(
            email=emails[role],
            name=name,
            role=role,
            password_hash=password_hash,
            ward_ids=ward_ids if role is not Role.ADMIN else (),
        )
        for role, name in STAFF
    }
    return ward_ids, Staff(users[Role.NURSE], users[Role.PHARMACIST], users[Role.DOCTOR])
