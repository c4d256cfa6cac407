"""Sends what is published."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from fast_depends.library.serializer import SerializerProto
from faststream.exceptions import IncorrectState, SetupError
from typing_extensions import override

from . import wire
from ._internal import CodecProto, CustomCallable, DefaultCodec, ParserComposition, ProducerProto
from .backoff import whole_seconds
from .client import AWS_ERRORS, BatchResult, Client, error_code, is_refusal
from .errors import FailedPublish, PartialPublishError, SentPublish
from .inbox import Inbox
from .message import ReceivedMessage
from .outgoing import Outgoing, chunks, headers_of_command, message_limit
from .parser import SQSParser
from .payloads import Payloads, size_attribute
from .resolver import Resolver
from .response import SQSPublishCommand, SQSResponse


class SQSProducer(ProducerProto[SQSPublishCommand]):
    """Works between `connect` and `disconnect`."""

    def __init__(
        self, *, parser: CustomCallable | None, decoder: CustomCallable | None, reply_queue: str | None = None
    ) -> None:
        default = SQSParser(payloads=lambda: self._payloads)
        self._parser = ParserComposition(parser, default.parse_message)
        self._decoder = ParserComposition(decoder, default.decode_message)
        self.codec: CodecProto = DefaultCodec()
        self._client: Client | None = None
        self._resolver: Resolver | None = None
        self._serializer: SerializerProto | None = None
        self._reply_queue = reply_queue
        self._inbox: Inbox | None = None
        self._payloads: Payloads | None = None

    def connect(
        self,
        client: Client,
        resolver: Resolver,
        serializer: SerializerProto | None,
        codec: CodecProto | None,
        payloads: Payloads | None,
    ) -> None:
        """Publish with this client from now on."""
        self._payloads = payloads
        self._client = client
        self._resolver = resolver
        self._serializer = serializer
        self.codec = codec or DefaultCodec()

    async def close(self) -> None:
        """Those who wait for an answer wait no longer."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await inbox.close()

    def disconnect(self) -> None:
        """Publishing raises IncorrectState from now on."""
        self._client = self._resolver = None

    @override
    async def publish(self, cmd: SQSPublishCommand) -> str:
        """The id of the sent message; MessageTooLarge before anything is sent."""
        client = self._connected()
        message = await self._outgoing(cmd, cmd.body)
        message.check_size(is_topic=cmd.is_topic)
        address = await self._address(cmd)
        return await (client.publish if cmd.is_topic else client.send)(address, message)

    @override
    async def publish_batch(self, cmd: SQSPublishCommand) -> list[str]:
        """The ids of the sent messages, in order; PartialPublishError when not all were confirmed."""
        messages = [await self._outgoing(cmd, body) for body in cmd.batch_bodies]
        for message in messages:
            message.check_size(is_topic=cmd.is_topic)
        if not messages:
            return []
        batch = _Batch(cmd)
        address = await self._address(cmd)
        for chunk in chunks(messages, is_topic=cmd.is_topic):
            await batch.send(self._connected(), address, chunk, [messages[index] for index in chunk])
        return batch.result()

    @override
    async def request(self, cmd: SQSPublishCommand) -> ReceivedMessage:
        """The answer of whoever handles it; TimeoutError when none comes in time."""
        answer = self._expected(cmd)
        try:
            await self.publish(cmd)
            return await self._answers().wait(answer, cmd.timeout)
        finally:
            answer.cancel()

    def _expected(self, cmd: SQSPublishCommand) -> "asyncio.Future[ReceivedMessage]":
        inbox = self._answers()
        cmd.reply_to = inbox.queue
        return inbox.expect(str(cmd.correlation_id))

    def _answers(self) -> Inbox:
        if self._reply_queue is None:
            raise SetupError("where should answers go? SQSBroker(reply_queue=...) enables request()")
        if self._inbox is None:
            assert self._resolver is not None
            self._inbox = Inbox(self._connected(), self._resolver, self._reply_queue)
        return self._inbox

    def _connected(self) -> Client:
        if self._client is None:
            raise IncorrectState("connect or start the broker first")
        return self._client

    async def _address(self, cmd: SQSPublishCommand) -> str:
        assert self._resolver is not None
        look_up = self._resolver.topic_arn if cmd.is_topic else self._resolver.queue_url
        return await look_up(cmd.destination)

    async def _outgoing(self, cmd: SQSPublishCommand, item: Any) -> Outgoing:
        _check_fields(cmd)
        own = item if isinstance(item, SQSResponse) else SQSResponse(item)
        content, content_type = await self.codec.encode(own.body, self._serializer)
        headers = headers_of_command(
            {**cmd.headers, **own.headers},
            content_type=content_type,
            correlation_id=own.correlation_id or cmd.correlation_id,
            reply_to=cmd.reply_to,
        )
        text, attributes = wire.encode(content, headers)
        delay = cmd.delay if own.delay is None else own.delay
        message = Outgoing(
            text,
            attributes,
            group_id=own.group_id or cmd.group_id,
            deduplication_id=own.deduplication_id or cmd.deduplication_id,
            delay_s=None if delay is None else whole_seconds(delay),
            subject=own.subject or cmd.subject,
        )
        if self._payloads is not None and message.size > message_limit(is_topic=cmd.is_topic):
            _, message.attributes = wire.encode(content, headers, size_attribute(text))
            message.body = await self._payloads.store(text)
        return message


def _check_fields(cmd: SQSPublishCommand) -> None:
    if cmd.is_topic and cmd.delay:
        raise SetupError("SNS cannot delay a message; publish to a queue, or delay in the queue")
    if cmd.subject and not cmd.is_topic:
        raise SetupError("a subject is for topics, SQS has none")


class _Batch:
    """What became of each message of a `publish_batch`."""

    def __init__(self, cmd: SQSPublishCommand) -> None:
        self._cmd = cmd
        self._bodies: Sequence[Any] = cmd.batch_bodies
        self._sent: list[SentPublish] = []
        self._failed: list[FailedPublish] = []

    async def send(self, client: Client, address: str, indexes: Sequence[int], messages: Sequence[Outgoing]) -> None:
        """One call. Not repeated when it fails: part of it may have been sent."""
        call = client.publish_batch if self._cmd.is_topic else client.send_batch
        try:
            answer = await call(address, messages)
        except AWS_ERRORS as error:
            self._fail(indexes, error_code(error), str(error), maybe_sent=not is_refusal(error))
        else:
            self._record(indexes, answer)

    def _record(self, indexes: Sequence[int], answer: BatchResult) -> None:
        self._sent += [SentPublish(indexes[i], message_id) for i, message_id in answer.sent.items()]
        for failure in answer.failed:
            self._fail([indexes[failure.index]], failure.code, failure.reason, maybe_sent=False)

    def _fail(self, indexes: Iterable[int], code: str, reason: str, *, maybe_sent: bool) -> None:
        self._failed += [FailedPublish(i, self._bodies[i], code, reason, maybe_sent) for i in indexes]

    def result(self) -> list[str]:
        """Ids in the order of the arguments."""
        if self._failed:
            raise PartialPublishError(self._failed, self._sent)
        return [sent.message_id for sent in sorted(self._sent, key=lambda sent: sent.index)]
