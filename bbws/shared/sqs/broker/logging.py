"""FastStream's access log with a column for the queue."""

import logging
from functools import partial
from typing import Any

from typing_extensions import override

from .._internal import ContextRepo, DefaultLoggerStorage, LoggerProto, get_broker_logger, make_logger_state

_MESSAGE_ID_LENGTH = 10


class SQSParamsStorage(DefaultLoggerStorage):
    def __init__(self) -> None:
        super().__init__()
        self._queue_width = len("queue")
        self.logger_log_level = logging.INFO

    @override
    def register_subscriber(self, params: dict[str, Any]) -> None:
        self._queue_width = max(self._queue_width, len(params.get("queue", "")))

    @override
    def get_logger(self, *, context: ContextRepo) -> LoggerProto:
        if logger := self._get_logger_ref():
            return logger
        logger = get_broker_logger(
            name="sqs",
            default_context={"queue": ""},
            message_id_ln=_MESSAGE_ID_LENGTH,
            fmt="%(asctime)s %(levelname)-8s - "
            f"%(queue)-{self._queue_width}s | %(message_id)-{_MESSAGE_ID_LENGTH}s - %(message)s",
            context=context,
            log_level=self.logger_log_level,
        )
        self._logger_ref.add(logger)
        return logger


make_sqs_logger_state = partial(make_logger_state, default_storage_cls=SQSParamsStorage)
