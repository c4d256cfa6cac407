"""People that `bbws up` knows: one for each role, with a password that anybody may read here.

They exist on an emulator only; every function here refuses another environment.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from bbws.shared.bootstrap import Services
from bbws.shared.contracts.tenancy.tenants import TenantDraft
from bbws.shared.contracts.tenancy.users import StaffRole, TenantRole, UserAssignmentDraft
from bbws.shared.errors import Conflict, Rejected
from bbws.shared.ids import derived_id
from bbws.shared.integrations.cognito import DirectoryUser

ACTOR = "demo-users"
PASSWORD = "only-on-this-machine"  # noqa: S105 - a public one, for an emulator
TENANT = TenantDraft(organization_name="Karoo Coffee Roasters", email="owner@karoo-coffee.example")
TENANT_ID = derived_id("demo-tenant", TENANT.organization_name)

RoleName = Literal["admin", "operator", "owner", "member", "viewer"]


@dataclass(frozen=True, slots=True)
class DemoUser:
    """`staff` or `tenant` says which kind of role they have."""

    email: str
    staff: StaffRole | None = None
    tenant: TenantRole | None = None


USERS: Mapping[RoleName, DemoUser] = MappingProxyType(
    {
        "admin": DemoUser("admin@bbws.example", staff="ADMIN"),
        "operator": DemoUser("operator@bbws.example", staff="OPERATOR"),
        "owner": DemoUser("owner@karoo-coffee.example", tenant="OWNER"),
        "member": DemoUser("member@karoo-coffee.example", tenant="MEMBER"),
        "viewer": DemoUser("viewer@karoo-coffee.example", tenant="VIEWER"),
    }
)


async def seed_users(services: Services) -> None:
    """All of them are there and can sign in; running it again changes nothing."""
    for role in USERS:
        # Whoever deleted the demo's tenant does without its users.
        with suppress(Conflict):
            await demo_user(services, role)


async def demo_user(services: Services, role: RoleName, tenant_id: str | None = None) -> DirectoryUser:
    """The user of this role, who can sign in; a tenant's role is given in `tenant_id`, or else in the demo's tenant.

    Raises Rejected where people are real, NotFound for a tenant that is not there, Conflict for one that is deleted.
    """
    # Without an endpoint of its own, `local` (the default) means whatever AWS the machine has credentials for.
    if services.settings.environment != "local" or services.settings.aws_endpoint_url is None:
        raise Rejected("demo users are for an emulator (environment local); use --email and --password-stdin")
    wanted = USERS[role]
    user = await services.directory.create(wanted.email)
    await services.directory.set_password(user.user_id, PASSWORD)
    if wanted.staff:
        await services.staff.grant(wanted.email, wanted.staff, actor=ACTOR)
    if wanted.tenant:
        tenant_id = tenant_id or await _demo_tenant(services)
        draft = UserAssignmentDraft(email=wanted.email, role=wanted.tenant)
        await services.users.assign(tenant_id, draft, actor=ACTOR)
    return user


async def _demo_tenant(services: Services) -> str:
    return (await services.tenants.create(TENANT, actor=ACTOR, tenant_id=TENANT_ID)).id
