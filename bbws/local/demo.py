"""`bbws demo`: sells one hosting product through the public HTTP API, as a customer would, and shows what happened.

The customer registers, follows the link in the mail, signs in at the user pool, orders, pays, and reads the invoice.
"""

import asyncio
import email.policy
import re
from collections.abc import AsyncIterator, Callable, Mapping
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import orjson
from yarl import URL

from bbws.local.demo_data import CAMPAIGN_CODE
from bbws.local.errors import DemoFailed
from bbws.local.up import System
from bbws.shared.bootstrap import aws_clients
from bbws.shared.ids import new_id
from bbws.shared.integrations.cognito import UserDirectory
from bbws.shared.integrations.queues import Queues
from bbws.shared.operating.dead_letter_queues import DeadLetterQueues
from bbws.shared.sales.rules.timeline import MAILS_OF_AN_ORDER
from bbws.shared.tenancy.services.registrations import MAIL_KIND
from bbws.shared.topology import Topology

DONE_WITHIN_S = 45.0
CUSTOMER = {
    "organizationName": "Protea Bakery",
    "email": "thandi@protea-bakery.example",
}
PASSWORD = "five small loaves a day"  # noqa: S105 - of a customer who exists for a minute
ADDRESS = {"name": "Thandi Nkosi", "line1": "5 Long Street", "city": "Cape Town", "postalCode": "8001"}

Say = Callable[[str], None]


async def sell(system: System, say: Say) -> None:
    """One product is ordered, paid, invoiced and mailed. Raises DemoFailed where it is not, in reasonable time."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        customer = _Customer(session, system.base_url)
        tenant = await customer.register(system.mail_dir, say)
        await customer.sign_in(system, say)
        order = await customer.place_order(tenant, say)
        await customer.pay(order, say)
        await customer.watch(order, say)
        await _save_invoice(customer, order, system.home, say)
    _tell_mails(system.mail_dir, say)
    await _tell_queues(system, say)


class _Customer:
    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url
        self._bearer: dict[str, str] = {}

    async def register(self, mail_dir: Path, say: Say) -> dict[str, Any]:
        """The tenant, once the link in the mail was followed."""
        await self._post("/v1.0/registrations", CUSTOMER)
        say(f"registered      {CUSTOMER['organizationName']}, {CUSTOMER['email']}; a link comes by mail")
        token = await _mailed_token(mail_dir)
        tenant = await self._post("/v1.0/registrations/confirmations", {"token": token, "password": PASSWORD})
        say(f"link followed   the password is set, tenant {tenant['id']} is {tenant['registrationStatus']}")
        return tenant

    async def sign_in(self, system: System, say: Say) -> None:
        """Every later request to the API carries the token that the user pool gives for the password."""
        pool, client_id = system.settings.cognito_user_pool_id, system.settings.cognito_client_ids[0]
        async with aws_clients(system.settings) as clients:
            directory = UserDirectory(lambda: clients.get("cognito-idp"), pool)
            token = await directory.sign_in(client_id, CUSTOMER["email"], PASSWORD)
        self._bearer = {"Authorization": f"Bearer {token}"}
        say(f"signed in       at the user pool {pool}")

    async def place_order(self, tenant: Mapping[str, Any], say: Say) -> dict[str, Any]:
        products = (await self.get("/v1.0/products"))["items"]
        product = next(entry for entry in products if entry["name"] == "WordPress Business")
        body = {
            "items": [{"productId": product["id"], "quantity": 1}],
            "campaignCode": CAMPAIGN_CODE,
            "billingAddress": ADDRESS,
            "customerEmail": CUSTOMER["email"],
        }
        order = await self._post(f"/v1.0/tenants/{tenant['id']}/orders", body)
        say(f"ordered         {product['name']}, R{order['totalCents'] / 100:.2f}, order {order['id']}")
        return order

    async def pay(self, order: Mapping[str, Any], say: Say) -> None:
        """Posts the checkout form to PayFast, as the browser does, and presses its button."""
        checkout = order["checkout"]
        page = await self._text("POST", checkout["url"], data=_fields(checkout))
        button = re.search(r'action="([^"]+/pay)"', page)
        if button is None:
            raise DemoFailed("PayFast's page has no button to pay with")
        say(f"at PayFast      {checkout['url']}")
        await self._text("POST", urljoin(checkout["url"], button[1]), allow_redirects=False)
        say("paid            PayFast sends its notice (ITN) to the gateway")

    async def watch(self, order: Mapping[str, Any], say: Say) -> None:
        """Follows the order's events until the last mail is out."""
        mails = 0
        try:
            async with asyncio.timeout(DONE_WITHIN_S):
                async for event in self._events(order["_links"]["events"]["href"]):
                    say(f"  {event['at'][11:23]}  {event['kind']:<17} {event['text']}")
                    mails += event["kind"] == "MAIL_SENT"
                    if mails == MAILS_OF_AN_ORDER:
                        return
        except TimeoutError:
            pass
        raise DemoFailed(
            f"{mails} of {MAILS_OF_AN_ORDER} mails were sent within {DONE_WITHIN_S:.0f} s; `bbws dlq list` may say why"
        )

    async def get(self, path: str) -> dict[str, Any]:
        text = await self._text("GET", urljoin(self._base_url, path), headers=self._bearer)
        document: dict[str, Any] = orjson.loads(text)
        return document

    async def download(self, url: str) -> bytes:
        # A presigned address is signed as it is written: nothing may be encoded anew.
        async with self._session.get(URL(url, encoded=True)) as answer:
            answer.raise_for_status()
            return await answer.read()

    async def _events(self, path: str) -> AsyncIterator[dict[str, Any]]:
        async with self._session.get(urljoin(self._base_url, path), headers=self._bearer) as answer:
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield orjson.loads(line.removeprefix(b"data:"))

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{new_id()}"', **self._bearer}
        text = await self._text("POST", urljoin(self._base_url, path), data=orjson.dumps(body), headers=headers)
        document: dict[str, Any] = orjson.loads(text)
        return document

    async def _text(self, method: str, url: str, **request: Any) -> str:
        async with self._session.request(method, url, **request) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise DemoFailed(f"{method} {url} answered {answer.status}: {text[:500]}")
            return text


