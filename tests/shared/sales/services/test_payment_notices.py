"""ITNs: what PayFast really said of a payment counts once, what anybody else says changes nothing (C-29)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from bbws.shared.bootstrap import bootstrap
from bbws.shared.clock import iso
from bbws.shared.contracts.sales.order_events import OrderCreated
from bbws.shared.contracts.sales.orders import Checkout, Order
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.dynamo.database import Update, Write
from bbws.shared.errors import Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations import payfast_sources
from bbws.shared.integrations.payfast import Itn, parse_itn
from bbws.shared.sales.repositories.payment_notices import PaymentNoticeRepository
from bbws.shared.sales.services.payment_notices import PaymentNotices
from bbws.shared.settings import Settings
from tests.support.emulator import Aws, Target
from tests.support.market import Market, MovedClock
from tests.support.meanwhile import meanwhile
from tests.support.payfast import PASSPHRASE, PayfastWorld, payfast_world, signed
from tests.support.system import provisioned_account, settings_for
from tests.support.waiting import eventually

PAYFAST = "127.0.0.1"
STRANGER = "198.51.100.7"


@dataclass(frozen=True)
class Till(Market):
    """A market that takes money: with PayFast's stand-in, and a clock that tests move."""

    payfast: PayfastWorld
    clock: MovedClock

    def checkout(self, order: Order) -> Checkout:
        return self.services.orders.checkout(order)

    async def paid(self, order: Order, **behaviour: Any) -> bytes:
        return await self.payfast.pay(self.checkout(order), **behaviour)

    async def receive(self, raw_body: bytes, source: str = PAYFAST) -> tuple[str, str | None]:
        notice = await self.judged(raw_body, source)
        return notice.state, notice.reason

    async def judged(self, raw_body: bytes, source: str = PAYFAST) -> PaymentNotice:
        """Received and judged, as the gateway does one after the other."""
        notices = self.services.payment_notices
        received = await notices.receive(raw_body, source)
        return await notices.judge(received.notice, received.itn) if received.itn else received.notice

    async def events_of(self, order: Order) -> list[OrderCreated]:
        return [event for event in await self.published("order-record") if event.data.order.id == order.id]

    async def notices_of(self, order: Order) -> list[dict[str, Any]]:
        return [item for item in await self.items_beside(order) if item["SK"].startswith("ITN#")]

    async def is_untouched(self, order: Order) -> bool:
        now = await self.services.orders.get(order.tenant_id, order.id)
        return now == order and await self.events_of(order) == []


@asynccontextmanager
async def _till(aws: Aws, **changes: Any) -> AsyncIterator[Till]:
    clock = MovedClock()
    async with payfast_world() as payfast:
        addresses = {"payfast_url": payfast.url, "public_base_url": payfast.shop_url}
        given = settings_for(aws).model_dump(exclude_unset=True) | addresses
        settings = Settings(**given | {"payfast_passphrase": PASSPHRASE, "payfast_validate_timeout_s": 5} | changes)
        async with bootstrap(settings, clock=clock) as services:
            yield Till(aws, services, payfast, clock)


@pytest.fixture
async def till(shared_aws: Aws) -> AsyncIterator[Till]:
    async with _till(shared_aws) as opened:
        yield opened


@pytest.fixture
async def own_till(emulator: Target) -> AsyncIterator[Till]:
    """In an account of the test's own, where nothing else is due and faults hurt nobody."""
    aws = await provisioned_account(emulator)
    async with _till(aws) as opened:
        yield opened
    await aws.heal()


