"""Times of several modules that make sense only together."""

from bbws.shared.core import idempotency
from bbws.shared.integrations.aws import CONNECT_TIMEOUT_S, MAIL_TIMEOUT_S, READ_TIMEOUT_S
from bbws.shared.integrations.payfast_sources import RESOLVE_TIMEOUT_S
from bbws.shared.settings import Settings
from bbws.shared.tenancy.services import confirmations, registrations, staff, tenant_records
from bbws.shared.topology import Topology

SETTINGS = Settings()


def test_a_mails_lease_outlasts_its_sending_and_ends_before_its_message_comes_back() -> None:
    """Shorter, a slow SES is asked twice; longer, the message comes back to a mail that nobody may send yet."""
    queues = Topology.for_settings(SETTINGS).queues
    mailing = [queue.visibility_timeout_s for queue in queues if queue.consumer == "notify"]
    assert CONNECT_TIMEOUT_S + MAIL_TIMEOUT_S < SETTINGS.mail_lease_s < min(mailing)


def test_a_notice_is_taken_up_after_whoever_received_it_has_given_up() -> None:
    """Earlier, the sweep asks PayFast beside the gateway that still waits for its answer."""
    assert SETTINGS.payfast_validate_timeout_s + RESOLVE_TIMEOUT_S < SETTINGS.itn_check_after_s


def test_a_lease_outlasts_the_calls_that_are_made_under_it() -> None:
    """Whoever comes after a lease takes its holder for dead; a slow one of AWS's answers is no death."""
    assert confirmations.LEASE.total_seconds() > confirmations.POOL_WITHIN_S
    for lease in (idempotency.LEASE, staff.APPLIED_WITHIN, tenant_records.LEASE):
        assert lease.total_seconds() > CONNECT_TIMEOUT_S + READ_TIMEOUT_S


def test_what_is_remembered_outlasts_what_could_undo_it() -> None:
    """A used link is forgotten after the last one that it ended, a mail after the last repeat of its message."""
    longest_in_a_queue_s = 14 * 86_400
    assert registrations.MAIL_KEPT.total_seconds() > longest_in_a_queue_s
    assert idempotency.KEPT > idempotency.LEASE
