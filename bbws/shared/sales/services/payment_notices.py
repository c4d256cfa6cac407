"""What PayFast tells us about payments: stored first, then judged; only a genuine payment makes an event (C-29)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from bbws.shared.clock import Clock
from bbws.shared.contracts.sales.order_events import OrderCreated, OrderCreatedData
from bbws.shared.contracts.sales.orders import Order
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.contracts.sales.payments import Payment
from bbws.shared.core.audit import AuditEntries
from bbws.shared.core.due import each
from bbws.shared.core.outbox import Outbox
from bbws.shared.dynamo.database import Database, Put
from bbws.shared.integrations import payfast
from bbws.shared.integrations.payfast import Itn, ItnUnreadable, Payfast, PayfastUnreachable
from bbws.shared.integrations.payfast_sources import SourceCheck, SourceUndecided
from bbws.shared.logging import bound_value, get_logger
from bbws.shared.sales.repositories.orders import OrderRepository
from bbws.shared.sales.repositories.payment_notices import (
    AlreadyConfirmed,
    AlreadyDecided,
    PaymentNoticeRepository,
)
from bbws.shared.sales.rules import paying
from bbws.shared.settings import Settings, secret

MAX_CHECK_INTERVAL = timedelta(hours=1)
ACTOR = "payfast-itn"
FOREIGN_SOURCE = "foreign-source"
# With intervals of up to an hour: most of a day, in which name servers come back.
MAX_SOURCE_CHECKS = 24
# Of what is refused on sight enough is kept to look into it, and not more: anybody can send it.
MAX_REFUSED_BYTES = 4096
MAX_REASON_CHARS = 300
REFUSED_KEPT = timedelta(days=30)

log = get_logger(__name__)


class _Refused(Exception):
    """A check failed for good."""

    def __init__(self, reason: str, flags: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.flags = flags


@dataclass(frozen=True, slots=True)
class Received:
    """A stored notice. With `itn`, what it says, it is open, and whoever received it should have it judged; otherwise
    it is decided, or being judged."""

    notice: PaymentNotice
    itn: Itn | None = None


class PaymentNotices:
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
        self._notices = PaymentNoticeRepository(database)
        self._orders = OrderRepository(database)

    async def receive(self, raw_body: bytes, source_address: str) -> Received:
        """The notice is stored: PayFast may be told so. Raises Unavailable when it is not."""
        now = self._clock()
        came = _as_it_came(raw_body, source_address, now)
        try:
            itn = self._signed_by_payfast(raw_body)
        except _Refused as refusal:
            return Received(await self._keep_refused(came, str(refusal)))
        notice = await self._with_order(came, itn)
        stored = await self._notices.store(notice, now + self._first_check_after)
        if stored is notice or stored.state == "UNVERIFIED":
            return Received(stored, itn)
        if FOREIGN_SOURCE in stored.flags and stored.state == "REJECTED":
            return await self._reopened(stored, itn, source_address)
        log.info("payment notice came again", sha256=stored.sha256, state=stored.state)
        return Received(stored)

    async def judge(self, notice: PaymentNotice, itn: Itn) -> PaymentNotice:
        """The notice is decided, or waits for its next check; only a decision makes an event."""
        try:
            return await self._checked(notice, itn)
        except _Refused as refusal:
            reason = str(refusal)
            log.warning("payment notice refused", sha256=notice.sha256, reason=reason, source=notice.source_address)
            return await self._decide(notice, state="REJECTED", reason=reason, flags=refusal.flags)
        except (PayfastUnreachable, SourceUndecided) as error:
            log.warning("payment notice not verified yet", sha256=notice.sha256, reason=str(error))
            return await self._postpone(notice, str(error))

    async def judge_due(self) -> int:
        """Judge what a crash or an unreachable PayFast left undecided; returns how many were decided."""
        due = await self._notices.list_due(self._clock())
        return await each(due, self._judge_again, name=lambda notice: notice.sha256)

    async def _judge_again(self, notice: PaymentNotice) -> bool:
        judged = await self.judge(notice, payfast.parse_itn(notice.raw_body.encode("latin-1")))
        return judged.state not in ("RECEIVED", "UNVERIFIED")

    def _signed_by_payfast(self, raw_body: bytes) -> Itn:
        """What the body says; refused where the body alone shows that PayFast did not send it."""
        try:
            itn = payfast.parse_itn(raw_body)
        except ItnUnreadable as error:
            raise _Refused(error.detail) from error
        if not payfast.verify_itn_signature(raw_body, secret(self._settings.payfast_passphrase)):
            raise _Refused("the signature does not match")
        return itn

    async def _keep_refused(self, came: PaymentNotice, reason: str) -> PaymentNotice:
        """In one write: that is all that whoever floods us can cost."""
        refused = came.replace(
            raw_body=came.raw_body[:MAX_REFUSED_BYTES],
            state="REJECTED",
            reason=reason[:MAX_REASON_CHARS],
            decided_at=came.received_at,
        )
        await self._notices.store_refused(refused, came.received_at + REFUSED_KEPT)
        log.warning("payment notice refused", sha256=came.sha256, reason=refused.reason, source=came.source_address)
        return refused

    async def _reopened(self, stored: PaymentNotice, itn: Itn, source_address: str) -> Received:
        """The same notice from another address: what was refused for its source alone gets another chance."""
        if source_address == stored.source_address:
            return Received(stored)
        reopened = stored.replace(state="RECEIVED", source_address=source_address, flags=())
        try:
            await self._notices.reopen(reopened, self._clock() + self._first_check_after)
        except AlreadyDecided:
            return Received(stored)
        return Received(reopened, itn)

    async def _with_order(self, came: PaymentNotice, itn: Itn) -> PaymentNotice:
        """With what it says of itself, and whose order it is about."""
        order = await self._order(itn)
        return came.replace(
            payfast_id=itn.pf_payment_id,
            payment_status=itn.payment_status,
            amount_gross_cents=itn.amount_gross_cents,
            tenant_id=order.tenant_id if order else None,
            order_id=order.id if order else None,
        )

    async def _order(self, itn: Itn) -> Order | None:
        if not _is_uuid(itn.m_payment_id):
            return None
        # The tenant it names is only where to look first: the order itself, read consistently, must be there.
        named = await self._orders.find(itn.custom_str1, itn.m_payment_id) if _is_uuid(itn.custom_str1) else None
        return named or await self._orders.find_anywhere(itn.m_payment_id)

    async def _checked(self, notice: PaymentNotice, itn: Itn) -> PaymentNotice:
        order = await self._order_of(notice, itn)
        flags = await self._source_flags(notice)
        if itn.merchant_id != self._settings.payfast_merchant_id:
            raise _Refused(f"it is for merchant {itn.merchant_id!r}")
        if itn.is_complete and itn.amount_gross_cents != order.total_cents:
            raise _Refused(f"amount_gross is {itn.amount_gross_cents} cents, the order {order.total_cents}")
        if await self._server.validate(notice.raw_body.encode("latin-1")) != "VALID":
            raise _Refused("PayFast does not know this notice (/eng/query/validate answered INVALID)")
        genuine = notice.replace(flags=flags)
        if not itn.is_complete:
            return await self._decide(genuine, state="NOTED")
        return await self._confirm(genuine, itn, order)

    async def _order_of(self, notice: PaymentNotice, itn: Itn) -> Order:
        order = None
        if notice.tenant_id and notice.order_id:
            order = await self._orders.find(notice.tenant_id, notice.order_id)
        if order is None:
            raise _Refused(f"there is no order {itn.m_payment_id[:MAX_REASON_CHARS]!r}")
        return order

    async def _source_flags(self, notice: PaymentNotice) -> tuple[str, ...]:
        """Raises SourceUndecided while the check needs a host that cannot be looked up, for some hours at most."""
        try:
            known = await self._sources.is_known(notice.source_address)
        except SourceUndecided:
            if notice.checks < MAX_SOURCE_CHECKS:
                raise
            known = False
        if known:
            return ()
        if self._settings.payfast_source_check == "enforce":
            raise _Refused(f"{notice.source_address} is no address of PayFast", (FOREIGN_SOURCE,))
        return (FOREIGN_SOURCE,)

    async def _confirm(self, notice: PaymentNotice, itn: Itn, order: Order) -> PaymentNotice:
        """The payment is confirmed, once: its event leaves with the judgement."""
        now = self._clock()
        payment = paying.payment_of(order, itn, by=ACTOR, at=now)
        confirmed = notice.replace(state="VERIFIED", payment_id=payment.id, decided_at=now)
        event = OrderCreated.of(
            OrderCreatedData(order=paying.paid(order, payment, by=ACTOR, at=now), payment=payment),
            tenant_id=order.tenant_id,
            time=now,
            correlation_id=order.id,
            causation_id=f"itn:{notice.sha256}",
            traceparent=bound_value("traceparent"),
        )
        guard = self._notices.guard(confirmed, paying.statement_of(itn))
        try:
            await self._outbox.commit([self._notices.decided(confirmed), guard, self._entry(payment)], [event])
        except AlreadyConfirmed:
            return await self._decide(notice, state="DUPLICATE", reason="this payment was confirmed before")
        except AlreadyDecided:
            return notice
        log.info("payment verified", order_id=order.id, payment_id=payment.id, payfast_id=payment.payfast_id)
        return confirmed

    def _entry(self, payment: Payment) -> Put:
        """What is refused, noted or a duplicate changes nothing but the stored notice, and anybody can send it."""
        return self._audit.entry(
            "PAYMENT_CONFIRMED",
            tenant_id=payment.tenant_id,
            subject=f"orders/{payment.order_id}/payments/{payment.id}",
            actor=ACTOR,
            after=payment,
            correlation_id=payment.order_id,
        )

    async def _decide(self, notice: PaymentNotice, **judgement: object) -> PaymentNotice:
        decided = notice.replace(**judgement, decided_at=self._clock())
        try:
            await self._database.write(self._notices.decided(decided))
        except AlreadyDecided:
            return notice
        return decided

    async def _postpone(self, notice: PaymentNotice, reason: str) -> PaymentNotice:
        checks = notice.checks + 1
        waiting = notice.replace(state="UNVERIFIED", reason=reason, checks=checks)
        interval = min(self._first_check_after * 2 ** min(checks - 1, 10), MAX_CHECK_INTERVAL)
        try:
            await self._database.write(self._notices.postponed(waiting, self._clock() + interval))
        except AlreadyDecided:
            return notice
        return waiting


def _as_it_came(raw_body: bytes, source_address: str, now: datetime) -> PaymentNotice:
    return PaymentNotice(
        sha256=hashlib.sha256(raw_body).hexdigest(),
        raw_body=raw_body.decode("latin-1"),
        source_address=source_address,
        received_at=now,
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
