"""`bbws users` and `bbws token`: arguments only."""

import sys
from typing import Any, cast

import click

from bbws.cli.running import AS_JSON, person, run, tell, tell_all, tool_settings

STAFF_ROLES = click.Choice(["operator", "admin"])
TENANT_ROLES = click.Choice(["owner", "member", "viewer"])
ROLES = click.Choice(["operator", "admin", "owner", "member", "viewer"])

_TENANT = click.argument("tenant")
_TENANT_ROLE = click.option("--role", type=TENANT_ROLES, required=True)
_STAFF_ROLE = click.option("--role", type=STAFF_ROLES, required=True)
_PASSWORD = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def users() -> None:
    """Who may act for a tenant, and who is of the staff.

    TENANT is a tenant's id, or its e-mail.
    """


@users.command("assign")
@_TENANT
@click.argument("email")
@_TENANT_ROLE
@AS_JSON
def users_assign(tenant: str, email: str, role: str, as_json: bool) -> None:
    """Give EMAIL a role in TENANT; somebody who is not known yet is invited by mail."""
    from bbws.commands.users import assign, line_of

    tell(
        run(assign(tool_settings("users"), person(), tenant, email, cast(Any, role.upper()))), line_of, as_json=as_json
    )


@users.command("change")
@_TENANT
@click.argument("email")
@_TENANT_ROLE
@AS_JSON
def users_change(tenant: str, email: str, role: str, as_json: bool) -> None:
    """Give EMAIL, who has a role in TENANT, another one; the last owner stays owner."""
    from bbws.commands.users import change, line_of

    tell(
        run(change(tool_settings("users"), person(), tenant, email, cast(Any, role.upper()))), line_of, as_json=as_json
    )


@users.command("list")
@click.argument("tenant", required=False)
@AS_JSON
def users_list(tenant: str | None, as_json: bool) -> None:
    """The users of TENANT, or without one the staff."""
    from bbws.commands.users import line_of, users_of

    tell_all(run(users_of(tool_settings("users"), tenant)), line_of, as_json=as_json)


@users.command("remove")
@_TENANT
@click.argument("email")
@AS_JSON
def users_remove(tenant: str, email: str, as_json: bool) -> None:
    """Take EMAIL out of TENANT; the last owner stays."""
    from bbws.commands.users import line_of, remove

    tell(run(remove(tool_settings("users"), person(), tenant, email)), line_of, as_json=as_json)


@users.command("tenants")
@click.argument("email")
@AS_JSON
def users_tenants(email: str, as_json: bool) -> None:
    """The tenants of EMAIL, with the role in each."""
    from bbws.commands.users import line_of, tenants_of

    tell_all(run(tenants_of(tool_settings("users"), email)), line_of, as_json=as_json)


@users.command("grant")
@click.argument("email")
@_STAFF_ROLE
@_PASSWORD
@AS_JSON
def users_grant(email: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Make EMAIL operator or admin; somebody new needs a password."""
    from bbws.commands.users import grant, line_of

    password = _password() if password_stdin else None
    tell(
        run(grant(tool_settings("users"), person(), email, cast(Any, role.upper()), password)), line_of, as_json=as_json
    )


@users.command("revoke")
@click.argument("email")
@_STAFF_ROLE
@AS_JSON
def users_revoke(email: str, role: str, as_json: bool) -> None:
    """Take the role of operator or admin from EMAIL; tokens that are out count until they expire."""
    from bbws.commands.users import line_of, revoke

    tell(run(revoke(tool_settings("users"), person(), email, cast(Any, role.upper()))), line_of, as_json=as_json)


@click.command()
@click.option("--role", type=ROLES, default="operator", show_default=True, help="Sign in as this demo user.")
@click.option("--tenant", help="Give the demo user its role in this tenant, not in the demo's own.")
@click.option("--email", help="Sign in as this user instead; needs --password-stdin.")
@_PASSWORD
def token(role: str, tenant: str | None, email: str | None, password_stdin: bool) -> None:
    """Print an access token for curl: -H "Authorization: Bearer $(bbws token --role operator)".

    Demo users are there in the environment local alone.
    """
    from bbws.commands.users import token as access_token

    if (email is None) == password_stdin:
        raise click.UsageError("--email and --password-stdin belong together")
    if tenant and (email or role not in TENANT_ROLES.choices):
        raise click.UsageError("--tenant goes with --role owner, member or viewer")
    password = _password() if password_stdin else None
    click.echo(run(access_token(tool_settings("token"), cast(Any, role), tenant, email, password)))


def _password() -> str:
    """The first line of standard input: a password on the command line would be seen by everybody on the machine."""
    return sys.stdin.readline().rstrip("\r\n")
