"""Notices that cannot be decided at once, or are decided twice: asked again, taken up after a crash, counted once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bbws.shared.clock import iso
from bbws.shared.contracts.sales.payment_notices import PaymentNotice
from bbws.shared.dynamo.database import Update, Write
from bbws.shared.errors import Unavailable
from bbws.shared.integrations import payfast_sources
from bbws.shared.integrations.payfast import Itn, parse_itn
from bbws.shared.sales.repositories.payment_notices import PaymentNoticeRepository
from bbws.shared.sales.services.payment_notices import PaymentNotices
from tests.support.emulator import Target
from tests.support.meanwhile import meanwhile
from tests.support.payfast import PASSPHRASE, signed
from tests.support.system import provisioned_account
from tests.support.till import PAYFAST, STRANGER, Till, open_till
from tests.support.waiting import eventually


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
    async with open_till(aws, payfast_source_ranges="", payfast_source_hosts="payfast.example") as opened:
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
