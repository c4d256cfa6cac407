"""Customers of the running system, and what there is to see of an order from outside: API, buckets, queues, mails.

An operator orders for them: what registering takes is the subject of other tests.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import orjson

from bbws.commands import users as user_commands
from bbws.local.payfast_itns import Behaviour
from bbws.local.up import ACCOUNT, SECRET_ACCESS_KEY, System
from bbws.shared.ids import new_id
from bbws.shared.topology import Topology
from tests.support.emulator import Aws
from tests.support.waiting import eventually

MAIL_KINDS = {
    "order_confirmation_customer",
    "order_confirmation_internal",
    "payment_confirmation_customer",
    "payment_confirmation_internal",
}


@dataclass(frozen=True)
class Placed:
    """An order as the API answered it."""

    tenant_id: str
    id: str
    checkout: dict[str, str]

    @property
    def path(self) -> str:
        return f"/v1.0/tenants/{self.tenant_id}/orders/{self.id}"


class Shop:
    def __init__(self, system: System, session: aiohttp.ClientSession, token: str) -> None:
        """`token` is an operator's."""
        self.system = system
        self._bearer = {"Authorization": f"Bearer {token}"}
        self.aws = Aws(system.emulator_url, ACCOUNT, SECRET_ACCESS_KEY)
        self._session = session

    async def order(self) -> Placed:
        """A new customer orders one product."""
        name = new_id()
        tenant = await self.post("/v1.0/tenants", {"email": f"{name}@example.com", "organizationName": name})
        return await self.order_again(tenant["id"], f"{name}@example.com")

    async def order_again(self, tenant_id: str, email: str) -> Placed:
        products = await self.get("/v1.0/products")
        body = {
            "items": [{"productId": products["items"][0]["id"], "quantity": 1}],
            "billingAddress": {"name": "A Customer", "line1": "1 Road", "city": "Durban", "postalCode": "4001"},
            "customerEmail": email,
        }
        order = await self.post(f"/v1.0/tenants/{tenant_id}/orders", body)
        fields = {field["name"]: field["value"] for field in order["checkout"]["fields"]}
        return Placed(tenant_id, order["id"], fields)

    async def pay(self, order: Placed) -> None:
        """Paid at PayFast, whatever becomes of its notice."""
        async with self._session.post(f"{self.system.payfast_url}/_standin/pay", data=order.checkout) as answer:
            assert answer.status == 200, await answer.text()

    async def behave(self, **behaviour: Any) -> None:
        """PayFast behaves so from now on; what is not named stays as it was."""
        url = f"{self.system.payfast_url}/_standin/behaviour"
        async with self._session.put(url, json=behaviour) as answer:
            assert answer.status in (200, 204), await answer.text()

    async def kill(self, name: str) -> None:
        """SIGKILL, and the process is on its way again; the gateway already answers, as tests ask it what happened."""
        await self.system.kill(name)
        if name == "gateway":
            await self.until_up()

    async def until_up(self) -> None:
        async def up() -> bool:
            try:
                return (await self.get("/readyz"))["status"] is not None
            except (aiohttp.ClientError, TimeoutError):
                return False

        await eventually(up, within_s=30, what="the gateway answers")

    async def reset(self) -> None:
        """Everything works again, PayFast behaves, and the gateway answers, whatever a test left switched on."""
        await self.aws.heal()
        await self.behave(**Behaviour().model_dump(by_alias=True))
        await self.until_up()

    async def get(self, path: str) -> dict[str, Any]:
        async with self._session.get(self.system.base_url + path, headers=self._bearer) as answer:
            document: dict[str, Any] = orjson.loads(await answer.read())
            return document

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{new_id()}"', **self._bearer}
        async with self._session.post(self.system.base_url + path, data=orjson.dumps(body), headers=headers) as answer:
            document: dict[str, Any] = orjson.loads(await answer.read())
            assert answer.status < 300, document
            return document

    async def items_beside(self, order: Placed) -> list[dict[str, Any]]:
        """The stored items of the order's own partition."""
        partition = f"TENANT#{order.tenant_id}#ORDER#{order.id}"
        async with self.aws.client("dynamodb") as dynamodb:
            answer = await dynamodb.query(
                TableName="orders",
                KeyConditionExpression="PK = :p",
                ExpressionAttributeValues={":p": {"S": partition}},
                ConsistentRead=True,
            )
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in answer["Items"]]

    async def mails_of(self, order: Placed) -> Counter[str]:
        """How many mails of each kind SES took for the order."""
        own = [mail for mail in await self.aws.mails() if mail["X-BBWS-Order"] == order.id]
        return Counter(str(mail["X-BBWS-Mail"]) for mail in own)

    async def pdf_versions(self, order: Placed) -> list[str]:
        """Every version of every PDF of the order in the documents bucket."""
        prefix = f"tenants/{order.tenant_id}/orders/{order.id}/"
        bucket = Topology.for_settings(self.system.settings).bucket("documents").name
        async with self.aws.client("s3") as s3:
            answer = await s3.list_object_versions(Bucket=bucket, Prefix=prefix)
        return sorted(version["Key"] for version in answer.get("Versions", ()))

    async def backlog(self) -> dict[str, int]:
        """Messages in every queue and dead-letter queue that are not done."""
        names = [n for queue in self._topology.queues for n in (queue.name, queue.dead_letter_name)]
        names += [rule.dead_letter_queue for rule in self._topology.rules]
        async with self.aws.client("sqs") as sqs:
            depths = {name: await _depth(sqs, name) for name in names}
        return {name: depth for name, depth in depths.items() if depth}

    async def dead_letters(self) -> list[str]:
        """The dead-letter queues that are not empty."""
        return [name for name in await self.backlog() if name.endswith("-dlq")]

    async def is_done(self, order: Placed) -> bool:
        return (await self.mails_of(order)).keys() >= MAIL_KINDS

    async def until_done(self, *orders: Placed, within_s: float = 30) -> None:
        """Every order has its mails, and nothing is under way any more."""
        for order in orders:
            await eventually(partial(self.is_done, order), within_s=within_s, what=f"{order.id} is done")
        await eventually(self._is_quiet, within_s=within_s, what="all queues are empty")

    async def _is_quiet(self) -> bool:
        return not await self.backlog()

    @property
    def _topology(self) -> Topology:
        return Topology.for_settings(self.system.settings)

    async def assert_exactly_once(self, order: Placed, *, mails: int = 1) -> None:
        """One PAID order, one payment, one invoice, one PDF of each kind, `mails` of each kind."""
        assert (await self.get(order.path))["status"] == "PAID"
        assert len((await self.get(f"{order.path}/payments"))["items"]) == 1
        beside = await self.items_beside(order)
        numbers = [item["number"] for item in beside if item["SK"].startswith("INVOICE#")]
        assert len(numbers) == 1
        folder = f"tenants/{order.tenant_id}/orders/{order.id}"
        assert await self.pdf_versions(order) == [
            f"{folder}/{numbers[0]}-internal.pdf",
            f"{folder}/{numbers[0]}.pdf",
        ]
        assert await self.mails_of(order) == dict.fromkeys(MAIL_KINDS, mails)


async def _depth(sqs: Any, name: str) -> int:
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)
    return sum(int(answer["Attributes"][count]) for count in counts)


@asynccontextmanager
async def open_shop(system: System) -> AsyncIterator[Shop]:
    token = await user_commands.token(system.settings, "operator", None, None, None)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield Shop(system, session, token)
