"""`bbws audit`: the trail of a tenant, or of the platform, read and verified."""

from typing import IO

import click

from bbws.cli.running import AS_JSON, run, tool_settings

_TRAIL = click.argument("trail", metavar="TENANT")
_MAX_SHOWN = 10_000


@click.group()
def audit() -> None:
    """Who changed what: list, export and verify audit trails.

    TENANT is a tenant's id or e-mail, or `platform` for what belongs to no tenant: products, campaigns, dead letters.
    """


@audit.command("list")
@_TRAIL
@click.option("--limit", type=click.IntRange(1, _MAX_SHOWN), default=20, show_default=True, help="How many.")
@AS_JSON
def audit_list(trail: str, limit: int, as_json: bool) -> None:
    """The newest entries of TENANT, newest first."""
    from bbws.commands.audit import list_entries

    click.echo(run(list_entries(tool_settings("audit"), trail, limit, as_json=as_json)))


@audit.command("export")
@_TRAIL
@click.option("--file", type=click.File("wb"), default="-", help="Instead of standard output.")
def audit_export(trail: str, file: IO[bytes]) -> None:
    """The whole trail of TENANT as JSON Lines, oldest first."""
    from bbws.commands.audit import export_entries

    run(export_entries(tool_settings("audit"), trail, file.write))


@audit.command("verify")
@click.argument("trails", metavar="TENANT...", nargs=-1, required=True)
@click.option("--anchor", help="SEQUENCE:HASH, from the log line of a sealing or from an earlier verification.")
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Minutes after which an entry must be sealed.",
)
@AS_JSON
def audit_verify(trails: tuple[str, ...], anchor: str | None, patience: int, as_json: bool) -> None:
    """Tell whether entries of each TENANT were removed or altered. Exit code 0 when none was, 1 when any was."""
    from bbws.commands.audit import verify_trails

    if anchor and len(trails) > 1:
        raise click.UsageError("an anchor belongs to one trail")
    holds, text = run(verify_trails(tool_settings("audit"), trails, anchor, patience, as_json=as_json))
    click.echo(text)
    if not holds:
        raise SystemExit(1)
