"""PayFast: the hosted checkout, the notifications about payments (ITNs), and asking back whether one is genuine.

The rules come from PayFast's documentation and PHP samples; `tests/shared/integrations/payfast/vectors.json` holds
signatures published by others and ours.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qsl, quote_plus

import aiohttp

from bbws.shared.contracts.money import Money
from bbws.shared.errors import BadRequest, Unavailable

LIVE_HOST = "https://www.payfast.co.za"
PROCESS_PATH = "/eng/process"
VALIDATE_PATH = "/eng/query/validate"
VALIDATE_TIMEOUT_S = 10
MINIMUM_AMOUNT_CENTS = 500

# The order of the form and so of its signature; PayFast's documentation calls any other order wrong.
CHECKOUT_ORDER = (
    *("merchant_id", "merchant_key", "return_url", "cancel_url", "notify_url", "notify_method", "fica_idnumber"),
    *("name_first", "name_last", "email_address", "cell_number"),
    *("m_payment_id", "amount", "item_name", "item_description"),
    *(f"custom_int{number}" for number in range(1, 6)),
    *(f"custom_str{number}" for number in range(1, 6)),
    *("email_confirmation", "confirmation_address", "currency", "payment_method"),
    *("subscription_type", "billing_date", "recurring_amount", "frequency", "cycles"),
    *("subscription_notify_email", "subscription_notify_webhook", "subscription_notify_buyer"),
)
_SIGNED = frozenset(CHECKOUT_ORDER)
_MAX_CHARS = {
    "m_payment_id": 100,
    "name_first": 100,
    "name_last": 100,
    "email_address": 100,
    **{f"custom_str{number}": 255 for number in range(1, 6)},
}
# Texts that the buyer reads lose their end; what is longer elsewhere would change its meaning and is refused.
_CUT_AT = {"item_name": 100, "item_description": 255}
_PHP_TRIMMED = " \t\n\r\0\x0b"
_SIGNATURE_SEPARATOR = b"&signature="
_SIGNATURE = re.compile(rb"[0-9a-f]{32}")
_AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?")
_MAX_FIELDS = 100
_ESCAPED = re.compile(r"[^A-Za-z0-9_.-]")
_ESCAPES = {chr(code): f"%{code:02X}" for code in range(128)} | {" ": "+"}
_MAX_ANSWER_BYTES = 1024

Verdict = Literal["VALID", "INVALID"]


class ItnUnreadable(BadRequest):
    """The body is no ITN: not a form, or a field that every ITN has is absent or malformed."""

    title = "Unreadable notification"


class PayfastUnreachable(Unavailable):
    """PayFast gave no answer that says VALID or INVALID; the same question may be answered later."""

    def __init__(self, detail: str) -> None:
        super().__init__("payfast", detail)


def php_urlencode(value: str) -> str:
    """Encode as PHP's `urlencode`: space is `+`, only letters, digits and `-_.` stay; unlike Python, `~` does not."""
    return _ESCAPED.sub(_escaped, value)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return _ESCAPES.get(character) or quote_plus(character, safe="")


def parameter_string(fields: Iterable[tuple[str, str]]) -> str:
    """`key=value` pairs in the given order, encoded as PayFast signs and sends them."""
    return "&".join(f"{name}={php_urlencode(value)}" for name, value in fields)


def signature_of(parameters: str, passphrase: str | None) -> str:
    """The MD5 of an encoded parameter string with the passphrase, trimmed and encoded once, as its last pair.

    An account without a passphrase has nothing appended.
    """
    trimmed = (passphrase or "").strip(_PHP_TRIMMED)
    signed = f"{parameters}&passphrase={php_urlencode(trimmed)}" if trimmed else parameters
    return hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """Charges repeated by PayFast; `cycles` 0 is without end. `recurring_cents` None repeats the first amount."""

    frequency: Literal[1, 2, 3, 4, 5, 6]
    cycles: int = 0
    billing_date: str | None = None
    recurring_cents: int | None = None

    def fields(self) -> dict[str, str]:
        return {
            "subscription_type": "1",
            "billing_date": self.billing_date or "",
            "recurring_amount": "" if self.recurring_cents is None else rand(self.recurring_cents),
            "frequency": str(self.frequency),
            "cycles": str(self.cycles),
        }


