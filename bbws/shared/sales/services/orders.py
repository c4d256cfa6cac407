"""Orders: placed by a customer, never created by a message (C-10)."""

import asyncio
from collections.abc import Iterator, Mapping, MutableSequence, Sequence

from bbws.shared.addresses import PAYFAST_ITN
from bbws.shared.clock import Clock, business_date
from bbws.shared.contracts.money import Money
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.campaigns import Campaign
from bbws.shared.contracts.sales.orders import Checkout, Order, OrderDraft, OrderLine, TimelineEntry
from bbws.shared.core.audit import AuditEntries
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Place, Put
from bbws.shared.errors import FieldError, Invalid
from bbws.shared.integrations import payfast
from bbws.shared.logging import get_logger
from bbws.shared.sales.order_keys import order_url
from bbws.shared.sales.repositories.campaigns import CampaignRepository
from bbws.shared.sales.repositories.orders import OrderChanged, OrderRepository
from bbws.shared.sales.repositories.products import ProductRepository
from bbws.shared.sales.rules import pricing
from bbws.shared.sales.rules.timeline import timeline
from bbws.shared.settings import Settings, secret
from bbws.shared.tenancy.repositories.tenants import TenantRepository, tenant_deleted, unknown_tenant

PAYFAST_MINIMUM = Money(payfast.MINIMUM_AMOUNT_CENTS)
MAX_PAYFAST_EMAIL_CHARS = 100
MAX_ORDER = Money(10_000_000_00)

log = get_logger(__name__)