async def test_genuine_notice_makes_one_event(till: Till) -> None:
    """The event is the paid order with its payment, whole; the order itself is moved by `order-record` alone (C-10)."""
    order = await till.order()
    raw_body = await till.paid(order)
    assert await till.receive(raw_body) == ("VERIFIED", None)
    (event,) = await till.events_of(order)
    payment = event.data.payment
    assert (payment.amount_cents, payment.status, payment.order_id) == (order.total_cents, "COMPLETED", order.id)
    assert payment.payfast_id == parse_itn(raw_body).pf_payment_id
    assert event.data.order.status == "PAID"
    assert event.data.order.payment_details is not None
    assert event.data.order.payment_details.payment_id == payment.id
    assert (event.tenantid, event.correlationid) == (order.tenant_id, order.id)
    assert (await till.services.orders.get(order.tenant_id, order.id)).status == "PENDING_PAYMENT"
    (notice,) = await till.notices_of(order)
    assert (notice["rawBody"], notice["paymentId"], notice["sourceAddress"]) == (
        raw_body.decode(), payment.id, PAYFAST,
    )  # fmt: skip


async def test_same_notice_five_times_makes_one_event(till: Till) -> None:
    """PayFast repeats until it hears 200, and its first copies may come together."""
    order = await till.order()
    raw_body = await till.paid(order)
    await asyncio.gather(*(till.receive(raw_body) for _ in range(3)))
    assert [await till.receive(raw_body) for _ in range(2)] == [("VERIFIED", None)] * 2
    assert len(await till.events_of(order)) == 1
    assert len(await till.notices_of(order)) == 1


async def test_same_payment_in_other_bytes_is_a_duplicate(till: Till) -> None:
    """What counts is the payment, not the bytes: a field more or another order of fields pays nothing twice."""
    order = await till.order()
    raw_body = await till.paid(order)
    await till.receive(raw_body)
    state, reason = await till.receive(till.payfast.rewritten(raw_body, new_field="1"))
    assert (state, reason) == ("DUPLICATE", "this payment was confirmed before")
    assert len(await till.events_of(order)) == 1
    assert len(await till.notices_of(order)) == 2


async def test_second_payment_of_an_order_is_an_event_of_its_own(till: Till) -> None:
    """A customer who really paid twice is owed money: another pf_payment_id is no duplicate."""
    order = await till.order()
    for _ in range(2):
        assert (await till.receive(await till.paid(order)))[0] == "VERIFIED"
    assert len({event.data.payment.id for event in await till.events_of(order)}) == 2


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"forged_signature": True}, "the signature does not match"),
        ({"tamper": True}, "the signature does not match"),
        ({"wrong_amount_cents": 248_99}, "amount_gross is 24899 cents, the order 24900"),
        ({"wrong_amount_cents": 249_01}, "amount_gross is 24901 cents, the order 24900"),
        ({"validate": "INVALID"}, "PayFast does not know this notice (/eng/query/validate answered INVALID)"),
    ],
    ids=["forged", "tampered", "a cent short", "a cent over", "unknown to PayFast"],
)
async def test_false_notice_changes_nothing(till: Till, behaviour: dict[str, Any], reason: str) -> None:
    """Each of the checks alone stops it, and the reason stays for an operator to read."""
    order = await till.order()
    assert await till.receive(await till.paid(order, **behaviour)) == ("REJECTED", reason)
    assert await till.is_untouched(order)


async def test_notice_for_another_merchant_is_refused(till: Till) -> None:
    """Somebody else's account may share the passphrase; the money is not ours then."""
    order = await till.order()
    raw_body = till.payfast.rewritten(await till.paid(order), merchant_id="10009999")
    assert await till.receive(raw_body) == ("REJECTED", "it is for merchant '10009999'")
    assert await till.is_untouched(order)


async def test_foreign_source_is_refused(till: Till) -> None:
    """`enforce`, the default: what comes from elsewhere is kept as evidence, and PayFast is not even asked."""
    order = await till.order()
    state, reason = await till.receive(await till.paid(order), STRANGER)
    assert (state, reason) == ("REJECTED", f"{STRANGER} is no address of PayFast")
    assert till.payfast.asked == 0
    assert await till.is_untouched(order)


