"""A market to sell on: customers, products and orders made through the services, and what became of them in AWS."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import pytest_asyncio

from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignDraft
from bbws.shared.contracts.sales.order_events import InvoiceIssued, OrderCreated
from bbws.shared.contracts.sales.orders import Order, OrderDraft, OrderLine, PaymentDetails
from bbws.shared.contracts.sales.products import Product, ProductDraft
from bbws.shared.contracts.tenancy.tenants import Tenant, TenantDraft
from bbws.shared.dynamo.codec import decode_item
from bbws.shared.dynamo.keys import order_partition
from bbws.shared.ids import new_id
from bbws.shared.sales.repositories.invoices import InvoiceRepository
from tests.support.builders import PAID_AT, a_billing_address, a_payment, an_invoice, invoice_issued, order_created
from tests.support.emulator import Aws, Target
from tests.support.system import provisioned_account, settings_for

CUSTOMER = "customer"
OPERATOR = "operator"


class MovedClock:
    """The real time, moved by as much as a test says."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Market:
    aws: Aws
    services: Services

    async def tenant(self, **fields: Any) -> Tenant:
        defaults = {"email": f"{new_id()}@example.com", "organization_name": f"Organisation {new_id()}"}
        draft = TenantDraft(**{**defaults, **fields})
        return await self.services.tenants.create(draft, actor=OPERATOR, tenant_id=new_id())

    async def product(self, **fields: Any) -> Product:
        return await self.services.products.create(product_draft(**fields), actor=OPERATOR, product_id=new_id())

    async def campaign(self, product: Product, **fields: Any) -> Campaign:
        """Ten per cent off, always valid unless `fields` say otherwise."""
        draft = campaign_draft(product, **fields)
        return await self.services.campaigns.create(draft, actor=OPERATOR, campaign_id=new_id())

    async def place(self, tenant: Tenant, *products: Product, order_id: str | None = None, **fields: Any) -> Order:
        draft = order_draft(*products, **fields)
        return await self.services.orders.place(tenant.id, draft, actor=CUSTOMER, order_id=order_id or new_id())

    async def order(self, **fields: Any) -> Order:
        """A new customer's order of one new product."""
        return await self.place(await self.tenant(), await self.product(), **fields)

    async def issued(self, event: OrderCreated, **fields: Any) -> InvoiceIssued:
        """The event of an invoice that stands beside the paid order, without PDFs; it takes no number of the series."""
        invoice = an_invoice(event.data.order, payment=event.data.payment, **{"status": "ISSUED", **fields})
        guard, _counted, stored = InvoiceRepository(self.services.database).new(invoice, 1)
        await self.services.database.transact([guard, stored])
        return invoice_issued(invoice)

    async def items_beside(self, order: Order) -> list[dict[str, Any]]:
        """The stored items of the order's own partition."""
        return await self.items("orders", order_partition(order.tenant_id, order.id))

    async def items(self, table: str, partition: str) -> list[dict[str, Any]]:
        async with self.aws.client("dynamodb") as dynamodb:
            answer = await dynamodb.query(
                TableName=table,
                KeyConditionExpression="PK = :p",
                ExpressionAttributeValues={":p": {"S": partition}},
                ConsistentRead=True,
            )
        return [decode_item(item) for item in answer["Items"]]

    async def pdf_versions(self, order: Order) -> list[str]:
        """The key of every version of every object that the order has in the documents bucket."""
        prefix = f"tenants/{order.tenant_id}/orders/{order.id}/"
        async with self.aws.client("s3") as s3:
            answer = await s3.list_object_versions(Bucket=self._documents, Prefix=prefix)
        return sorted(version["Key"] for version in answer.get("Versions", ()))

    async def pdf(self, key: str) -> bytes:
        async with self.aws.client("s3") as s3:
            answer = await s3.get_object(Bucket=self._documents, Key=key)
            content: bytes = await answer["Body"].read()
        return content

    async def mail_kinds(self, order: Order) -> list[str]:
        """The kind of each mail that SES took for the order, sorted."""
        return sorted(str(mail["X-BBWS-Mail"]) for mail in await self.mails_of(order))

    async def mails_of(self, order: Order) -> list[EmailMessage]:
        return [mail for mail in await self.aws.mails() if mail["X-BBWS-Order"] == order.id]

    async def queue_url(self, sqs: Any, queue: str) -> str:
        url: str = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        return url

    async def published(self, queue: str) -> list[OrderCreated]:
        """Every ORDER_CREATED that waits in a queue, taken out of it.

        A marker goes the same way behind them (EventBridge, SNS, SQS): once it is there, nothing is still under way.
        """
        marker = order_created()
        await self.services.outbox.commit([], [marker])
        taken: list[OrderCreated] = []
        async with self.aws.client("sqs") as sqs:
            url = await self.queue_url(sqs, queue)
            while marker.id not in {event.id for event in taken}:
                answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
                assert answer.get("Messages"), "the marker never arrived"
                for message in answer["Messages"]:
                    taken.append(OrderCreated.model_validate_json(message["Body"]))
                    await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [event for event in taken if event.id != marker.id]

    @property
    def _documents(self) -> str:
        return self.services.topology.bucket("documents").name


def product_draft(**fields: Any) -> ProductDraft:
    return ProductDraft(**{"name": "WordPress Business", "price_cents": 249_00, **fields})


def campaign_draft(product: Product, **fields: Any) -> CampaignDraft:
    defaults = {
        "code": f"C{new_id()[-12:]}".upper(),
        "description": "Ten per cent off",
        "discount_percentage": Decimal(10),
        "product_id": product.id,
        "terms_conditions_link": "https://bbws.example/terms",
        "from_date": "2020-01-01",
        "to_date": "2099-12-31",
    }
    return CampaignDraft.model_validate({**defaults, **fields})


def order_draft(*products: Product, quantities: tuple[int, ...] = (), **fields: Any) -> OrderDraft:
    """One of each product, unless `quantities` say otherwise."""
    many = quantities or (1,) * len(products)
    lines = tuple(OrderLine(product_id=p.id, quantity=q) for p, q in zip(products, many, strict=True))
    defaults = {"billing_address": a_billing_address(), "customer_email": "thandi@protea.example"}
    return OrderDraft(**{"items": lines, **defaults, **fields})


def paid(order: Order, **fields: Any) -> OrderCreated:
    """The event of a placed order's payment, as a verified ITN makes it."""
    payment = a_payment(order, payfast_id=new_id()[-12:])
    details = PaymentDetails(payment_id=payment.id, payfast_id=payment.payfast_id, paid_at=PAID_AT)
    changed = order.changed(by="payfast-itn", at=PAID_AT, status="PAID", payment_details=details)
    return order_created(changed, payment, **fields)


def invoiced(event: OrderCreated, **fields: Any) -> InvoiceIssued:
    """The event of the invoice that a payment led to."""
    return invoice_issued(an_invoice(event.data.order, payment=event.data.payment, **fields))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_aws(emulator: Target) -> Aws:
    """A provisioned account for tests that look at nothing but what they made themselves: no faults, no queues."""
    return await provisioned_account(emulator)


@pytest_asyncio.fixture
async def shared_market(shared_aws: Aws) -> AsyncIterator[Market]:
    async with bootstrap(settings_for(shared_aws)) as services:
        yield Market(shared_aws, services)


@pytest_asyncio.fixture
async def market(aws: Aws, services: Services) -> Market:
    """An account of the test's own."""
    return Market(aws, services)
