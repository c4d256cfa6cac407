"""What the commands of `bbws users` and `bbws token` do; `cli/users.py` only reads their arguments."""

from collections.abc import Sequence

from bbws.commands.console_lines import printable
from bbws.commands.services import listed, named_tenant, services_of
from bbws.local.demo_users import PASSWORD, RoleName, demo_user
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.tenancy.users import (
    StaffMember,
    StaffRole,
    TenantRole,
    UserAssignment,
    UserAssignmentDraft,
)
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.settings import Settings

# A user as the commands tell of them: with their role in one tenant, or with those in the staff.
User = UserAssignment | StaffMember


async def token(settings: Settings, role: RoleName, tenant: str | None, email: str | None, password: str | None) -> str:
    """An access token: of `email` with `password`, or of the demo user of a role.

    Raises Unauthenticated where the pool refuses them, Rejected for a demo user where people are real.
    """
    async with services_of(settings) as services:
        clients = services.settings.cognito_client_ids
        if not clients:
            raise Unavailable("cognito-idp", "no user pool is set (BBWS_COGNITO_USER_POOL_ID, BBWS_COGNITO_CLIENT_IDS)")
        if email is None or password is None:
            tenant_id = (await named_tenant(services, tenant)).id if tenant else None
            email, password = (await demo_user(services, role, tenant_id)).email, PASSWORD
        return await services.directory.sign_in(clients[0], email, password)


async def assign(settings: Settings, actor: str, tenant: str, email: str, role: TenantRole) -> UserAssignment:
    draft = UserAssignmentDraft(email=email, role=role)
    async with services_of(settings) as services:
        found = await named_tenant(services, tenant)
        return (await services.users.assign(found.id, draft, actor=actor))[0]


async def change(settings: Settings, actor: str, tenant: str, email: str, role: TenantRole) -> UserAssignment:
    async with services_of(settings) as services:
        user = await _user_of(services, tenant, email)
        return await services.users.change_role(user.tenant_id, user.user_id, role, version=user.version, actor=actor)


async def remove(settings: Settings, actor: str, tenant: str, email: str) -> UserAssignment:
    """What the user was until now."""
    async with services_of(settings) as services:
        user = await _user_of(services, tenant, email)
        await services.users.remove(user.tenant_id, user.user_id, version=user.version, actor=actor)
        return user


async def users_of(settings: Settings, tenant: str | None) -> Sequence[User]:
    """All users of a tenant; without one all members of the staff."""
    async with services_of(settings) as services:
        if tenant is None:
            return await listed(services.staff.list_all)
        found = await named_tenant(services, tenant)
        return await listed(lambda page: services.users.list_of_tenant(found.id, page))


async def tenants_of(settings: Settings, email: str) -> list[UserAssignment]:
    """The user's role in each of their tenants."""
    async with services_of(settings) as services:
        user_id = await _user_id(services, email)
        return await listed(lambda page: services.users.list_of_user(user_id, page))


async def grant(settings: Settings, actor: str, email: str, role: StaffRole, password: str | None) -> StaffMember:
    async with services_of(settings) as services:
        return await services.staff.grant(email, role, actor=actor, password=password)


async def revoke(settings: Settings, actor: str, email: str, role: StaffRole) -> StaffMember:
    async with services_of(settings) as services:
        return await services.staff.revoke(email, role, actor=actor)


def line_of(user: User) -> str:
    if isinstance(user, StaffMember):
        return f"{printable(user.email):<40} {', '.join(user.roles) or 'no role':<16} {user.user_id}"
    return f"{printable(user.email):<40} {user.role:<16} {user.user_id}  tenant {user.tenant_id}"


async def _user_of(services: Services, tenant: str, email: str) -> UserAssignment:
    found = await named_tenant(services, tenant)
    return await services.users.get(found.id, await _user_id(services, email))


async def _user_id(services: Services, email: str) -> str:
    user = await services.directory.find_by_email(email)
    if user is None:
        raise NotFound(f"the user pool does not know {printable(email)}")
    return user.user_id
