"""CloudEvents 1.0 in structured JSON, with BBWS's extension attributes.

`dataschema` names the version of `data`: urn:bbws:event:{type}:{version}. A published version never changes
incompatibly; golden samples under tests/contracts/ hold that. It may grow: producers are deployed before their
consumers or after them, so a reader leaves out the fields that it does not know, wherever in the event they are.
"""

import logging
from typing import Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from bbws.shared.contracts.base import Contract, Timestamp, Uuid
from bbws.shared.ids import new_id

# EventBridge refuses entries above 256 KB, SNS messages above 256 KiB; the smaller one counts.
MAX_EVENT_BYTES = 256_000
# More than any release adds; names come from outside and must not fill log or memory.
_MAX_TOLD, _MAX_NAME_CHARS = 100, 200
_told: set[tuple[str, str]] = set()

log = logging.getLogger(__name__)


class Envelope(BaseModel):
    """CloudEvents attributes are lower-case by that specification; `data` is camelCase like all of BBWS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1
    SOURCE: ClassVar[str]

    specversion: Literal["1.0"] = "1.0"
    id: Uuid
    source: str
    type: str
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str
    tenantid: Uuid
    correlationid: Annotated[str, Field(min_length=1, max_length=128)]
    causationid: str | None = None
    traceparent: str | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _leave_out_unknown(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Contracts inside an event refuse unknown fields elsewhere: what is read first, strictly, is read again
        without them only where there are any."""
        try:
            return handler(value)
        except ValidationError as error:
            unknown = _unknown_fields(error)
            if not unknown:
                raise
        event = cls.model_validate(value, extra="ignore")
        _tell_once(cls.TYPE, unknown)
        return event

    @classmethod
    def schema_urn(cls) -> str:
        return f"urn:bbws:event:{cls.TYPE}:{cls.VERSION}"

    @classmethod
    def of(
        cls,
        data: Contract,
        *,
        tenant_id: str,
        time: Timestamp,
        correlation_id: str,
        event_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> Self:
        """A new event; give `event_id` where a repeat must make the same one."""
        return cls.model_validate(
            {
                "id": event_id or new_id(),
                "source": cls.SOURCE,
                "type": cls.TYPE,
                "time": time,
                "dataschema": cls.schema_urn(),
                "tenantid": tenant_id,
                "correlationid": correlation_id,
                "causationid": causation_id,
                "traceparent": traceparent,
                "data": data,
            }
        )

    def to_json(self) -> bytes:
        return orjson.dumps(self.model_dump(mode="json", exclude_none=True))


def _unknown_fields(error: ValidationError) -> list[str]:
    """`data.order.items.*.colour`: one name, however many items have it."""
    found = [entry["loc"] for entry in error.errors(include_input=False) if entry["type"] == "extra_forbidden"]
    return [".".join("*" if isinstance(step, int) else step for step in location) for location in found]


def _tell_once(event_type: str, fields: list[str]) -> None:
    for field in fields:
        told = (event_type, field[:_MAX_NAME_CHARS])
        if told in _told or len(_told) >= _MAX_TOLD:
            continue
        _told.add(told)
        extra = {"event_type": event_type, "field": told[1]}
        last = "; this process tells of no others" if len(_told) == _MAX_TOLD else ""
        log.warning("event has a field that this version does not know%s", last, extra=extra)