def checkout_fields(
    *,
    merchant_id: str,
    merchant_key: str,
    notify_url: str,
    m_payment_id: str,
    amount_cents: int,
    item_name: str,
    return_url: str = "",
    cancel_url: str = "",
    item_description: str = "",
    name_first: str = "",
    name_last: str = "",
    email_address: str = "",
    custom_str: Sequence[str] = (),
    custom_int: Sequence[int] = (),
    subscription: Subscription | None = None,
) -> dict[str, str]:
    """The fields of the form in PayFast's order, trimmed, without blank ones and without signature.

    Item name and description are cut at 100 and 255 characters. Raises ValueError for an amount below R5.00 (a
    subscription may start with R0.00) and for a longer id, name, address or custom text than PayFast takes.
    """
    _check_amount(amount_cents, subscription)
    given = {
        "merchant_id": merchant_id,
        "merchant_key": merchant_key,
        "return_url": return_url,
        "cancel_url": cancel_url,
        "notify_url": notify_url,
        "name_first": name_first,
        "name_last": name_last,
        "email_address": email_address,
        "m_payment_id": m_payment_id,
        "amount": rand(amount_cents),
        "item_name": item_name,
        "item_description": item_description,
        **{f"custom_int{number}": str(value) for number, value in enumerate(custom_int, 1)},
        **{f"custom_str{number}": value for number, value in enumerate(custom_str, 1)},
        **(subscription.fields() if subscription else {}),
    }
    return _in_order({name: _fitted(name, value) for name, value in given.items()})


def sign_checkout(fields: Mapping[str, str], passphrase: str | None) -> str:
    """The value of the form's `signature`; raises ValueError for a field that PayFast does not sign."""
    return signature_of(parameter_string(_in_order(fields).items()), passphrase)


def _check_amount(amount_cents: int, subscription: Subscription | None) -> None:
    if amount_cents < MINIMUM_AMOUNT_CENTS and not (subscription and amount_cents == 0):
        raise ValueError(f"PayFast takes R{rand(MINIMUM_AMOUNT_CENTS)} or more, not R{rand(amount_cents)}")


def _fitted(name: str, value: str) -> str:
    trimmed = value.strip(_PHP_TRIMMED)
    if name in _CUT_AT:
        return trimmed[: _CUT_AT[name]].strip(_PHP_TRIMMED)
    if len(trimmed) > _MAX_CHARS.get(name, len(trimmed)):
        raise ValueError(f"{name} has {len(trimmed)} characters; PayFast takes {_MAX_CHARS[name]}")
    return trimmed


def _in_order(fields: Mapping[str, str]) -> dict[str, str]:
    if unknown := fields.keys() - _SIGNED:
        raise ValueError(f"PayFast does not sign {', '.join(sorted(unknown))}")
    trimmed = {name: fields[name].strip(_PHP_TRIMMED) for name in CHECKOUT_ORDER if name in fields}
    # Only what is blank is left out: "0" is a value, as in cycles=0.
    return {name: value for name, value in trimmed.items() if value != ""}


def rand(amount_cents: int) -> str:
    """Cents as PayFast writes rand: 28635 is `286.35`."""
    return Money(amount_cents).rand


def signed_part(raw_body: bytes) -> bytes:
    """What PayFast signed and validates: the body as it was posted, up to the signature."""
    return raw_body.partition(_SIGNATURE_SEPARATOR)[0]


