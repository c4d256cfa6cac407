"""A publisher in the AsyncAPI document."""

from dataclasses import dataclass

from faststream.specification.asyncapi.utils import resolve_payloads
from faststream.specification.schema import Message, Operation, PublisherSpec
from typing_extensions import override

from .._internal import PublisherSpecification, PublisherSpecificationConfig
from ..bindings import queue_binding, topic_binding
from ..broker.config import SQSBrokerConfig
from ..schemas import SNSTopic, SQSQueue, prefixed, short_name


@dataclass(kw_only=True)
class SQSPublisherSpecificationConfig(PublisherSpecificationConfig):
    target: SQSQueue | SNSTopic


class SQSPublisherSpecification(PublisherSpecification[SQSBrokerConfig, SQSPublisherSpecificationConfig]):
    @property
    def destination(self) -> str:
        """Name of queue or topic without the account and region of a URL or ARN."""
        return short_name(prefixed(self.config.target.name, self._outer_config.prefix))

    @property
    @override
    def name(self) -> str:
        return self.config.title_ or f"{self.destination}:Publisher"

    @override
    def get_schema(self) -> dict[str, PublisherSpec]:
        message = Message(title=f"{self.name}:Message", payload=resolve_payloads(self.get_payloads(), "Publisher"))
        target, prefix = self.config.target, self._outer_config.prefix
        described = topic_binding(target, prefix) if isinstance(target, SNSTopic) else queue_binding(target, prefix)
        return {
            self.name: PublisherSpec(
                address=self.destination,
                description=self.config.description_,
                operation=Operation(message=message, bindings=None),
                bindings=described,
            )
        }
