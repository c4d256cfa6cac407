"""`bbws payfast`: arguments only."""

from typing import IO

import click


@click.group()
def payfast() -> None:
    """Tools for payments."""


@payfast.command("verify-itn")
@click.option("--passphrase", envvar="BBWS_PAYFAST_PASSPHRASE", help="The merchant account's; none where it has none.")
@click.argument("file", type=click.File("rb"))
def payfast_verify_itn(passphrase: str | None, file: IO[bytes]) -> None:
    """Tell whether the signature of a raw ITN body holds, and print its fields.

    FILE is the body as PayFast posted it; - reads standard input. Exit code 0 when it holds, 1 when not.
    """
    from bbws.commands.payments import verify_itn

    holds, lines = verify_itn(file.read(), passphrase)
    click.echo("\n".join(lines))
    if not holds:
        raise SystemExit(1)
