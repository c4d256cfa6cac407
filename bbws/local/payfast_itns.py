"""ITNs as PayFast writes and delivers them: its order of fields, its retries, and every misbehaviour on demand."""

import asyncio
import itertools
import re
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from bbws.shared.integrations.payfast import parameter_string, rand, signature_of, signed_part

ANSWER_TIMEOUT_S = 10
MAX_ATTEMPTS = 8
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
_FEE_PERCENT = 2.3
_LOWEST_FEE_CENTS = 230
_FORGED_WITH = "not the account's passphrase"


class Behaviour(BaseModel):
    """How the stand-in treats payments from now on; the defaults are what PayFast does when all is well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Further copies of each ITN, sent at once.
    duplicates: int = Field(0, ge=0, le=100)
    # Above 0 the buyer is back at the shop before the ITN is.
    delay_s: float = Field(0, ge=0)
    # The amount is changed after signing.
    tamper: bool = False
    # Another amount than ordered, signed and confirmed by PayFast.
    wrong_amount_cents: int | None = Field(None, ge=0)
    # Signed by somebody who does not know the passphrase.
    forged_signature: bool = False
    validate_answer: Literal["VALID", "INVALID", "unreachable", "slow"] = Field("VALID", alias="validate")
    # As PayFast's sandbox: no second attempt whatever the answer.
    sandbox_once: bool = False
    # A cancelled checkout sends a CANCELLED ITN, which names no amounts.
    itn_on_cancel: bool = False


@dataclass
class Delivery:
    """One attempt to deliver an ITN; `status` is None while it runs and when nobody answered."""

    url: str
    body: str
    m_payment_id: str
    pf_payment_id: str
    payment_status: str
    attempt: int
    status: int | None = None
    error: str | None = None
    sent_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "body": self.body,
            "mPaymentId": self.m_payment_id,
            "pfPaymentId": self.pf_payment_id,
            "paymentStatus": self.payment_status,
            "attempt": self.attempt,
            "status": self.status,
            "error": self.error,
            "sentAt": self.sent_at,
        }


@dataclass(frozen=True)
class SignedItn:
    """An ITN ready to be posted; PayFast confirms it only when it is `genuine`."""

    fields: Mapping[str, str]
    body: bytes
    genuine: bool


class PaymentIds:
    """Rising `pf_payment_id`s that start from the time, so that a restart repeats none."""

    def __init__(self) -> None:
        self._numbers = itertools.count(time.time_ns() // 1_000_000)

    def next(self) -> str:
        return str(next(self._numbers))


def complete_itn(checkout: Mapping[str, str], pf_payment_id: str, wrong_amount_cents: int | None) -> dict[str, str]:
    """The fields of a successful payment in PayFast's order: texts before numbers, a negative fee."""
    gross = cents_of(checkout["amount"]) if wrong_amount_cents is None else wrong_amount_cents
    fee = max(_LOWEST_FEE_CENTS, round(gross * _FEE_PERCENT / 100))
    return {
        **_head(checkout, pf_payment_id, "COMPLETE"),
        "amount_gross": rand(gross),
        "amount_fee": rand(-fee),
        "amount_net": rand(gross - fee),
        **{name: checkout.get(name, "") for kind in ("str", "int") for name in _custom(kind)},
        **{name: checkout.get(name, "") for name in ("name_first", "name_last", "email_address", "merchant_id")},
        **_subscription(checkout),
    }


def cancelled_itn(checkout: Mapping[str, str]) -> dict[str, str]:
    """The fields of a cancellation: no payment, so no `pf_payment_id` and no amounts."""
    return {
        **_head(checkout, "", "CANCELLED"),
        "merchant_id": checkout["merchant_id"],
        **_subscription(checkout),
    }


def sign_itn(fields: dict[str, str], passphrase: str | None, behaviour: Behaviour) -> SignedItn:
    """Sign as PayFast does, or as badly as the behaviour asks for."""
    parameters = parameter_string(fields.items())
    signer = _FORGED_WITH if behaviour.forged_signature else passphrase
    signature = signature_of(parameters, signer)
    if behaviour.tamper:
        parameters = parameter_string((fields | {"amount_gross": _other_amount(fields)}).items())
    genuine = not (behaviour.forged_signature or behaviour.tamper)
    return SignedItn(fields, f"{parameters}&signature={signature}".encode(), genuine)