async def test_foreign_source_is_flagged_where_settings_say_so(shared_aws: Aws) -> None:
    """`flag`: PayFast's addresses change, so all other checks together may outweigh the source; it is marked."""
    async with _till(shared_aws, payfast_source_check="flag") as till:
        order = await till.order()
        notice = await till.judged(await till.paid(order), STRANGER)
        assert (notice.state, notice.flags) == ("VERIFIED", ("foreign-source",))
        (stored,) = await till.notices_of(order)
        assert stored["flags"] == ["foreign-source"]
        assert len(await till.events_of(order)) == 1


async def test_forged_notices_do_not_stand_beside_the_order(till: Till) -> None:
    """Whoever can guess an order's id must not be able to fill its partition or its timeline."""
    order = await till.order()
    genuine = await till.paid(order)
    forged = [signed({**dict(parse_itn(genuine).fields), "n": str(n)}, "a guess") for n in range(3)]
    for raw_body in forged:
        assert (await till.receive(raw_body))[0] == "REJECTED"
    assert await till.items_beside(order) == []
    assert [e.kind for e in await till.services.orders.timeline(order.tenant_id, order.id)] == ["ORDER_PLACED"]
    today = f"ITN#{till.clock():%Y-%m-%d}"
    kept = {item["rawBody"] for item in await till.items("orders", today)}
    assert {raw_body.decode() for raw_body in forged} <= kept


async def test_forger_cannot_occupy_a_payment(till: Till) -> None:
    """A forged notice that comes first with the right pf_payment_id must not turn the genuine one into a duplicate."""
    order = await till.order()
    genuine = await till.paid(order)
    await till.receive(signed(dict(parse_itn(genuine).fields), "a guess"))
    assert await till.receive(genuine) == ("VERIFIED", None)
    assert len(await till.events_of(order)) == 1


async def test_notice_of_an_unknown_order_is_kept(till: Till) -> None:
    """Rightly signed, confirmed, and about nothing we sold: recorded, refused, and no order is made of it (C-10)."""
    raw_body = till.payfast.rewritten(await till.paid(await till.order()), m_payment_id=(unknown := new_id()))
    assert await till.receive(raw_body) == ("REJECTED", f"there is no order {unknown!r}")
    assert unknown not in {event.data.order.id for event in await till.published("order-record")}


@pytest.mark.parametrize("field", ["m_payment_id", "custom_str1"])
async def test_odd_ids_are_no_error(till: Till, field: str) -> None:
    """Fields of a notice become keys of the table only when they are ids; anything else answers 200 all the same."""
    wanted = "VERIFIED" if field == "custom_str1" else "REJECTED"
    for value in ("", "none", "ÿ" * 300, "TENANT#x#ORDER#y"):
        raw_body = till.payfast.rewritten(await till.paid(await till.order()), **{field: value})
        assert (await till.receive(raw_body))[0] == wanted, value


async def test_unreadable_notice_is_kept(till: Till) -> None:
    """A 500 would make PayFast repeat it for days; the bytes are there for whoever wonders."""
    for body in (b"", b"\xff\xfe\x00", b"a=1&a=2", b"m_payment_id=1&signature="):
        notice = await till.judged(body, PAYFAST)
        assert (notice.state, notice.raw_body.encode("latin-1")) == ("REJECTED", body)


async def test_flood_of_junk_stays_small_and_goes_away(till: Till) -> None:
    """Anybody can send notices: each costs one short item, in no index, that DynamoDB deletes by itself."""
    notice = await till.judged(b"x" * 60_000, PAYFAST)
    of_the_day = await till.items("orders", f"ITN#{iso(notice.received_at)[:10]}")
    [item] = [item for item in of_the_day if item["sha256"] == notice.sha256]
    assert len(item["rawBody"]) <= 4096
    assert len(item["reason"]) <= 300
    assert "dueKey" not in item
    assert item["expiresAt"] > notice.received_at.timestamp()


