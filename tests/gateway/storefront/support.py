"""A customer without a browser: reads pages, fills in the form, sends it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from bbws.shared.bootstrap import Services
from bbws.shared.contracts.pages import PageRequest
from bbws.shared.contracts.sales.campaigns import Campaign, CampaignDraft
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.products import Product, ProductDraft
from bbws.shared.ids import new_id
from bbws.shared.sales.order_keys import order_page
from bbws.shared.settings import Settings
from tests.support.builders import a_campaign, a_paid_order, a_payment, order_created

ORDER_PAGE = re.compile(r"/orders/([0-9a-f-]{36})/([0-9a-f-]{36})")


class _Elements(HTMLParser):
    """Start tags with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass(frozen=True)
class Page:
    status: int
    headers: Any
    html: str
    url: URL

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of every such element."""
        found = self._parsed().tags
        return [attrs for name, attrs in found if name == tag and all(attrs.get(k) == v for k, v in wanted.items())]

    def one(self, tag: str, **wanted: str) -> dict[str, str]:
        (only,) = self.all(tag, **wanted)
        return only

    @property
    def text(self) -> str:
        return " ".join(self._parsed().text.split())

    @property
    def errors(self) -> dict[str, str]:
        """The sentence beside each field."""
        return dict(re.findall(r'<p class="error" id="(\w+)-error">([^<]*)</p>', self.html))

    @property
    def hidden(self) -> list[tuple[str, str]]:
        return [(each["name"], each["value"]) for each in self.all("input", type="hidden")]

    def _parsed(self) -> _Elements:
        parser = _Elements()
        parser.feed(self.html)
        return parser


class Shop:
    def __init__(self, client: TestClient[web.Request, web.Application], services: Services) -> None:
        self.client = client
        self.services = services

    async def get(self, path: str | URL, **request: Any) -> Page:
        headers = {"Accept": "text/html", **request.pop("headers", {})}
        async with self.client.get(path, headers=headers, **request) as answer:
            return Page(answer.status, answer.headers, await answer.text(), answer.url)

    async def post(self, form: dict[str, str], headers: Mapping[str, str] | None = None) -> Page:
        named = {"Accept": "text/html", **(headers or {})}
        async with self.client.post("/order", data=form, headers=named, allow_redirects=False) as answer:
            return Page(answer.status, answer.headers, await answer.text(), answer.url)

    async def form(self, product: Product, **fields: str) -> dict[str, str]:
        """The form of a product as a customer sends it, its hidden fields included."""
        page = await self.get(f"/order?product={product.id}")
        return {**dict(page.hidden), **filled_in(), **fields}

    async def a_product(self, **fields: Any) -> Product:
        draft = ProductDraft(**{"name": "WordPress Business", "price_cents": 249_00, **fields})
        return await self.services.products.create(draft, actor="test", product_id=new_id())

    async def a_campaign(self, product: Product, **fields: Any) -> Campaign:
        """Ten per cent off, today."""
        today = self.services.clock().date()
        dates = {"from_date": today.replace(year=today.year - 1), "to_date": today.replace(year=today.year + 1)}
        made = a_campaign(product, **{**dates, **fields})
        draft = CampaignDraft(**{name: getattr(made, name) for name in CampaignDraft.model_fields})
        return await self.services.campaigns.create(draft, actor="test", campaign_id=new_id())

    async def an_order(self, **fields: str) -> Order:
        """Placed through the form."""
        answer = await self.post(await self.form(await self.a_product(), **fields))
        return await self.order_of(answer)

    async def order_of(self, answer: Page) -> Order:
        """The order that a redirect after the form leads to."""
        assert answer.status == 303, answer.text
        found = ORDER_PAGE.match(answer.headers["Location"])
        assert found
        return await self.services.orders.get(found[1], found[2])

    async def orders_of(self, order: Order) -> int:
        return len((await self.services.orders.list(order.tenant_id, PageRequest())).items)

    async def pay(self, order: Order) -> None:
        """What the consumer `order-record` does once PayFast has confirmed."""
        paid = order.model_copy(update={"payment_details": a_paid_order().payment_details})
        await self.services.payments.record(order_created(paid, a_payment(paid)))


def page_of(order: Order, part: str = "", **query: str) -> str:
    """The order's page, or one below it, with the key that the default signing key makes."""
    return order_page(Settings(), order.tenant_id, order.id, part, **query)


def altered(token: str) -> str:
    """The token of a form with another last digit of its signature."""
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def filled_in() -> dict[str, str]:
    """What a new customer enters."""
    return {
        "quantity": "1",
        "campaign": "",
        "email": f"thandi+{new_id()}@protea.example",
        "company": "",
        "name": "Thandi Nkosi",
        "line1": "4 Jan Smuts Avenue",
        "line2": "",
        "city": "Johannesburg",
        "postal_code": "2196",
        "country": "ZA",
        "vat_number": "",
    }
