"""A PayFast on this machine: takes the real checkout form, shows a payment page, sends real ITNs. No money moves.

python -m bbws.local.payfast --port 8090 --merchant-id 10000100 --merchant-key 46f0cd694581a

POST /eng/process               the checkout form; a page with Pay and Cancel, or 400 and what was wrong
POST /eng/query/validate        VALID for exactly the ITNs that were sent from here
POST /_standin/pay              the same fields as form or JSON, paid at once: {pfPaymentId, itnStatus, returnUrl}
PUT, GET, DELETE /_standin/behaviour    misbehaviour on demand, see `Behaviour`; query, form or JSON
GET  /_standin/itns             every ITN sent, its raw body and the answer
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import click
import jinja2
from aiohttp import web
from pydantic import ValidationError

from bbws.local.payfast_itns import (
    Behaviour,
    ItnSender,
    PaymentIds,
    cancelled_itn,
    cents_of,
    complete_itn,
    sign_itn,
)
from bbws.local.visitors import own_hosts_only, refuse_foreign_pages
from bbws.shared.integrations.payfast import (
    CHECKOUT_ORDER,
    MINIMUM_AMOUNT_CENTS,
    PROCESS_PATH,
    VALIDATE_PATH,
    rand,
    sign_checkout,
)

HOST = "127.0.0.1"
CONTROL_PREFIX = "/_standin/"
# Longer than the 10 s that a shop may wait for an answer.
SLOW_ANSWER_S = 15

_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True, undefined=jinja2.StrictUndefined
)
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}


@dataclass(frozen=True, kw_only=True)
class PayfastAccount:
    """The merchant whose payments the stand-in takes; `retry_base_s` is PayFast's ten minutes, shortened."""

    merchant_id: str
    merchant_key: str
    passphrase: str | None = None
    retry_base_s: float = 10


class CheckoutRefused(Exception):
    """The form is not one that PayFast would take; says which check failed."""


class Checkouts:
    """Forms that were accepted and wait for their buyer."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, str]] = {}

    def add(self, fields: dict[str, str]) -> str:
        checkout_id = secrets.token_urlsafe(16)
        self._open[checkout_id] = fields
        return checkout_id

    def take(self, checkout_id: str) -> dict[str, str]:
        """The form, once: a page that is sent twice pays once. Raises KeyError after that."""
        return self._open.pop(checkout_id)


class PayfastStandIn:
    """The handlers of one stand-in with its account, its behaviour and what it sent."""

    def __init__(self, account: PayfastAccount) -> None:
        self._account = account
        self._behaviour = Behaviour.model_validate({})
        self._checkouts = Checkouts()
        self._ids = PaymentIds()
        self._sender: ItnSender

    async def run(self, _: web.Application) -> AsyncIterator[None]:
        """Hold the connections to shops while the app runs."""
        async with aiohttp.ClientSession() as session:
            self._sender = ItnSender(session, self._account.retry_base_s)
            yield
            await self._sender.close()

    async def show_page(self, request: web.Request) -> web.Response:
        """The payment page for a form, or 400 with the check that failed."""
        try:
            fields = checked_checkout(await _fields(request), self._account)
        except CheckoutRefused as error:
            return _page("payfast_refused.html", {"reason": str(error)}, status=400)
        return _page("payfast.html", {"checkout_id": self._checkouts.add(fields), **_shown(fields)})

    async def press_pay(self, request: web.Request) -> NoReturn:
        """Send the ITN, then send the buyer back to the shop."""
        fields = self._take(request)
        await self._pay(fields)
        raise web.HTTPSeeOther(fields.get("return_url") or "/")

    async def press_cancel(self, request: web.Request) -> NoReturn:
        """Send the buyer back to the shop without a payment."""
        fields = self._take(request)
        if self._behaviour.itn_on_cancel:
            await self._send(fields, cancelled_itn(fields))
        raise web.HTTPSeeOther(fields.get("cancel_url") or "/")

    async def pay(self, request: web.Request) -> web.Response:
        """Pay a form at once, as the page's button does."""
        try:
            fields = checked_checkout(await _fields(request), self._account)
        except CheckoutRefused as error:
            return web.json_response({"detail": str(error)}, status=400)
        pf_payment_id, status = await self._pay(fields)
        answer = {"pfPaymentId": pf_payment_id, "itnStatus": status, "returnUrl": fields.get("return_url", "")}
        return web.json_response(answer)

    async def validate(self, request: web.Request) -> web.Response:
        """VALID for the parameters of an ITN that was sent from here, unless the behaviour says otherwise."""
        parameters = await request.read()
        match self._behaviour.validate_answer:
            case "unreachable":
                return web.Response(status=503, text="Service Unavailable")
            case "INVALID":
                return web.Response(text="INVALID")
            case "slow":
                await asyncio.sleep(SLOW_ANSWER_S)
        return web.Response(text="VALID" if self._sender.is_genuine(parameters) else "INVALID")

    async def put_behaviour(self, request: web.Request) -> web.Response:
        """Change what is named and keep the rest; 400 for an unknown setting."""
        asked = {**request.query, **await _fields(request)}
        try:
            now = self._behaviour.model_dump(by_alias=True)
            self._behaviour = Behaviour.model_validate(now | asked)
        except ValidationError as error:
            return web.json_response({"detail": str(error)}, status=400)
        return await self.get_behaviour(request)

    async def get_behaviour(self, _: web.Request) -> web.Response:
        return web.json_response(self._behaviour.model_dump(by_alias=True))

    async def delete_behaviour(self, request: web.Request) -> web.Response:
        self._behaviour = Behaviour.model_validate({})
        return await self.get_behaviour(request)

    async def list_itns(self, _: web.Request) -> web.Response:
        return web.json_response({"items": [delivery.as_json() for delivery in self._sender.deliveries]})

    def _take(self, request: web.Request) -> dict[str, str]:
        try:
            return self._checkouts.take(request.match_info["checkout_id"])
        except KeyError:
            raise web.HTTPGone(text="This payment was paid or cancelled before.") from None

    async def _pay(self, fields: Mapping[str, str]) -> tuple[str, int | None]:
        pf_payment_id = self._ids.next()
        itn = complete_itn(fields, pf_payment_id, self._behaviour.wrong_amount_cents)
        return pf_payment_id, await self._send(fields, itn)

    async def _send(self, fields: Mapping[str, str], itn: dict[str, str]) -> int | None:
        if "notify_url" not in fields:
            return None
        signed = sign_itn(itn, self._account.passphrase, self._behaviour)
        return await self._sender.send(signed, fields["notify_url"], self._behaviour)


