import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.integrations.payfast import (
    ItnUnreadable,
    Payfast,
    PayfastUnreachable,
    Subscription,
    checkout_fields,
    parameter_string,
    parse_itn,
    php_urlencode,
    sign_checkout,
    signature_of,
    verify_itn_signature,
)

_DATA = Path(__file__).parent / "payfast"
_VECTORS: dict[str, dict[str, str]] = json.loads((_DATA / "vectors.json").read_text())
_ITNS = {name: vector for name, vector in _VECTORS.items() if "ITN" in name}
_V3_BODY = (_DATA / "itn-v3.body").read_bytes()
_PASSPHRASE = "jt7NOE43FZPn"
_V1 = _VECTORS["V1 checkout once-off, passphrase jt7NOE43FZPn"]
_V2 = _VECTORS["V2 checkout subscription, passphrase 'p@ss word+1'"]


def _split(string: str) -> tuple[str, str | None]:
    """A vector's parameters and its passphrase, which stands last."""
    parameters, separator, encoded = string.partition("&passphrase=")
    return parameters, dict(parse_qsl(f"p={encoded}"))["p"] if separator else None


def _itn_body(parameters: str, passphrase: str | None) -> bytes:
    return f"{parameters}&signature={signature_of(parameters, passphrase)}".encode()


@pytest.mark.parametrize("name", _VECTORS)
def test_every_vector_gives_its_signature(name: str) -> None:
    """The vectors were computed by PHP and by other implementations: agreeing with them is agreeing with PayFast."""
    parameters, passphrase = _split(_VECTORS[name]["string"])
    assert signature_of(parameters, passphrase) == _VECTORS[name]["signature"]


@pytest.mark.parametrize("name", _VECTORS)
def test_every_vector_survives_decoding_and_encoding(name: str) -> None:
    """Our encoder must write what PHP writes, for each value that the vectors hold."""
    parameters, _ = _split(_VECTORS[name]["string"])
    assert parameter_string(parse_qsl(parameters, keep_blank_values=True)) == parameters


@pytest.mark.parametrize("name", _ITNS)
def test_every_published_itn_is_accepted(name: str) -> None:
    """Four of the seven community packages refuse genuine notifications; we must not."""
    parameters, passphrase = _split(_ITNS[name]["string"])
    assert verify_itn_signature(f"{parameters}&signature={_ITNS[name]['signature']}".encode(), passphrase)


def test_a_whole_notification_as_posted_is_accepted_and_read() -> None:
    """What arrives at the gateway is this body; every later step lives on these values."""
    assert verify_itn_signature(_V3_BODY, _PASSPHRASE)
    itn = parse_itn(_V3_BODY)
    assert (itn.m_payment_id, itn.pf_payment_id, itn.payment_status) == ("ORD-0001", "1089250", "COMPLETE")
    assert (itn.amount_gross_cents, itn.amount_fee_cents, itn.amount_net_cents) == (28635, -659, 27976)
    assert (itn.merchant_id, itn.custom_str1, itn.token) == ("10000100", "tenant~1/a&b=c", None)
    assert dict(itn.fields)["name_first"] == "Zoë"
    assert itn.is_complete


def test_a_checkout_is_built_and_signed_like_the_vector() -> None:
    """A form with another order or spelling is refused by PayFast with 'signature mismatch'."""
    fields = checkout_fields(
        merchant_id="10000100",
        merchant_key="46f0cd694581a",
        return_url="https://portal.bbws.test/pay/return?o=1",
        cancel_url="https://portal.bbws.test/pay/cancel",
        notify_url="https://api.bbws.test/v1.0/payments/payfast/itn",
        name_first=" Zoë\n",
        name_last="van der Merwe",
        email_address="zoe+test@bbws.test",
        m_payment_id="ORD-0001",
        amount_cents=28635,
        item_name="Hosting – Starter (monthly) 50% off!",
        custom_str=["tenant~1/a&b=c"],
    )
    assert parameter_string(fields.items()) == _split(_V1["string"])[0]
    assert sign_checkout(fields, _PASSPHRASE) == _V1["signature"]


