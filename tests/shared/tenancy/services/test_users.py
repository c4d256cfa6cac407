"""Users of tenants: assigned once, never without an owner, and every change in the audit trail."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.tenants import Tenant
from bbws.shared.contracts.tenancy.users import UserAssignment
from bbws.shared.errors import Conflict, NotFound, PreconditionFailed, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.tenancy.services.users import INVITED_AGAIN_AFTER
from tests.support.market import OPERATOR, Market, MovedClock
from tests.support.meanwhile import meanwhile
from tests.support.people import ACTOR, assigned, delete_tenant, draft, events_of, trail_of, users_of
from tests.support.waiting import eventually

pytestmark = [pytest.mark.needs("cognito", "dynamodb", "events"), pytest.mark.usefixtures("aws")]


async def test_an_unknown_user_is_made_assigned_and_invited(shared_market: Market) -> None:
    """Without the event no mail goes out, and nobody could ever sign in; no secret is in it."""
    tenant = await shared_market.tenant(organization_name=f"Org {new_id()}")
    user = await assigned(shared_market, tenant, "OWNER", "Sipho@Protea.example")
    assert (user.email, user.role) == ("sipho@protea.example", "OWNER")
    assert (await shared_market.services.directory.get(user.user_id)).email == user.email
    assert await shared_market.services.users.role_in(tenant.id, user.user_id) == "OWNER"
    (invited,) = await _invitations(shared_market, tenant)
    expected = {"email": user.email, "purpose": "INVITATION", "organizationName": tenant.organization_name}
    assert invited["data"] == expected


async def _invitations(market: Market, tenant: Tenant) -> list[dict[str, Any]]:
    return [event for event in await events_of(market, tenant) if event["type"] == "REGISTRATION_REQUESTED"]


async def test_a_user_who_is_taken_out_and_put_in_again_is_not_mailed_each_time(shared_market: Market) -> None:
    """Anybody can own a tenant: nobody's mailbox may be flooded from it. The link of the first mail works again."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    await assigned(shared_market, tenant, "OWNER")
    email, before = f"{new_id()}@protea.example", len(await _invitations(shared_market, tenant))
    for _ in range(3):
        invited = await assigned(shared_market, tenant, "MEMBER", email)
        await users.remove(tenant.id, invited.user_id, version=1, actor=ACTOR)
    assert len(await _invitations(shared_market, tenant)) == before + 1
    assert [entry.action for entry in await trail_of(shared_market, tenant.id)].count("USER_REMOVED") == 3


async def test_a_user_who_is_put_in_again_later_is_mailed_again(market: Market, clock: MovedClock) -> None:
    """The first mail is lost or a day old: ten minutes later nobody calls a second one a flood."""
    users, tenant = market.services.users, await market.tenant()
    email = f"{new_id()}@protea.example"
    for ahead, mails in ((0.0, 1), (INVITED_AGAIN_AFTER.total_seconds() - 60, 1), (61, 2)):
        clock.advance(ahead)
        invited = await assigned(market, tenant, "MEMBER", email)
        assert len(await _invitations(market, tenant)) == mails
        await users.remove(tenant.id, invited.user_id, version=1, actor=ACTOR)
    assert INVITED_AGAIN_AFTER.total_seconds() <= 3600


async def test_who_has_a_password_is_assigned_without_a_mail(shared_market: Market) -> None:
    """They can sign in already: a link that sets a password would only worry them."""
    directory, tenant = shared_market.services.directory, await shared_market.tenant()
    known = await directory.create(f"{new_id()}@protea.example")
    await directory.set_password(known.user_id, "a long enough password")
    user = await assigned(shared_market, tenant, "MEMBER", known.email)
    assert user.user_id == known.user_id
    assert await _invitations(shared_market, tenant) == []


async def test_a_user_whom_a_crash_left_without_invitation_is_invited_by_the_repeat(shared_market: Market) -> None:
    """The pool knew the user before the transaction: the next try must not take them for somebody who can sign in."""
    tenant, email = await shared_market.tenant(), f"{new_id()}@protea.example"
    await shared_market.services.directory.create(email)
    await assigned(shared_market, tenant, "MEMBER", email)
    assert len(await _invitations(shared_market, tenant)) == 1


