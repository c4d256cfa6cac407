import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bbws.local.payfast import PayfastAccount, create_app
from bbws.local.payfast_itns import Behaviour, ItnSender, sign_itn
from bbws.shared.integrations.payfast import (
    Payfast,
    PayfastUnreachable,
    Subscription,
    checkout_fields,
    parse_itn,
    sign_checkout,
    verify_itn_signature,
)
from tests.support.waiting import eventually

_ACCOUNT = PayfastAccount(
    merchant_id="10000100", merchant_key="46f0cd694581a", passphrase="jt7NOE43FZPn", retry_base_s=0.01
)


@dataclass
class Shop:
    """A shop that takes notifications; answers 200 unless told otherwise, and keeps the bodies in order."""

    answers: list[int] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    notify_url: str = ""

    async def take_itn(self, request: web.Request) -> web.Response:
        self.received.append(await request.read())
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/itn", shop.take_itn)
    async with TestServer(app) as server:
        shop.notify_url = str(server.make_url("/itn"))
        yield shop


class StandIn:
    """What a browser and a script do with the stand-in."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def behave(self, **settings: Any) -> None:
        async with self._session.put(f"{self.url}/_standin/behaviour", json=settings) as answer:
            assert answer.status == 200, await answer.text()

    async def pay(self, form: dict[str, str]) -> dict[str, Any]:
        async with self._session.post(f"{self.url}/_standin/pay", data=form) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def itns(self) -> list[dict[str, Any]]:
        async with self._session.get(f"{self.url}/_standin/itns") as answer:
            return list((await answer.json())["items"])

    async def post(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, body and where the answer leads to."""
        async with self._session.post(f"{self.url}{path}", data=form, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with TestServer(create_app(_ACCOUNT)) as server, aiohttp.ClientSession() as session:
        yield StandIn(str(server.make_url("")).rstrip("/"), session)


@pytest.fixture
async def payfast(stand_in: StandIn) -> AsyncIterator[Payfast]:
    async with Payfast(stand_in.url, timeout_s=1) as payfast:
        yield payfast


def _form(shop: Shop, **changed: Any) -> dict[str, str]:
    given: dict[str, Any] = {
        "merchant_id": _ACCOUNT.merchant_id,
        "merchant_key": _ACCOUNT.merchant_key,
        "return_url": "https://shop.test/thanks?o=1",
        "cancel_url": "https://shop.test/cancelled",
        "notify_url": shop.notify_url,
        "name_first": "Zoë <b>",
        "m_payment_id": "order-1",
        "amount_cents": 28635,
        "item_name": "Hosting – Starter",
        "custom_str": ["tenant~1"],
    }
    fields = checkout_fields(**(given | changed))
    return fields | {"signature": sign_checkout(fields, _ACCOUNT.passphrase)}


async def _open_page(stand_in: StandIn, form: dict[str, str]) -> str:
    status, html, _ = await stand_in.post("/eng/process", form)
    assert status == 200
    found = re.search(r'action="(/eng/process/[^/]+)/pay"', html)
    assert found
    return found[1]


async def test_a_buyer_pays_on_the_page(stand_in: StandIn, shop: Shop, payfast: Payfast) -> None:
    """This is the whole trip that a real buyer makes, and the shop knows of the payment before he is back."""
    page = await _open_page(stand_in, _form(shop))
    status, _, location = await stand_in.post(f"{page}/pay")
    assert (status, location) == (303, "https://shop.test/thanks?o=1")
    [body] = shop.received
    assert verify_itn_signature(body, _ACCOUNT.passphrase)
    itn = parse_itn(body)
    assert (itn.m_payment_id, itn.payment_status, itn.custom_str1) == ("order-1", "COMPLETE", "tenant~1")
    assert (itn.amount_gross_cents, itn.amount_fee_cents, itn.amount_net_cents) == (28635, -659, 27976)
    assert await payfast.validate(body) == "VALID"


async def test_the_order_of_a_notification_is_payfasts(stand_in: StandIn, shop: Shop) -> None:
    """Our parser is only proven against the order in which PayFast really writes."""
    await stand_in.pay(_form(shop))
    texts = [f"custom_str{number}" for number in range(1, 6)]
    numbers = [f"custom_int{number}" for number in range(1, 6)]
    assert [name for name, _ in parse_itn(shop.received[0]).fields] == [
        *("m_payment_id", "pf_payment_id", "payment_status", "item_name", "item_description"),
        *("amount_gross", "amount_fee", "amount_net"),
        *texts,
        *numbers,
        *("name_first", "name_last", "email_address", "merchant_id"),
    ]


async def test_the_page_shows_what_is_bought_and_escapes_it(stand_in: StandIn, shop: Shop) -> None:
    """Names come from customers."""
    _, html, _ = await stand_in.post("/eng/process", _form(shop))
    assert "R286.35" in html
    assert "Hosting – Starter" in html
    assert "Zoë &lt;b&gt;" in html


async def test_a_page_pays_once(stand_in: StandIn, shop: Shop) -> None:
    """A double click must not be two payments."""
    page = await _open_page(stand_in, _form(shop))
    await stand_in.post(f"{page}/pay")
    assert (await stand_in.post(f"{page}/pay"))[0] == 410
    assert len(shop.received) == 1


async def test_a_cancelled_checkout_is_no_payment(stand_in: StandIn, shop: Shop) -> None:
    """The buyer goes back to the shop, which hears of no payment."""
    page = await _open_page(stand_in, _form(shop))
    assert await stand_in.post(f"{page}/cancel") == (303, "303: See Other", "https://shop.test/cancelled")
    assert shop.received == []


async def test_a_cancellation_can_be_notified_without_amounts(stand_in: StandIn, shop: Shop) -> None:
    """PayFast sends such for subscriptions, without payment id and amounts."""
    await stand_in.behave(itn_on_cancel=True)
    page = await _open_page(stand_in, _form(shop))
    await stand_in.post(f"{page}/cancel")
    itn = parse_itn(shop.received[0])
    assert (itn.payment_status, itn.pf_payment_id, itn.amount_gross_cents) == ("CANCELLED", "", None)
    assert verify_itn_signature(shop.received[0], _ACCOUNT.passphrase)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"signature": "0" * 32}, "signature: Generated signature does not match"),
        ({"amount": "9999.00"}, "signature: Generated signature does not match"),
        ({"merchant_key": "other"}, "merchant_id, merchant_key: Merchant authorization failed"),
        ({"merchant_id": ""}, "merchant_id: This field is required"),
        ({"amount": "4.99"}, "amount: The amount must be at least R5.00"),
        ({"amount": "nan"}, "amount: The amount must be a number"),
    ],
)
async def test_a_wrong_form_is_refused_with_the_check_that_failed(
    stand_in: StandIn, shop: Shop, changed: dict[str, str], reason: str
) -> None:
    """Whoever integrates must read what is wrong, and a wrong form must never be payable here."""
    form = _form(shop) | changed
    for path in ("/eng/process", "/_standin/pay"):
        status, text, _ = await stand_in.post(path, form)
        assert status == 400
        assert reason in text


