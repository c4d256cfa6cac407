"""Following a link: once, by one, and never so that a customer is left standing outside."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.registrations import Confirmation, hash_of
from bbws.shared.contracts.tenancy.tenants import Tenant, TenantPatch
from bbws.shared.contracts.tenancy.users import UserAssignment, UserAssignmentDraft
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.errors import Conflict, Invalid, Unauthenticated, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.cognito import UserDirectory
from bbws.shared.tenancy.repositories.users import UserRepository
from bbws.shared.tenancy.services import confirmations
from bbws.shared.tenancy.services.confirmations import LEASE, POOL_WITHIN_S, LinkDead
from tests.support.builders import registration_requested
from tests.support.links import mails_to, token_in
from tests.support.market import OPERATOR, Market, MovedClock
from tests.support.meanwhile import meanwhile

pytestmark = pytest.mark.needs("cognito")
PASSWORD = "correct horse battery"
AT_ONCE = 20


async def _mailed(market: Market, tenant: Tenant, **data: Any) -> str:
    """The token of a link that was just mailed."""
    event = registration_requested(tenant, **data)
    await market.services.registrations.mail_link(event)
    return token_in((await mails_to(market.aws, event.data.email))[-1])


async def _confirm(market: Market, token: str, password: str = PASSWORD) -> Tenant:
    confirmation = Confirmation(token=token, password=SecretStr(password))
    return (await market.services.confirmations.confirm(confirmation)).tenant


async def _signs_in(market: Market, email: str, password: str = PASSWORD) -> bool:
    (client_id,) = market.services.settings.cognito_client_ids
    try:
        return bool(await market.services.directory.sign_in(client_id, email, password))
    except Unauthenticated:
        return False


async def _owners(market: Market, tenant: Tenant) -> list[UserAssignment]:
    users = UserRepository(market.services.database)
    return [user for user in (await users.list_of_tenant(tenant.id, PageRequest())).items if user.role == "OWNER"]


async def _actions(market: Market, tenant: Tenant) -> list[str]:
    entries = await AuditRepository(market.services.database).list_of_tenant(tenant.id, PageRequest(100))
    return sorted(entry.action for entry in entries.items)


@pytest.mark.own_account
async def test_a_link_makes_a_registered_tenant_with_an_owner_who_signs_in(market: Market) -> None:
    """UNVALIDATED, VALIDATED, REGISTERED: each step an event and an audit entry, and then a password that works."""
    tenant = await market.tenant()
    after = await _confirm(market, await _mailed(market, tenant))
    assert (after.registration_status, after.version) == ("REGISTERED", tenant.version + 2)
    (owner,) = await _owners(market, tenant)
    assert (owner.email, after.last_updated_by) == (tenant.email, f"user:{owner.user_id}")
    assert await _signs_in(market, tenant.email)
    assert await market.services.users.role_in(tenant.id, owner.user_id) == "OWNER"
    assert await _actions(market, tenant) == [
        "REGISTRATION_CONFIRMED", "TENANT_CREATED", "TENANT_UPDATED", "TENANT_UPDATED", "USER_ASSIGNED",
    ]  # fmt: skip
    rows = [row for shard in range(4) for row in await market.items("bbws-tenants", f"OUTBOX#{shard}")]
    assert sorted(row["schema"].split(":")[3] for row in rows) == ["TENANT_CREATED", "TENANT_UPDATED", "TENANT_UPDATED"]


async def test_of_twenty_at_once_one_follows_the_link(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two winners would be two passwords, and nobody could say whose counts: losers do not come as far as the pool."""
    real, given = UserDirectory.set_password, []

    async def noted(directory: UserDirectory, user_id: str, password: str) -> None:
        given.append(password)
        await real(directory, user_id, password)

    monkeypatch.setattr(UserDirectory, "set_password", noted)
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    passwords = [f"password number {n}" for n in range(AT_ONCE)]
    answers = await asyncio.gather(*(_confirm(market, token, each) for each in passwords), return_exceptions=True)
    (winner,) = [n for n, answer in enumerate(answers) if isinstance(answer, Tenant)]
    assert {type(answer) for answer in answers} <= {Tenant, Conflict, LinkDead}
    assert given == [passwords[winner]]
    assert await _signs_in(market, tenant.email, passwords[winner])
    assert len(await _owners(market, tenant)) == 1
    with pytest.raises(LinkDead):
        await _confirm(market, token)