@pytest.mark.parametrize("amount", ["-5.00", "999999999999.99"])
async def test_absurd_amount_blocks_nobody(own_till: Till, amount: str) -> None:
    """A stored notice is read again, by its repeat and by the sweeper: no amount may make it unreadable."""
    order = await own_till.order()
    genuine = await own_till.paid(order, validate="unreachable")
    absurd = signed({**dict(parse_itn(genuine).fields), "amount_gross": amount}, PASSPHRASE)
    await own_till.aws.inject("dynamodb", operation="UpdateItem")
    for raw_body in (absurd, genuine):
        with pytest.raises(Unavailable):
            await own_till.receive(raw_body)
    await own_till.aws.heal()
    await own_till.payfast.behave()
    assert (await own_till.receive(absurd))[0] == "RECEIVED"
    own_till.clock.advance(31)
    assert await own_till.services.payment_notices.judge_due() == 2
    assert len(await own_till.events_of(order)) == 1


async def test_notice_that_cannot_be_read_blocks_nobody(own_till: Till) -> None:
    """A newer version's, or broken by hand: the payments of all customers would wait for it."""
    order = await own_till.order()
    strange = PaymentNotice(sha256="0" * 64, raw_body="x", source_address=PAYFAST, received_at=own_till.clock())
    await PaymentNoticeRepository(own_till.services.database).store(strange, own_till.clock())
    key = (f"ITN#{iso(strange.received_at)[:10]}", f"ITN#{strange.sha256}")
    await own_till.services.database.write(Update("orders", key, {"state": "SUSPECTED"}))
    assert (await own_till.receive(await own_till.paid(order, validate="unreachable")))[0] == "UNVERIFIED"
    await own_till.payfast.behave()
    own_till.clock.advance(31)
    assert await own_till.services.payment_notices.judge_due() == 1
    assert len(await own_till.events_of(order)) == 1


async def test_notice_refused_for_its_sender_alone_is_judged_again_when_payfast_repeats_it(till: Till) -> None:
    """A proxy that was forgotten in the settings, or a new address of PayFast, must not cost a payment for good."""
    order = await till.order()
    raw_body = await till.paid(order)
    refused = await till.judged(raw_body, "203.0.113.9")
    assert (refused.state, refused.flags) == ("REJECTED", ("foreign-source",))
    assert (await till.receive(raw_body))[0] == "VERIFIED"
    assert len(await till.events_of(order)) == 1


async def test_notice_is_received_without_asking_payfast(till: Till) -> None:
    """PayFast waits some seconds for its 200, and asking it back may take as long: stored first, judged afterwards."""
    order = await till.order()
    raw_body = await till.paid(order, validate="unreachable")
    notices = till.services.payment_notices
    received = await notices.receive(raw_body, PAYFAST)
    assert (received.notice.state, received.itn) == ("RECEIVED", parse_itn(raw_body))
    (stored,) = await till.notices_of(order)
    assert stored["state"] == "RECEIVED"
    await till.payfast.behave()
    assert (await notices.judge(received.notice, parse_itn(raw_body))).state == "VERIFIED"


async def test_cancellation_is_noted(till: Till) -> None:
    """A CANCELLED notice names no payment and no amounts: the order goes on waiting, and its timeline says why."""
    order = await till.order()
    assert await till.receive(await till.payfast.cancel(till.checkout(order))) == ("NOTED", None)
    assert await till.is_untouched(order)
    timeline = await till.services.orders.timeline(order.tenant_id, order.id)
    assert [entry.kind for entry in timeline] == ["ORDER_PLACED", "PAYMENT_CANCELLED"]
    assert timeline[1].text.endswith("CANCELLED")


async def test_payment_after_a_cancellation_counts(till: Till) -> None:
    """Who changes their mind pays all the same."""
    order = await till.order()
    await till.receive(await till.payfast.cancel(till.checkout(order)))
    assert (await till.receive(await till.paid(order)))[0] == "VERIFIED"


