"""Who of the company that runs BBWS may do what: the record is the truth, the groups of the user pool follow it.

A change is written first, due to be applied, and applied at once; what an outage or a crash leaves is applied by
`apply_due`. Tokens carry the groups, so that a role counts from the next token on.
"""

from datetime import datetime, timedelta
from types import MappingProxyType

from bbws.shared.clock import Clock
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.tenancy.users import StaffMember, StaffRole
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.due import each
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.dynamo.retries import retry_lost_race
from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.integrations.cognito import DirectoryUser, UserDirectory
from bbws.shared.logging import get_logger
from bbws.shared.tenancy.repositories.users import StaffRepository, UserChanged

GROUPS = MappingProxyType({"OPERATOR": "Operator", "ADMIN": "Admin"})
# Longer than the calls to the user pool of one application can take.
APPLIED_WITHIN = timedelta(seconds=60)

log = get_logger(__name__)


class Staff:
    def __init__(self, database: Database, directory: UserDirectory, audit: AuditEntries, clock: Clock) -> None:
        self._database = database
        self._staff = StaffRepository(database)
        self._directory = directory
        self._audit = audit
        self._clock = clock

    async def list_all(self, page: PageRequest) -> Page[StaffMember]:
        return await self._staff.list_all(page)

    async def grant(self, email: str, role: StaffRole, *, actor: str, password: str | None = None) -> StaffMember:
        """The user has the role, and this password where one is given; who is not known yet is made. A password that
        takes the place of another is told in the trail even where the user had the role.

        Raises Invalid for a password that the pool refuses, and Unavailable before anything is written; NotFound for
        somebody unknown without a password: nobody could sign in.
        """
        user = await self._directory.find_by_email(email)
        if user is None and password is None:
            raise NotFound(f"the user pool does not know {email}; give the new user a password")
        user = user or await self._directory.create(email)
        if password is not None:
            await self._directory.set_password(user.user_id, password)
            if user.has_password:
                await self._database.write(self._password_set(user, actor))
        return await self._change(user, role, actor, granted=True)

    def _password_set(self, user: DirectoryUser, actor: str) -> Put:
        subject = f"users/{user.user_id}"
        return self._audit.entry("STAFF_PASSWORD_SET", tenant_id=PLATFORM, subject=subject, actor=actor)

    async def revoke(self, email: str, role: StaffRole, *, actor: str) -> StaffMember:
        """The user no longer has the role. Raises NotFound for somebody who never was of the staff."""
        user = await self._directory.find_by_email(email)
        if user is None or await self._staff.find(user.user_id) is None:
            raise NotFound(f"{email} is not of the staff")
        return await self._change(user, role, actor, granted=False)

    async def apply_due(self) -> int:
        """What was left is applied; returns how many records. Raises Unavailable at the first sign of an outage."""
        due = await self._staff.list_due(self._clock())
        return await each(due, self._take_and_apply, name=lambda waiting: waiting[0].user_id)

    async def _take_and_apply(self, due: tuple[StaffMember, str]) -> bool:
        (member, seen), due_at = due, self._clock() + APPLIED_WITHIN
        await self._database.write(self._staff.taken(member, seen, due_at))
        try:
            await self._apply(member.user_id, due_at)
        except UserChanged:
            return False
        return True

    async def _change(self, user: DirectoryUser, role: StaffRole, actor: str, *, granted: bool) -> StaffMember:
        member, due_at = await retry_lost_race(lambda: self._wish(user, role, actor, granted), UserChanged)
        if due_at is not None:
            try:
                await self._apply(member.user_id, due_at)
            except UserChanged:
                log.info("somebody else wishes more at this moment", user_id=member.user_id)
            except Unavailable as error:
                log.warning("groups of the user pool follow later", user_id=member.user_id, reason=str(error))
        return member

    async def _wish(
        self, user: DirectoryUser, role: StaffRole, actor: str, granted: bool
    ) -> tuple[StaffMember, datetime | None]:
        """The record says it; with it, when it is due to be applied, None where nothing changed."""
        before = await self._staff.find(user.user_id)
        roles = set(before.roles) if before else set()
        wished = roles | {role} if granted else roles - {role}
        if before and wished == roles:
            return before, None
        now = self._clock()
        member = _with_roles(before, user, tuple(sorted(wished)), actor, now)
        due_at = now + APPLIED_WITHIN
        entry = self._audit.entry(
            "STAFF_ROLE_GRANTED" if granted else "STAFF_ROLE_REVOKED",
            tenant_id=PLATFORM,
            subject=f"users/{user.user_id}",
            actor=actor,
            before=before,
            after=member,
        )
        # Whoever still applies the version before this one may end after us: the loop applies this one once more.
        waits = before is not None and await self._staff.is_due(user.user_id)
        await self._database.transact([self._staff.wished(member, before, due_at, again=waits), entry])
        return member, due_at

    async def _apply(self, user_id: str, due_at: datetime) -> None:
        """Raises UserChanged where something else was wished meanwhile: that stays due."""
        member = await self._staff.find(user_id)
        assert member is not None, "members are never deleted"
        wished = {GROUPS[role] for role in member.roles}
        try:
            standing = await self._directory.groups_of(user_id) & set(GROUPS.values())
            for group in sorted(wished - standing):
                await self._directory.add_to_group(user_id, group)
            for group in sorted(standing - wished):
                await self._directory.remove_from_group(user_id, group)
        except NotFound:
            log.warning("a member of staff is gone from the user pool", user_id=user_id)
        await self._database.write(self._staff.applied(member, due_at))
        log.info("groups of the user pool are as wished", user_id=user_id, roles=member.roles)


def _with_roles(
    before: StaffMember | None, user: DirectoryUser, roles: tuple[StaffRole, ...], actor: str, now: datetime
) -> StaffMember:
    if before:
        return before.changed(by=actor, at=now, email=user.email, roles=roles, active=bool(roles))
    return StaffMember(
        user_id=user.user_id, email=user.email, roles=roles, active=bool(roles),
        date_created=now, date_last_updated=now, last_updated_by=actor,
    )  # fmt: skip
