"""Each write holds over what was read and over nothing else: whoever comes second is told, and changes nothing."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.dynamo.keys import ORDERS
from bbws.shared.errors import Conflict, PreconditionFailed
from bbws.shared.ids import new_id
from bbws.shared.sales.repositories.campaigns import CampaignRepository
from bbws.shared.sales.repositories.invoices import InvoiceIssuedBefore, InvoiceRepository, NumberTaken, OrderInvoiced
from bbws.shared.sales.repositories.orders import OrderChanged, OrderRepository
from bbws.shared.sales.repositories.payment_notices import (
    AlreadyConfirmed,
    AlreadyDecided,
    PaymentNoticeRepository,
)
from bbws.shared.sales.repositories.payments import PaymentRecorded, PaymentRepository
from bbws.shared.sales.repositories.products import ProductRepository
from tests.support.builders import PAID_AT, a_campaign, a_payment, a_product, an_invoice, an_order
from tests.support.market import Market
from tests.support.races import Race

BY: dict[str, Any] = {"by": "test", "at": PAID_AT}
LATER = PAID_AT + timedelta(minutes=1)


def _order_placed(database: Database) -> Race:
    repository, order = OrderRepository(database), an_order()
    return Race(
        [], [repository.new(order)], [repository.new(order.replace(customer_email="b@c.example"))], OrderChanged
    )


def _order_paid(database: Database) -> Race:
    repository, order = OrderRepository(database), an_order()
    cancelled, paid = (repository.paid(order.changed(**BY, status=status)) for status in ("CANCELLED", "PAID"))
    return Race([repository.new(order)], [cancelled], [paid], OrderChanged)


def _payment_recorded(database: Database) -> Race:
    repository, payment = PaymentRepository(database), a_payment(an_order())
    return Race([], [repository.new(payment)], [repository.new(payment.replace(status="FAILED"))], PaymentRecorded)


def _product_changed(database: Database) -> Race:
    repository, product = ProductRepository(database), a_product()
    retired, dearer = product.changed(**BY, active=False), product.changed(**BY, price_cents=999_00)
    return Race(
        [repository.new(product)], [repository.changed(retired)], [repository.changed(dearer)], PreconditionFailed
    )


def _campaign_made(database: Database) -> Race:
    repository, campaign = CampaignRepository(database), a_campaign(code=f"C{new_id()[-12:]}".upper())
    return Race([], [repository.new(campaign)], [repository.new(campaign.replace(id=new_id()))], Conflict)


def _invoice_issued(database: Database) -> Race:
    repository, invoice = InvoiceRepository(database), an_invoice()
    *_, stored = repository.new(invoice, 42)
    issued = invoice.changed(by="first", at=PAID_AT, status="ISSUED")
    later = invoice.changed(by="second", at=LATER, status="ISSUED")
    return Race([stored], [repository.issued(issued)], [repository.issued(later)], InvoiceIssuedBefore)


def _order_invoiced(database: Database) -> Race:
    repository, invoice = InvoiceRepository(database), an_invoice()
    guard, *_ = repository.new(invoice, 42)
    other, *_ = repository.new(invoice.replace(number="INV-000043"), 43)
    return Race([], [guard], [other], OrderInvoiced)


def _notice(**fields: Any) -> PaymentNotice:
    return PaymentNotice(
        sha256=new_id().replace("-", "") * 2, raw_body="a=1", source_address="127.0.0.1", received_at=PAID_AT,
        tenant_id=new_id(), order_id=new_id(), **fields,
    )  # fmt: skip


def _stored(notice: PaymentNotice) -> dict[str, Any]:
    key = {"PK": f"TENANT#{notice.tenant_id}#ORDER#{notice.order_id}", "SK": f"ITN#{notice.sha256}"}
    return key | notice.model_dump(mode="json", exclude_none=True)


def _judged(second: str) -> Callable[[Database], Race]:
    """The second judges what the first has decided."""

    def race(database: Database) -> Race:
        repository, notice = PaymentNoticeRepository(database), _notice()
        verified = repository.decided(notice.replace(state="VERIFIED", decided_at=PAID_AT))
        late = {
            "decided": repository.decided(notice.replace(state="REJECTED", decided_at=LATER)),
            "postponed": repository.postponed(notice.replace(state="UNVERIFIED", checks=1), LATER),
        }
        return Race([Put(ORDERS, _stored(notice))], [verified], [late[second]], AlreadyDecided)

    race.__name__ = f"_notice_{second}_after_its_judgement"
    return race


def _payment_confirmed(database: Database) -> Race:
    repository, said = PaymentNoticeRepository(database), f"{new_id()}|COMPLETE"
    return Race([], [repository.guard(_notice(), said)], [repository.guard(_notice(), said)], AlreadyConfirmed)


RACES: list[Callable[[Database], Race]] = [
    _order_placed, _order_paid, _payment_recorded, _product_changed, _campaign_made, _invoice_issued, _order_invoiced,
    _judged("decided"), _judged("postponed"), _payment_confirmed,
]  # fmt: skip


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__.strip("_"))
async def test_who_comes_second_is_told_and_changes_nothing(
    shared_market: Market, race: Callable[[Database], Race]
) -> None:
    """Without its condition a write is the last one that counts, and what it was decided on is no longer so."""
    database = shared_market.services.database
    await race(database).run(database)


@pytest.mark.parametrize("state", ["VERIFIED", "DUPLICATE", "NOTED", "RECEIVED", "UNVERIFIED"])
async def test_only_a_refused_notice_is_opened_again(shared_market: Market, state: str) -> None:
    """What was confirmed would be judged once more, and its payment told twice."""
    repository = PaymentNoticeRepository(shared_market.services.database)
    notice = await repository.store(_notice(state=state), PAID_AT)
    with pytest.raises(AlreadyDecided):
        await repository.reopen(notice.replace(source_address="203.0.113.9"), LATER)
    assert await repository.store(notice, PAID_AT) == notice


@pytest.mark.own_account
async def test_of_two_invoices_with_one_number_one_is_made(market: Market) -> None:
    """The counter moves with the invoice: a number that two orders have is one that SARS finds."""
    database = market.services.database
    repository, first, second = InvoiceRepository(database), an_invoice(), an_invoice()
    for serial in (1, 2):
        number = f"INV-{serial:06d}"
        await database.transact(repository.new(an_invoice(number=number), serial))
        with pytest.raises(NumberTaken):
            await database.transact(repository.new((first, second)[serial - 1].replace(number=number), serial))
    assert await repository.last_serial() == 2
    assert await repository.find(first.tenant_id, first.order_id) is None
