"""The shorter way of a message is FastStream's own way: same order, settlements, errors, answers and log."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated, Any

import pytest
from faststream import AckPolicy, BaseMiddleware, Depends
from faststream.exceptions import AckMessage, NackMessage, RejectMessage
from pydantic import BaseModel

from bbws.shared.sqs import SQSBroker, SQSMessage, SQSSubscriber
from bbws.shared.sqs._internal import SubscriberUsecase
from bbws.shared.sqs.message import ReceivedMessage
from bbws.shared.sqs.subscriber import shortcut, usecase

Trace = list[Any]


class Order(BaseModel):
    id: int


class Settling:
    """Notes how messages end."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    async def ack(self, raw: ReceivedMessage) -> None:
        self._trace.append("ack")

    async def nack(self, raw: ReceivedMessage, delay: float | None) -> None:
        self._trace.append(("nack", delay))

    async def reject(self, raw: ReceivedMessage, reason: str | None) -> None:
        self._trace.append(("reject", reason))

    async def extend(self, raw: ReceivedMessage, seconds: float) -> None: ...


def tracing(trace: Trace, name: str, *, swallows: bool = False) -> Any:
    class Tracing(BaseMiddleware[Any, Any]):
        async def on_receive(self) -> None:
            trace.append(f"{name} receives")

        async def after_processed(self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None) -> bool:
            trace.append(f"{name} ends with {exc_type and exc_type.__name__}: {self.context.get_local('log_context')}")
            return swallows and exc_type is ValueError

        async def consume_scope(self, call_next: Any, msg: Any) -> Any:
            trace.append(f"{name} consumes {await msg.decode()}")
            return await call_next(msg)

    return Tracing


def unusual(trace: Trace) -> Any:
    """As many are written: `__aenter__` returns nothing, and the scopes are set on the instance."""

    class Unusual(BaseMiddleware[Any, Any]):
        def __init__(self, msg: Any, /, *, context: Any) -> None:
            super().__init__(msg, context=context)

            async def consume(call_next: Any, msg: Any) -> Any:
                trace.append("the instance consumes")
                return await call_next(msg)

            async def publish(call_next: Any, cmd: Any) -> Any:
                trace.append(f"the instance publishes {cmd.body}")

            self.consume_scope = consume  # type: ignore[method-assign]
            self.publish_scope = publish  # type: ignore[method-assign]

        async def __aenter__(self) -> None:  # type: ignore[override]
            trace.append("entered")

    return Unusual


class Logged(logging.Handler):
    """Lines of the log stand in the trace, where they were written."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        self._trace.append((record.levelname, record.getMessage(), error, vars(record).get("message_id")))


class Witness(BaseMiddleware[Any, Any]):
    """Notes on the message what FastStream's way ended with; ours does so by itself."""

    async def after_processed(self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None) -> bool:
        self.msg.failure = exc_val
        return False


