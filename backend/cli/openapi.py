"""`valmed openapi`: the API's description as a file."""

import click
import orjson

from backend.api import RESOURCES
from backend.web.openapi import document


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document."""
    click.echo(orjson.dumps(document(RESOURCES), option=orjson.OPT_INDENT_2).decode())
