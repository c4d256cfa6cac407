"""One log line per thing that happened, as JSON (or in colours on a terminal), with the ids of its flow in it.

`bind(...)` adds ids to every later line of the same task: correlation, tenant, order, message.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from io import TextIOWrapper
from types import MappingProxyType
from typing import Any, TextIO

import orjson
import structlog

from bbws.shared.settings import Settings

# Without local variables: they hold secrets and personal data.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

# One variable for all ids: structlog's own has one for each, and looks for them among all variables at each line.
_ids: ContextVar[Mapping[str, Any]] = ContextVar("ids_of_the_flow", default=MappingProxyType({}))


def bind(**ids: Any) -> None:
    """In every later line of this task."""
    _ids.set({**_ids.get(), **ids})


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """In every line within."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def clear() -> None:
    """Nothing is bound any more."""
    _ids.set(MappingProxyType({}))


def bound_values() -> Mapping[str, Any]:
    """All that is bound in this task."""
    return _ids.get()


def bound_value(name: str) -> str | None:
    """What `bind` set for this task, such as the trace that events carry on."""
    value: str | None = _ids.get().get(name)
    return value


def get_logger(name: str) -> Any:
    return structlog.stdlib.get_logger(name)


def configure(settings: Settings, process: str, stream: TextIO | None = None) -> None:
    """Route structlog and the standard library's loggers to `stream`, else standard output, in one form."""
    stream = stream or sys.stdout
    if isinstance(stream, TextIOWrapper):
        # A terminal of another encoding gets \xe9 for é, instead of no line at all.
        stream.reconfigure(errors="backslashreplace")
    pretty = settings.log_format == "pretty" or (settings.log_format == "auto" and stream.isatty())
    shared: list[Any] = [
        _with_ids,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_process(process),
    ]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [_TRACEBACKS, structlog.processors.JSONRenderer(serializer=_to_json)]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level, *shared, structlog.stdlib.PositionalArgumentsFormatter(), *last,
        ],
        logger_factory=partial(_Lines, handler),
        cache_logger_on_first_use=True,
    )  # fmt: skip
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("botocore", "aiobotocore", "aiohttp.access", "fontTools", "weasyprint"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Lines:
    """Where structlog's lines end: at the handler's stream, without a record of the standard library for each.

    Whether one is wanted is said by the levels of the standard library's logger of that name.
    """

    def __init__(self, handler: logging.StreamHandler[TextIO], name: str) -> None:
        self._handler = handler
        self.name = name
        self._logger = logging.getLogger(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def write(self, line: str) -> None:
        try:
            with self._handler.lock or nullcontext():
                self._handler.stream.write(f"{line}\n")
                self._handler.flush()
        except Exception:  # noqa: BLE001 - as the handler itself: what is done must not fail for a line about it
            self._handler.handleError(logging.makeLogRecord({"name": self.name, "msg": line}))

    debug = info = warning = error = critical = write


def _with_ids(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {**_ids.get(), **event}


def _with_process(process: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["process"] = process
        return event

    return add


def _to_json(event: Any, **_options: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:
        # Keys that are no texts, numbers beyond 64 bits, lone surrogates: a line in odd clothes beats a lost one.
        return json.dumps(event, default=str, skipkeys=True)