def plain(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    @broker.subscriber("q", **options)
    async def handle(order: Order) -> dict[str, int]:
        trace.append(order)
        return {"id": order.id}


def in_a_thread(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    @broker.subscriber("q", **options)
    def handle(*, body: Any = None) -> None:
        trace.append(body)


def injected(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    async def total(order: Order) -> int:
        return order.id * 2

    @broker.subscriber("q", **options)
    async def handle(order: Order, message: SQSMessage, twice: Annotated[int, Depends(total)]) -> None:
        trace.append((order, message.correlation_id, twice))


def depending(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    async def note(order: Order) -> None:
        trace.append("asked for nothing")

    @broker.subscriber("q", **options, dependencies=[Depends(note)])
    async def handle(order: Order) -> None:
        trace.append(order)


def wrong_answer(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    @broker.subscriber("q", **options)
    async def handle(order: Order) -> int:
        return "not a number"  # type: ignore[return-value]


def answering(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    @broker.subscriber("q", **options)
    @broker.publisher("next")
    async def handle(order: Order) -> int:
        return order.id


def filtered(trace: Trace, broker: SQSBroker, **options: Any) -> None:
    subscriber = broker.subscriber("q", **options)

    @subscriber(filter=lambda message: message.headers.get("kind") == "other")
    async def other(order: Order) -> None:
        trace.append("other")

    @subscriber(filter=lambda message: message.content_type == "application/json")
    async def rest(order: Order) -> None:
        trace.append("rest")


def raising(error: BaseException) -> Callable[..., None]:
    def declare(trace: Trace, broker: SQSBroker, **options: Any) -> None:
        @broker.subscriber("q", **options)
        async def handle(order: Order) -> None:
            raise error

    return declare


HANDLERS = {
    "plain": plain,
    "in a thread": in_a_thread,
    "injected": injected,
    "depending": depending,
    "wrong answer": wrong_answer,
    "filtered": filtered,
    "error": raising(ValueError("no")),
    "nack": raising(NackMessage(delay=3)),
    "reject": raising(RejectMessage(reason="bad")),
    "ack": raising(AckMessage()),
}
BODIES = {"good": '{"id": 7}', "invalid": '{"id": "x"}', "no JSON": "{", "number": "7"}
POLICIES = [policy for policy in AckPolicy if isinstance(policy, AckPolicy)]


async def trace_of(
    handler: str, body: str, policy: AckPolicy, middlewares: int, monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> tuple[Trace, Any]:
    """What happened to one message, and what came out."""
    trace: Trace = []
    users = [tracing(trace, "outer", swallows=True), tracing(trace, "inner"), unusual(trace)][:middlewares]
    logger = logging.Logger("pipeline")
    logger.addHandler(Logged(trace))
    broker = SQSBroker("http://nowhere.invalid", logger=logger, middlewares=users if ours else [Witness, *users])
    broker.config.broker_config.logger._setup(broker.context)
    HANDLERS[handler](trace, broker, ack_policy=policy)
    [subscriber] = broker.subscribers
    assert isinstance(subscriber, SQSSubscriber)
    with monkeypatch.context() as patch:
        if not ours:
            patch.setattr(usecase, "shorten", lambda *_: None)
        subscriber._build_fastdepends_model()
    subscriber.lock = nullcontext()
    json = {"content-type": {"DataType": "String", "StringValue": "application/json"}}
    raw = {"MessageId": "m", "ReceiptHandle": "h", "Body": body, "MessageAttributes": json}
    message = ReceivedMessage(raw, queue="q", settler=Settling(trace), received_at=0)
    process = subscriber.process_message if ours else super(SQSSubscriber, subscriber).process_message
    try:
        response = await process(message)
    except Exception as error:  # noqa: BLE001 - it is what is compared
        return trace, (type(error), str(error), type(message.failure))
    assert not broker.context.get_local("message")
    return trace, (response.body, response.correlation_id, response.headers, type(message.failure))


@pytest.mark.parametrize("middlewares", [0, 2])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("handler", HANDLERS)
async def test_it_is_faststreams_way(
    handler: str, policy: AckPolicy, middlewares: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a handler is, does and gets, under each policy, with middlewares and without."""
    for body in BODIES.values():
        ours = await trace_of(handler, body, policy, middlewares, monkeypatch, ours=True)
        theirs = await trace_of(handler, body, policy, middlewares, monkeypatch, ours=False)
        assert ours == theirs, body


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("handler", [*HANDLERS, "answering"])
async def test_it_is_faststreams_way_with_unusual_middlewares(
    handler: str, policy: AckPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `__aenter__` returns is the middleware's own affair, and an instance may have scopes of its own."""
    monkeypatch.setitem(HANDLERS, "answering", answering)
    for body in BODIES.values():
        ours = await trace_of(handler, body, policy, 3, monkeypatch, ours=True)
        theirs = await trace_of(handler, body, policy, 3, monkeypatch, ours=False)
        assert ours == theirs, body
        assert "entered" in ours[0]
        assert ("the instance publishes 7" in ours[0]) is (handler == "answering" and body == BODIES["good"])


async def test_the_comparison_compares_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways that fail alike would be equal as well."""
    trace, answer = await trace_of("plain", '{"id": 7}', AckPolicy.NACK_ON_ERROR, 2, monkeypatch, ours=True)
    assert trace == [
        "outer receives",
        "inner receives",
        ("INFO", "Received", None, "m"),
        "outer consumes {'id': 7}",
        "inner consumes {'id': 7}",
        Order(id=7),
        "inner ends with None: {'queue': 'q', 'message_id': 'm'}",
        "outer ends with None: {'queue': 'q', 'message_id': 'm'}",
        ("INFO", "Processed", None, "m"),
        "ack",
    ]
    assert answer == ({"id": 7}, "m", {}, type(None))


def test_only_plain_handlers_are_shortened() -> None:
    """The comparison above compares something: one handler takes the short call, one with dependencies does not."""
    names = {}
    for handler in ("plain", "in a thread", "injected", "depending"):
        broker = SQSBroker("http://nowhere.invalid", logger=None)
        HANDLERS[handler]([], broker)
        [subscriber] = broker.subscribers
        subscriber._build_fastdepends_model()
        names[handler] = subscriber.calls[0].handler._wrapped_call
    assert {getattr(names[n], "__module__", "") for n in ("plain", "in a thread")} == {shortcut.__name__}
    assert shortcut.__name__ not in {getattr(names[n], "__module__", "") for n in ("injected", "depending")}
    assert SQSSubscriber.process_message is not SubscriberUsecase.process_message
