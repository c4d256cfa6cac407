"""The broker: connection, publishing, start and stop."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from fast_depends import Provider, dependency_provider
from fast_depends.dependencies import Dependant
from fast_depends.library.serializer import SerializerProto
from faststream import AckPolicy
from faststream.exceptions import SetupError
from faststream.message import gen_cor_id
from faststream.response import PublishType
from faststream.security import BaseSecurity
from faststream.specification.schema import BrokerSpec, Tag, TagDict
from typing_extensions import override

from .._internal import (
    EMPTY,
    BrokerMiddleware,
    BrokerUsecase,
    CodecProto,
    ContextRepo,
    CustomCallable,
    FastDependsConfig,
    IdGenerator,
    LoggerProto,
    SendableMessage,
    UnderlyingDriverAnnotations,
)
from ..client import AWS_ERRORS, Client
from ..connection import ClientName, Connection
from ..declare import Declarer
from ..message import ReceivedMessage, SQSMessage
from ..payloads import PayloadBucket, Payloads
from ..producer import SQSProducer
from ..publisher.usecase import SQSPublisher
from ..response import SQSPublishCommand, SQSResponse, bodies_of
from ..schemas import Destination, SNSTopic, SQSQueue, as_queue
from ..security import credentials_of
from ..subscriber.usecase import SQSSubscriber
from .config import SQSBrokerConfig
from .logging import make_sqs_logger_state
from .registrator import SQSRegistrator

_PING_TIMEOUT_S = 5.0
# Beside the handlers' own publishes each subscriber deletes, returns, extends and copies dead letters.
_CALLS_PER_SUBSCRIBER = 4
_CALLS_OF_THE_BROKER = 10
_AWS_URL = "https://sqs.amazonaws.com"


class SQSBroker(SQSRegistrator, BrokerUsecase[ReceivedMessage, Client, SQSBrokerConfig]):
    """SQS and SNS for FastStream; without arguments it takes everything from AWS's default chain."""

    def __init__(
        self,
        endpoint_url: str | None = None,
        *,
        client: ClientName = "fast",
        region_name: str | None = None,
        session: AioSession | None = None,
        client_config: AioConfig | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        declare: bool = False,
        reply_queue: SQSQueue | str | None = None,
        payload_bucket: PayloadBucket | str | None = None,
        graceful_timeout: float | None = 15.0,
        ack_policy: AckPolicy = EMPTY,
        parser: CustomCallable | None = None,
        decoder: CustomCallable | None = None,
        codec: CodecProto | None = None,
        dependencies: Sequence[Dependant] = (),
        middlewares: Sequence[BrokerMiddleware[Any, Any]] = (),
        routers: Iterable[SQSRegistrator] = (),
        id_generator: IdGenerator = gen_cor_id,
        security: BaseSecurity | None = None,
        specification_url: str | None = None,
        protocol: str = "sqs",
        protocol_version: str | None = None,
        description: str | None = None,
        tags: Iterable[Tag | TagDict] = (),
        logger: LoggerProto | None = EMPTY,
        log_level: int = logging.INFO,
        apply_types: bool = True,
        serializer: SerializerProto | None = EMPTY,
        provider: Provider | None = None,
        context: ContextRepo | None = None,
        underlying_driver_annotations: UnderlyingDriverAnnotations | None = None,
    ) -> None:
        """Nothing is opened before `connect`.

        Args:
            endpoint_url: Of an emulator; for SQS, SNS and STS alike.
            client: "fast" makes SQS's hot calls itself; "botocore" leaves all to aiobotocore.
            region_name: None takes profile, AWS_DEFAULT_REGION or AWS_REGION.
            session: An aiobotocore session with credentials of its own.
            client_config: Wins over this package's transport settings where both say something.
            aws_access_key_id: None takes the default chain.
            aws_secret_access_key: None takes the default chain.
            aws_session_token: None takes the default chain.
            declare: Create queues, dead-letter queues, topics, subscriptions and queue policies at start.
            reply_queue: Where answers to `request` arrive; a standard queue, best one for each process.
            payload_bucket: For bodies over the limit, in the format of AWS's Extended Client libraries.
            graceful_timeout: Seconds that handlers get at stop; None or 0 cuts them off at once.
            ack_policy: Of subscribers that have none; NACK_ON_ERROR unless given.
            parser: Replaces or wraps the parser of all subscribers.
            decoder: Replaces or wraps the decoder of all subscribers.
            codec: Replaces encoding and decoding.
            dependencies: FastDepends dependencies of all handlers.
            middlewares: Of all subscribers and publishers.
            routers: To include.
            id_generator: Of correlation ids of published messages.
            security: SASLPlaintext(key id, secret); anything else is for the AsyncAPI document alone.
            specification_url: Server in the AsyncAPI document.
            protocol: In the AsyncAPI document.
            protocol_version: In the AsyncAPI document.
            description: In the AsyncAPI document.
            tags: In the AsyncAPI document.
            logger: None logs nothing.
            log_level: Of the lines for each message.
            apply_types: Cast and validate handler arguments.
            serializer: FastDepends serializer.
            provider: FastDepends provider.
            context: FastStream context.
            underlying_driver_annotations: More classes that FastStream explains how to inject.
        """
        self._reply_queue = None if reply_queue is None else as_queue(reply_queue)
        if self._reply_queue is not None and self._reply_queue.fifo:
            raise SetupError("answers need no order: reply_queue is a standard queue")
        producer = SQSProducer(parser=parser, decoder=decoder, reply_queue=self.reply_queue_name)
        super().__init__(
            **{
                "endpoint_url": endpoint_url,
                "client": client,
                "region_name": region_name,
                "session": session,
                "client_config": client_config,
                "aws_access_key_id": aws_access_key_id,
                "aws_secret_access_key": aws_secret_access_key,
                "aws_session_token": aws_session_token,
                **credentials_of(security),
            },
            routers=routers,
            config=SQSBrokerConfig(
                producer=producer,
                broker_middlewares=middlewares,
                broker_parser=parser,
                broker_decoder=decoder,
                broker_codec=codec,
                logger=make_sqs_logger_state(logger=logger, log_level=log_level),
                fd_config=FastDependsConfig(
                    use_fastdepends=apply_types,
                    serializer=serializer,
                    provider=provider or dependency_provider,
                    context=context or ContextRepo(),
                ),
                broker_dependencies=dependencies,
                graceful_timeout=graceful_timeout,
                ack_policy=ack_policy,
                id_generator=id_generator,
                extra_context={"broker": self},
                underlying_driver_annotations=underlying_driver_annotations or {},
            ),
            specification=BrokerSpec(
                description=description,
                url=[specification_url or endpoint_url or _AWS_URL],
                protocol=protocol,
                protocol_version=protocol_version,
                tags=tags,
                security=security,
            ),
        )
        self._declares = declare
        self.payload_bucket = PayloadBucket(payload_bucket) if isinstance(payload_bucket, str) else payload_bucket
        self._aws: Connection | None = None

    @override
    async def _connect(self) -> Client:
        connection = Connection(**self._connection_kwargs)
        client = await connection.open(max_connections=self._calls_at_once())
        self._aws = connection
        payloads = None
        if self.payload_bucket is not None:
            objects = await connection.open_s3(max_connections=self._calls_at_once())
            payloads = Payloads(self.payload_bucket, objects)
        self.config.broker_config.connect(client, payloads, declarer=Declarer(client, by_default=self._declares))
        return client

    def _calls_at_once(self) -> int:
        subscribers = [sub for sub in self.subscribers if isinstance(sub, SQSSubscriber)]
        return _CALLS_OF_THE_BROKER + sum(sub.max_workers + _CALLS_PER_SUBSCRIBER for sub in subscribers)

    @override
    async def start(self) -> None:
        """Connected, everything to declare is declared, subscribers receive."""
        await self.connect()
        # All of them before the first handler runs: it may publish to any.
        await self.config.broker_config.declare(*self.destinations())
        await super().start()

    def destinations(self) -> "list[tuple[SQSQueue | SNSTopic, str]]":
        """Queues and topics of subscribers and publishers, with the prefix each has from its routers."""
        subscribed = [(sub.queue, sub.prefix) for sub in self.subscribers if isinstance(sub, SQSSubscriber)]
        published = [(pub.target, pub.prefix) for pub in self.publishers if isinstance(pub, SQSPublisher)]
        answers = [] if self._reply_queue is None else [(self._reply_queue, "")]
        return [*subscribed, *published, *answers]

    @property
    def reply_queue_name(self) -> str | None:
        """Where answers to `request` arrive."""
        return None if self._reply_queue is None else self._reply_queue.name

    @override
    async def stop(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None:
        """No message is held, all settlements have reached SQS, connections are closed."""
        try:
            await super().stop(exc_type, exc_val, exc_tb)
        finally:
            self._connection = None
            await self.config.broker_config.producer.close()
            self.config.broker_config.disconnect()
            aws, self._aws = self._aws, None
            if aws is not None:
                await aws.close()

    @override
    async def ping(self, timeout: float | None = None) -> bool:
        """Whether every subscribed queue answers and is polled; without subscribers, whether SQS answers."""
        if self._connection is None:
            return False
        try:
            async with asyncio.timeout(timeout or _PING_TIMEOUT_S):
                return await self._answers(self._connection)
        except AWS_ERRORS:
            return False

    async def _answers(self, client: Client) -> bool:
        subscribers = [sub for sub in self.subscribers if isinstance(sub, SQSSubscriber)]
        if not subscribers:
            return await client.reachable()
        resolver = self.config.broker_config.resolver
        await asyncio.gather(*(resolver.facts(sub.queue_name) for sub in subscribers))
        return all(sub.alive for sub in subscribers)

    @override
    async def publish(
        self,
        message: SendableMessage = None,
        queue: SQSQueue | SNSTopic | str | None = None,
        *,
        topic: SNSTopic | str | None = None,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        reply_to: str = "",
        group_id: str | None = None,
        deduplication_id: str | None = None,
        delay: float | None = None,
        subject: str | None = None,
    ) -> str:
        """Sent and confirmed; the answer is SQS's or SNS's message id.

        `delay` in seconds, up to 900, for queues only; `subject` for topics only; `group_id` and `deduplication_id`
        for FIFO (`group_id` also for fair queues). Raises MessageTooLarge before anything is sent.
        """
        command = SQSPublishCommand(
            message,
            to=Destination.of(queue, topic),
            headers=headers,
            correlation_id=correlation_id or self.config.id_generator(),
            reply_to=reply_to,
            group_id=group_id,
            deduplication_id=deduplication_id,
            delay=delay,
            subject=subject,
            _publish_type=PublishType.PUBLISH,
        )
        message_id: str = await self._basic_publish(command, producer=self.config.producer)
        return message_id

    @override
    async def publish_batch(
        self,
        *messages: SendableMessage | SQSResponse,
        queue: SQSQueue | SNSTopic | str | None = None,
        topic: SNSTopic | str | None = None,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        group_id: str | None = None,
        delay: float | None = None,
    ) -> list[str]:
        """Sent in calls of up to ten messages and the size limit; the answer is their ids in order.

        A message may be an SQSResponse with headers, group, deduplication id and delay of its own. Raises
        PartialPublishError with the failed and the sent; nothing is sent a second time.
        """
        if not messages:
            return []
        first, *rest = bodies_of(messages)
        command = SQSPublishCommand(
            first,
            *rest,
            to=Destination.of(queue, topic),
            headers=headers,
            correlation_id=correlation_id or self.config.id_generator(),
            group_id=group_id,
            delay=delay,
            _publish_type=PublishType.PUBLISH,
        )
        ids: list[str] = await self._basic_publish_batch(command, producer=self.config.producer)
        return ids

    @override
    async def request(  # type: ignore[override]
        self,
        message: SendableMessage = None,
        queue: SQSQueue | SNSTopic | str | None = None,
        *,
        topic: SNSTopic | str | None = None,
        headers: dict[str, Any] | None = None,
        correlation_id: str | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        timeout: float = 30.0,
    ) -> SQSMessage:
        """What a handler answers to this message.

        Answers come by the broker's `reply_queue`; TimeoutError when none comes within `timeout` seconds, which is
        also how a failed handler shows.
        """
        command = SQSPublishCommand(
            message,
            to=Destination.of(queue, topic),
            headers=headers,
            correlation_id=correlation_id or self.config.id_generator() or gen_cor_id(),
            group_id=group_id,
            deduplication_id=deduplication_id,
            timeout=timeout,
            _publish_type=PublishType.REQUEST,
        )
        answer: SQSMessage = await self._basic_request(command, producer=self.config.producer)
        return answer