def verify_itn_signature(raw_body: bytes, passphrase: str | None) -> bool:
    """Whether the body ends with the signature of all that stands before it, byte for byte.

    Nothing is decoded and encoded again, so neither order nor empty fields nor spelling can be lost.
    """
    parameters, _, signature = raw_body.partition(_SIGNATURE_SEPARATOR)
    if not _SIGNATURE.fullmatch(signature):
        return False
    expected = signature_of(parameters.decode("latin-1"), passphrase) if parameters.isascii() else ""
    return hmac.compare_digest(signature, expected.encode())


@dataclass(frozen=True, kw_only=True)
class Itn:
    """What one notification says. Amounts are None where it names none, as some cancellations do.

    `fields` has every field in the order it came, those unknown to us as well.
    """

    m_payment_id: str
    pf_payment_id: str
    payment_status: str
    merchant_id: str
    amount_gross_cents: int | None
    amount_fee_cents: int | None
    amount_net_cents: int | None
    token: str | None
    billing_date: str | None
    custom_str1: str
    signature: str
    fields: tuple[tuple[str, str], ...]

    @property
    def is_complete(self) -> bool:
        return self.payment_status == "COMPLETE"


def parse_itn(raw_body: bytes) -> Itn:
    """Read a notification; nothing that stands after its signature counts. Raises ItnUnreadable."""
    fields = _form_fields(signed_part(raw_body))
    values = dict(fields)
    if missing := [name for name in ("m_payment_id", "payment_status", "merchant_id") if name not in values]:
        raise ItnUnreadable(f"the notification has no {', '.join(missing)}")
    return Itn(
        m_payment_id=values["m_payment_id"],
        pf_payment_id=values.get("pf_payment_id", ""),
        payment_status=values["payment_status"],
        merchant_id=values["merchant_id"],
        amount_gross_cents=_cents(values, "amount_gross"),
        amount_fee_cents=_cents(values, "amount_fee"),
        amount_net_cents=_cents(values, "amount_net"),
        token=values.get("token") or None,
        billing_date=values.get("billing_date") or None,
        custom_str1=values.get("custom_str1", ""),
        signature=raw_body.partition(_SIGNATURE_SEPARATOR)[2].decode("ascii", "replace"),
        fields=fields,
    )


def _form_fields(parameters: bytes) -> tuple[tuple[str, str], ...]:
    try:
        pairs = parse_qsl(
            parameters.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise ItnUnreadable(f"the notification is not a form: {error}") from error
    return tuple(pairs)


def _cents(values: Mapping[str, str], name: str) -> int | None:
    text = values.get(name, "").strip(_PHP_TRIMMED)
    if not text:
        return None
    if not _AMOUNT.fullmatch(text):
        raise ItnUnreadable(f"{name} is {text!r}, not an amount in rand")
    return int(Decimal(text) * 100)


class Payfast:
    """PayFast's server, at `LIVE_HOST`, its sandbox or a stand-in; closes its connections after `async with`."""

    def __init__(self, host: str = LIVE_HOST, *, timeout_s: float = VALIDATE_TIMEOUT_S) -> None:
        self._host = host.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def validate(self, raw_body: bytes) -> Verdict:
        """What PayFast says about a notification: whether it sent exactly this.

        Raises PayfastUnreachable after the timeout, for a 5xx and for any answer that is neither.
        """
        try:
            status, answer = await self._ask(signed_part(raw_body))
        except (TimeoutError, aiohttp.ClientError) as error:
            raise PayfastUnreachable(f"no answer from {VALIDATE_PATH}: {error or type(error).__name__}") from error
        if status != 200 or answer not in ("VALID", "INVALID"):
            raise PayfastUnreachable(f"{VALIDATE_PATH} answered {status} {answer[:60]!r}")
        return "VALID" if answer == "VALID" else "INVALID"

    async def _ask(self, parameters: bytes) -> tuple[int, str]:
        session = self._open_session()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url = self._host + VALIDATE_PATH
        async with session.post(url, data=parameters, headers=headers, allow_redirects=False) as answer:
            body = await answer.content.read(_MAX_ANSWER_BYTES)
            return answer.status, body.decode("utf-8", "replace").strip()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session
