"""PayFast as a shop meets it: the stand-in over HTTP, and a letterbox in which its notices (ITNs) arrive."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from bbws.local.payfast import PayfastAccount, create_app
from bbws.local.payfast_itns import Behaviour, sign_itn
from bbws.shared.contracts.sales.orders import Checkout
from bbws.shared.integrations.payfast import PROCESS_PATH, VALIDATE_PATH, parse_itn, signed_part

PASSPHRASE = "jt7NOE43FZPn"
ACCOUNT = PayfastAccount(
    merchant_id="10000100", merchant_key="46f0cd694581a", passphrase=PASSPHRASE, retry_base_s=60
)  # fmt: skip


@dataclass
class PayfastWorld:
    url: str = ""
    shop_url: str = ""
    asked: int = 0
    _letters: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    _vouched: set[bytes] = field(default_factory=set)

    async def pay(self, checkout: Checkout, **behaviour: Any) -> bytes:
        """The customer pays; returns the notice as it came."""
        await self.behave(**behaviour)
        await self._post("/_standin/pay", dict(checkout.fields))
        return self._letters.get_nowait()

    async def cancel(self, checkout: Checkout) -> bytes:
        """The customer presses Cancel on the payment page."""
        await self.behave(itn_on_cancel=True)
        page = await self._post(PROCESS_PATH, dict(checkout.fields))
        found = re.search(rf"{PROCESS_PATH}/[\w-]+/cancel", page)
        assert found, page
        await self._post(found[0], {})
        return self._letters.get_nowait()

    async def behave(self, **behaviour: Any) -> None:
        """Misbehave as told from now on, and not in any other way."""
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.delete(f"{self.url}/_standin/behaviour")
            await session.put(f"{self.url}/_standin/behaviour", json=behaviour)

    def rewritten(self, raw_body: bytes, **changes: str) -> bytes:
        """The notice with other fields, rightly signed, and confirmed by PayFast when asked."""
        other = signed({**dict(parse_itn(raw_body).fields), **changes})
        self._vouched.add(signed_part(other))
        return other

    async def _post(self, path: str, fields: Mapping[str, str]) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, data=fields, allow_redirects=False) as answer,
        ):
            assert answer.status < 400, await answer.text()
            return await answer.text()

    async def take_itn(self, request: web.Request) -> web.Response:
        self._letters.put_nowait(await request.read())
        return web.Response()

    @web.middleware
    async def confirm_rewritten(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == VALIDATE_PATH:
            self.asked += 1
            if await request.read() in self._vouched:
                return web.Response(text="VALID")
        answered: web.StreamResponse = await handler(request)
        return answered


def signed(fields: dict[str, str], passphrase: str | None = PASSPHRASE) -> bytes:
    return sign_itn(fields, passphrase, Behaviour.model_validate({})).body


@asynccontextmanager
async def payfast_world() -> AsyncIterator[PayfastWorld]:
    world = PayfastWorld()
    standin = create_app(ACCOUNT)
    standin.middlewares.append(world.confirm_rewritten)
    shop = web.Application()
    shop.router.add_post("/v1.0/payments/payfast/itn", world.take_itn)
    async with TestServer(standin) as payfast, TestServer(shop) as letterbox:
        world.url, world.shop_url = str(payfast.make_url("")).rstrip("/"), str(letterbox.make_url("")).rstrip("/")
        yield world
