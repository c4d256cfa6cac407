"""What commands print of things, for people and for programs: each fact in its own place."""

from datetime import UTC, datetime

from bbws.commands.audit import _document, _lines_of
from bbws.commands.dead_letters import document_of, lines_of
from bbws.commands.payments import verify_itn
from bbws.commands.users import line_of
from bbws.shared.contracts.tenancy.users import StaffMember, UserAssignment
from bbws.shared.ids import new_id
from bbws.shared.operating.dead_letter_queues import Summary
from bbws.shared.tenancy.rules.audit_chain import AuditReport, Finding
from tests.support.builders import PLACED_AT
from tests.support.payfast import signed


def test_a_report_of_a_trail_tells_each_count_by_its_name() -> None:
    """An anchor is copied from here, and an alarm counts what is not sealed."""
    report = AuditReport("platform", 7, 5, "a" * 64, 2, [Finding("REMOVED", "entry 3\nis removed", 3)])
    assert _document(report) == {
        "trail": "platform",
        "holds": False,
        "entries": 7,
        "sealedUpTo": 5,
        "headHash": "a" * 64,
        "notSealed": 2,
        "findings": [{"kind": "REMOVED", "sequence": 3, "text": "entry 3\nis removed"}],
    }
    assert _lines_of(report) == [
        f"platform: 7 entries, sealed up to 5:{'a' * 64}, 2 not sealed yet",
        "  REMOVED         entry 3\\x0ais removed",
    ]


def test_a_queue_of_dead_letters_tells_reason_and_contract_apart() -> None:
    """A deployment that writes another version shows in the contract, a broken customer in the reason."""
    at = datetime(2026, 11, 21, 17, 30, tzinfo=UTC)
    full = Summary("order-pdf-dlq", 3, at, [(("Conflict: one", "urn:1"), 2), (("Conflict: two", "urn:2"), 1)])
    empty = Summary("order-record-dlq", 0, None, [])
    assert document_of(full) == {
        "queue": "order-pdf-dlq",
        "depth": 3,
        "oldest": "2026-11-21T17:30:00+00:00",
        "byReason": [
            {"reason": "Conflict: one", "contract": "urn:1", "count": 2},
            {"reason": "Conflict: two", "contract": "urn:2", "count": 1},
        ],
    }
    assert document_of(empty) == {"queue": "order-record-dlq", "depth": 0, "oldest": None, "byReason": []}
    assert [line.split(maxsplit=1) for line in lines_of([full, empty])] == [
        ["order-pdf-dlq", "3, oldest from 2026-11-21 17:30 UTC"],
        ["2", "urn:1: Conflict: one"],
        ["1", "urn:2: Conflict: two"],
        ["order-record-dlq", "0"],
    ]


def test_a_user_is_told_by_address_role_and_ids() -> None:
    """Two ids on one line: what is copied into the next command must be the right one."""
    record = {"date_created": PLACED_AT, "date_last_updated": PLACED_AT, "last_updated_by": "cli:naledi"}
    user_id, tenant_id, email = new_id(), new_id(), "sipho@protea.example"
    user = UserAssignment(tenant_id=tenant_id, user_id=user_id, email=email, role="OWNER", **record)
    assert line_of(user).split() == [email, "OWNER", user_id, "tenant", tenant_id]
    member = StaffMember(user_id=user_id, email=email, roles=("ADMIN", "OPERATOR"), **record)
    assert line_of(member).split() == [email, "ADMIN,", "OPERATOR", user_id]
    assert line_of(member.replace(roles=())).split() == [email, "no", "role", user_id]


def test_a_missing_passphrase_is_hinted_at_where_it_may_be_the_cause() -> None:
    """Most notices that do not hold were asked about without the account's passphrase."""
    body = signed({"m_payment_id": "order-1", "payment_status": "COMPLETE"}, passphrase="of the account")
    hint = "no passphrase was given: --passphrase, where the account has one"
    for passphrase, hinted in ((None, True), ("another", False), ("of the account", False)):
        assert (hint in verify_itn(body, passphrase)[1]) is hinted, passphrase
