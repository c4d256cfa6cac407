"""`bbws tenants`: arguments only."""

from typing import IO, get_args

import click

from bbws.cli.running import AS_JSON, json_of, person, run, tell, tell_all, tool_settings
from bbws.shared.contracts.tenancy.tenants import Environment, TenantStatus

_MAX_SHOWN = 10_000
_TENANT = click.argument("tenant")
_REASON = click.option("--reason", help="For the audit trail.")
_REASON_WHY = click.option("--reason", required=True, help="For the audit trail, and for the tenant to read.")


@click.group()
def tenants() -> None:
    """The customers: look at them, park, suspend, export.

    TENANT is a tenant's id, or its e-mail.
    """


@tenants.command("list")
@click.option("--status", type=click.Choice(get_args(TenantStatus)), help="Without any filter: ACTIVE.")
@click.option("--environment", type=click.Choice(get_args(Environment)))
@click.option("--organization", help="In any spelling.")
@click.option("--email", help="In any spelling.")
@click.option("--limit", type=click.IntRange(1, _MAX_SHOWN), default=100, show_default=True, help="At most so many.")
@AS_JSON
def tenants_list(
    status: str | None,
    environment: str | None,
    organization: str | None,
    email: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Tenants by one filter: the one that changed last first, or by environment the newest first."""
    from bbws.commands.tenants import line_of, list_tenants

    filters = {"status": status, "environment": environment, "organization": organization, "email": email}
    given = {name: value for name, value in filters.items() if value is not None}
    if len(given) > 1:
        raise click.UsageError(f"one filter at a time, not --{' and --'.join(given)}")
    name, value = next(iter(given.items()), ("status", "ACTIVE"))
    tell_all(run(list_tenants(tool_settings("tenants"), name, value, limit)), line_of, as_json=as_json)


@tenants.command("show")
@_TENANT
@AS_JSON
def tenants_show(tenant: str, as_json: bool) -> None:
    """What TENANT is, and what holds it."""
    from bbws.commands.tenants import described, show_tenant

    tell(run(show_tenant(tool_settings("tenants"), tenant)), described, as_json=as_json)


@tenants.command("park")
@_TENANT
@_REASON_WHY
@AS_JSON
def tenants_park(tenant: str, reason: str, as_json: bool) -> None:
    """Pause TENANT, as its owner wishes."""
    _act("park", tenant, reason, as_json)


@tenants.command("unpark")
@_TENANT
@_REASON
@AS_JSON
def tenants_unpark(tenant: str, reason: str | None, as_json: bool) -> None:
    """End the pause of TENANT; other holds stay."""
    _act("unpark", tenant, reason, as_json)


@tenants.command("suspend")
@_TENANT
@_REASON_WHY
@AS_JSON
def tenants_suspend(tenant: str, reason: str, as_json: bool) -> None:
    """Suspend TENANT for non-payment or abuse; it can still order, so that it can pay."""
    _act("suspend", tenant, reason, as_json)


@tenants.command("resume")
@_TENANT
@_REASON
@AS_JSON
def tenants_resume(tenant: str, reason: str | None, as_json: bool) -> None:
    """End the suspension of TENANT; one that was parked stays parked."""
    _act("resume", tenant, reason, as_json)


@tenants.command("export")
@_TENANT
@click.option("--file", type=click.File("wb", lazy=True), default="-", help="Instead of standard output.")
@AS_JSON
def tenants_export(tenant: str, file: IO[bytes], as_json: bool) -> None:
    """Everything that is stored of TENANT, a line of JSON for each item. Personal: mind where it goes."""
    from bbws.commands.tenants import export_tenant

    # Asking the file for its `write` would already make it, also for a tenant that is not there.
    lines = run(export_tenant(tool_settings("tenants"), person(), tenant, lambda line: file.write(line)))
    if file.name != "-":
        click.echo(json_of({"exported": lines, "file": file.name}) if as_json else f"exported: {lines}")


def _act(action: str, tenant: str, reason: str | None, as_json: bool) -> None:
    from bbws.commands.tenants import act, described

    tell(run(act(tool_settings("tenants"), person(), action, tenant, reason)), described, as_json=as_json)
