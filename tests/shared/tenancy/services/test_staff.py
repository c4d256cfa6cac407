"""Roles of staff: the record is the truth, and the groups of the user pool follow it whatever happens."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from bbws.consumers import housekeeping
from bbws.consumers.app import build
from bbws.shared.bootstrap import Services
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.errors import Invalid, NotFound, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.tenancy.services.staff import APPLIED_WITHIN
from tests.support.emulator import Aws
from tests.support.market import Market, MovedClock
from tests.support.people import trail_of

pytestmark = pytest.mark.needs("cognito", "dynamodb", "faults")
ACTOR = "cli:olga"
PASSWORD = "a long enough password"
OLGA = "olga@bbws.example"


async def _groups(services: Services, email: str = OLGA) -> set[str]:
    user = await services.directory.find_by_email(email)
    assert user is not None
    return set(await services.directory.groups_of(user.user_id))


async def test_a_grant_is_written_and_applied_at_once(services: Services, aws: Aws) -> None:
    """Who is made operator works as one from the next token on; the trail says who did it."""
    member = await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    assert (member.roles, member.active) == (("OPERATOR",), True)
    assert await _groups(services) == {"Operator"}
    both = await services.staff.grant(OLGA, "ADMIN", actor=ACTOR)
    assert (both.roles, both.version) == (("ADMIN", "OPERATOR"), 2)
    assert await _groups(services) == {"Operator", "Admin"}
    (granted, more) = await trail_of(Market(aws, services), PLATFORM)
    assert (granted.action, granted.actor, granted.subject) == ("STAFF_ROLE_GRANTED", ACTOR, f"users/{both.user_id}")
    assert more.details is not None
    assert more.details.after["roles"] == ["ADMIN", "OPERATOR"]
    assert await services.staff.apply_due() == 0


async def test_doing_what_is_so_already_writes_nothing(services: Services, aws: Aws) -> None:
    """A script that runs every night must not fill the trail."""
    granted = await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    assert await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR) == granted
    assert await services.staff.revoke(OLGA, "ADMIN", actor=ACTOR) == granted
    assert len(await trail_of(Market(aws, services), PLATFORM)) == 1


async def test_a_password_that_is_replaced_is_told_by_the_trail(services: Services, aws: Aws) -> None:
    """Whoever gives a colleague another password can act as that colleague: it must not look as if nothing happened."""
    granted = await services.staff.grant(OLGA, "ADMIN", actor=ACTOR, password=PASSWORD)
    await services.staff.grant(OLGA, "ADMIN", actor="cli:mallory", password=f"another {PASSWORD}")
    entry = (await trail_of(Market(aws, services), PLATFORM))[-1]
    told = (entry.action, entry.actor, entry.subject)
    assert told == ("STAFF_PASSWORD_SET", "cli:mallory", f"users/{granted.user_id}")


async def test_a_revoked_role_leaves_its_group_and_stays_on_record(services: Services, aws: Aws) -> None:
    """Somebody who left is no operator any more, and it can be told since when."""
    await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    revoked = await services.staff.revoke(OLGA, "OPERATOR", actor=ACTOR)
    assert (revoked.roles, revoked.active) == ((), False)
    assert await _groups(services) == set()
    assert (await trail_of(Market(aws, services), PLATFORM))[-1].action == "STAFF_ROLE_REVOKED"


@pytest.mark.own_account
async def test_a_group_that_is_no_role_of_ours_stays(services: Services) -> None:
    """Other programs may use the pool: taking a role away must not take their groups with it."""
    email = f"{new_id()}@bbws.example"
    member = await services.staff.grant(email, "OPERATOR", actor=ACTOR, password=PASSWORD)
    cognito, pool_id = await services.directory._client(), services.settings.cognito_user_pool_id
    group = f"Newsletter-{new_id()}"
    await cognito.create_group(UserPoolId=pool_id, GroupName=group)
    await services.directory.add_to_group(member.user_id, group)
    await services.staff.grant(email, "ADMIN", actor=ACTOR)
    await services.staff.revoke(email, "OPERATOR", actor=ACTOR)
    assert await _groups(services, email) == {"Admin", group}


@pytest.mark.own_account
async def test_nobody_is_granted_a_role_that_they_could_not_use(services: Services) -> None:
    """A typing error in the address must not make a colleague who does not exist."""
    with pytest.raises(NotFound, match="password"):
        await services.staff.grant(OLGA, "ADMIN", actor=ACTOR)
    with pytest.raises(Invalid):
        await services.staff.grant(OLGA, "ADMIN", actor=ACTOR, password="short")
    with pytest.raises(NotFound, match="not of the staff"):
        await services.staff.revoke(OLGA, "ADMIN", actor=ACTOR)
    assert (await services.staff.list_all(PageRequest())).items == []


async def test_an_outage_of_the_user_pool_delays_the_group_and_loses_nothing(
    services: Services, aws: Aws, clock: MovedClock
) -> None:
    """The pool takes no changes for a while: the grant is on record, and follows once the pool is back."""
    await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    await aws.inject("cognito-idp", operation="AdminAddUserToGroup")
    granted = await services.staff.grant(OLGA, "ADMIN", actor=ACTOR)
    assert granted.roles == ("ADMIN", "OPERATOR")
    assert await _groups(services) == {"Operator"}
    assert await services.staff.apply_due() == 0
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    with pytest.raises(Unavailable):
        await services.staff.apply_due()
    await aws.heal()
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    assert await services.staff.apply_due() == 1
    assert await _groups(services) == {"Operator", "Admin"}
    assert await services.staff.apply_due() == 0


async def test_housekeeping_applies_what_is_left(services: Services, aws: Aws, clock: MovedClock) -> None:
    """A method that no process calls mends nothing."""
    await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    await aws.inject("cognito-idp", operation="AdminRemoveUserFromGroup")
    await services.staff.revoke(OLGA, "OPERATOR", actor=ACTOR)
    await aws.heal()
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    consumer = build(housekeeping.register, services.settings, registry=CollectorRegistry())
    for loop in consumer.loops:
        await loop.work(services)
    assert await _groups(services) == set()


async def test_a_revocation_after_an_outage_counts_at_once(services: Services, aws: Aws, clock: MovedClock) -> None:
    """What waits from before must neither hold it up nor bring the group back later."""
    await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    await aws.inject("cognito-idp", operation="AdminAddUserToGroup")
    await services.staff.grant(OLGA, "ADMIN", actor=ACTOR)
    await aws.heal()
    await services.staff.revoke(OLGA, "ADMIN", actor=ACTOR)
    assert await _groups(services) == {"Operator"}
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    # Somebody who still applied the grant may have ended after the revocation.
    user = await services.directory.find_by_email(OLGA)
    assert user is not None
    await services.directory.add_to_group(user.user_id, "Admin")
    assert await services.staff.apply_due() == 1
    assert await _groups(services) == {"Operator"}
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    assert await services.staff.apply_due() == 0


async def test_changes_at_one_moment_all_count(services: Services, clock: MovedClock) -> None:
    """Two admins change one colleague: neither overwrites the other, and the groups end as the record does."""
    await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    await asyncio.gather(
        services.staff.grant(OLGA, "ADMIN", actor=ACTOR), services.staff.revoke(OLGA, "OPERATOR", actor=ACTOR)
    )
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    await services.staff.apply_due()
    (member,) = (await services.staff.list_all(PageRequest())).items
    assert (member.roles, member.version) == (("ADMIN",), 3)
    assert await _groups(services) == {"Admin"}


async def test_two_processes_apply_a_change_once(services: Services, aws: Aws, clock: MovedClock) -> None:
    """Both see the row; one takes it."""
    await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    await aws.inject("cognito-idp", operation="AdminAddUserToGroup")
    await services.staff.grant(OLGA, "ADMIN", actor=ACTOR)
    await aws.heal()
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    # Slow enough that the second one comes while the first is at it.
    await aws.inject("cognito-idp", operation="AdminListGroupsForUser", status=None, latency_ms=500)
    before = await aws.calls("cognito-idp", "AdminAddUserToGroup")
    assert sorted(await asyncio.gather(services.staff.apply_due(), services.staff.apply_due())) == [0, 1]
    assert await aws.calls("cognito-idp", "AdminAddUserToGroup") == before + 1
    assert await _groups(services) == {"Operator", "Admin"}


async def test_a_member_who_is_gone_from_the_pool_holds_nothing_up(
    services: Services, aws: Aws, clock: MovedClock
) -> None:
    """Somebody deleted the user by hand: the loop goes on to the next one."""
    member = await services.staff.grant(OLGA, "OPERATOR", actor=ACTOR, password=PASSWORD)
    await aws.inject("cognito-idp", operation="AdminAddUserToGroup")
    await services.staff.grant(OLGA, "ADMIN", actor=ACTOR)
    await aws.heal()
    async with aws.client("cognito-idp") as cognito:
        pool = services.settings.cognito_user_pool_id
        await cognito.admin_delete_user(UserPoolId=pool, Username=member.user_id)
    clock.advance(APPLIED_WITHIN.total_seconds() + 1)
    assert await services.staff.apply_due() == 1
    assert await services.staff.apply_due() == 0


@pytest.mark.own_account
async def test_staff_are_listed_over_pages_and_have_no_tenant(services: Services) -> None:
    """The list of who may do everything must be complete; it is nobody's list of tenants."""
    emails = [f"{new_id()}@bbws.example" for _ in range(3)]
    for email in emails:
        await services.staff.grant(email, "OPERATOR", actor=ACTOR, password=PASSWORD)
    first = await services.staff.list_all(PageRequest(limit=2))
    rest = await services.staff.list_all(PageRequest(limit=2, cursor=first.next_cursor))
    assert sorted(member.email for member in (*first.items, *rest.items)) == sorted(emails)
    found = await services.users.list_of_user(first.items[0].user_id, PageRequest())
    assert found.items == []
