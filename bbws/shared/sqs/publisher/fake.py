"""Publishes a handler's answer to the queue that the message asked for."""

from faststream.response import PublishCommand
from typing_extensions import override

from .._internal import FakePublisher, ProducerProto
from ..response import SQSPublishCommand
from ..schemas import Destination


class ReplyPublisher(FakePublisher):
    def __init__(self, *, producer: ProducerProto[SQSPublishCommand], queue: str) -> None:
        super().__init__(producer=producer)
        self._to = Destination(queue)

    @override
    def patch_command(self, cmd: PublishCommand) -> SQSPublishCommand:
        command = SQSPublishCommand.from_cmd(super().patch_command(cmd))
        command.send_to(self._to)
        return command
