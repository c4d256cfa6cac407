"""Ids sort by time, derived ids repeat, and days are South African."""

from datetime import UTC, date, datetime
from uuid import RFC_4122, UUID

import pytest

from bbws.shared.clock import business_date, utc_now
from bbws.shared.ids import derived_id, new_id


def test_an_id_is_a_uuid_of_version_seven() -> None:
    """RFC 9562: version and variant bits stand where every UUID library looks for them."""
    for made in (UUID(new_id()) for _ in range(100)):
        assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sort keys hold ids: `newest first` of an order list is the order of their ids."""
    moments = [1, 2**20, 1_700_000_000_000, 1_700_000_000_001, 2**47]
    made = []
    for milliseconds in moments:
        monkeypatch.setattr("time.time_ns", lambda milliseconds=milliseconds: milliseconds * 1_000_000)
        made.append(new_id())
    assert made == sorted(made)
    assert [UUID(each).int >> 80 for each in made] == moments


def test_no_two_ids_of_one_moment_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy gateway makes many within a millisecond."""
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_derived_ids_repeat_and_keep_their_parts_apart() -> None:
    """A message that comes again must make the same id, and (`ab`, `c`) is not (`a`, `bc`)."""
    assert derived_id("order", "1") == derived_id("order", "1")
    assert len({derived_id("ab", "c"), derived_id("a", "bc"), derived_id("abc")}) == 3


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 30, 21, 59, 59, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 30, 22, 0, tzinfo=UTC), date(2026, 12, 1)),
    ],
)
def test_a_business_day_begins_at_midnight_in_johannesburg(moment: datetime, day: date) -> None:
    """A campaign that ends on 30 November ends two hours before UTC's."""
    assert business_date(moment) == day


def test_now_is_in_utc() -> None:
    """A time without zone would be compared with those that have one, and fail at night."""
    assert utc_now().tzinfo is UTC