def checked_checkout(posted: Mapping[str, Any], account: PayfastAccount) -> dict[str, str]:
    """The signed fields of a form; raises CheckoutRefused with the first check that fails, as PayFast words it."""
    fields = {name: str(posted[name]) for name in CHECKOUT_ORDER if str(posted.get(name, "")).strip()}
    if missing := [name for name in ("merchant_id", "merchant_key", "amount", "item_name") if name not in fields]:
        raise CheckoutRefused(f"{missing[0]}: This field is required.")
    if fields["merchant_id"] != account.merchant_id or fields["merchant_key"] != account.merchant_key:
        raise CheckoutRefused("merchant_id, merchant_key: Merchant authorization failed.")
    _check_amount(fields)
    expected = sign_checkout(fields, account.passphrase)
    if not secrets.compare_digest(str(posted.get("signature", "")).encode(), expected.encode()):
        raise CheckoutRefused("signature: Generated signature does not match submitted signature.")
    return fields


def _check_amount(fields: Mapping[str, str]) -> None:
    try:
        amount_cents = cents_of(fields["amount"])
    except ValueError:
        raise CheckoutRefused("amount: The amount must be a number.") from None
    free_start = amount_cents == 0 and "subscription_type" in fields
    if amount_cents < MINIMUM_AMOUNT_CENTS and not free_start:
        raise CheckoutRefused(f"amount: The amount must be at least R{rand(MINIMUM_AMOUNT_CENTS)}.")


async def _fields(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return dict(await request.json())
    return dict(await request.post())


def _shown(fields: Mapping[str, str]) -> dict[str, str]:
    """What the payment page shows of a form."""
    return {
        "amount": fields["amount"],
        "item_name": fields["item_name"],
        "item_description": fields.get("item_description", ""),
        "buyer": " ".join(filter(None, (fields.get("name_first"), fields.get("name_last")))),
        "email": fields.get("email_address", ""),
        "reference": fields.get("m_payment_id", ""),
        "recurring": fields.get("recurring_amount", ""),
    }


def _page(template: str, values: Mapping[str, str], status: int = 200) -> web.Response:
    html = _PAGES.get_template(template).render(values)
    return web.Response(text=html, status=status, content_type="text/html", headers=_HEADERS)


@web.middleware
async def _own_controls(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The shop's page posts the checkout form from another origin, as to PayFast; nobody else's page steers us."""
    if request.path.startswith(CONTROL_PREFIX):
        refuse_foreign_pages(request)
    return await handler(request)


def create_app(account: PayfastAccount, own_names: Collection[str] = ()) -> web.Application:
    """The stand-in as an aiohttp application; it answers to addresses, `localhost` and `own_names`."""
    stand_in = PayfastStandIn(account)
    app = web.Application(middlewares=[own_hosts_only(own_names), _own_controls])
    app.cleanup_ctx.append(stand_in.run)
    app.add_routes(
        [
            web.post(PROCESS_PATH, stand_in.show_page),
            web.post(PROCESS_PATH + "/{checkout_id}/pay", stand_in.press_pay),
            web.post(PROCESS_PATH + "/{checkout_id}/cancel", stand_in.press_cancel),
            web.post(VALIDATE_PATH, stand_in.validate),
            web.post("/_standin/pay", stand_in.pay),
            web.put("/_standin/behaviour", stand_in.put_behaviour),
            web.get("/_standin/behaviour", stand_in.get_behaviour),
            web.delete("/_standin/behaviour", stand_in.delete_behaviour),
            web.get("/_standin/itns", stand_in.list_itns),
        ]
    )
    return app


@click.command()
@click.option("--port", type=int, default=8090, show_default=True)
@click.option("--merchant-id", envvar="BBWS_PAYFAST_MERCHANT_ID", required=True)
@click.option("--merchant-key", envvar="BBWS_PAYFAST_MERCHANT_KEY", required=True)
@click.option("--passphrase", envvar="BBWS_PAYFAST_PASSPHRASE", default=None)
@click.option("--retry-base-s", type=float, default=10, show_default=True, help="PayFast waits 600 s.")
def main(port: int, merchant_id: str, merchant_key: str, passphrase: str | None, retry_base_s: float) -> None:
    """Run the stand-in on 127.0.0.1 until SIGTERM."""
    account = PayfastAccount(
        merchant_id=merchant_id, merchant_key=merchant_key, passphrase=passphrase, retry_base_s=retry_base_s
    )
    web.run_app(create_app(account), host=HOST, port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
