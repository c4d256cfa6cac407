"""The commands that run and provision the system: arguments only."""

from pathlib import Path

import click

from bbws.cli.running import PORT, configured, quiet, run, tool_settings


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bbws/up"),
    show_default=True,
    help="Where state and mails are kept.",
)
@click.option("--fresh", is_flag=True, help="Forget what an earlier run left.")
@click.option("--gateway-port", type=PORT, default=8080, show_default=True)
@click.option("--payfast-port", type=PORT, default=8081, show_default=True)
@click.option("--mailbox-port", type=PORT, default=8082, show_default=True)
@click.option("--emulator-port", type=PORT, default=4566, show_default=True)
def up(home: Path, fresh: bool, gateway_port: int, payfast_port: int, mailbox_port: int, emulator_port: int) -> None:
    """Run the whole system on this machine until Ctrl-C.

    Starts the embedded AWS, the PayFast stand-in, a mailbox, the gateway and every consumer, each as a process of its
    own, with a small catalogue to buy from. State is kept between clean stops.
    """
    from bbws.commands.system import run_up
    from bbws.local.ports import Ports

    quiet("up")
    ports = Ports(gateway_port, payfast_port, mailbox_port, emulator_port)
    run(run_up(home, ports, fresh=fresh, say=click.echo))


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bbws/demo"),
    show_default=True,
    help="Where invoice and mails are put; emptied first.",
)
@click.option("--verbose", is_flag=True, help="Also show what every process logs.")
def demo(home: Path, verbose: bool) -> None:
    """Sell one hosting product: order, payment, invoice, mails. Exit code 0 when all of it arrived."""
    from bbws.commands.system import run_demo

    quiet("demo")
    run(run_demo(home, verbose=verbose, say=click.echo))


@click.command()
def gateway() -> None:
    """Run the HTTP gateway: API, storefront, documentation (/docs), health and metrics."""
    from bbws.gateway.app import run as serve

    serve(configured("gateway"))


@click.command()
@click.argument("name")
@click.option("--drain", is_flag=True, help="Stop once there is nothing left to do.")
def consumer(name: str, drain: bool) -> None:
    """Run one consumer: order-record, order-pdf, notify or housekeeping."""
    from bbws.consumers import CONSUMERS
    from bbws.consumers.app import application, build

    if name not in CONSUMERS:
        raise click.UsageError(f"there is no consumer {name}; there are {', '.join(CONSUMERS)}")
    app = application(build(CONSUMERS[name].register, configured(name)), drain=drain)
    run(app.run())


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; print what differs and exit with 1 if anything does.")
def provision(check: bool) -> None:
    """Create what topology declares: tables, buckets, templates, bus, topics, queues, rules.

    The user pool too, on an emulator; on AWS Terraform makes it, and --check tells what differs.
    """
    from bbws.commands.system import run_provision

    differences = run(run_provision(tool_settings("provision"), check=check))
    for line in differences:
        click.echo(line)
    if differences:
        raise SystemExit(1)
    click.echo("everything is as declared")