class Orders:
    def __init__(self, database: Database, audit: AuditEntries, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._audit = audit
        self._orders = OrderRepository(database)
        self._tenants = TenantRepository(database)
        self._products = ProductRepository(database)
        self._campaigns = CampaignRepository(database)
        self._clock = clock
        self._settings = settings

    async def place(self, tenant_id: str, draft: OrderDraft, *, actor: str, order_id: str) -> Order:
        """A PENDING_PAYMENT order with all amounts fixed; the same order again where `order_id` was used before.

        A tenant that is parked or suspended may order, for it must be able to pay. Raises NotFound for an unknown
        tenant, Conflict for a deleted one, Invalid with every field error at once.
        """
        sought, before = self._tenants.sought(tenant_id), self._orders.sought(tenant_id, order_id)
        found = await self._database.find_all([sought.place, before.place, *self._offer(draft)])
        tenant = sought.among(found)
        if tenant is None:
            raise unknown_tenant(tenant_id)
        if repeated := before.among(found):
            return repeated
        if tenant.deleted:
            raise tenant_deleted(tenant_id)
        order = self._priced(tenant_id, draft, found, actor, order_id)
        try:
            await self._database.transact([self._orders.new(order), self._placed(order)])
        except OrderChanged:
            return await self.get(tenant_id, order_id)
        log.info("order placed", tenant_id=tenant_id, order_id=order.id, total_cents=order.total_cents)
        return order

    async def get(self, tenant_id: str, order_id: str) -> Order:
        return await self._orders.get(tenant_id, order_id)

    async def list(self, tenant_id: str, page: PageRequest) -> Page[Order]:
        _, found = await asyncio.gather(self._tenants.get(tenant_id), self._orders.list_of_tenant(tenant_id, page))
        return found

    async def timeline(self, tenant_id: str, order_id: str) -> tuple[TimelineEntry, ...]:
        """What happened to the order so far, oldest first, made from what stands beside it."""
        order = await self.get(tenant_id, order_id)
        return timeline(order, await self._orders.list_beside(tenant_id, order_id))

    def checkout(self, order: Order) -> Checkout:
        """The form that takes the customer to PayFast."""
        base = self._settings.public_base_url
        notify_base = self._settings.payfast_notify_base_url or base
        more = f" and {len(order.items) - 1} more" if len(order.items) > 1 else ""
        page = order_url(self._settings, order.tenant_id, order.id)
        fields = payfast.checkout_fields(
            merchant_id=self._settings.payfast_merchant_id,
            merchant_key=self._settings.payfast_merchant_key.get_secret_value(),
            return_url=page,
            cancel_url=f"{page}&cancelled=1",
            notify_url=f"{notify_base}{PAYFAST_ITN}",
            email_address=order.customer_email if len(order.customer_email) <= MAX_PAYFAST_EMAIL_CHARS else "",
            m_payment_id=order.id,
            amount_cents=order.total_cents,
            item_name=f"{order.items[0].product_name}{more}",
            custom_str=[order.tenant_id],
        )
        fields["signature"] = payfast.sign_checkout(fields, secret(self._settings.payfast_passphrase))
        return Checkout(url=f"{self._settings.payfast_url}{payfast.PROCESS_PATH}", fields=tuple(fields.items()))

    def _placed(self, order: Order) -> Put:
        return self._audit.entry(
            "ORDER_PLACED",
            tenant_id=order.tenant_id,
            subject=f"orders/{order.id}",
            actor=order.last_updated_by,
            after=order,
        )

    def _offer(self, draft: OrderDraft) -> Iterator[Place]:
        """Where what the draft names is."""
        for line in draft.items:
            yield self._products.sought(line.product_id).place
        if draft.campaign_code is not None:
            yield self._campaigns.sought(draft.campaign_code).place

    def _priced(
        self, tenant_id: str, draft: OrderDraft, offer: Mapping[Place, Item], actor: str, order_id: str
    ) -> Order:
        now = self._clock()
        errors: list[FieldError] = []
        lines = self._lines(draft.items, offer, errors)
        campaign = self._campaign(draft, offer, errors)
        if errors:
            raise Invalid("the order names what is not on sale", errors)
        _refuse_too_large(lines)
        rate = pricing.vat_rate(business_date(now), self._settings.seller_vat_number)
        items = pricing.price(lines, campaign, rate_percent=rate, now=now, actor=actor)
        totals = pricing.total(items)
        _refuse_too_small(Money(totals["total_cents"]))
        return Order(
            id=order_id,
            tenant_id=tenant_id,
            customer_email=draft.customer_email,
            items=items,
            **totals,
            vat_rate_percent=rate,
            campaign=pricing.snapshot(campaign) if campaign else None,
            billing_address=draft.billing_address,
            date_created=now,
            date_last_updated=now,
            last_updated_by=actor,
        )

    def _lines(
        self, wanted: Sequence[OrderLine], offer: Mapping[Place, Item], errors: MutableSequence[FieldError]
    ) -> Sequence[pricing.PricedLine]:
        lines = []
        for position, line in enumerate(wanted):
            product = self._products.sought(line.product_id).among(offer)
            if product is None or not product.active:
                errors.append(FieldError(f"#/items/{position}/productId", "is no product on sale"))
            else:
                lines.append((product, line.quantity))
        return lines

    def _campaign(
        self, draft: OrderDraft, offer: Mapping[Place, Item], errors: MutableSequence[FieldError]
    ) -> Campaign | None:
        if draft.campaign_code is None:
            return None
        campaign = self._campaigns.sought(draft.campaign_code).among(offer)
        today = business_date(self._clock())
        if campaign is None:
            errors.append(FieldError("#/campaignCode", "is no campaign"))
        elif not campaign.applies_on(today):
            errors.append(
                FieldError("#/campaignCode", f"is valid from {campaign.from_date} to {campaign.to_date} only")
            )
        elif campaign.product_id not in {line.product_id for line in draft.items}:
            errors.append(FieldError("#/campaignCode", "is for a product that the order does not hold"))
        return campaign


def _refuse_too_large(lines: Sequence[pricing.PricedLine]) -> None:
    amount = Money(sum(product.price_cents * quantity for product, quantity in lines))
    if amount > MAX_ORDER:
        raise Invalid(f"an order may come to {MAX_ORDER}", [FieldError("#/items", f"come to {amount}")])


def _refuse_too_small(amount: Money) -> None:
    if amount < PAYFAST_MINIMUM:
        too_small = FieldError("#/items", f"come to {amount}")
        raise Invalid(f"PayFast takes no payment below {PAYFAST_MINIMUM}", [too_small])
