"""A publisher in the AsyncAPI document."""

from dataclasses import dataclass

from faststream.specification.asyncapi.utils import resolve_payloads
from faststream.specification.schema import Message, Operation, PublisherSpec
from faststream.specification.schema.bindings import ChannelBinding, OperationBinding
from faststream.specification.schema.bindings import sqs as bindings
from typing_extensions import override

from .._internal import PublisherSpecification, PublisherSpecificationConfig
from ..broker.config import SQSBrokerConfig
from ..schemas import Destination, prefixed, short_name


@dataclass(kw_only=True)
class SQSPublisherSpecificationConfig(PublisherSpecificationConfig):
    to: Destination


class SQSPublisherSpecification(PublisherSpecification[SQSBrokerConfig, SQSPublisherSpecificationConfig]):
    @property
    def destination(self) -> str:
        """Name of queue or topic without the account and region of a URL or ARN."""
        return short_name(prefixed(self.config.to.name, self._outer_config.prefix))

    @property
    @override
    def name(self) -> str:
        return self.config.title_ or f"{self.destination}:Publisher"

    @override
    def get_schema(self) -> dict[str, PublisherSpec]:
        message = Message(title=f"{self.name}:Message", payload=resolve_payloads(self.get_payloads(), "Publisher"))
        # AsyncAPI in FastStream knows no binding for SNS: a topic has its address alone.
        to_queue = not self.config.to.is_topic
        queue = {"name": self.destination, "fifoQueue": self.destination.endswith(".fifo")}
        return {
            self.name: PublisherSpec(
                address=self.destination,
                description=self.config.description_,
                operation=Operation(
                    message=message,
                    bindings=OperationBinding(sqs=bindings.OperationBinding()) if to_queue else None,
                ),
                bindings=ChannelBinding(sqs=bindings.ChannelBinding(queue=queue)) if to_queue else None,
            )
        }
