"""`subscriber` and `publisher`, for brokers and routers alike."""

from collections.abc import Sequence
from typing import Any, cast

from fast_depends.dependencies import Dependant
from faststream import AckPolicy
from faststream.exceptions import SetupError
from typing_extensions import override

from .._internal import EMPTY, BrokerMiddleware, CodecProto, CustomCallable, Registrator
from ..backoff import Backoff
from ..message import ReceivedMessage
from ..parser import UnwrapSNS
from ..publisher.factory import create_publisher
from ..publisher.usecase import SQSPublisher
from ..schemas import SNSTopic, SQSQueue, as_queue
from ..subscriber.factory import create_subscriber
from ..subscriber.usecase import SQSSubscriber
from .config import SQSBrokerConfig

DEFAULT_RETRY = Backoff.exponential(base=1, cap=900, jitter=True)


class SQSRegistrator(Registrator[ReceivedMessage, SQSBrokerConfig]):
    @override
    def subscriber(  # type: ignore[override]
        self,
        queue: SQSQueue | str,
        *,
        max_workers: int = 1,
        batch: bool = False,
        batch_size: int = 10,
        wait_time: int = 20,
        pollers: int | None = None,
        prefetch: float = 1.0,
        visibility_timeout: int | None = None,
        heartbeat: bool = True,
        retry: Backoff = DEFAULT_RETRY,
        unwrap_sns: UnwrapSNS = "auto",
        attempts: int | None = None,
        ack_policy: AckPolicy = EMPTY,
        no_reply: bool = False,
        dependencies: Sequence[Dependant] = (),
        parser: CustomCallable | None = None,
        decoder: CustomCallable | None = None,
        codec: CodecProto | None = None,
        persistent: bool = True,
        title: str | None = None,
        description: str | None = None,
        include_in_schema: bool = True,
    ) -> SQSSubscriber:
        """Subscribe a handler to a queue; all times in seconds.

        Args:
            queue: Name, URL or ARN, or an SQSQueue.
            max_workers: Handlers that may run at the same time.
            batch: The handler gets a list of messages, up to `batch_size`; what failed comes again one by one.
            batch_size: Messages asked for in one receive, at most; of a standard queue never more than workers are
                free and `prefetch` allows.
            wait_time: How long one receive waits for a message, up to 20.
            pollers: Receives at the same time while each is full, workers have nothing to do and the event loop has
                time; an empty queue is polled by one. None: up to four, of a FIFO queue one.
            prefetch: Work held here beyond what the workers have, measured in the time that handlers take; up to 10,
                and never more than 100 messages or 4 MiB.
            visibility_timeout: Of received messages; None takes the queue's own.
            heartbeat: Extend messages in work at half of their visibility timeout, up to 12 hours.
            retry: When a failed message is visible again.
            unwrap_sns: Take messages out of SNS's envelope: "auto" where there is one, True insists, False never.
            attempts: A failure at this receive count moves the message to the dead letters; None takes the queue's
                maxReceiveCount.
            ack_policy: What becomes of failed messages; NACK_ON_ERROR when neither broker nor router says otherwise.
            no_reply: Do not publish the handler's answer to the message's `reply_to`.
            dependencies: FastDepends dependencies of all handlers.
            parser: Replaces or wraps the parser.
            decoder: Replaces or wraps the decoder.
            codec: Replaces encoding and decoding.
            persistent: Keep the subscriber although nobody else refers to it.
            title: AsyncAPI title.
            description: AsyncAPI description.
            include_in_schema: Show it in the AsyncAPI document.
        """
        subscriber = create_subscriber(
            queue=as_queue(queue),
            max_workers=max_workers,
            batch=batch,
            batch_size=batch_size,
            wait_time=wait_time,
            pollers=pollers,
            prefetch=prefetch,
            visibility_timeout=visibility_timeout,
            heartbeat=heartbeat,
            retry=retry,
            unwrap_sns=unwrap_sns,
            attempts=attempts,
            ack_policy=ack_policy,
            no_reply=no_reply,
            config=cast("SQSBrokerConfig", self.config),
            title=title,
            description=description,
            include_in_schema=include_in_schema,
        )
        super().subscriber(subscriber, persistent=persistent)
        subscriber.add_call(
            parser_=parser or self._parser,
            decoder_=decoder or self._decoder,
            codec_=codec,
            dependencies_=dependencies,
        )
        return subscriber

    @override
    def publisher(  # type: ignore[override]
        self,
        queue: SQSQueue | SNSTopic | str | None = None,
        *,
        topic: SNSTopic | str | None = None,
        headers: dict[str, Any] | None = None,
        reply_to: str = "",
        group_id: str | None = None,
        batch: bool = False,
        persistent: bool = True,
        title: str | None = None,
        description: str | None = None,
        schema: Any | None = None,
        include_in_schema: bool = True,
    ) -> SQSPublisher:
        """Publish what a handler returns, or publish by hand, to one queue or one topic.

        Args:
            queue: Name, URL or ARN, or an SQSQueue; an SNSTopic works as well.
            topic: Name or ARN, or an SNSTopic.
            headers: Sent with every message; headers of a message win.
            reply_to: Queue that the consumer's answer goes to.
            group_id: FIFO or fair-queue group of every message.
            batch: The handler returns a sequence; each element is a message.
            persistent: Keep the publisher although nobody else refers to it.
            title: AsyncAPI title.
            description: AsyncAPI description.
            schema: AsyncAPI type of the message, where the handler's return type does not tell.
            include_in_schema: Show it in the AsyncAPI document.
        """
        publisher = create_publisher(
            queue=queue,
            topic=topic,
            headers=headers,
            reply_to=reply_to,
            group_id=group_id,
            batch=batch,
            config=cast("SQSBrokerConfig", self.config),
            title=title,
            description=description,
            schema=schema,
            include_in_schema=include_in_schema,
        )
        super().publisher(publisher, persistent=persistent)
        return publisher

    @override
    def include_router(
        self,
        router: "Registrator[ReceivedMessage, Any]",
        *,
        prefix: str = "",
        dependencies: Sequence[Dependant] = (),
        middlewares: Sequence[BrokerMiddleware[ReceivedMessage]] = (),
        include_in_schema: bool | None = None,
    ) -> None:
        """Serve the subscribers and publishers of a router as well."""
        if not isinstance(router, SQSRegistrator):
            raise SetupError(f"SQSBroker includes SQSRouter, not {type(router).__name__}")
        super().include_router(
            router,
            prefix=prefix,
            dependencies=dependencies,
            middlewares=middlewares,
            include_in_schema=include_in_schema,
        )
