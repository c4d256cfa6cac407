"""The lease of a mail: one sender at a time."""

from bbws.shared.core.mail_claims import MailRepository, mail_of_order
from tests.support.market import Market, MovedClock

KIND = "order_confirmation_customer"
LEASE_S = 25


async def test_late_failure_leaves_the_lease_of_the_next_sender(shared_market: Market) -> None:
    """A sender whose failure comes after its lease has ended must not open the door for a third."""
    order, clock = await shared_market.order(), MovedClock()
    mails = MailRepository(shared_market.services.database)
    place = mail_of_order(order.tenant_id, order.id, KIND)
    leases = []
    for _ in range(2):
        now = clock()
        clock.advance(LEASE_S)
        leases.append(clock())
        assert await mails.claim(place, KIND, now=now, lease_until=leases[-1])
        clock.advance(1)
    now = leases[1].replace(microsecond=0)
    await mails.release(place, now=now, lease_until=leases[0])
    assert not await mails.claim(place, KIND, now=now, lease_until=leases[1])
    await mails.release(place, now=now, lease_until=leases[1])
    assert await mails.claim(place, KIND, now=now, lease_until=leases[1])
