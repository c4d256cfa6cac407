"""What `bbws tenants show` prints."""

from datetime import timedelta
from typing import get_args

import pytest

from bbws.commands.tenants import described
from bbws.shared.contracts.tenancy.tenants import Hold, HoldKind
from tests.support.builders import PLACED_AT, a_tenant


def _rows(text: str) -> dict[str, str]:
    """What is said, by its label."""
    return {line[:20].rstrip(): line[20:] for line in text.splitlines()}


@pytest.mark.parametrize("kind", get_args(HoldKind))
def test_each_hold_is_told_by_its_own_name(kind: HoldKind) -> None:
    """Who is asked why a customer cannot work must not mistake a wished pause for an unpaid bill."""
    hold = Hold(since=PLACED_AT, by="cli:naledi", reason=f"why {kind}")
    rows = _rows(described(a_tenant().changed(by="cli:naledi", at=PLACED_AT, **{kind: hold})))
    assert {name: rows.get(name) for name in get_args(HoldKind)} == dict.fromkeys(get_args(HoldKind)) | {
        kind: f"since 2026-11-21T17:30:00.000Z by cli:naledi: why {kind}"
    }
    assert rows["status"] == kind.upper()


def test_every_field_stands_under_its_own_name() -> None:
    """Two addresses, three moments: in the wrong row each looks right."""
    tenant = a_tenant(
        email="own@a.example", destination_email="there@a.example", organization_name="A\nB", environment="sit"
    )
    changed = tenant.changed(
        by="cli:naledi",
        at=PLACED_AT + timedelta(days=1),
        registration_status="VALIDATED",
        deleted=Hold(since=PLACED_AT, by="cli:naledi"),
        purge_at=PLACED_AT + timedelta(days=30),
    )
    assert _rows(described(changed)) == {
        "id": tenant.id,
        "organisation": "A\\x0aB",
        "e-mail": "own@a.example",
        "destination e-mail": "there@a.example",
        "environment": "sit",
        "status": "DELETED",
        "registration": "VALIDATED",
        "deleted": "since 2026-11-21T17:30:00.000Z by cli:naledi",
        "purge": "on 2026-12-21T17:30:00.000Z",
        "created": "2026-11-21T17:30:00.000Z",
        "last changed": "2026-11-22T17:30:00.000Z by cli:naledi",
        "version": "2",
    }
    purged = changed.changed(by="tenant-purges", at=PLACED_AT, purged_at=PLACED_AT + timedelta(days=31))
    rows = _rows(described(purged))
    assert (rows["purged"], "purge" in rows) == ("2026-12-22T17:30:00.000Z", False)
