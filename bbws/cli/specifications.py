"""`bbws openapi` and `bbws asyncapi`."""

import click

from bbws.shared.settings import Settings


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the gateway."""
    from bbws.commands.specifications import openapi_document

    click.echo(openapi_document(Settings()))


@click.command()
def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of all consumers."""
    from bbws.commands.specifications import asyncapi_document

    click.echo(asyncapi_document(Settings()))
