"""One message through middlewares and handler: FastStream's `process_message` at less cost.

It does the same in the same order, without: a lock that nobody waits for (the subscriber knows its tasks); settings
that FastStream builds anew for each message; middlewares' scopes that change nothing; an AsyncExitStack where the user
has no middleware; and, as long as nothing fails, FastStream's own middlewares (log and acknowledgement).
tests/shared/sqs/test_pipeline.py compares it with FastStream's own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import Token
from typing import Any, Protocol

from faststream.exceptions import IgnoredException, SubscriberNotFound
from faststream.message import AckStatus, SourceType, StreamMessage
from faststream.middlewares import AcknowledgementMiddleware, AckPolicy
from faststream.middlewares.logging import CriticalLogMiddleware
from faststream.response import Response, ensure_response

from .._internal import (
    EMPTY,
    BaseMiddleware,
    BrokerMiddleware,
    CallsCollection,
    HandlerItem,
    PublisherProto,
    default_filter,
)
from ..broker.config import SQSBrokerConfig
from ..errors import HandlerCancelled
from ..message import ReceivedBatch, ReceivedMessage, SQSMessage
from ..signals import leaves, ordinary, signal_in

Middlewares = Sequence[BaseMiddleware[Any, Any]]
Message = StreamMessage[ReceivedMessage]


class OnHandled(Protocol):
    """Called when the handler has ended: well, or with this failure."""

    def __call__(self, consumed: ReceivedMessage | ReceivedBatch, failure: BaseException | None, /) -> None: ...


class _Scope:
    """Holds the message once it is parsed."""

    __slots__ = ("message",)

    def __init__(self) -> None:
        self.message: Message | None = None


class Pipeline:
    """Built when the subscriber starts; `run` takes one message to its end.

    `on_handled` is called before the message is settled. `delete_soon` begins to delete a message and returns True
    where it could do so without waiting; then nobody waits for SQS to confirm it. `is_cut_off` tells whether it was a
    stop that cancelled the handler.
    """

    def __init__(
        self,
        calls: CallsCollection[ReceivedMessage],
        config: SQSBrokerConfig,
        *,
        subscriber: object,
        middlewares: Sequence[BrokerMiddleware[ReceivedMessage]],
        ack_policy: AckPolicy,
        fallback_parser: Callable[[ReceivedMessage], Any],
        log_context: Callable[[Message], dict[str, str]],
        reply_to: Callable[[Message], Sequence[PublisherProto[Any]]],
        on_handled: OnHandled,
        delete_soon: Callable[[ReceivedMessage], bool],
        is_cut_off: Callable[[], bool],
    ) -> None:
        self._calls = calls
        self._context = config.context
        self._constants = (
            ("handler_", subscriber),
            ("logger", config.logger.logger.logger),
            *config.extra_context.items(),
            # Of no message yet.
            ("log_context", EMPTY),
            ("message", EMPTY),
        )
        self._only = calls[0] if len(calls) == 1 and calls[0].filter is default_filter else None
        self._logger = config.logger
        self._logs = config.logger.logger.logger is not None
        self._acknowledge = AcknowledgementMiddleware(config.logger, ack_policy, fallback_parser)
        self._is_manual = ack_policy is AckPolicy.MANUAL
        self._log = CriticalLogMiddleware(config.logger)
        self._middlewares = middlewares
        self._log_context = log_context
        self._reply_to = reply_to
        self._on_handled = on_handled
        self._delete_soon = delete_soon
        self._is_cut_off = is_cut_off
        self._acks_first = ack_policy is AckPolicy.ACK_FIRST

    async def run(self, msg: ReceivedMessage) -> Response:
        """What the handler answered; raises what it raised unless a middleware took it."""
        tokens = self.set_constants()
        try:
            return await self.run_alone(msg)
        finally:
            for name, token in reversed(tokens):
                self._context.reset_local(name, token)

    def set_constants(self) -> list[tuple[str, Token[Any]]]:
        """What FastStream's context says of every message; returns what undoes it."""
        return [(name, self._context.set_local(name, value)) for name, value in self._constants]

    async def run_alone(self, msg: ReceivedMessage) -> Response:
        """As `run`, in a context that has the constants and ends with the message: there is nothing to undo."""
        scope = _Scope()
        try:
            response = await (self._in_middlewares(msg, scope) if self._middlewares else self._handle(msg, scope, ()))
            self._on_handled(msg, None)
            if self._logs:
                self._log_line("Processed", scope.message)
        except BaseException as error:  # noqa: BLE001 - raised again
            await self._fail(msg, scope.message, self._as_failure(error))
            return ensure_response(None)
        if not self._is_manual:
            await self._succeed(msg, scope.message)
        return response

    def _as_failure(self, error: BaseException) -> BaseException:
        """A cancellation that is not ours fails as anything else does: nothing says that the next attempt will not."""
        if not isinstance(error, asyncio.CancelledError) or self._is_cut_off():
            return error
        failure = HandlerCancelled()
        failure.__cause__ = error
        return failure

    async def _fail(self, msg: ReceivedMessage, message: Message | None, error: BaseException) -> None:
        """Raise it where FastStream's middlewares log it and settle the message; return when one of them took it."""
        error = self._signal_in(error)
        self._on_handled(msg, error)
        log = self._log(msg, context=self._context)
        if self._is_manual:
            async with log:
                raise error
        async with self._acknowledgement(msg, message), log:
            raise error

    async def _succeed(self, msg: ReceivedMessage, message: Message | None) -> None:
        if type(message) is SQSMessage and message.committed is None and self._delete_soon(msg):
            message.committed = AckStatus.ACKED
        else:
            await self._acknowledgement(msg, message).__aexit__()

    def _acknowledgement(self, msg: ReceivedMessage, message: Message | None) -> BaseMiddleware[Any, Any]:
        acknowledge = self._acknowledge(msg, self._context)
        acknowledge.message = message
        return acknowledge

    def _log_line(self, text: str, message: Message | None) -> None:
        if message is None or message.source_type is not SourceType.RESPONSE:
            self._logger.log(text, extra=self._context.get_local("log_context", {}))

    async def _in_middlewares(self, msg: ReceivedMessage, scope: _Scope) -> Response:
        entered: list[BaseMiddleware[Any, Any]] = []
        async with AsyncExitStack() as stack:
            for build in self._middlewares:
                middleware = build(msg, context=self._context)
                # What __aenter__ returns is the middleware's own affair; often nothing.
                await stack.enter_async_context(middleware)
                entered.append(middleware)
            return await self._handle(msg, scope, entered)
        # One of them has dealt with the error.
        return ensure_response(None)

    async def _handle(self, msg: ReceivedMessage, scope: _Scope, entered: Middlewares) -> Response:
        only = self._only
        if only is not None and only.parser is not None and only.decoder is not None:
            # Its filter would let pass whatever was not handled yet.
            item, message = only, await only.parser(msg)
            message.set_decoder(only.decoder)
        else:
            item, message = await self._match(msg)
        scope.message = message
        self._context.set_local("log_context", self._log_context(message))
        self._context.set_local("message", message)
        if self._acks_first:
            await self._acknowledgement(msg, message).consume_scope(_no_further, message)
        if self._logs:
            self._log_line("Received", message)
        return await self._call(item, message, entered)

    async def _match(self, msg: ReceivedMessage) -> tuple[HandlerItem[ReceivedMessage], Message]:
        """The first handler whose filter accepts this message, and the message as its parser read it."""
        parsed: dict[Any, Any] = {}
        for item in self._calls:
            message = await item.is_suitable(msg, parsed)
            if message is not None:
                return item, message
        raise SubscriberNotFound(f"There is no suitable handler for {msg=}")

    async def _call(self, item: HandlerItem[ReceivedMessage], message: Message, entered: Middlewares) -> Response:
        scopes = [scope for m in reversed(entered) if not _passes_on(scope := m.consume_scope)] if entered else []
        if scopes:
            # The middlewares see what the handler means.
            scopes.insert(0, self._out_of_groups)
        if scopes or item.handler.is_test:
            answer = await item.call(message=message, _extra_middlewares=scopes)
        else:
            answer = await item.handler.call_wrapped(message)
        response = ensure_response(answer)
        if not response.correlation_id:
            response.correlation_id = message.correlation_id
        if message.reply_to:
            for reply in self._reply_to(message):
                await self._reply(reply, response, message, entered)
        for publisher in item.handler._publishers:  # noqa: SLF001
            await _publish(publisher, response, entered)
        return response

    async def _reply(
        self, publisher: PublisherProto[Any], response: Response, message: Message, entered: Middlewares
    ) -> None:
        """Whoever asked chose the queue: what is wrong with it is no failure of the work."""
        try:
            await _publish(publisher, response, entered)
        except IgnoredException:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the work is done
            text = f"the answer could not be sent to {message.reply_to!r}: {type(error).__name__}: {error}"
            self._logger.log(text, logging.ERROR, extra=self._context.get_local("log_context", {}))

    async def _out_of_groups(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        try:
            return await call_next(msg)
        except BaseExceptionGroup as group:
            raise self._signal_in(group)  # noqa: B904 - it has a cause of its own

    def _signal_in(self, error: BaseException) -> BaseException:
        """What a group means; the errors that it holds beside are logged, because nobody else will."""
        signal = signal_in(error)
        if signal is not error and (hidden := ordinary(error)):
            text = "; ".join(f"{type(one).__name__}: {one}" for one in leaves(hidden))
            extra = self._context.get_local("log_context", {})
            self._logger.log(f"beside {type(signal).__name__}: {text}", logging.ERROR, extra=extra, exc_info=hidden)
        return signal


async def _publish(publisher: PublisherProto[Any], response: Response, entered: Middlewares) -> None:
    await publisher._publish(  # noqa: SLF001 - how FastStream itself sends a handler's answer
        response.as_publish_command(), _extra_middlewares=(m.publish_scope for m in reversed(entered))
    )


def _passes_on(consume_scope: Callable[..., Any]) -> bool:
    """Whether it is the one that BaseMiddleware has: it changes nothing."""
    return getattr(consume_scope, "__func__", None) is BaseMiddleware.consume_scope


async def _no_further(_: Any) -> None:
    """Instead of a handler, for a middleware whose scope is entered only for its effect."""