async def test_used_expired_tampered_and_unknown_links_answer_alike(market: Market, clock: MovedClock) -> None:
    """Whoever tries tokens must not learn which of them was one."""
    tenant = await market.tenant()
    used, stale = await _mailed(market, tenant), await _mailed(market, other := await market.tenant())
    await _confirm(market, used)
    clock.advance(24 * 3600 + 1)
    fresh = await _mailed(market, await market.tenant())
    last = "A" if fresh[-1] != "A" else "B"
    refusals = []
    for token in (used, stale, fresh[:-1] + last, fresh[:-1], fresh + "=", "", "x" * 43, new_id()):
        with pytest.raises(LinkDead) as refused:
            await _confirm(market, token)
        refusals.append((refused.value.detail, refused.value.errors))
        with pytest.raises(LinkDead):
            await market.services.confirmations.link(token)
    assert len(set(refusals)) == 1
    assert not await _signs_in(market, other.email)
    assert await _confirm(market, fresh)


async def test_looking_at_a_link_changes_nothing(market: Market) -> None:
    """Mail scanners follow links before their reader does."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    for _ in range(3):
        assert (await market.services.confirmations.link(token)).email == tenant.email
    assert await market.services.tenants.get(tenant.id) == tenant
    assert await market.services.directory.find_by_email(tenant.email) is None


async def test_a_refused_password_uses_nothing_up(market: Market) -> None:
    """Somebody who mistypes must be able to try again at once, with the same link."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    for password in ("short", "x" * 11):
        with pytest.raises(Invalid) as refused:
            await _confirm(market, token, password)
        assert [error.pointer for error in refused.value.errors] == ["#/password"]
    assert (await _confirm(market, token)).registration_status == "REGISTERED"


@pytest.mark.parametrize("operation", ["AdminGetUser", "AdminCreateUser", "AdminSetUserPassword"])
async def test_an_outage_of_the_pool_leaves_the_link_as_it_was(market: Market, operation: str) -> None:
    """A customer who registers during an outage presses the button again, and is in."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    await market.aws.inject("cognito-idp", operation=operation)
    with pytest.raises(Unavailable) as outage:
        await _confirm(market, token)
    assert outage.value.dependency == "cognito-idp"
    assert (await market.services.tenants.get(tenant.id)).registration_status == "VALIDATED"
    assert await _owners(market, tenant) == []
    await market.aws.heal()
    assert (await _confirm(market, token)).registration_status == "REGISTERED"
    assert len(await _owners(market, tenant)) == 1


async def test_a_pool_that_is_silent_gives_the_link_back_before_somebody_else_may_have_it(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits longer than the lease sets a password after another one did, and nobody knows whose counts."""
    assert LEASE.total_seconds() > POOL_WITHIN_S
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    monkeypatch.setattr(confirmations, "POOL_WITHIN_S", 0.3)
    await market.aws.inject("cognito-idp", status=None, latency_ms=20_000)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="no answer within") as outage:
            await _confirm(market, token)
    assert outage.value.dependency == "cognito-idp"
    await market.aws.heal()
    monkeypatch.undo()
    assert (await _confirm(market, token)).registration_status == "REGISTERED"


