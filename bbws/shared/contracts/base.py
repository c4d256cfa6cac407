"""What all contracts share: frozen, camelCase in JSON, nothing unknown accepted."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

from bbws.shared.clock import iso


def _to_milliseconds(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    finer = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - finer) if finer else moment


def normal_name(name: str) -> str:
    """Capitals and spaces make no other name."""
    return " ".join(name.split()).casefold()


# Milliseconds, UTC: what is stored is what was said.
Timestamp = Annotated[AwareDatetime, AfterValidator(_to_milliseconds), PlainSerializer(iso, return_type=str)]
Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Cents = Annotated[int, Field(ge=0, le=100_000_000_00, strict=True)]
# One line of text for people: no control characters and no line break of Unicode's either, so that nothing can be
# smuggled into a header or a log.
Line = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
    ),
]


class Contract(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True,
        serialize_by_alias=True,
    )  # fmt: skip

    def replace(self, **fields: object) -> Self:
        """A copy with these fields, by their Python names, validated as a whole; `model_copy` validates nothing."""
        return self.model_validate(dict(self) | fields)


class Record(Contract):
    """A stored resource: who changed it last and when, and the version that its ETag shows."""

    active: bool = True
    date_created: Timestamp
    date_last_updated: Timestamp
    last_updated_by: str
    version: Annotated[int, Field(ge=1)] = 1

    def changed(self, *, by: str, at: datetime, **fields: object) -> Self:
        """The next version, with these fields."""
        record = {"last_updated_by": by, "date_last_updated": at, "version": self.version + 1}
        return self.replace(**fields, **record)
