"""Tenants: one per e-mail and organisation, however many are made at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.tenancy.tenants import Email, Tenant, TenantDraft, TenantPatch
from bbws.shared.errors import Conflict, NotFound, PreconditionFailed
from bbws.shared.ids import new_id
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from tests.support.builders import PAID_AT
from tests.support.market import OPERATOR, Market
from tests.support.meanwhile import meanwhile
from tests.support.tenants import events_of, trail_of

RIVALS = 50


def _winners(answers: Sequence[Any]) -> list[Tenant]:
    return [answer for answer in answers if isinstance(answer, Tenant)]


def _pointers(answers: Sequence[Any]) -> set[str]:
    return {error.pointer for answer in answers if isinstance(answer, Conflict) for error in answer.errors}


def _draft(**fields: Any) -> TenantDraft:
    return TenantDraft(**{"organization_name": f"Organisation {new_id()}", **fields})


async def test_email_is_unique_under_parallel_creates(shared_market: Market) -> None:
    """An index would let two through (C-09): of fifty at once one wins, 49 are told which field is taken."""
    tenants, email = shared_market.services.tenants, f"{new_id()}@example.com"
    answers = await asyncio.gather(
        *(tenants.create(_draft(email=email), actor=OPERATOR, tenant_id=new_id()) for _ in range(RIVALS)),
        return_exceptions=True,
    )
    (winner,) = _winners(answers)
    assert [type(answer) for answer in answers].count(Conflict) == RIVALS - 1
    assert _pointers(answers) == {"#/email"}
    assert (await tenants.list_by_email(email, PageRequest())).items == [winner]


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
    await tenants.create(_draft(email=taken), actor=OPERATOR, tenant_id=new_id())
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
    await tenants.create(_draft(email=f"{name}@example.com"), actor=OPERATOR, tenant_id=new_id())
    shouted = _draft(email=f" {name.upper()}@EXAMPLE.com ", organization_name=f"New {name}")
    with pytest.raises(Conflict) as refused:
        await tenants.create(shouted, actor=OPERATOR, tenant_id=new_id())
    assert [error.pointer for error in refused.value.errors] == ["#/email"]


async def test_same_id_again_is_the_same_tenant(shared_market: Market) -> None:
    """A request that is repeated after a crash, or five times at once, finds its tenant."""
    tenants, tenant_id = shared_market.services.tenants, new_id()
    draft = _draft(email=f"{new_id()}@example.com")
    first = await asyncio.gather(*(tenants.create(draft, actor=OPERATOR, tenant_id=tenant_id) for _ in range(5)))
    again = await tenants.create(draft, actor=OPERATOR, tenant_id=tenant_id)
    assert {tenant.id for tenant in (*first, again)} == {tenant_id}
    assert await tenants.get(tenant_id) == again


async def test_tenant_that_is_made_at_this_moment_is_the_same_one(shared_market: Market) -> None:
    """A gateway that is slow and the retry on another one: both answer with the tenant that stands."""
    tenants, tenant_id = shared_market.services.tenants, new_id()
    other = tenants.create(_draft(email=f"{new_id()}@example.com"), actor="the other", tenant_id=tenant_id)
    with meanwhile(lambda: other):
        made = await tenants.create(_draft(email=f"{new_id()}@example.com"), actor=OPERATOR, tenant_id=tenant_id)
    assert made.last_updated_by == "the other"
    assert await tenants.get(tenant_id) == made


async def test_what_another_changes_at_this_moment_is_looked_at_again(shared_market: Market) -> None:
    """With a version the second is told; without one the wish means what it says, on the tenant as it is by now."""
    tenants = shared_market.services.tenants
    tenant = await shared_market.tenant()
    with meanwhile(lambda: tenants.park(tenant.id, reason="pause", actor=OPERATOR)), pytest.raises(PreconditionFailed):
        await tenants.update(tenant.id, TenantPatch(environment="dev"), version=1, actor=OPERATOR)
    with meanwhile(lambda: tenants.suspend(tenant.id, reason="unpaid", actor=OPERATOR)):
        unparked = await tenants.unpark(tenant.id, actor=OPERATOR)
    assert (unparked.status, unparked.parked, unparked.version, unparked.environment) == ("SUSPENDED", None, 4, "prod")
    with (
        meanwhile(lambda: tenants.delete(tenant.id, version=4, actor=OPERATOR)),
        pytest.raises(Conflict, match="restore it first"),
    ):
        await tenants.resume(tenant.id, actor=OPERATOR)


async def test_change_moves_what_the_tenant_calls_itself(shared_market: Market) -> None:
    """The new e-mail and organisation are its own, the old ones are free for others, in one transaction."""
    tenants, first, second = shared_market.services.tenants, new_id(), new_id()
    tenant = await shared_market.tenant(email=f"{first}@example.com", organization_name=f"Org {first}")
    patch = TenantPatch(email=f"{second.upper()}@example.com", organization_name=f"Org {second}")
    changed = await tenants.update(tenant.id, patch, version=1, actor=OPERATOR)
    assert (changed.email, changed.organization_name, changed.version) == (f"{second}@example.com", f"Org {second}", 2)
    taken = _draft(email=changed.email, organization_name=changed.organization_name)
    with pytest.raises(Conflict) as refused:
        await tenants.create(taken, actor=OPERATOR, tenant_id=new_id())
    assert [error.pointer for error in refused.value.errors] == ["#/email", "#/organizationName"]
    await shared_market.tenant(email=tenant.email, organization_name=tenant.organization_name)


async def test_change_to_what_others_have_names_every_field_and_changes_nothing(shared_market: Market) -> None:
    """409 with both fields at once; the tenant keeps its own names, and nobody else gets them."""
    tenants, name = shared_market.services.tenants, new_id()
    other = await shared_market.tenant(organization_name=f"Other {name}")
    tenant = await shared_market.tenant(organization_name=f"Org {name}")
    patch = TenantPatch(email=other.email, organization_name=f"other {name}", environment="dev")
    with pytest.raises(Conflict) as refused:
        await tenants.update(tenant.id, patch, version=1, actor=OPERATOR)
    assert [error.pointer for error in refused.value.errors] == ["#/email", "#/organizationName"]
    assert await tenants.get(tenant.id) == tenant
    with pytest.raises(Conflict):
        await shared_market.tenant(organization_name=f"Org {name}")


async def test_one_of_fifty_changes_to_the_same_name_wins(shared_market: Market) -> None:
    """Fifty tenants that take the same e-mail and organisation at once: one has both, the others keep what they had."""
    tenants, name = shared_market.services.tenants, new_id()
    rivals = await asyncio.gather(*(shared_market.tenant() for _ in range(RIVALS)))
    patch = TenantPatch(email=f"{name}@example.com", organization_name=f"Org {name}")
    answers = await asyncio.gather(
        *(tenants.update(rival.id, patch, version=1, actor=OPERATOR) for rival in rivals), return_exceptions=True
    )
    (winner,) = _winners(answers)
    assert (winner.email, winner.organization_name) == (patch.email, patch.organization_name)
    assert [type(answer) for answer in answers].count(Conflict) == RIVALS - 1
    assert _pointers(answers) == {"#/email", "#/organizationName"}
    for rival in rivals:
        assert await tenants.get(rival.id) == (winner if rival.id == winner.id else rival)


async def test_one_of_fifty_changes_of_the_same_version_wins(shared_market: Market) -> None:
    """If-Match: fifty people who read the same version and change it; 49 of them are told to read again."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    patches = [TenantPatch(organization_name=f"Org {n} {tenant.id}") for n in range(RIVALS)]
    answers = await asyncio.gather(
        *(tenants.update(tenant.id, patch, version=1, actor=OPERATOR) for patch in patches), return_exceptions=True
    )
    (winner,) = _winners(answers)
    assert [type(answer) for answer in answers].count(PreconditionFailed) == RIVALS - 1
    assert await tenants.get(tenant.id) == winner
    # The names of those who lost are free.
    free = next(patch for patch in patches if patch.organization_name != winner.organization_name)
    assert (await tenants.update(tenant.id, free, version=2, actor=OPERATOR)).version == 3