async def test_repeating_an_assignment_changes_and_publishes_nothing(shared_market: Market) -> None:
    """A double click, twenty of them at once: one assignment, one invitation, one entry."""
    tenant, wished = await shared_market.tenant(), draft("OWNER")
    answers = await asyncio.gather(
        *(shared_market.services.users.assign(tenant.id, wished, actor=ACTOR) for _ in range(20))
    )
    assert len({user.user_id for user, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1
    assert len(await _invitations(shared_market, tenant)) == 1
    assert [entry.action for entry in await trail_of(shared_market, tenant.id)].count("USER_ASSIGNED") == 1


async def test_another_role_is_refused_by_assigning_and_given_by_changing(shared_market: Market) -> None:
    """Assigning twice must not silently raise or lower anybody."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    await assigned(shared_market, tenant, "OWNER")
    viewer = await assigned(shared_market, tenant, "VIEWER")
    with pytest.raises(Conflict, match=r"VIEWER.*change that role"):
        await users.assign(tenant.id, draft("MEMBER", viewer.email), actor=ACTOR)
    member = await users.change_role(tenant.id, viewer.user_id, "MEMBER", version=1, actor=ACTOR)
    assert (member.role, member.version, member.last_updated_by) == ("MEMBER", 2, ACTOR)
    with pytest.raises(PreconditionFailed):
        await users.change_role(tenant.id, viewer.user_id, "VIEWER", version=1, actor=ACTOR)
    assert await users.change_role(tenant.id, viewer.user_id, "MEMBER", version=2, actor=ACTOR) == member
    entry = (await trail_of(shared_market, tenant.id))[-1]
    assert entry.action == "USER_ROLE_CHANGED"
    assert entry.subject == f"tenants/{tenant.id}/users/{viewer.user_id}"
    assert entry.details is not None
    assert (entry.details.before["role"], entry.details.after["role"]) == ("VIEWER", "MEMBER")


async def test_the_first_user_registers_the_tenant(shared_market: Market) -> None:
    """In the same transaction, once, and with an event: others follow what a tenant is."""
    tenant = await shared_market.tenant()
    await asyncio.gather(*(assigned(shared_market, tenant, "OWNER") for _ in range(4)))
    registered = await shared_market.services.tenants.get(tenant.id)
    assert (registered.registration_status, registered.version) == ("REGISTERED", 2)
    updated = [event for event in await events_of(shared_market, tenant) if event["type"] == "TENANT_UPDATED"]
    assert [event["data"]["tenant"]["registrationStatus"] for event in updated] == ["REGISTERED"]
    assert [entry.action for entry in await trail_of(shared_market, tenant.id)].count("TENANT_UPDATED") == 1


async def test_the_last_owner_stays(shared_market: Market) -> None:
    """A tenant without one could not be managed by its own people any more."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    owner = await assigned(shared_market, tenant, "OWNER")
    await assigned(shared_market, tenant, "MEMBER")
    with pytest.raises(Conflict, match="last owner"):
        await users.remove(tenant.id, owner.user_id, version=1, actor=ACTOR)
    with pytest.raises(Conflict, match="last owner"):
        await users.change_role(tenant.id, owner.user_id, "VIEWER", version=1, actor=ACTOR)
    other = await assigned(shared_market, tenant, "OWNER")
    await users.remove(tenant.id, owner.user_id, version=1, actor=ACTOR)
    with pytest.raises(Conflict, match="last owner"):
        await users.remove(tenant.id, other.user_id, version=1, actor=ACTOR)


async def test_whoever_becomes_owner_and_whoever_stops_being_one_is_counted(shared_market: Market) -> None:
    """A role changes in four ways; one of them not counted, and a tenant keeps an owner who left, or loses its last."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    first = await assigned(shared_market, tenant, "OWNER")
    second = await assigned(shared_market, tenant, "MEMBER")
    await users.change_role(tenant.id, second.user_id, "OWNER", version=1, actor=ACTOR)
    await users.change_role(tenant.id, first.user_id, "VIEWER", version=1, actor=ACTOR)
    with pytest.raises(Conflict, match="last owner"):
        await users.change_role(tenant.id, second.user_id, "MEMBER", version=2, actor=ACTOR)
    await users.change_role(tenant.id, first.user_id, "OWNER", version=2, actor=ACTOR)
    await users.remove(tenant.id, second.user_id, version=2, actor=ACTOR)
    with pytest.raises(Conflict, match="last owner"):
        await users.remove(tenant.id, first.user_id, version=3, actor=ACTOR)
    third = await assigned(shared_market, tenant, "OWNER")
    await users.remove(tenant.id, first.user_id, version=3, actor=ACTOR)
    with pytest.raises(Conflict, match="last owner"):
        await users.remove(tenant.id, third.user_id, version=1, actor=ACTOR)


@pytest.mark.parametrize("round_", range(3))
async def test_owners_who_all_go_at_once_leave_one(shared_market: Market, round_: int) -> None:
    """Each of them sees the others stay; only a count in the same transaction knows better."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    owners = [await assigned(shared_market, tenant, "OWNER") for _ in range(5)]

    async def goes(number: int) -> Any:
        owner = owners[number]
        if number % 2:
            return await users.change_role(tenant.id, owner.user_id, "VIEWER", version=1, actor=ACTOR)
        return await users.remove(tenant.id, owner.user_id, version=1, actor=ACTOR)

    answers = await asyncio.gather(*(goes(number) for number in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(Conflict) == 1
    assert list((await users_of(shared_market, tenant)).values()).count("OWNER") == 1


async def test_a_change_made_meanwhile_is_not_overwritten(shared_market: Market) -> None:
    """Two people change one user from what they both saw: the second is told."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    member = await assigned(shared_market, tenant, "MEMBER")
    answers = await asyncio.gather(
        users.change_role(tenant.id, member.user_id, "VIEWER", version=1, actor=ACTOR),
        users.change_role(tenant.id, member.user_id, "OWNER", version=1, actor=ACTOR),
        users.remove(tenant.id, member.user_id, version=1, actor=ACTOR),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, PreconditionFailed | NotFound) for answer in answers) == 2


async def test_removed_users_have_no_role_and_can_come_back(shared_market: Market) -> None:
    """The sign-in stays: they may have other tenants."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    member = await assigned(shared_market, tenant, "MEMBER")
    await users.remove(tenant.id, member.user_id, version=1, actor=ACTOR)
    assert await users.role_in(tenant.id, member.user_id) is None
    with pytest.raises(NotFound):
        await users.remove(tenant.id, member.user_id, version=1, actor=ACTOR)
    assert (await trail_of(shared_market, tenant.id))[-1].action == "USER_REMOVED"
    again = await assigned(shared_market, tenant, "VIEWER", member.email)
    assert (again.user_id, again.role) == (member.user_id, "VIEWER")


async def test_a_deleted_tenant_gives_no_role_and_changes_no_more(shared_market: Market) -> None:
    """Its people find nothing there; staff are told to restore it first."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    member = await assigned(shared_market, tenant, "MEMBER")
    await delete_tenant(shared_market, tenant)
    assert await users.role_in(tenant.id, member.user_id) is None
    for change in (
        users.assign(tenant.id, draft(), actor=ACTOR),
        users.change_role(tenant.id, member.user_id, "VIEWER", version=1, actor=ACTOR),
        users.remove(tenant.id, member.user_id, version=1, actor=ACTOR),
    ):
        with pytest.raises(Conflict, match="restore it first"):
            await change


def _changes(market: Market, tenant: Tenant, user: UserAssignment) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What can be done to a user, and with one."""
    users = market.services.users
    return {
        "assign": lambda: users.assign(tenant.id, draft("VIEWER"), actor=ACTOR),
        "change_role": lambda: users.change_role(tenant.id, user.user_id, "VIEWER", version=1, actor=ACTOR),
        "remove": lambda: users.remove(tenant.id, user.user_id, version=1, actor=ACTOR),
    }


@pytest.mark.parametrize("change", ["assign", "change_role", "remove"])
async def test_a_tenant_that_is_deleted_at_this_moment_changes_no_more(shared_market: Market, change: str) -> None:
    """It was open when it was read: a user who is written after the deletion is one whom nobody wished to be there."""
    tenants, tenant = shared_market.services.tenants, await shared_market.tenant()
    await assigned(shared_market, tenant, "OWNER")
    member = await assigned(shared_market, tenant, "MEMBER")
    before = await users_of(shared_market, tenant)
    with (
        meanwhile(lambda: tenants.delete(tenant.id, version=2, actor=OPERATOR)),
        pytest.raises(Conflict, match="restore it first"),
    ):
        await _changes(shared_market, tenant, member)[change]()
    assert await users_of(shared_market, tenant) == before


async def test_a_first_user_is_not_assigned_to_a_tenant_that_is_deleted_at_this_moment(shared_market: Market) -> None:
    """The first one registers the tenant: that must not bring it back to life."""
    tenants, tenant = shared_market.services.tenants, await shared_market.tenant()
    with (
        meanwhile(lambda: tenants.delete(tenant.id, version=1, actor=OPERATOR)),
        pytest.raises(Conflict, match="restore it first"),
    ):
        await assigned(shared_market, tenant, "OWNER")
    assert await users_of(shared_market, tenant) == {}
    assert (await tenants.get(tenant.id)).registration_status == "UNVALIDATED"


async def test_a_first_user_is_assigned_although_the_tenant_changes_at_this_moment(shared_market: Market) -> None:
    """An operator parks it while its owner is made: neither hears of the other, and neither is lost."""
    tenant = await shared_market.tenant()
    with meanwhile(lambda: shared_market.services.tenants.park(tenant.id, reason="pause", actor=OPERATOR)):
        owner = await assigned(shared_market, tenant, "OWNER")
    now = await shared_market.services.tenants.get(tenant.id)
    assert (now.status, now.registration_status, now.version) == ("PARKED", "REGISTERED", 3)
    assert await users_of(shared_market, tenant) == {owner.email: "OWNER"}


async def test_an_owner_is_counted_although_another_one_goes_at_this_moment(shared_market: Market) -> None:
    """Both read two owners; written without a second look the tenant would have one more than it has."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    first, second = [await assigned(shared_market, tenant, "OWNER") for _ in range(2)]
    with meanwhile(lambda: users.remove(tenant.id, first.user_id, version=1, actor=ACTOR)):
        await assigned(shared_market, tenant, "OWNER")
    with meanwhile(lambda: users.remove(tenant.id, second.user_id, version=1, actor=ACTOR)):
        third = next(user for user in (await users.list_of_tenant(tenant.id, PageRequest())).items if user != second)
        with pytest.raises(Conflict, match="last owner"):
            await users.change_role(tenant.id, third.user_id, "VIEWER", version=1, actor=ACTOR)
    assert list((await users_of(shared_market, tenant)).values()) == ["OWNER"]


@pytest.mark.parametrize("second", ["change_role", "remove"])
async def test_who_changes_a_user_after_somebody_else_did_is_told(shared_market: Market, second: str) -> None:
    """Told as 412, as if the other one had been a minute earlier: read it again, and wish it again."""
    users, tenant = shared_market.services.users, await shared_market.tenant()
    await assigned(shared_market, tenant, "OWNER")
    member = await assigned(shared_market, tenant, "MEMBER")
    other = users.change_role(tenant.id, member.user_id, "OWNER", version=1, actor="the other")
    with meanwhile(lambda: other), pytest.raises(PreconditionFailed):
        await _changes(shared_market, tenant, member)[second]()
    now = await users.get(tenant.id, member.user_id)
    assert (now.role, now.version, now.last_updated_by) == ("OWNER", 2, "the other")


async def test_nobody_is_made_for_a_tenant_that_is_not_there(shared_market: Market) -> None:
    """A wrong id in a script must not fill the user pool."""
    wished = draft()
    with pytest.raises(NotFound):
        await shared_market.services.users.assign(new_id(), wished, actor=ACTOR)
    assert await shared_market.services.directory.find_by_email(wished.email) is None


async def test_users_of_a_tenant_are_listed_over_pages(shared_market: Market) -> None:
    """R-129: all of them once, nobody else's."""
    tenant, other = await shared_market.tenant(), await shared_market.tenant()
    users = {(await assigned(shared_market, tenant)).user_id for _ in range(5)}
    await assigned(shared_market, other)
    listed, page, pages = [], PageRequest(limit=2), 0
    while True:
        found = await shared_market.services.users.list_of_tenant(tenant.id, page)
        listed += [user.user_id for user in found.items]
        pages += 1
        if found.next_cursor is None:
            break
        page = PageRequest(limit=2, cursor=found.next_cursor)
    assert (sorted(listed), pages) == (sorted(users), 3)
    with pytest.raises(NotFound):
        await shared_market.services.users.list_of_tenant(new_id(), PageRequest())


async def test_a_users_tenants_are_listed_over_pages_through_their_index(shared_market: Market) -> None:
    """R-128: a user of many tenants finds each of them, with the role in it."""
    email = f"{new_id()}@protea.example"
    tenants = [await shared_market.tenant() for _ in range(3)]
    roles = dict(zip([tenant.id for tenant in tenants], ["OWNER", "MEMBER", "VIEWER"], strict=True))
    users = [await assigned(shared_market, tenant, roles[tenant.id], email) for tenant in tenants]  # type: ignore[arg-type]

    async def listed() -> dict[str, str]:
        found: dict[str, str] = {}
        cursor = None
        for _ in range(3):
            page = await shared_market.services.users.list_of_user(users[0].user_id, PageRequest(1, cursor))
            found |= {each.tenant_id: each.role for each in page.items}
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def complete() -> bool:
        return await listed() == roles

    await eventually(complete, what="all three tenants are in the index")


@pytest.mark.needs("faults")
async def test_an_outage_of_the_user_pool_assigns_nobody(market: Market) -> None:
    """The caller tries again later; half an assignment would be worse than none."""
    tenant = await market.tenant()
    await market.aws.inject("cognito-idp")
    with pytest.raises(Unavailable):
        await market.services.users.assign(tenant.id, draft(), actor=ACTOR)
    await market.aws.heal()
    assert await users_of(market, tenant) == {}
    assert (await market.services.tenants.get(tenant.id)).registration_status == "UNVALIDATED"