async def test_lying_tenant_is_not_believed(till: Till) -> None:
    """`custom_str1` passes through the customer's browser: the order's own tenant counts (Names and forms)."""
    order, stranger = await till.order(), await till.tenant()
    raw_body = till.payfast.rewritten(await till.paid(order), custom_str1=stranger.id)
    assert await till.receive(raw_body) == ("VERIFIED", None)
    (event,) = await till.events_of(order)
    assert (event.tenantid, event.data.payment.tenant_id) == (order.tenant_id, order.tenant_id)
    assert len(await till.notices_of(order)) == 1


async def test_unreachable_payfast_is_asked_again(own_till: Till) -> None:
    """Stored and answered 200 as UNVERIFIED; the sweeper asks at growing intervals, and decides exactly once."""
    order, notices = await own_till.order(), own_till.services.payment_notices
    raw_body = await own_till.paid(order, validate="unreachable")
    assert (await own_till.receive(raw_body))[0] == "UNVERIFIED"
    assert await notices.judge_due() == 0
    own_till.clock.advance(31)
    assert await notices.judge_due() == 0
    assert own_till.payfast.asked == 2
    await own_till.payfast.behave()
    own_till.clock.advance(31)
    assert (await notices.judge_due(), own_till.payfast.asked) == (0, 2), "the second interval is twice as long"
    own_till.clock.advance(31)
    assert sum(await asyncio.gather(*(notices.judge_due() for _ in range(3)))) == 1
    own_till.clock.advance(100_000)
    assert await notices.judge_due() == 0
    assert len(await own_till.events_of(order)) == 1


async def test_payfast_that_is_out_for_a_day_is_asked_every_hour(own_till: Till) -> None:
    """Intervals that double without an end would ask again in a week, and the customer has paid."""
    order, notices = await own_till.order(), own_till.services.payment_notices
    await own_till.receive(await own_till.paid(order, validate="unreachable"))
    for hour in range(1, 13):
        own_till.clock.advance(3601)
        assert await notices.judge_due() == 0
        assert own_till.payfast.asked == hour + 1
    own_till.clock.advance(1800)
    await notices.judge_due()
    assert own_till.payfast.asked == 13, "an outage of a day must not be hammered"
    await own_till.payfast.behave()
    own_till.clock.advance(1801)
    assert await notices.judge_due() == 1


@pytest.fixture
async def nameless_till(emulator: Target, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Till]:
    """PayFast is known by the name of a host alone, and no name server answers."""

    async def no_answer(host: str) -> list[str]:
        raise OSError(f"nobody knows {host}")

    monkeypatch.setattr(payfast_sources, "RESOLVE_AGAIN_AFTER_S", -1)
    monkeypatch.setattr(payfast_sources, "resolve_host", no_answer)
    aws = await provisioned_account(emulator)
    async with _till(aws, payfast_source_ranges="", payfast_source_hosts="payfast.example") as opened:
        yield opened


async def test_source_that_cannot_be_looked_up_for_a_day_is_a_foreign_one(nameless_till: Till) -> None:
    """A name that is wrong in the settings never comes back: asked for ever, each notice would wait for ever."""
    order, notices = await nameless_till.order(), nameless_till.services.payment_notices
    assert (await nameless_till.receive(await nameless_till.paid(order)))[0] == "UNVERIFIED"
    checks = 1
    while not await notices.judge_due():
        checks += 1
        assert checks < 50, "without an end"
        nameless_till.clock.advance(3601)
    assert 20 < checks < 30, "for most of a day, in which name servers come back"
    (stored,) = await nameless_till.notices_of(order)
    assert (stored["state"], stored["flags"]) == ("REJECTED", ["foreign-source"])
    assert nameless_till.payfast.asked == 0
    assert await nameless_till.is_untouched(order)


