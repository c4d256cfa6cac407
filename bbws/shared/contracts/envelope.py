"""CloudEvents 1.0 in structured JSON, with BBWS's extension attributes.

`dataschema` names the version of `data`: urn:bbws:event:{type}:{version}. A published version never changes
incompatibly; golden samples under tests/contracts/samples/ hold that.
"""

from typing import Annotated, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

from bbws.shared.contracts.base import Contract, Timestamp, Uuid
from bbws.shared.ids import new_id

# EventBridge refuses entries above 256 KB, SNS messages above 256 KiB; the smaller one counts.
MAX_EVENT_BYTES = 256_000


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