async def test_change_that_changes_nothing_leaves_no_trace(shared_market: Market) -> None:
    """A form that is saved as it was is no event; a name in other capitals is one, and keeps its guard."""
    tenants, database = shared_market.services.tenants, shared_market.services.database
    tenant = await shared_market.tenant(organization_name=f"Org {new_id()}")
    assert tenant.organization_name is not None
    same = TenantPatch(email=tenant.email, environment="prod")
    assert await tenants.update(tenant.id, same, version=1, actor=OPERATOR) == tenant
    assert await tenants.update(tenant.id, TenantPatch(), version=1, actor=OPERATOR) == tenant
    loud = TenantPatch(organization_name=tenant.organization_name.upper())
    await tenants.update(tenant.id, loud, version=1, actor=OPERATOR)
    assert [event.type for event in await events_of(database, tenant.id)] == ["TENANT_CREATED", "TENANT_UPDATED"]
    assert [entry.action for entry in await trail_of(database, tenant.id)] == ["TENANT_CREATED", "TENANT_UPDATED"]
    with pytest.raises(Conflict):
        await shared_market.tenant(organization_name=tenant.organization_name)


async def test_new_email_has_yet_to_be_validated(shared_market: Market) -> None:
    """VALIDATED says that a link to this very address was used; of a new address nobody knows yet."""
    tenants, database = shared_market.services.tenants, shared_market.services.database
    tenant = await shared_market.tenant()
    validated = tenant.changed(by=OPERATOR, at=PAID_AT, registration_status="VALIDATED")
    await database.transact(TenantRepository(database).changed(tenant, validated))
    patch = TenantPatch(email=f"{new_id()}@example.com")
    assert (await tenants.update(tenant.id, patch, version=2, actor=OPERATOR)).registration_status == "UNVALIDATED"


async def test_deleted_tenant_is_not_changed(shared_market: Market) -> None:
    """Its names are kept for its return, not for others to move."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    await tenants.delete(tenant.id, version=1, actor=OPERATOR)
    with pytest.raises(Conflict, match="restore it first"):
        await tenants.update(tenant.id, TenantPatch(environment="dev"), version=2, actor=OPERATOR)


async def test_field_can_be_removed_where_it_may_be_missing(shared_market: Market) -> None:
    """Null removes the destination e-mail, from the item too; what every tenant has cannot be removed."""
    tenant, tenants = await shared_market.tenant(), shared_market.services.tenants
    patch = TenantPatch(destination_email="it@example.com")
    assert (await tenants.update(tenant.id, patch, version=1, actor=OPERATOR)).destination_email == "it@example.com"
    gone = TenantPatch(destination_email=None)
    assert (await tenants.update(tenant.id, gone, version=2, actor=OPERATOR)).destination_email is None
    assert (await tenants.get(tenant.id)).destination_email is None
    with pytest.raises(ValidationError, match="cannot be removed"):
        TenantPatch(email=None)


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
