"""`valmed seed`: a hospital of any size."""

import secrets
import time
from pathlib import Path

import click

from backend.cli.connection import configured, data_dir_option
from backend.operations.seeding import seed as seed_hospital
from backend.operations.seeding.plan import DOSES_PER_ORDER

ORDERS_MAX, DRUGS_MAX, WARDS_MAX, MOVEMENTS_MAX = 20_000_000, 10_000, 500, 20_000_000


@click.command()
@click.option("--orders", type=click.IntRange(0, ORDERS_MAX), default=100_000, show_default=True)
@click.option("--drugs", type=click.IntRange(1, DRUGS_MAX), default=1_000, show_default=True)
@click.option("--wards", type=click.IntRange(1, WARDS_MAX), default=10, show_default=True)
@click.option("--movements", type=click.IntRange(0, MOVEMENTS_MAX), default=0, help="Of the past: doses given before.")
@click.option("--organization", help="Slug of the new organization; seed-... when not given.")
@click.option("--password", help="Of its staff; made and printed when not given.")
@data_dir_option
def seed(
    orders: int,
    drugs: int,
    wards: int,
    movements: int,
    organization: str | None,
    password: str | None,
    data_dir: Path | None,
) -> None:
    """Make a hospital with ORDERS active orders, every one of which can be fulfilled, and MOVEMENTS of its past."""
    slug = organization or f"seed-{secrets.token_hex(3)}"
    chosen = password or secrets.token_urlsafe(12)
    started = time.monotonic()
    length = max(1, orders + -(-movements // 2 // DOSES_PER_ORDER))
    with configured(data_dir) as config, click.progressbar(length=length, label="Orders") as bar:
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            bar.update(rows - done)
            done = rows

        made = seed_hospital(
            config,
            organization=slug,
            password=chosen,
            orders=orders,
            drugs=drugs,
            wards=wards,
            movements=movements,
            report=advance,
        )
    click.echo(
        f"{made.slug}: {made.orders} orders, {made.drugs} drugs, {made.wards} wards, {made.patients} patients"
        f", {made.movements} movements in {time.monotonic() - started:.1f} s"
    )
    click.echo(
        f"Staff sign in as nurse@, pharmacist@, doctor@ and admin@{made.slug}.example"
        + ("." if password else f" with password {chosen}")
    )
