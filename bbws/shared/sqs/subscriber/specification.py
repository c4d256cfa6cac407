"""A subscriber in the AsyncAPI document."""

from faststream.specification.asyncapi.utils import resolve_payloads
from faststream.specification.schema import Message, Operation, SubscriberSpec
from typing_extensions import override

from .._internal import SubscriberSpecification
from ..bindings import queue_binding
from ..broker.config import SQSBrokerConfig
from ..schemas import prefixed, short_name
from .config import SQSSubscriberSpecificationConfig


class SQSSubscriberSpecification(SubscriberSpecification[SQSBrokerConfig, SQSSubscriberSpecificationConfig]):
    @property
    def queue_name(self) -> str:
        """The queue's name without the account and region of a URL or ARN."""
        return short_name(prefixed(self.config.queue.name, self._outer_config.prefix))

    @property
    @override
    def channel_labels(self) -> list[str]:
        return [self.queue_name]

    @override
    def get_schema(self) -> dict[str, SubscriberSpec]:
        message = Message(title=f"{self.name}:Message", payload=resolve_payloads(self.get_payloads()))
        return {
            self.name: SubscriberSpec(
                address=self.queue_name,
                description=self.description,
                operation=Operation(message=message, bindings=None),
                bindings=queue_binding(self.config.queue, self._outer_config.prefix),
            )
        }
