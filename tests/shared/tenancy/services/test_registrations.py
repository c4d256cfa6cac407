"""Asking for a link: one tenant and few mails for each e-mail, and nothing learned by who asks."""

import asyncio
from email.message import EmailMessage
from typing import Any

import orjson
import pytest

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.registrations import hash_of
from bbws.shared.contracts.tenancy.tenant_events import RegistrationRequested
from bbws.shared.contracts.tenancy.tenants import Registration, Tenant, TenantPatch
from bbws.shared.core.audit_entries import AuditRepository
from bbws.shared.core.mailing import MailUnderWay
from bbws.shared.errors import Unavailable
from bbws.shared.ids import new_id
from tests.support.builders import registration_requested
from tests.support.links import link_in, mails_to, token_in
from tests.support.market import Market, MovedClock

# Mails and events of the whole account are looked at.
pytestmark = pytest.mark.own_account

AT_ONCE = 50


async def _requested(market: Market) -> list[RegistrationRequested]:
    """Every wish for a link in the outbox of tenants."""
    rows = [row for shard in range(4) for row in await market.items("bbws-tenants", f"OUTBOX#{shard}")]
    envelopes = [orjson.loads(row["envelope"]) for row in rows]
    return [RegistrationRequested.model_validate(e) for e in envelopes if e["type"] == "REGISTRATION_REQUESTED"]


async def _tenant_of(market: Market, email: str) -> Tenant:
    found = await market.services.tenants.list_by_email(email, PageRequest())
    (tenant,) = found.items
    return tenant


async def _actions(market: Market, tenant_id: str) -> list[str]:
    entries = await AuditRepository(market.services.database).list_of_tenant(tenant_id, PageRequest(100))
    return sorted(entry.action for entry in entries.items)


async def test_a_new_e_mail_has_a_tenant_and_one_wish_for_a_link(market: Market) -> None:
    """The tenant waits unvalidated: nobody has shown yet whose address it is."""
    email = f"{new_id()}@example.com"
    await market.services.registrations.request(Registration(email=email), tenant_id=(tenant_id := new_id()))
    tenant = await market.services.tenants.get(tenant_id)
    assert (tenant.email, tenant.registration_status) == (email, "UNVALIDATED")
    (event,) = await _requested(market)
    assert (event.tenantid, event.data.email, event.data.purpose) == (tenant_id, email, "REGISTRATION")
    assert await _actions(market, tenant_id) == ["REGISTRATION_REQUESTED", "TENANT_CREATED"]


async def test_fifty_at_once_with_one_e_mail_are_one_tenant_and_one_mail(market: Market) -> None:
    """A double click, or somebody's script: neither a second tenant nor a flood in the inbox."""
    email = f"{new_id()}@example.com"
    wishes = [Registration(email=email, organization_name=f"Org {n}") for n in range(AT_ONCE)]
    await asyncio.gather(*(market.services.registrations.request(each, tenant_id=new_id()) for each in wishes))
    tenant = await _tenant_of(market, email)
    (event,) = await _requested(market)
    assert event.tenantid == tenant.id
    assert await _actions(market, tenant.id) == ["REGISTRATION_REQUESTED", "TENANT_CREATED"]


async def test_a_known_e_mail_gets_a_link_and_no_second_tenant(market: Market) -> None:
    """However it is spelt; and the mail goes to the address as the tenant gave it, not as somebody typed it."""
    tenant = await market.tenant(email=f"{new_id()}@example.com")
    asked = Registration(email=tenant.email.upper(), organization_name=f"Other {new_id()}")
    await market.services.registrations.request(asked, tenant_id=new_id())
    (event,) = await _requested(market)
    assert (event.tenantid, event.data.email) == (tenant.id, tenant.email)
    assert await market.services.tenants.get(tenant.id) == tenant


async def test_an_address_is_mailed_once_in_two_minutes(market: Market, clock: MovedClock) -> None:
    """Anybody can enter anybody's address; what they cannot do is fill its inbox."""
    registration = Registration(email=f"{new_id()}@example.com")
    for ahead_s, wishes in ((0, 1), (60, 1), (40, 1), (25, 2)):
        clock.advance(ahead_s)
        await market.services.registrations.request(registration, tenant_id=new_id())
        assert len(await _requested(market)) == wishes


async def test_a_taken_organization_is_left_out_and_told_in_the_mail_alone(market: Market) -> None:
    """Refusing it for an unknown e-mail only would tell which e-mails are known."""
    known = await market.tenant(organization_name=f"Protea {new_id()}")
    email = f"{new_id()}@example.com"
    asked = Registration(email=email, organization_name=known.organization_name)
    await market.services.registrations.request(asked, tenant_id=new_id())
    assert (await _tenant_of(market, email)).organization_name is None
    (event,) = await _requested(market)
    await market.services.registrations.mail_link(event)
    (mail,) = await mails_to(market.aws, email)
    assert "is registered with another address" in _text(mail)
    assert str(known.organization_name) not in _text(mail)


async def test_an_order_of_a_new_customer_registers_them(market: Market) -> None:
    """Whoever buys first shall not have to register again; whoever is known is not written to."""
    registration = Registration(email=f"{new_id()}@example.com")
    found = await asyncio.gather(*(market.services.registrations.for_customer(registration) for _ in range(10)))
    assert len({tenant.id for tenant in found}) == 1
    assert len(await _requested(market)) == 1
    assert await market.services.registrations.for_customer(registration) == found[0]
    assert len(await _requested(market)) == 1