def test_a_subscription_keeps_its_zero_cycles() -> None:
    """The PHP SDK drops "0" as empty, which turns an endless subscription into another one."""
    fields = checkout_fields(
        merchant_id="10000100",
        merchant_key="46f0cd694581a",
        notify_url="https://api.bbws.test/itn",
        email_address="a@b.test",
        m_payment_id="ORD-0002",
        amount_cents=0,
        item_name="Business plan",
        subscription=Subscription(frequency=3, billing_date="2026-12-01", recurring_cents=49900),
    )
    assert fields["cycles"] == "0"
    assert sign_checkout(fields, "p@ss word+1") == _V2["signature"]


def _fields(**changed: Any) -> dict[str, str]:
    given_fields: dict[str, Any] = {
        "merchant_id": "1",
        "merchant_key": "k",
        "notify_url": "https://a.test/itn",
        "m_payment_id": "o",
        "amount_cents": 500,
        "item_name": "x",
    }
    return checkout_fields(**(given_fields | changed))


@pytest.mark.parametrize("amount_cents", [499, 0, -500])
def test_an_amount_below_payfasts_minimum_is_refused_before(amount_cents: int) -> None:
    """A buyer must not be sent to PayFast only to be turned away there."""
    with pytest.raises(ValueError, match="PayFast takes"):
        _fields(amount_cents=amount_cents)


@pytest.mark.parametrize(
    ("field", "longest"), [("m_payment_id", 100), ("name_first", 100), ("name_last", 100), ("email_address", 100)]
)
def test_a_field_is_as_long_as_payfast_takes_it(field: str, longest: int) -> None:
    """The buyer would read "invalid field" on a page where nothing can be mended; blanks at the ends do not count."""
    assert _fields(**{field: f" {'x' * longest} "})[field] == "x" * longest
    with pytest.raises(ValueError, match=f"{field} has {longest + 1} characters; PayFast takes {longest}"):
        _fields(**{field: "x" * (longest + 1)})


def test_a_custom_text_is_as_long_as_payfast_takes_it() -> None:
    """Each of the five; cut, it would name another tenant."""
    assert _fields(custom_str=["x" * 255] * 5)["custom_str5"] == "x" * 255
    for position in range(5):
        with pytest.raises(ValueError, match=f"custom_str{position + 1} has 256"):
            _fields(custom_str=[""] * position + ["x" * 256])


def test_long_texts_for_the_buyer_are_cut() -> None:
    """A long product name must not stop a sale."""
    fields = _fields(item_name="n" * 101, item_description="d" * 300)
    assert (len(fields["item_name"]), len(fields["item_description"])) == (100, 255)


def test_an_unknown_field_is_never_signed() -> None:
    """PayFast leaves unknown fields out of its signature, so ours would not match."""
    with pytest.raises(ValueError, match="source"):
        sign_checkout(_fields() | {"source": "bbws"}, None)


def test_the_order_of_the_form_has_numbers_before_texts() -> None:
    """python-payfast and the notifications' own order mix these two up."""
    names = list(_fields(custom_str=["s"], custom_int=[0]))
    assert names.index("custom_int1") == names.index("custom_str1") - 1


def test_the_passphrase_is_trimmed_and_encoded_once() -> None:
    """The PHP SDK encodes it twice, so every passphrase with a special character fails there."""
    assert signature_of("a=1", " p@ss word+1\n") == signature_of("a=1&passphrase=p%40ss+word%2B1", None)