def _fields(checkout: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(field["name"], field["value"]) for field in checkout["fields"]]


async def _save_invoice(customer: _Customer, order: Mapping[str, Any], home: Path, say: Say) -> None:
    order = await customer.get(order["_links"]["self"]["href"])
    invoice = await customer.get(order["_links"]["invoice"]["href"])
    path = home / f"{invoice['number']}.pdf"
    path.write_bytes(await customer.download(invoice["_links"]["pdf"]["href"]))
    say(f"invoice         {path}")


async def _mailed_token(folder: Path) -> str:
    """What the link in the registration mail holds, once it is there."""
    try:
        async with asyncio.timeout(DONE_WITHIN_S):
            while True:
                if mail := _registration_mail(folder):
                    return _token_in(mail)
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise DemoFailed(f"no registration mail came within {DONE_WITHIN_S:.0f} s") from None


def _registration_mail(folder: Path) -> EmailMessage | None:
    mails = map(_read_mail, folder.glob("*.eml"))
    return next((m for m in mails if m["X-BBWS-Mail"] == MAIL_KIND and m["To"] == CUSTOMER["email"]), None)


def _token_in(mail: EmailMessage) -> str:
    text = mail.get_body(("plain",))
    link = re.search(r"\?token=(\S+)", text.get_content()) if text else None
    if link is None:
        raise DemoFailed("the registration mail has no link")
    return link[1]


def _read_mail(path: Path) -> EmailMessage:
    return message_from_bytes(path.read_bytes(), policy=email.policy.default)


def _tell_mails(folder: Path, say: Say) -> None:
    for path in sorted(folder.glob("*.eml")):
        mail = _read_mail(path)
        attached = ", ".join(part.get_filename() or "" for part in mail.iter_attachments())
        say(f"mail            {mail['To']}: {mail['Subject']}{f' [{attached}]' if attached else ''}")
        say(f"                {path}")


async def _tell_queues(system: System, say: Say) -> None:
    """Queues are empty and no letter is dead. Raises DemoFailed otherwise."""
    topology = Topology.for_settings(system.settings)
    async with aws_clients(system.settings) as clients:
        queues = Queues(lambda: clients.get("sqs"))
        async with asyncio.timeout(DONE_WITHIN_S):
            while waiting := sum([await queues.backlog(queue.name) for queue in topology.queues]):
                say(f"queues          {waiting} messages under way")
                await asyncio.sleep(1)
        say(f"queues          {len(topology.queues)}, all empty")
        summaries = await DeadLetterQueues(queues, topology).summaries()
    dead = sum(summary.depth for summary in summaries)
    say(f"dead letters: {dead}")
    if dead:
        raise DemoFailed("there are dead letters")