async def test_an_address_that_had_its_mail_still_gets_its_tenant(market: Market) -> None:
    """It asked a minute ago and its tenant has another address since: who orders now needs one, and no second mail."""
    registrations, tenants = market.services.registrations, market.services.tenants
    registration = Registration(email=f"{new_id()}@example.com")
    before = await registrations.for_customer(registration)
    await tenants.update(before.id, TenantPatch(email=f"{new_id()}@example.com"), version=1, actor="operator")
    after = await registrations.for_customer(registration)
    assert (after.id != before.id, after.email) == (True, registration.email)
    assert await tenants.get(after.id) == after
    assert await _actions(market, after.id) == ["TENANT_CREATED"]
    assert len(await _requested(market)) == 1


@pytest.mark.parametrize(("one", "another"), [("straße.de", "strasse.de"), ("βόλος.gr", "βόλοσ.gr")])
async def test_domains_of_different_owners_are_different_customers(market: Market, one: str, another: str) -> None:
    """DNS tells them apart (IDNA 2008): whoever buys the other spelling must not get a customer's orders."""
    registrations, name = market.services.registrations, new_id()
    first = await registrations.for_customer(Registration(email=f"{name}@{one}"))
    second = await registrations.for_customer(Registration(email=f"{name}@{another}"))
    assert first.id != second.id
    assert (await registrations.for_customer(Registration(email=f"{name.upper()}@{one}"))).id == first.id


async def test_the_mail_is_sent_once_however_often_its_event_comes(market: Market, clock: MovedClock) -> None:
    """SQS delivers twice, and a second mail would hold a second token that works."""
    tenant = await market.tenant()
    event, registrations = registration_requested(tenant), market.services.registrations
    answers = await asyncio.gather(*(registrations.mail_link(event) for _ in range(5)), return_exceptions=True)
    assert {type(answer) for answer in answers} <= {type(None), MailUnderWay}
    clock.advance(3600)
    await registrations.mail_link(event)
    (mail,) = await mails_to(market.aws, tenant.email)
    assert await _links(market, token_in(mail))
    (record,) = await market.items("bbws-tenants", f"EMAIL#{event.id}")
    assert record["expiresAt"] > clock().timestamp() + 14 * 86_400, "longer than a message lies in a queue"


async def test_a_mail_whose_record_was_lost_comes_again_with_a_token_of_its_own(
    market: Market, clock: MovedClock
) -> None:
    """C-38: SES took it and we could not write that down. Both links work, and the first one used ends the other."""
    tenant = await market.tenant()
    event, registrations = registration_requested(tenant), market.services.registrations
    await market.aws.inject("dynamodb", operation="UpdateItem")
    with pytest.raises(Unavailable):
        await registrations.mail_link(event)
    await market.aws.heal()
    clock.advance(market.services.settings.mail_lease_s + 1)
    await registrations.mail_link(event)
    first, second = [token_in(mail) for mail in await mails_to(market.aws, tenant.email)]
    assert first != second
    for token in (first, second):
        assert (await market.services.confirmations.link(token)).email == tenant.email


async def test_the_token_stands_in_the_mail_and_nowhere_else(
    market: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever reads a table, a queue or a log must not be able to follow somebody's link."""
    email = f"{new_id()}@example.com"
    await market.services.registrations.request(Registration(email=email), tenant_id=new_id())
    (event,) = await _requested(market)
    await market.services.registrations.mail_link(event)
    (mail,) = await mails_to(market.aws, email)
    token = token_in(mail)
    assert len(token) == 43
    everything = await _whole_table(market, "bbws-tenants")
    assert hash_of(token) in everything
    captured = capsys.readouterr()
    for text in (
        everything,
        await _whole_table(market, "orders"),
        captured.out,
        captured.err,
        event.to_json().decode(),
    ):
        assert token not in text


@pytest.mark.parametrize(("purpose", "says"), [("REGISTRATION", "Confirm your e-mail"), ("INVITATION", "invites you")])
async def test_the_mail_says_what_the_link_is_for(market: Market, purpose: str, says: str) -> None:
    """A registration tells nothing that a stranger typed; an invitation says who invites."""
    email = f"{new_id()}@example.com"
    tenant = await market.tenant(organization_name="Protea Bakery", email=email)
    await market.services.registrations.mail_link(registration_requested(tenant, email=email, purpose=purpose))
    (mail,) = await mails_to(market.aws, email)
    assert says in mail["Subject"]
    assert ("Protea Bakery" in _text(mail)) == (purpose == "INVITATION")
    assert link_in(mail).startswith(f"{market.services.settings.public_base_url}/registration?token=")


async def test_no_link_is_mailed_to_a_tenant_that_was_deleted(market: Market) -> None:
    """The wish may have waited in a queue; nobody shall be invited into what is gone."""
    tenant = await market.tenant()
    await market.services.tenants.delete(tenant.id, version=tenant.version, actor="operator")
    await market.services.registrations.mail_link(registration_requested(tenant))
    assert await mails_to(market.aws, tenant.email) == []


async def _links(market: Market, token: str) -> list[dict[str, Any]]:
    return await market.items("bbws-tenants", f"TOKEN#{hash_of(token)}")


async def _whole_table(market: Market, table: str) -> str:
    async with market.aws.client("dynamodb") as dynamodb:
        return str((await dynamodb.scan(TableName=table))["Items"])


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())
