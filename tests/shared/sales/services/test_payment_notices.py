"""ITNs: what PayFast really said of a payment counts once, what anybody else says changes nothing (C-29)."""

import asyncio
from typing import Any

import pytest

from bbws.shared.clock import iso
from bbws.shared.ids import new_id
from bbws.shared.integrations.payfast import parse_itn
from tests.support.emulator import Aws
from tests.support.payfast import signed
from tests.support.till import PAYFAST, STRANGER, Till, open_till


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
    async with open_till(shared_aws, payfast_source_check="flag") as till:
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
