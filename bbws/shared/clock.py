"""Time as a parameter: services take a `Clock`, tests give one that they move."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]

# Campaign dates, invoice dates and VAT rates are South African calendar days, wherever the process runs.
BUSINESS_ZONE = ZoneInfo("Africa/Johannesburg")


def utc_now() -> datetime:
    return datetime.now(UTC)


def business_date(moment: datetime) -> date:
    """The South African calendar day on which `moment` falls."""
    return moment.astimezone(BUSINESS_ZONE).date()


# An order and its lines say one moment several times.
@lru_cache(maxsize=1024)
def iso(moment: datetime) -> str:
    """`2026-11-21T19:30:00.123Z`: always UTC and of one width, so that the texts sort as the moments do."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
