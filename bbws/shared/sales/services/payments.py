"""What PayFast tells us about payments: stored first, then judged; only a judged one makes an event (C-29)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from bbws.shared.clock import Clock
from bbws.shared.contracts.sales.order_events import OrderCreated, OrderCreatedData
from bbws.shared.contracts.sales.orders import Order, Payment, PaymentDetails
from bbws.shared.contracts.sales.payments import Itn
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.errors import Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations import payfast
from bbws.shared.integrations.payfast import ItnUnreadable, Payfast, PayfastUnreachable
from bbws.shared.integrations.payfast_sources import SourceCheck, SourceUndecided
from bbws.shared.logging import bound_value, get_logger
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.repositories.payments import AlreadyDecided, AlreadyTold, ItnRepository
from bbws.shared.settings import Settings, secret

LONGEST_CHECK_INTERVAL = timedelta(hours=1)
ACTOR = "payfast-itn"
FOREIGN_SOURCE = "foreign-source"
# With intervals of up to an hour: most of a day, in which name servers come back.
MOST_SOURCE_CHECKS = 24
# Of what is refused on sight enough is kept to look into it, and not more: anybody can send it.
MOST_REFUSED_BYTES = 4096
LONGEST_REASON = 300
REFUSED_KEPT = timedelta(days=30)

log = get_logger(__name__)


class _Refused(Exception):
    """A check failed for good."""

    def __init__(self, reason: str, flags: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.flags = flags


@dataclass(frozen=True, slots=True)
class Received:
    """A stored notice. `is_open`: whoever received it should judge it; otherwise it is decided, or being judged."""

    itn: Itn
    is_open: bool = False


class Payments:
    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        audit: AuditEntries,
        clock: Clock,
        settings: Settings,
        server: Payfast,
        sources: SourceCheck,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._server = server
        self._sources = sources
        self._first_check_after = timedelta(seconds=settings.itn_check_after_s)
        self._itns = ItnRepository(database)
        self._orders = OrderRepository(database)

    async def receive_itn(self, raw_body: bytes, source_address: str) -> Received:
        """The notice is stored: PayFast may be told so. Raises Unavailable when it is not."""
        now = self._clock()
        if refusal := self._refused_on_sight(raw_body):
            return Received(await self._keep_refused(_unread(raw_body, source_address, now), refusal))
        itn = await self._read(raw_body, source_address, now)
        stored = await self._itns.store(itn, now + self._first_check_after)
        if stored is itn or stored.state == "UNVERIFIED":
            return Received(stored, is_open=True)
        if FOREIGN_SOURCE in stored.flags and stored.state == "REJECTED":
            return await self._reopened(stored, source_address)
        log.info("payment notice came again", sha256=stored.sha256, state=stored.state)
        return Received(stored)

    async def judge_due(self) -> int:
        """Judge what a crash or an unreachable PayFast left undecided; returns how many were decided.

        One that cannot be judged for a reason of its own is logged and holds up no other.
        """
        decided = 0
        for itn in await self._itns.list_due(self._clock()):
            try:
                judged = await self.judge_itn(itn)
            except Unavailable:
                raise
            except Exception:
                log.exception("payment notice cannot be judged", sha256=itn.sha256)
            else:
                decided += judged.state not in ("RECEIVED", "UNVERIFIED")
        return decided

    def _refused_on_sight(self, raw_body: bytes) -> str | None:
        """Why the body alone says that PayFast did not send it: whoever floods us costs one write each."""
        try:
            payfast.parse_itn(raw_body)
        except ItnUnreadable as error:
            return error.detail
        return None if self._signed(raw_body) else "the signature does not match"

    async def _keep_refused(self, itn: Itn, reason: str) -> Itn:
        refused = itn.replace(
            raw_body=itn.raw_body[:MOST_REFUSED_BYTES],
            state="REJECTED",
            reason=reason[:LONGEST_REASON],
            decided_at=itn.received_at,
        )
        await self._itns.store_refused(refused, itn.received_at + REFUSED_KEPT)
        log.warning("payment notice refused", sha256=itn.sha256, reason=refused.reason, source=itn.source_address)
        return refused

    async def _reopened(self, stored: Itn, source_address: str) -> Received:
        """The same notice from another address: what was refused for its source alone gets another chance."""
        if source_address == stored.source_address:
            return Received(stored)
        reopened = stored.replace(state="RECEIVED", source_address=source_address, flags=())
        try:
            await self._itns.reopen(reopened, self._clock() + self._first_check_after)
        except AlreadyDecided:
            return Received(stored)
        return Received(reopened, is_open=True)

    async def _read(self, raw_body: bytes, source_address: str, now: datetime) -> Itn:
        """What the notice says of itself, and whose order it is about."""
        said = payfast.parse_itn(raw_body)
        order = await self._order(said)
        return _unread(raw_body, source_address, now).replace(
            payfast_id=said.pf_payment_id,
            payment_status=said.payment_status,
            amount_gross_cents=said.amount_gross_cents,
            tenant_id=order.tenant_id if order else None,
            order_id=order.id if order else None,
        )

    async def _order(self, said: payfast.Itn) -> Order | None:
        if not (_is_uuid(said.m_payment_id) and _is_uuid(said.custom_str1)):
            return await self._orders.find_anywhere(said.m_payment_id) if _is_uuid(said.m_payment_id) else None
        # The tenant it names is only where to look first: the order itself, read consistently, must be there.
        named = await self._orders.find(said.custom_str1, said.m_payment_id)
        return named or await self._orders.find_anywhere(said.m_payment_id)

    async def judge_itn(self, itn: Itn) -> Itn:
        """The notice is decided, or waits for its next check; only a decision makes an event."""
        try:
            return await self._checked(itn)
        except _Refused as refusal:
            log.warning("payment notice refused", sha256=itn.sha256, reason=str(refusal), source=itn.source_address)
            return await self._decide(itn, state="REJECTED", reason=str(refusal), flags=refusal.flags)
        except (PayfastUnreachable, SourceUndecided) as error:
            log.warning("payment notice not verified yet", sha256=itn.sha256, reason=str(error))
            return await self._postpone(itn, str(error))

    async def _checked(self, itn: Itn) -> Itn:
        raw_body = itn.raw_body.encode("latin-1")
        said = payfast.parse_itn(raw_body)
        order = await self._order_of(itn, said)
        flags = await self._source_flags(itn)
        self._refuse_other_merchant(said)
        if said.is_complete and said.amount_gross_cents != order.total_cents:
            raise _Refused(f"amount_gross is {said.amount_gross_cents} cents, the order {order.total_cents}")
        if await self._server.validate(raw_body) != "VALID":
            raise _Refused("PayFast does not know this notice (/eng/query/validate answered INVALID)")
        itn = itn.replace(flags=flags)
        if not said.is_complete:
            return await self._decide(itn, state="NOTED")
        return await self._accept(itn, said, order)

    async def _order_of(self, itn: Itn, said: payfast.Itn) -> Order:
        order = await self._orders.find(itn.tenant_id, itn.order_id) if itn.tenant_id and itn.order_id else None
        if order is None:
            raise _Refused(f"there is no order {said.m_payment_id[:LONGEST_REASON]!r}")
        return order

    def _signed(self, raw_body: bytes) -> bool:
        return payfast.verify_itn_signature(raw_body, secret(self._settings.payfast_passphrase))

    async def _source_flags(self, itn: Itn) -> tuple[str, ...]:
        """Raises SourceUndecided while the check needs a host that cannot be looked up, for some hours at most."""
        try:
            known = await self._sources.is_known(itn.source_address)
        except SourceUndecided:
            if itn.checks < MOST_SOURCE_CHECKS:
                raise
            known = False
        if known:
            return ()
        if self._settings.payfast_source_check == "enforce":
            raise _Refused(f"{itn.source_address} is no address of PayFast", (FOREIGN_SOURCE,))
        return (FOREIGN_SOURCE,)

    def _refuse_other_merchant(self, said: payfast.Itn) -> None:
        if said.merchant_id != self._settings.payfast_merchant_id:
            raise _Refused(f"it is for merchant {said.merchant_id!r}")

    async def _accept(self, itn: Itn, said: payfast.Itn, order: Order) -> Itn:
        now = self._clock()
        payment = _payment(order, said, now)
        accepted = itn.replace(state="VERIFIED", payment_id=payment.id, decided_at=now)
        event = OrderCreated.of(
            OrderCreatedData(order=_paid(order, payment, now), payment=payment),
            tenant_id=order.tenant_id,
            time=now,
            correlation_id=order.id,
            causation_id=f"itn:{itn.sha256}",
            traceparent=bound_value("traceparent"),
        )
        told = self._itns.guard(accepted, _what_is_said(said))
        try:
            await self._outbox.commit([self._itns.decided(accepted), told, self._confirmed(payment)], [event])
        except AlreadyTold:
            return await self._decide(itn, state="DUPLICATE", reason="this payment was confirmed before")
        except AlreadyDecided:
            return itn
        log.info("payment verified", order_id=order.id, payment_id=payment.id, payfast_id=payment.payfast_id)
        return accepted

    def _confirmed(self, payment: Payment) -> Put:
        """What is refused, noted or a duplicate changes nothing but the stored notice, and anybody can send it."""
        return self._audit.entry(
            "PAYMENT_CONFIRMED",
            tenant_id=payment.tenant_id,
            subject=f"orders/{payment.order_id}/payments/{payment.id}",
            actor=ACTOR,
            after=payment,
            correlation_id=payment.order_id,
        )

    async def _decide(self, itn: Itn, **judgement: object) -> Itn:
        decided = itn.replace(**judgement, decided_at=self._clock())
        try:
            await self._database.write(self._itns.decided(decided))
        except AlreadyDecided:
            return itn
        return decided

    async def _postpone(self, itn: Itn, reason: str) -> Itn:
        checks = itn.checks + 1
        waiting = itn.replace(state="UNVERIFIED", reason=reason, checks=checks)
        interval = min(self._first_check_after * 2 ** min(checks - 1, 10), LONGEST_CHECK_INTERVAL)
        try:
            await self._database.write(self._itns.postponed(waiting, self._clock() + interval))
        except AlreadyDecided:
            return itn
        return waiting


def _unread(raw_body: bytes, source_address: str, now: datetime) -> Itn:
    return Itn(
        sha256=hashlib.sha256(raw_body).hexdigest(),
        raw_body=raw_body.decode("latin-1"),
        source_address=source_address,
        received_at=now,
    )


def _payment(order: Order, said: payfast.Itn, now: datetime) -> Payment:
    return Payment(
        id=new_id(),
        order_id=order.id,
        tenant_id=order.tenant_id,
        amount_cents=said.amount_gross_cents or 0,
        status="COMPLETED",
        payfast_id=said.pf_payment_id,
        paid_at=now,
        date_created=now,
        date_last_updated=now,
        last_updated_by=ACTOR,
    )


def _paid(order: Order, payment: Payment, now: datetime) -> Order:
    details = PaymentDetails(payment_id=payment.id, payfast_id=payment.payfast_id, paid_at=now)
    return order.changed(by=ACTOR, at=now, status="PAID", payment_details=details)


def _what_is_said(said: payfast.Itn) -> str:
    """The same for every notice of the same thing; cancellations carry no pf_payment_id."""
    if said.pf_payment_id:
        return f"{said.pf_payment_id}|{said.payment_status}"
    return f"{said.m_payment_id}|{said.token or ''}|{said.billing_date or ''}|{said.payment_status}"


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