@pytest.mark.parametrize("passphrase", [None, "", "  "])
def test_no_passphrase_appends_nothing(passphrase: str | None) -> None:
    """python-payfast appends an empty one and dj-payfast `None`; both refuse the sandbox's own notifications."""
    vector = _ITNS["ITN payfast-php-sdk NotificationTest (sandbox, no passphrase)"]
    assert verify_itn_signature(f"{vector['string']}&signature={vector['signature']}".encode(), passphrase)


def test_encoding_is_phps() -> None:
    """Python leaves `~` bare and PHP does not: one such character in a name and no payment is accepted."""
    assert php_urlencode("a b~c-_.*é/") == "a+b%7Ec-_.%2A%C3%A9%2F"


def test_order_and_empty_fields_are_taken_as_posted() -> None:
    """A recurring charge has its token in second place; packages with a fixed order refuse it."""
    body = _itn_body("m_payment_id=o&token=t&payment_status=COMPLETE&custom_str1=&merchant_id=1&new_field=x", "secret")
    assert verify_itn_signature(body, "secret")
    assert not verify_itn_signature(body.replace(b"&custom_str1=", b""), "secret")
    assert dict(parse_itn(body).fields)["new_field"] == "x"


def test_nothing_after_the_signature_counts() -> None:
    """Else anybody could append `&payment_status=COMPLETE` to a genuine cancellation."""
    body = _itn_body("m_payment_id=o&payment_status=CANCELLED&merchant_id=1", None)
    appended = body + b"&payment_status=COMPLETE"
    assert not verify_itn_signature(appended, None)
    assert parse_itn(appended).payment_status == "CANCELLED"
    assert parse_itn(appended + b"&signature=" + b"0" * 32).payment_status == "CANCELLED"


def test_a_cancellation_without_amounts_is_read() -> None:
    """PayFast sends such; a parser that insists on amounts answers 500 and is sent them again and again."""
    parameters, _ = _split(_VECTORS["V4 ITN subscription CANCELLED without amounts"]["string"])
    itn = parse_itn(_itn_body(parameters, None))
    assert (itn.amount_gross_cents, itn.amount_fee_cents, itn.pf_payment_id) == (None, None, "")
    assert (itn.billing_date, itn.token) == ("2027-01-01", "dc0521d3-55fe-269b-fa00-b647310d760f")


_REST = b"m_payment_id=o&payment_status=COMPLETE&merchant_id=1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        b"payment_status=COMPLETE&signature=x",
        _REST + b"&item_name=%ff",
        _REST + b"&amount_gross=1e9",
        _REST + b"&amount_gross=1.005",
        _REST + b"&amount_gross=NaN",
        _REST + b"&x=1" * 101,
    ],
)
def test_what_is_no_notification_is_refused_clearly(body: bytes) -> None:
    """It must end as a 4xx with a reason, never as a crash or as a payment of a strange amount."""
    assert not verify_itn_signature(body, None)
    with pytest.raises(ItnUnreadable):
        parse_itn(body)


_PAIRS = st.lists(st.tuples(st.from_regex(r"[a-z_]{1,12}[0-9]?", fullmatch=True), st.text(max_size=20)), min_size=1)


@given(pairs=_PAIRS, passphrase=st.text(max_size=12))
def test_what_is_signed_is_accepted(pairs: list[tuple[str, str]], passphrase: str) -> None:
    """Whatever a customer calls himself, his payment must be accepted."""
    named = [(name, value) for name, value in pairs if name != "signature"]
    parameters = parameter_string([*named, ("merchant_id", "1")])
    assert verify_itn_signature(_itn_body(parameters, passphrase), passphrase)
    assert parse_qsl(parameters, keep_blank_values=True)[:-1] == named


@given(position=st.integers(0, len(_V3_BODY) - 1), flip=st.integers(1, 255))
def test_any_flipped_byte_is_noticed(position: int, flip: int) -> None:
    """One byte is all it takes to turn R10.00 into R90.00 or one order into another."""
    changed = bytearray(_V3_BODY)
    changed[position] ^= flip
    assert not verify_itn_signature(bytes(changed), _PASSPHRASE)