async def test_json_pays_like_the_form(stand_in: StandIn, shop: Shop) -> None:
    """Scripts and load tests pay without a browser."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stand_in.url}/_standin/pay", json=_form(shop)) as answer,
    ):
        paid = await answer.json()
    assert paid["itnStatus"] == 200
    assert paid["returnUrl"] == "https://shop.test/thanks?o=1"
    assert parse_itn(shop.received[0]).pf_payment_id == paid["pfPaymentId"]


async def test_it_sends_until_it_is_answered_with_200(stand_in: StandIn, shop: Shop) -> None:
    """A shop that was down when a customer paid still learns of it."""
    shop.answers = [503, 404, 500]
    assert (await stand_in.pay(_form(shop)))["itnStatus"] == 503
    await eventually(lambda: len(shop.received) == 4, what="the fourth attempt")
    assert len(set(shop.received)) == 1
    itns = await eventually(lambda: _answered(stand_in, 4), what="four answers are listed")
    assert [(itn["attempt"], itn["status"]) for itn in itns] == [(1, 503), (2, 404), (3, 500), (4, 200)]
    assert itns[0]["body"].encode() == shop.received[0]


async def _answered(stand_in: StandIn, number: int) -> list[dict[str, Any]]:
    answered = [itn for itn in await stand_in.itns() if itn["status"]]
    return answered if len(answered) == number else []


@pytest.mark.parametrize(("refused", "attempts"), [(99, 8), (2, 3)])
async def test_it_tries_eight_times_and_never_again_after_a_200(shop: Shop, refused: int, attempts: int) -> None:
    """A gateway that is out for longer must find the payment by itself, and one that took it hears no more of it."""
    shop.answers = [500] * refused
    itn = sign_itn({"m_payment_id": "1", "pf_payment_id": "2", "payment_status": "COMPLETE"}, None, Behaviour())
    async with aiohttp.ClientSession() as session:
        sender = ItnSender(session, retry_base_s=0.0001)
        await sender.send(itn, shop.notify_url, Behaviour())
        await eventually(lambda: not sender._running, what="nothing is under way")
    assert [delivery.attempt for delivery in sender.deliveries] == list(range(1, attempts + 1))
    assert shop.received == [itn.body] * attempts


async def test_a_notice_follows_no_redirect(stand_in: StandIn, shop: Shop) -> None:
    """PayFast posts to the address it was given; a gateway behind a redirect would never hear of a payment."""
    app = web.Application()

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(shop.notify_url)

    app.router.add_post("/itn", redirect)
    await stand_in.behave(sandbox_once=True)
    async with TestServer(app) as server:
        answer = await stand_in.pay(_form(shop, notify_url=str(server.make_url("/itn"))))
    assert (answer["itnStatus"], shop.received) == (307, [])


async def test_the_sandbox_sends_once(stand_in: StandIn, shop: Shop) -> None:
    """There, what was not stored at the first attempt is lost: the gateway must not count on a second."""
    await stand_in.behave(sandbox_once=True)
    shop.answers = [503]
    await stand_in.pay(_form(shop))
    await stand_in.behave(sandbox_once=False)
    await stand_in.pay(_form(shop, m_payment_id="order-2"))
    assert [itn["mPaymentId"] for itn in await stand_in.itns()] == ["order-1", "order-2"]


async def test_a_shop_that_is_down_is_listed_with_the_reason(stand_in: StandIn) -> None:
    """Whoever tries the system must see why no payment arrives."""
    await stand_in.behave(sandbox_once=True)
    down = Shop(notify_url="http://127.0.0.1:1/itn")
    assert (await stand_in.pay(_form(down)))["itnStatus"] is None
    [itn] = await stand_in.itns()
    assert "Cannot connect" in itn["error"]


async def test_duplicates_are_the_same_notification(stand_in: StandIn, shop: Shop) -> None:
    """PayFast repeats itself, at the same time too; only one may count."""
    await stand_in.behave(duplicates=5)
    await stand_in.pay(_form(shop))
    await eventually(lambda: len(shop.received) == 6, what="six notifications")
    assert len(set(shop.received)) == 1


async def test_a_delayed_notification_comes_after_the_buyer(stand_in: StandIn, shop: Shop) -> None:
    """The page that the buyer returns to must not claim a payment that nobody has confirmed."""
    await stand_in.behave(delay_s=0.2)
    assert (await stand_in.pay(_form(shop)))["itnStatus"] is None
    assert shop.received == []
    await eventually(lambda: shop.received, what="the notification")


async def test_tampered_and_forged_notifications_fail_every_check(
    stand_in: StandIn, shop: Shop, payfast: Payfast
) -> None:
    """If they passed here, no test of the gateway would show that it notices."""
    for misbehaviour in ("tamper", "forged_signature"):
        await stand_in.behave(**{misbehaviour: True})
        await stand_in.pay(_form(shop))
        await stand_in.behave(**{misbehaviour: False})
        body = shop.received.pop()
        assert not verify_itn_signature(body, _ACCOUNT.passphrase)
        assert await payfast.validate(body) == "INVALID"


async def test_a_wrong_amount_is_genuine(stand_in: StandIn, shop: Shop, payfast: Payfast) -> None:
    """Signature and confirmation hold: only a comparison with the order notices it."""
    await stand_in.behave(wrong_amount_cents=500)
    await stand_in.pay(_form(shop))
    [body] = shop.received
    assert verify_itn_signature(body, _ACCOUNT.passphrase)
    assert parse_itn(body).amount_gross_cents == 500
    assert await payfast.validate(body) == "VALID"


async def test_validation_knows_only_what_was_sent(stand_in: StandIn, shop: Shop, payfast: Payfast) -> None:
    """One changed byte is another notification."""
    await stand_in.pay(_form(shop))
    body = shop.received[0]
    assert await payfast.validate(body.replace(b"COMPLETE", b"COMPLETF")) == "INVALID"


async def test_validation_fails_on_demand(stand_in: StandIn, shop: Shop, payfast: Payfast) -> None:
    """An outage of PayFast and its refusal lead to different ends of a payment."""
    await stand_in.pay(_form(shop))
    await stand_in.behave(validate="INVALID")
    assert await payfast.validate(shop.received[0]) == "INVALID"
    for outage in ("unreachable", "slow"):
        await stand_in.behave(validate=outage)
        with pytest.raises(PayfastUnreachable):
            await payfast.validate(shop.received[0])


async def test_behaviour_is_reset_and_mistakes_are_refused(stand_in: StandIn) -> None:
    """A misspelt misbehaviour would let a test pass without it."""
    url = f"{stand_in.url}/_standin/behaviour"
    async with aiohttp.ClientSession() as session:
        async with session.put(url, params={"duplicates": "2"}, data={"tamper": "true"}) as answer:
            changed = await answer.json()
        async with session.put(url, json={"duplicate": 2}) as refused:
            assert refused.status == 400
        async with session.delete(url) as answer:
            reset = await answer.json()
    assert (changed["duplicates"], changed["tamper"]) == (2, True)
    assert (reset["duplicates"], reset["tamper"], reset["validate"]) == (0, False, "VALID")


async def test_a_subscription_gets_a_token(stand_in: StandIn, shop: Shop) -> None:
    """Later charges are recognised by it; the first amount may be nothing."""
    await stand_in.pay(_form(shop, amount_cents=0, subscription=Subscription(frequency=3, recurring_cents=49900)))
    itn = parse_itn(shop.received[0])
    assert len(itn.token or "") == 36
    assert itn.billing_date


async def test_payment_ids_rise_and_no_restart_repeats_them(shop: Shop) -> None:
    """`pf_payment_id` is what duplicates are recognised by: a repeated one would be a lost payment."""
    ids = []
    for _ in range(2):
        async with TestServer(create_app(_ACCOUNT)) as server, aiohttp.ClientSession() as session:
            stand_in = StandIn(str(server.make_url("")).rstrip("/"), session)
            ids += [int((await stand_in.pay(_form(shop)))["pfPaymentId"]) for _ in range(2)]
    assert ids == sorted(set(ids))


async def test_foreign_pages_pay_nothing_and_steer_nothing(stand_in: StandIn, shop: Shop) -> None:
    """Any site could confirm payments in a developer's shop; the checkout form alone comes from another origin."""
    foreign = ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"})
    async with aiohttp.ClientSession() as session:
        for headers in (*foreign, {"Sec-Fetch-Site": "same-site"}):
            async with session.post(f"{stand_in.url}/_standin/pay", data=_form(shop), headers=headers) as refused:
                assert (headers, refused.status) == (headers, 403)
            async with session.delete(f"{stand_in.url}/_standin/behaviour", headers=headers) as refused:
                assert (headers, refused.status) == (headers, 403)
            async with session.post(f"{stand_in.url}/eng/process", data=_form(shop), headers=headers) as page:
                assert (headers, page.status) == (headers, 200)
        own = {"Origin": stand_in.url, "Sec-Fetch-Site": "same-origin"}
        async with session.get(f"{stand_in.url}/_standin/itns", headers=own) as answer:
            assert (await answer.json())["items"] == []


async def test_foreign_names_of_this_machine_are_refused() -> None:
    """A site that points its own name here is same-origin to the browser, whatever other headers are checked."""
    async with TestServer(create_app(_ACCOUNT, {"payfast"})) as server, aiohttp.ClientSession() as session:
        for host, status in (("rebound.evil.example", 421), ("payfast:8081", 200), ("127.0.0.1:1", 200)):
            async with session.get(server.make_url("/_standin/itns"), headers={"Host": host}) as answer:
                assert (host, answer.status) == (host, status)
