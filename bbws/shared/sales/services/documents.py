"""The printable order and the payment receipt, made when somebody asks for them."""

from typing import Literal

from bbws.shared.contracts.base import Contract
from bbws.shared.contracts.documents import OrderDocument, ReceiptDocument
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.invoices import Seller
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.dynamo.database import Database
from bbws.shared.errors import NotFound
from bbws.shared.integrations.pdf import PdfRenderer
from bbws.shared.sales.order_keys import order_url
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.repositories.payments import PaymentRepository
from bbws.shared.settings import Settings
from bbws.shared.templating import Templates

Kind = Literal["order", "receipt"]
Format = Literal["html", "pdf"]


class Documents:
    def __init__(
        self, database: Database, settings: Settings, templates: Templates, pdf: PdfRenderer, seller: Seller
    ) -> None:
        self._orders = OrderRepository(database)
        self._payments = PaymentRepository(database)
        self._settings = settings
        self._templates = templates
        self._pdf = pdf
        self._seller = seller

    async def render(self, tenant_id: str, order_id: str, kind: Kind, form: Format) -> bytes:
        """HTML or PDF. Raises NotFound for an unknown order, and for the receipt of one that is not paid."""
        order = await self._orders.get(tenant_id, order_id)
        html = await self._templates.render(f"receipts/{kind}.html", await self._context(order, kind))
        if form == "html":
            return html.encode()
        return await self._pdf.render(html, title=f"{kind.title()} {order.id}", created=order.date_last_updated)

    async def _context(self, order: Order, kind: Kind) -> Contract:
        if kind == "order":
            url = order_url(self._settings, order.tenant_id, order.id)
            return OrderDocument(order=order, seller=self._seller, order_url=url)
        return ReceiptDocument(order=order, payment=await self._payment(order), seller=self._seller)

    async def _payment(self, order: Order) -> Payment:
        payments = await self._payments.list_of_order(order.tenant_id, order.id, PageRequest())
        if not payments.items:
            raise NotFound(f"order {order.id} is not paid yet, so it has no receipt")
        return payments.items[0]
