"""From ITN in to mail out: orders per second, and how long one order takes, on the whole system of `bbws up`.

Times are those of the order's own timeline: from the moment the gateway confirmed the ITN to the order confirmation in
the customer's mailbox, to the PDFs of the invoice in S3, and to the last of four mails.
"""

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import click
import orjson

from bbws.commands import users as user_commands
from bbws.local.demo import ADDRESS
from bbws.local.up import System
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.ids import new_id
from bbws.shared.sales.rules.timeline import MAILS_OF_AN_ORDER
from benchmarks.figures import percentile, table

PAYING_AT_ONCE = 16
CONFIRMED, INVOICED, LAST_MAIL = "order confirmed", "invoice stored", "last mail out"
PDFS_OF_AN_ORDER = 2
# A machine that needs longer than this for one order has another problem than speed.
MOST_S_PER_ORDER = 5.0


@dataclass(frozen=True, slots=True)
class Placed:
    tenant_id: str
    order_id: str
    checkout: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """When an order's ITN came in, and when it reached each of its stages."""

    paid: datetime
    reached: Mapping[str, datetime]

    @property
    def mailed(self) -> datetime:
        return self.reached[LAST_MAIL]

    def duration_s(self, stage: str) -> float:
        return (self.reached[stage] - self.paid).total_seconds()


class Shop:
    """Customers of a running system, for whom an operator orders, and what became of their orders."""

    def __init__(self, system: System, session: aiohttp.ClientSession, services: Services, token: str) -> None:
        """`token` is the operator's."""
        self._system = system
        self._bearer = {"Authorization": f"Bearer {token}"}
        self._session = session
        self._services = services
        self._limit = asyncio.Semaphore(PAYING_AT_ONCE)
        self._mails_expected = 0

    async def place(self, count: int) -> list[Placed]:
        number = new_id()
        customer = {"organizationName": f"Customer {number}", "email": f"{number}@example.com"}
        tenant = await self._post("/v1.0/tenants", customer)
        products = await self._get("/v1.0/products")
        lines = [{"productId": products["items"][0]["id"], "quantity": 1}]
        return [await self._place(tenant["id"], lines, customer["email"]) for _ in range(count)]

    async def pay(self, orders: Sequence[Placed]) -> list[Passage]:
        """All are paid as fast as PayFast can tell us; waits for the last mail of the last order."""
        self._mails_expected += MAILS_OF_AN_ORDER * len(orders)
        await asyncio.gather(*(self._pay(order) for order in orders))
        await self._until_mailed(MOST_S_PER_ORDER * len(orders) + 30)
        return [await self._passage(order) for order in orders]

    async def _place(self, tenant_id: str, lines: list[dict[str, Any]], email: str) -> Placed:
        body = {"items": lines, "billingAddress": ADDRESS, "customerEmail": email}
        order = await self._post(f"/v1.0/tenants/{tenant_id}/orders", body)
        checkout = {field["name"]: field["value"] for field in order["checkout"]["fields"]}
        return Placed(tenant_id, order["id"], checkout)

    async def _pay(self, order: Placed) -> None:
        url = f"{self._system.payfast_url}/_standin/pay"
        async with self._limit, self._session.post(url, data=order.checkout) as answer:
            paid = await answer.json()
        if paid.get("itnStatus") != 200:
            raise click.ClickException(f"the ITN of order {order.order_id} was not taken: {paid}")

    async def _until_mailed(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while (mails := len(list(self._system.mail_dir.glob("*.eml")))) < self._mails_expected:
            if time.monotonic() > deadline:
                raise click.ClickException(f"{mails} of {self._mails_expected} mails within {within_s:.0f} s")
            await asyncio.sleep(0.1)

    async def _passage(self, order: Placed) -> Passage:
        """Waits for what is written right after the mail is out."""
        while True:
            entries = await self._services.orders.timeline(order.tenant_id, order.order_id)
            mailed = {entry.id: entry.at for entry in entries if entry.kind == "MAIL_SENT"}
            if len(mailed) == MAILS_OF_AN_ORDER:
                at = {str(entry.kind): entry.at for entry in entries}
                confirmed = mailed["mail.order_confirmation_customer"]
                reached = {CONFIRMED: confirmed, INVOICED: at["INVOICE_ISSUED"], LAST_MAIL: max(mailed.values())}
                return Passage(at["PAYMENT_NOTICE"], reached)
            await asyncio.sleep(0.05)

    async def _get(self, path: str) -> dict[str, Any]:
        async with self._session.get(urljoin(self._system.base_url, path), headers=self._bearer) as answer:
            answer.raise_for_status()
            document: dict[str, Any] = await answer.json()
            return document

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{new_id()}"', **self._bearer}
        url = urljoin(self._system.base_url, path)
        async with self._session.post(url, data=orjson.dumps(body), headers=headers) as answer:
            answer.raise_for_status()
            document: dict[str, Any] = await answer.json()
            return document


async def measure(orders: int, alone: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        async with (
            System(Path(home)) as system,
            aiohttp.ClientSession() as session,
            bootstrap(system.settings) as services,
        ):
            token = await user_commands.token(system.settings, "operator", None, None, None)
            shop = Shop(system, session, services, token)
            click.echo("warming up: one order")
            await shop.pay(await shop.place(1))
            click.echo(f"one after the other: {alone} orders")
            single = [passage for order in await shop.place(alone) for passage in await shop.pay([order])]
            click.echo(f"all at once: {orders} orders")
            burst = await shop.pay(await shop.place(orders))
    _tell("one after the other", single)
    _tell("all at once", burst)


def _tell(name: str, passages: Sequence[Passage]) -> None:
    span_s = (max(p.mailed for p in passages) - min(p.paid for p in passages)).total_seconds()
    rows = []
    for stage in (CONFIRMED, INVOICED, LAST_MAIL):
        durations = [passage.duration_s(stage) for passage in passages]
        rows.append((stage, f"{percentile(durations, 50):.2f}", f"{percentile(durations, 95):.2f}"))
    count, pdfs = len(passages), len(passages) * PDFS_OF_AN_ORDER
    click.echo(f"\n{count} orders, {name}: {count / span_s:.1f} orders/s, {pdfs / span_s:.1f} PDFs/s")
    click.echo(table(("from ITN in to", "p50 s", "p95 s"), rows))


@click.command(help=__doc__)
@click.option("--orders", default=200, show_default=True, type=click.IntRange(1), help="Paid all at once.")
@click.option("--alone", default=20, show_default=True, type=click.IntRange(1), help="Paid one after the other.")
@click.option("--quick", is_flag=True, help="20 at once and 3 alone: shows that it runs, says little about speed.")
def main(orders: int, alone: int, quick: bool) -> None:
    asyncio.run(measure(*((20, 3) if quick else (orders, alone))))


if __name__ == "__main__":
    main()