async def test_an_outage_of_pool_and_table_is_told_as_that_of_the_pool(
    market: Market, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link cannot be given back: the lease does the same, only later, and the first error is the one to tell."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)

    async def all_out(*_: Any) -> None:
        await market.aws.inject("dynamodb")
        raise Unavailable("cognito-idp", "ServiceUnavailable")

    with monkeypatch.context() as patched:
        patched.setattr(UserDirectory, "find_by_email", all_out)
        with pytest.raises(Unavailable) as outage:
            await _confirm(market, token)
    assert outage.value.dependency == "cognito-idp"
    await market.aws.heal()
    with pytest.raises(Conflict):
        await _confirm(market, token)
    clock.advance(LEASE.total_seconds() + 1)
    assert (await _confirm(market, token)).registration_status == "REGISTERED"


async def test_who_is_slower_than_the_lease_finds_the_link_used(
    market: Market, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process slept through its lease, and another one ended the work: one owner, and no second event."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    create, slept = UserDirectory.create, list[bool]()

    async def sleep(directory: UserDirectory, email: str) -> Any:
        user = await create(directory, email)
        if not slept:
            slept.append(True)
            clock.advance(LEASE.total_seconds() + 1)
            await _confirm(market, token, "of who was faster")
        return user

    monkeypatch.setattr(UserDirectory, "create", sleep)
    with pytest.raises(LinkDead):
        await _confirm(market, token)
    assert len(await _owners(market, tenant)) == 1
    assert (await _actions(market, tenant)).count("REGISTRATION_CONFIRMED") == 1


@pytest.mark.parametrize("step", ["VALIDATED", "REGISTERED"])
async def test_a_tenant_that_changes_at_this_moment_is_registered_all_the_same(market: Market, step: str) -> None:
    """An operator parks it while its owner follows the link: neither of the two is told to try again."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)

    def advances(write: Any) -> bool:
        return getattr(write, "changes", {}).get("registrationStatus") == step

    with meanwhile(lambda: market.services.tenants.park(tenant.id, reason="pause", actor=OPERATOR), before=advances):
        after = await _confirm(market, token)
    assert (after.status, after.registration_status, after.version) == ("PARKED", "REGISTERED", 4)
    assert len(await _owners(market, tenant)) == 1


async def test_a_link_that_another_ends_at_this_moment_is_dead(market: Market) -> None:
    """Both links of one address were good when they were looked at; the one that is used first ends the other."""
    tenant = await market.tenant()
    first, second = await _mailed(market, tenant), await _mailed(market, tenant)
    with meanwhile(lambda: _confirm(market, second)), pytest.raises(LinkDead):
        await _confirm(market, first, "somebody else's idea")
    assert await _signs_in(market, tenant.email)


async def test_a_used_link_is_remembered_for_as_long_as_another_may_live(market: Market, clock: MovedClock) -> None:
    """DynamoDB forgets by itself: forgotten too early, an old mail opens again what a newer one has closed."""
    tenant = await market.tenant()
    token, unused = await _mailed(market, tenant), await _mailed(market, tenant)
    await _confirm(market, token)
    valid_until = clock().timestamp() + 24 * 3600
    (used,) = await market.items("bbws-tenants", f"REGISTRATION#{tenant.email}")
    (link,) = await market.items("bbws-tenants", f"TOKEN#{hash_of(unused)}")
    assert used["expiresAt"] >= valid_until
    assert valid_until - 60 <= link["expiresAt"] <= used["expiresAt"]


class _Crash(BaseException):
    """No `except Exception` tidies up after it, as after a kill."""


@pytest.mark.parametrize("step", ["find_by_email", "create", "set_password"])
async def test_a_crash_between_the_steps_locks_nobody_out(
    market: Market, clock: MovedClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The process dies after the step: another link works at once, and the same one when the lease has ended."""
    tenant = await market.tenant()
    token, later = await _mailed(market, tenant), await _mailed(market, tenant)
    real = getattr(UserDirectory, step)

    async def die(*arguments: Any) -> None:
        await real(*arguments)
        raise _Crash

    with monkeypatch.context() as patched:
        patched.setattr(UserDirectory, step, die)
        with pytest.raises(_Crash):
            await _confirm(market, token)
    for each in (token, later):
        with pytest.raises(Conflict):
            await _confirm(market, each)
    clock.advance(LEASE.total_seconds() + 1)
    assert (await _confirm(market, token, "the second password")).registration_status == "REGISTERED"
    assert await _signs_in(market, tenant.email, "the second password")
    assert len(await _owners(market, tenant)) == 1


async def test_a_crash_after_the_last_step_leaves_a_customer_who_signs_in(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is stored and only the answer is lost: the link is used, and the password works."""
    tenant = await market.tenant()
    token, outbox = await _mailed(market, tenant), market.services.tenant_outbox
    real, commits = outbox.commit, []

    async def commit(writes: Any, events: Any) -> None:
        await real(writes, events)
        commits.append(len(writes))
        if len(commits) == 2:
            raise _Crash

    monkeypatch.setattr(outbox, "commit", commit)
    with pytest.raises(_Crash):
        await _confirm(market, token)
    assert await _signs_in(market, tenant.email)
    with pytest.raises(LinkDead):
        await _confirm(market, token)


async def test_an_outage_of_the_table_at_the_end_is_made_up_for_by_the_same_link(market: Market) -> None:
    """The password is set and the owner is not stored: the next try finds the user and ends the work."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    directory = market.services.directory
    real = directory.set_password

    async def set_password_then_outage(user_id: str, password: str) -> None:
        await real(user_id, password)
        await market.aws.inject("dynamodb", operation="TransactWriteItems")

    directory.set_password = set_password_then_outage  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await _confirm(market, token)
    await market.aws.heal()
    directory.set_password = real  # type: ignore[method-assign]
    assert (await _confirm(market, token)).registration_status == "REGISTERED"


async def test_a_used_link_ends_every_other_that_was_mailed_before(market: Market) -> None:
    """An old mail must not open what a newer one has closed; a link that is mailed later works."""
    tenant = await market.tenant()
    first, second = await _mailed(market, tenant), await _mailed(market, tenant)
    await _confirm(market, second)
    with pytest.raises(LinkDead):
        await _confirm(market, first, "somebody else's idea")
    assert await _signs_in(market, tenant.email)
    await _confirm(market, await _mailed(market, tenant), "a password anew")
    assert await _signs_in(market, tenant.email, "a password anew")


async def test_a_registered_tenants_link_sets_a_password_and_nothing_else(market: Market) -> None:
    """A forgotten password is no reason for another owner, another version or another event."""
    tenant = await market.tenant()
    before = await _confirm(market, await _mailed(market, tenant))
    after = await _confirm(market, await _mailed(market, tenant), "the second password")
    assert after == before
    assert len(await _owners(market, tenant)) == 1
    assert not await _signs_in(market, tenant.email)


async def test_a_link_to_an_address_that_the_tenant_no_longer_has_is_dead(market: Market) -> None:
    """The operator corrected a mistyped address: whoever got the mail must not become owner."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    patch = TenantPatch(email=f"{new_id()}@example.com")
    await market.services.tenants.update(tenant.id, patch, version=tenant.version, actor="operator")
    with pytest.raises(LinkDead):
        await _confirm(market, token)


async def test_a_link_into_a_deleted_tenant_is_dead(market: Market) -> None:
    """What is deleted gets no new owner; restored, it has the link back."""
    tenant = await market.tenant()
    token = await _mailed(market, tenant)
    await market.services.tenants.delete(tenant.id, version=tenant.version, actor="operator")
    with pytest.raises(LinkDead):
        await _confirm(market, token)


async def test_an_invitation_sets_the_password_of_who_was_invited(market: Market) -> None:
    """The role was given with the invitation; following the link gives no other, and proves nothing of the tenant's."""
    tenant, email = await market.tenant(), f"{new_id()}@example.com"
    user = await _assigned(market, tenant, email)
    token = await _mailed(market, tenant, email=email, purpose="INVITATION")
    after = await _confirm(market, token)
    assert after == await market.services.tenants.get(tenant.id)
    assert await market.services.users.role_in(tenant.id, user.user_id) == "VIEWER"
    assert await _signs_in(market, email)


async def test_an_invitation_that_was_taken_back_is_dead(market: Market) -> None:
    """Somebody who was removed before following the link has nothing to sign in to."""
    tenant, email = await market.tenant(), f"{new_id()}@example.com"
    token = await _mailed(market, tenant, email=email, purpose="INVITATION")
    with pytest.raises(LinkDead):
        await _confirm(market, token)
    assert await market.services.directory.find_by_email(email) is None


async def _assigned(market: Market, tenant: Tenant, email: str) -> UserAssignment:
    draft = UserAssignmentDraft(email=email, role="VIEWER")
    assignment, _ = await market.services.users.assign(tenant.id, draft, actor="owner")
    return assignment