def _head(checkout: Mapping[str, str], pf_payment_id: str, status: str) -> dict[str, str]:
    return {
        "m_payment_id": checkout.get("m_payment_id", ""),
        "pf_payment_id": pf_payment_id,
        "payment_status": status,
        "item_name": checkout["item_name"],
        "item_description": checkout.get("item_description", ""),
    }


def _subscription(checkout: Mapping[str, str]) -> dict[str, str]:
    if "subscription_type" not in checkout:
        return {}
    today = datetime.now(UTC).date().isoformat()
    return {"token": str(uuid4()), "billing_date": checkout.get("billing_date") or today}


def _custom(kind: str) -> list[str]:
    return [f"custom_{kind}{number}" for number in range(1, 6)]


def cents_of(amount: str) -> int:
    """The cents of an amount in rand with at most two decimals; raises ValueError for anything else."""
    if not _AMOUNT.fullmatch(amount):
        raise ValueError(f"{amount!r} is not an amount in rand")
    whole, _, fraction = amount.partition(".")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))


def _other_amount(fields: Mapping[str, str]) -> str:
    return "1.00" if fields.get("amount_gross") != "1.00" else "2.00"


class ItnSender:
    """Posts ITNs until they are answered with 200, as often as PayFast would; keeps what was sent and answered.

    Attempts come at once, again at once, then after `retry_base_s` and each time twice as long. Attempts that are
    still to come are dropped by `close`.
    """

    def __init__(self, session: aiohttp.ClientSession, retry_base_s: float) -> None:
        self.deliveries: list[Delivery] = []
        self._session = session
        self._retry_base_s = retry_base_s
        self._genuine: set[bytes] = set()
        self._running: set[asyncio.Task[None]] = set()

    def is_genuine(self, parameters: bytes) -> bool:
        """Whether an ITN with exactly these parameters was sent, unchanged and rightly signed."""
        return parameters in self._genuine

    async def send(self, itn: SignedItn, url: str, behaviour: Behaviour) -> int | None:
        """Deliver it once and give the answer's status; copies and further attempts go on by themselves.

        None when nobody answered, and when the behaviour delays it.
        """
        if itn.genuine:
            self._genuine.add(signed_part(itn.body))
        if behaviour.delay_s:
            self._start(self._deliver_later(itn, url, behaviour))
            return None
        for _ in range(behaviour.duplicates):
            self._start(self._deliver(itn, url, once=True))
        status = await self._attempt(itn, url, 1)
        if status != 200 and not behaviour.sandbox_once:
            self._start(self._retry(itn, url))
        return status

    async def close(self) -> None:
        """Drop the attempts that are still to come."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _deliver_later(self, itn: SignedItn, url: str, behaviour: Behaviour) -> None:
        await asyncio.sleep(behaviour.delay_s)
        for _ in range(behaviour.duplicates):
            self._start(self._deliver(itn, url, once=True))
        await self._deliver(itn, url, once=behaviour.sandbox_once)

    async def _deliver(self, itn: SignedItn, url: str, *, once: bool) -> None:
        if await self._attempt(itn, url, 1) != 200 and not once:
            await self._retry(itn, url)

    async def _retry(self, itn: SignedItn, url: str) -> None:
        for attempt in range(2, MAX_ATTEMPTS + 1):
            if attempt > 2:  # the second attempt follows at once
                await asyncio.sleep(self._retry_base_s * 2 ** (attempt - 3))
            if await self._attempt(itn, url, attempt) == 200:
                return

    async def _attempt(self, itn: SignedItn, url: str, attempt: int) -> int | None:
        delivery = Delivery(
            url=url,
            body=itn.body.decode(),
            m_payment_id=itn.fields["m_payment_id"],
            pf_payment_id=itn.fields["pf_payment_id"],
            payment_status=itn.fields["payment_status"],
            attempt=attempt,
        )
        self.deliveries.append(delivery)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                delivery.status = await self._post(url, itn.body)
        except (TimeoutError, ValueError, aiohttp.ClientError) as error:
            delivery.error = str(error) or type(error).__name__
        return delivery.status

    async def _post(self, url: str, body: bytes) -> int:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        async with self._session.post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as answer:
            return answer.status
