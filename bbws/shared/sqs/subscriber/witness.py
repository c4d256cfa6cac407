"""Sees that a handler has ended, and why it failed, before FastStream settles the message."""

from types import TracebackType
from typing import Protocol

from faststream.response import PublishCommand
from typing_extensions import override

from .._internal import BaseMiddleware, ContextRepo
from ..message import ReceivedBatch, ReceivedMessage


class Tell(Protocol):
    """What was handled has ended: well, or with this failure."""

    def __call__(self, consumed: ReceivedMessage | ReceivedBatch, failure: BaseException | None, /) -> None: ...


class Witness(BaseMiddleware[PublishCommand, ReceivedMessage | None]):
    """Innermost but for the user's own middlewares, whose exceptions it sees as well; suppresses nothing."""

    def __init__(
        self,
        msg: ReceivedMessage | None,
        /,
        *,
        context: ContextRepo,
        tell: Tell,
    ) -> None:
        super().__init__(msg, context=context)
        self._tell = tell

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool:
        if self.msg is not None:
            self._tell(self.msg, exc_val)
        return False