async def test_source_that_can_be_looked_up_again_is_judged_by_what_it_is(
    nameless_till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name servers were out for an hour: the customer's payment counts, and nobody had to mend anything."""
    order, sources = await nameless_till.order(), nameless_till.services.payfast_sources
    assert (await nameless_till.receive(await nameless_till.paid(order)))[0] == "UNVERIFIED"

    async def answer(_: str) -> list[str]:
        return [PAYFAST]

    monkeypatch.setattr(sources, "_resolve", answer)
    nameless_till.clock.advance(31)
    assert await nameless_till.services.payment_notices.judge_due() == 1
    assert len(await nameless_till.events_of(order)) == 1


async def test_notice_that_cannot_be_judged_holds_up_no_other(own_till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours in one of them must not keep a hundred customers waiting for what they paid."""
    orders, notices = [await own_till.order() for _ in range(3)], own_till.services.payment_notices
    for order in orders:
        await notices.receive(await own_till.paid(order), PAYFAST)
    judge, failed = PaymentNotices.judge, list[str]()

    async def fails_once(service: PaymentNotices, notice: PaymentNotice, itn: Itn) -> PaymentNotice:
        if not failed:
            failed.append(notice.sha256)
            raise RuntimeError("nobody foresaw this")
        return await judge(service, notice, itn)

    own_till.clock.advance(31)
    with monkeypatch.context() as patched:
        patched.setattr(PaymentNotices, "judge", fails_once)
        assert await notices.judge_due() == 2
    assert await notices.judge_due() == 1


async def test_sweep_ends_at_the_first_sign_of_an_outage(own_till: Till) -> None:
    """Each of the others would wait for the same time-out, and the loop would tell nobody that something is out."""
    notices = own_till.services.payment_notices
    for _ in range(2):
        await notices.receive(await own_till.paid(await own_till.order()), PAYFAST)
    own_till.clock.advance(31)
    await own_till.aws.inject("dynamodb", operation="TransactWriteItems")
    with pytest.raises(Unavailable):
        await notices.judge_due()
    assert own_till.payfast.asked == 1
    await own_till.aws.heal()
    assert await notices.judge_due() == 2


@pytest.mark.parametrize("answer", ["VALID", "INVALID", "unreachable"])
async def test_notice_that_another_judges_at_this_moment_is_judged_once(till: Till, answer: str) -> None:
    """Gateway and housekeeping are at it together: the slower one's judgement changes nothing, and is no error."""
    order, notices = await till.order(), till.services.payment_notices
    raw_body = await till.paid(order)
    received = await notices.receive(raw_body, PAYFAST)
    assert received.itn is not None
    itn = received.itn

    async def judged_by_another() -> None:
        await till.payfast.behave()
        assert (await notices.judge(received.notice, itn)).state == "VERIFIED"

    await till.payfast.behave(**({} if answer == "VALID" else {"validate": answer}))
    with meanwhile(judged_by_another):
        await notices.judge(received.notice, itn)
    (stored,) = await till.notices_of(order)
    assert (stored["state"], "dueKey" in stored) == ("VERIFIED", False)
    assert len(await till.events_of(order)) == 1


async def test_notice_that_another_opens_at_this_moment_is_left_to_it(till: Till) -> None:
    """PayFast's repeats come to two gateways: one opens the refused notice again and judges it, the other says 200."""
    order, notices = await till.order(), till.services.payment_notices
    raw_body = await till.paid(order)
    assert (await till.receive(raw_body, STRANGER))[0] == "REJECTED"

    def opens(write: Write) -> bool:
        return isinstance(write, Update)

    with meanwhile(lambda: till.receive(raw_body), before=opens):
        late = await notices.receive(raw_body, PAYFAST)
    assert late.itn is None, "nobody need judge it"
    (stored,) = await till.notices_of(order)
    assert stored["state"] == "VERIFIED"
    assert len(await till.events_of(order)) == 1


async def test_what_was_refused_is_refused_again_and_nothing_more(till: Till) -> None:
    """Whoever floods us repeats themselves: no error, no second item, and no second chance from the same address."""
    order, notices = await till.order(), till.services.payment_notices
    genuine = await till.paid(order)
    forged = signed(dict(parse_itn(genuine).fields), "a guess")
    first = await till.judged(forged)
    for _ in range(2):
        assert await till.receive(forged) == ("REJECTED", "the signature does not match")
        assert (await till.receive(genuine, STRANGER))[0] == "REJECTED"
    again = await notices.receive(genuine, STRANGER)
    assert again.itn is None, "the same stranger opens nothing"
    today = await till.items("orders", f"ITN#{iso(first.received_at)[:10]}")
    (kept,) = (item for item in today if item["sha256"] == first.sha256)
    assert kept["expiresAt"] == int(first.received_at.timestamp()) + 30 * 86_400


async def test_charges_of_a_subscription_are_payments_of_their_own(till: Till) -> None:
    """Some notices name no payment: token and day say which charge it is, and each counts once."""
    order = await till.order()
    raw_body = await till.paid(order)
    charge = {"pf_payment_id": "", "token": new_id()}
    for day in ("2026-12-01", "2027-01-01"):
        first = till.payfast.rewritten(raw_body, **charge, billing_date=day)
        assert (await till.receive(first))[0] == "VERIFIED"
        assert (await till.receive(till.payfast.rewritten(first, new_field="1")))[0] == "DUPLICATE"
    other = till.payfast.rewritten(raw_body, pf_payment_id="", token=new_id(), billing_date="2027-01-01")
    assert (await till.receive(other))[0] == "VERIFIED"
    assert len(await till.events_of(order)) == 3


async def test_repeat_of_an_unverified_notice_is_judged_at_once(till: Till) -> None:
    """PayFast's own repeat is as good an occasion as the sweeper's turn."""
    order = await till.order()
    raw_body = await till.paid(order, validate="unreachable")
    assert (await till.receive(raw_body))[0] == "UNVERIFIED"
    await till.payfast.behave()
    assert (await till.receive(raw_body))[0] == "VERIFIED"
    assert len(await till.events_of(order)) == 1


async def test_crash_after_storing_is_taken_up(own_till: Till) -> None:
    """The process dies while it asks PayFast: the notice stands as RECEIVED, and the sweeper judges it once."""
    order = await own_till.order()
    raw_body = await own_till.paid(order, validate="slow")
    dying = asyncio.create_task(own_till.receive(raw_body))
    await eventually(lambda: own_till.payfast.asked, what="PayFast is being asked")
    dying.cancel()
    (notice,) = await own_till.notices_of(order)
    assert notice["state"] == "RECEIVED"
    await own_till.payfast.behave()
    assert await own_till.services.payment_notices.judge_due() == 0, "the process may still be at it"
    own_till.clock.advance(31)
    assert await own_till.services.payment_notices.judge_due() == 1
    assert len(await own_till.events_of(order)) == 1


async def test_what_is_not_stored_is_not_accepted(own_till: Till) -> None:
    """Unavailable becomes 503, and PayFast sends the notice again: a 200 would lose the payment."""
    order = await own_till.order()
    raw_body = await own_till.paid(order)
    await own_till.aws.inject("dynamodb")
    with pytest.raises(Unavailable):
        await own_till.receive(raw_body)
    await own_till.aws.heal()
    assert await own_till.notices_of(order) == []
    assert await own_till.receive(raw_body) == ("VERIFIED", None)


async def test_event_bus_outage_loses_no_event(own_till: Till) -> None:
    """The notice is VERIFIED and answered 200; its event waits in the outbox for housekeeping (C-25)."""
    order = await own_till.order()
    raw_body = await own_till.paid(order)
    await own_till.aws.inject("events")
    assert await own_till.receive(raw_body) == ("VERIFIED", None)
    await own_till.aws.heal()
    assert await own_till.events_of(order) == []
    own_till.clock.advance(11)
    assert await own_till.services.outbox.sweep() == 1
    assert await own_till.services.outbox.sweep() == 0
    assert len(await own_till.events_of(order)) == 1
