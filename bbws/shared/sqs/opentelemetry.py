"""Spans and metrics; the trace context travels in the headers, through SNS as well."""

from typing import Any

from faststream.message import StreamMessage
from faststream.opentelemetry import TelemetrySettingsProvider
from faststream.opentelemetry.consts import MESSAGING_DESTINATION_PUBLISH_NAME
from faststream.opentelemetry.middleware import TelemetryMiddleware
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.semconv.trace import SpanAttributes
from opentelemetry.trace import TracerProvider
from typing_extensions import override

from .message import ReceivedMessage, body_bytes
from .response import SQSPublishCommand

__all__ = ("SQSTelemetryMiddleware",)


class SQSTelemetrySettingsProvider(TelemetrySettingsProvider[ReceivedMessage, SQSPublishCommand]):
    messaging_system = "aws_sqs"

    @override
    def get_consume_attrs_from_message(self, msg: StreamMessage[ReceivedMessage]) -> dict[str, Any]:
        return {
            SpanAttributes.MESSAGING_SYSTEM: self.messaging_system,
            SpanAttributes.MESSAGING_MESSAGE_ID: msg.message_id,
            SpanAttributes.MESSAGING_MESSAGE_CONVERSATION_ID: msg.correlation_id,
            SpanAttributes.MESSAGING_MESSAGE_PAYLOAD_SIZE_BYTES: body_bytes(msg),
            MESSAGING_DESTINATION_PUBLISH_NAME: msg.raw_message.queue,
        }

    @override
    def get_consume_destination_name(self, msg: StreamMessage[ReceivedMessage]) -> str:
        return msg.raw_message.queue

    @override
    def get_publish_attrs_from_cmd(self, cmd: SQSPublishCommand) -> dict[str, Any]:
        return {
            SpanAttributes.MESSAGING_SYSTEM: self.messaging_system,
            SpanAttributes.MESSAGING_DESTINATION_NAME: cmd.destination,
            SpanAttributes.MESSAGING_MESSAGE_CONVERSATION_ID: cmd.correlation_id,
        }

    @override
    def get_publish_destination_name(self, cmd: SQSPublishCommand) -> str:
        return cmd.destination


class SQSTelemetryMiddleware(TelemetryMiddleware[SQSPublishCommand]):
    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        meter: Meter | None = None,
        include_messages_counters: bool = True,
    ) -> None:
        super().__init__(
            settings_provider_factory=lambda _: SQSTelemetrySettingsProvider(),
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            meter=meter,
            include_messages_counters=include_messages_counters,
        )
