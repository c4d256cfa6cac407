"""The EventBridge bus `bbws-events-{env}`: events go in, rules take them to the topics."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bbws.shared.aws_errors import cause, reaching
from bbws.shared.contracts.envelope import Envelope
from bbws.shared.errors import Unavailable


class EventBus:
    def __init__(self, client: Callable[[], Awaitable[Any]], name: str) -> None:
        self._client = client
        self._name = name

    async def publish(self, event: Envelope, body: bytes) -> None:
        """The bus has the event. Raises Unavailable when it may be tried again."""
        entry = {
            "EventBusName": self._name,
            "Source": event.source,
            "DetailType": event.type,
            "Time": event.time,
            "Detail": body.decode(),
        }
        with reaching("events"):
            answer = await (await self._client()).put_events(Entries=[entry])
        _raise_failed(answer["Entries"])

    async def ping(self) -> None:
        """Raises Unavailable unless the bus exists and answers."""
        try:
            await (await self._client()).describe_event_bus(Name=self._name)
        except Exception as error:
            raise Unavailable("events", cause(error)) from error


def _raise_failed(entries: Sequence[dict[str, Any]]) -> None:
    for entry in entries:
        if entry.get("ErrorCode"):
            raise Unavailable("events", f"{entry['ErrorCode']}: {entry.get('ErrorMessage', '')}")