class _Validator:
    """A PayFast that answers what a test wants, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = "VALID"
        self.hangs = False
        self.never_ends = False
        self.asked: list[tuple[bytes, str, str | None]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((await request.read(), request.content_type, request.headers.get("Referer")))
        if self.hangs:
            await asyncio.Event().wait()
        if self.never_ends:
            return await self._without_end(request)
        headers = {"Location": "/elsewhere"} if 300 <= self.status < 400 else {}
        return web.Response(text=self.answer, status=self.status, headers=headers)

    async def _without_end(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"VALID" * 1000)
            await asyncio.sleep(0.01)

    async def elsewhere(self, request: web.Request) -> web.Response:
        return web.Response(text="VALID")


@pytest.fixture
async def validator() -> AsyncIterator[tuple[_Validator, Payfast]]:
    handler = _Validator()
    app = web.Application()
    app.router.add_post("/eng/query/validate", handler.handle)
    app.router.add_route("*", "/elsewhere", handler.elsewhere)
    async with TestServer(app) as server, Payfast(str(server.make_url("/")), timeout_s=0.5) as payfast:
        yield handler, payfast


async def test_validation_sends_the_signed_part_alone(validator: tuple[_Validator, Payfast]) -> None:
    """PayFast compares the string itself: with signature, passphrase or another order it says INVALID."""
    server, payfast = validator
    assert await payfast.validate(_V3_BODY) == "VALID"
    expected = _split(_VECTORS["V3 ITN once-off, passphrase jt7NOE43FZPn"]["string"])[0].encode()
    assert server.asked == [(expected, "application/x-www-form-urlencoded", None)]


async def test_invalid_is_an_answer(validator: tuple[_Validator, Payfast]) -> None:
    """INVALID is final and rejects the payment; it must not look like an outage."""
    server, payfast = validator
    server.answer = "INVALID\n"
    assert await payfast.validate(_V3_BODY) == "INVALID"


@pytest.mark.parametrize(
    ("status", "answer"), [(503, "VALID"), (200, "<html>Maintenance</html>"), (200, ""), (302, "VALID"), (404, "VALID")]
)
async def test_any_other_answer_is_an_outage(validator: tuple[_Validator, Payfast], status: int, answer: str) -> None:
    """A maintenance page must neither accept nor reject a payment."""
    server, payfast = validator
    server.status, server.answer = status, answer
    with pytest.raises(PayfastUnreachable, match=str(status)):
        await payfast.validate(_V3_BODY)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_else_answers_for_payfast(validator: tuple[_Validator, Payfast], status: int) -> None:
    """Where a redirect leads anybody may say VALID, and the notice with the customer's name would be sent there."""
    server, payfast = validator
    server.status = status
    with pytest.raises(PayfastUnreachable, match=str(status)):
        await payfast.validate(_V3_BODY)


async def test_an_answer_without_end_is_not_read_to_it(validator: tuple[_Validator, Payfast]) -> None:
    """What says more than a word is no answer: a gateway must not fill its memory to find that out."""
    server, payfast = validator
    server.never_ends = True
    with pytest.raises(PayfastUnreachable, match="answered 200"):
        await payfast.validate(_V3_BODY)


async def test_silence_is_an_outage(validator: tuple[_Validator, Payfast]) -> None:
    """PayFast waits for our 200, so we may not wait for its answer without end."""
    server, payfast = validator
    server.hangs = True
    async with asyncio.timeout(5):
        with pytest.raises(PayfastUnreachable):
            await payfast.validate(_V3_BODY)


async def test_a_closed_port_is_an_outage() -> None:
    """The most common outage of all is a refused connection."""
    async with Payfast("http://127.0.0.1:1") as payfast:
        with pytest.raises(PayfastUnreachable, match="payfast is out of reach"):
            await payfast.validate(_V3_BODY)
