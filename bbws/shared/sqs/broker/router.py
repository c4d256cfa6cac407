"""Routers, and what is declared before there is a broker."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from fast_depends.dependencies import Dependant
from faststream import AckPolicy

from .._internal import (
    EMPTY,
    ArgsContainer,
    BrokerMiddleware,
    BrokerRouter,
    CodecProto,
    CustomCallable,
    SendableMessage,
    SubscriberRoute,
    UnderlyingDriverAnnotations,
)
from ..backoff import Backoff
from ..message import ReceivedMessage
from ..parser import UnwrapSNS
from ..schemas import SNSTopic, SQSQueue
from .config import SQSBrokerConfig
from .registrator import DEFAULT_RETRY, SQSRegistrator


class SQSPublisher(ArgsContainer):
    """Arguments of `broker.publisher`, for an SQSRoute."""

    def __init__(
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
    ) -> None:
        super().__init__(
            queue,
            topic=topic,
            headers=headers,
            reply_to=reply_to,
            group_id=group_id,
            batch=batch,
            persistent=persistent,
            title=title,
            description=description,
            schema=schema,
            include_in_schema=include_in_schema,
        )


class SQSRoute(SubscriberRoute):
    """A handler with the arguments of `broker.subscriber`, for an SQSRouter."""

    def __init__(
        self,
        call: Callable[..., SendableMessage] | Callable[..., Awaitable[SendableMessage]],
        queue: SQSQueue | str,
        *,
        publishers: Iterable[SQSPublisher] = (),
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
    ) -> None:
        super().__init__(
            call,
            queue,
            publishers=publishers,
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
            dependencies=dependencies,
            parser=parser,
            decoder=decoder,
            codec=codec,
            persistent=persistent,
            title=title,
            description=description,
            include_in_schema=include_in_schema,
        )


class SQSRouter(SQSRegistrator, BrokerRouter[ReceivedMessage, SQSBrokerConfig]):
    """Handlers to include into a broker; `prefix` goes in front of names, not of URLs and ARNs."""

    def __init__(
        self,
        prefix: str = "",
        handlers: Iterable[SQSRoute] = (),
        *,
        dependencies: Sequence[Dependant] = (),
        middlewares: Sequence[BrokerMiddleware[Any, Any]] = (),
        routers: Iterable[SQSRegistrator] = (),
        parser: CustomCallable | None = None,
        decoder: CustomCallable | None = None,
        include_in_schema: bool | None = None,
        ack_policy: AckPolicy = EMPTY,
        underlying_driver_annotations: UnderlyingDriverAnnotations | None = None,
    ) -> None:
        super().__init__(
            handlers=handlers,
            config=SQSBrokerConfig(
                prefix=prefix,
                ack_policy=ack_policy,
                broker_dependencies=dependencies,
                broker_middlewares=middlewares,
                broker_parser=parser,
                broker_decoder=decoder,
                include_in_schema=include_in_schema,
                underlying_driver_annotations=underlying_driver_annotations or {},
            ),
            routers=routers,
        )
