"""Tenants: one per e-mail and organisation, however many are made at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bbws.shared.contracts.tenants import Email, Registration, Tenant, TenantDraft
from bbws.shared.errors import Conflict, NotFound
from bbws.shared.ids import new_id
from tests.support.market import OPERATOR, Market

RIVALS = 20


def _winners(answers: Sequence[Any]) -> list[Tenant]:
    return [answer for answer in answers if isinstance(answer, Tenant)]


def _pointers(answers: Sequence[Any]) -> set[str]:
    return {error.pointer for answer in answers if isinstance(answer, Conflict) for error in answer.errors}


async def test_email_is_unique_under_parallel_registrations(shared_market: Market) -> None:
    """An index would let two through (C-09): of twenty at once one wins, nineteen are told which field is taken."""
    tenants, email = shared_market.services.tenants, f"{new_id()}@example.com"
    answers = await asyncio.gather(
        *(tenants.register(Registration(email=email), tenant_id=new_id()) for _ in range(RIVALS)),
        return_exceptions=True,
    )
    (winner,) = _winners(answers)
    assert [type(answer) for answer in answers].count(Conflict) == RIVALS - 1
    assert _pointers(answers) == {"#/email"}
    assert await tenants.for_customer(Registration(email=email)) == winner


async def test_organization_is_unique_under_parallel_creates(shared_market: Market) -> None:
    """Two tenants of one organisation would be two bills; spaces and capitals make no other organisation."""
    tenants, name = shared_market.services.tenants, f"Protea  Bakery {new_id()}"
    names = [name, f"  {name.upper()} ", name.replace("  ", " ")]
    drafts = [TenantDraft(organization_name=names[n % 3], email=f"{new_id()}@example.com") for n in range(RIVALS)]
    answers = await asyncio.gather(
        *(tenants.create(draft, actor=OPERATOR, tenant_id=new_id()) for draft in drafts), return_exceptions=True
    )
    assert len(_winners(answers)) == 1
    assert [type(answer) for answer in answers].count(Conflict) == RIVALS - 1
    assert _pointers(answers) == {"#/organizationName"}


async def test_every_taken_field_is_named_at_once(shared_market: Market) -> None:
    """Somebody who mends one field must not learn of the next one only then."""
    tenants, email, name = shared_market.services.tenants, f"{new_id()}@example.com", f"Org {new_id()}"
    taken = TenantDraft(organization_name=name, email=email)
    await tenants.create(taken, actor=OPERATOR, tenant_id=new_id())
    with pytest.raises(Conflict) as refused:
        await tenants.create(taken, actor=OPERATOR, tenant_id=new_id())
    assert [error.pointer for error in refused.value.errors] == ["#/email", "#/organizationName"]


async def test_loser_leaves_nothing_behind(shared_market: Market) -> None:
    """A refused tenant must not keep the organisation's name it asked for: tenant and guards are one transaction."""
    tenants, taken, name = shared_market.services.tenants, f"{new_id()}@example.com", f"Org {new_id()}"
    await tenants.register(Registration(email=taken), tenant_id=new_id())
    refused = new_id()
    with pytest.raises(Conflict):
        await tenants.create(TenantDraft(organization_name=name, email=taken), actor=OPERATOR, tenant_id=refused)
    with pytest.raises(NotFound):
        await tenants.get(refused)
    free = TenantDraft(organization_name=name, email=f"{new_id()}@example.com")
    assert (await tenants.create(free, actor=OPERATOR, tenant_id=new_id())).organization_name == name


async def test_email_is_known_in_any_spelling(shared_market: Market) -> None:
    """Customers write their address with capitals and blanks; it is the same customer."""
    tenants, name = shared_market.services.tenants, new_id()
    known = await tenants.register(Registration(email=f"{name}@example.com"), tenant_id=new_id())
    shouted = Registration(email=f" {name.upper()}@EXAMPLE.com ", organization_name=f"New {name}")
    assert await tenants.for_customer(shouted) == known
    with pytest.raises(Conflict):
        await tenants.register(shouted, tenant_id=new_id())


async def test_same_id_again_is_the_same_tenant(shared_market: Market) -> None:
    """A request that is repeated after a crash, or five times at once, finds its tenant."""
    tenants, tenant_id = shared_market.services.tenants, new_id()
    registration = Registration(email=f"{new_id()}@example.com")
    first = await asyncio.gather(*(tenants.register(registration, tenant_id=tenant_id) for _ in range(5)))
    again = await tenants.register(registration, tenant_id=tenant_id)
    assert {tenant.id for tenant in (*first, again)} == {tenant_id}
    assert await tenants.get(tenant_id) == again


async def test_new_customer_at_two_tills_is_one_tenant(shared_market: Market) -> None:
    """Two clicks on "order" at the same moment must not show a new customer an error."""
    registration = Registration(email=f"{new_id()}@example.com")
    found = await asyncio.gather(*(shared_market.services.tenants.for_customer(registration) for _ in range(10)))
    assert len({tenant.id for tenant in found}) == 1


async def test_new_customer_of_a_known_organization_is_told(shared_market: Market) -> None:
    """An e-mail that is not known does not open another tenant's account, whatever organisation it names."""
    name = f"Org {new_id()}"
    await shared_market.tenant(organization_name=name)
    with pytest.raises(Conflict) as refused:
        await shared_market.services.tenants.for_customer(
            Registration(email=f"{new_id()}@example.com", organization_name=name)
        )
    assert [error.pointer for error in refused.value.errors] == ["#/organizationName"]


async def test_unknown_tenant_is_not_found(shared_market: Market) -> None:
    """404, for an operator's wrong click."""
    with pytest.raises(NotFound):
        await shared_market.services.tenants.get(new_id())


@pytest.mark.parametrize(
    "address", ["jörg@example.com", "a@example.com\r\nBcc: b@example.com", '"a,b"@example.com', "a@example.com,b@c.de"]
)
def test_address_that_ses_cannot_reach_is_refused(address: str) -> None:
    """SES takes no letters beyond ASCII before the @: said when the customer types it, not when the mail fails."""
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(address)
