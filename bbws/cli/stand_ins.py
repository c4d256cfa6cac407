"""`bbws stand-in`: arguments only."""

from pathlib import Path

import click

from bbws.cli.running import PORT, configured, run
from bbws.shared.settings import Settings


@click.group("stand-in", hidden=True)
def stand_in() -> None:
    """Outside systems for development: they speak the real protocols, and no money moves."""


@stand_in.command("payfast")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8081, show_default=True)
@click.option(
    "--retry-base-s", type=float, default=10, show_default=True, help="First pause before an ITN is repeated."
)
def stand_in_payfast(host: str, port: int, retry_base_s: float) -> None:
    """PayFast: hosted payment page, signed ITNs, /eng/query/validate."""
    from bbws.commands.stand_ins import serve_payfast

    serve_payfast(Settings(), host, port, retry_base_s)


@stand_in.command("catalogue")
def stand_in_catalogue() -> None:
    """Put the demo products and their campaign on sale; what is there already stays as it is."""
    from bbws.commands.stand_ins import put_demo_data

    run(put_demo_data(configured("catalogue")))
    click.echo("the demo catalogue is on sale")


@stand_in.command("mailbox")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=PORT, default=8082, show_default=True)
@click.option("--mail-dir", type=click.Path(file_okay=False, path_type=Path), required=True)
def stand_in_mailbox(host: str, port: int, mail_dir: Path) -> None:
    """A page that shows the mails which the embedded AWS kept."""
    from bbws.commands.stand_ins import serve_mailbox

    serve_mailbox(host, port, mail_dir)
