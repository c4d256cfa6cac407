"""Where the system on this machine listens."""

import socket
from dataclasses import dataclass, fields
from typing import Self

from bbws.local.errors import UpFailed

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    gateway: int = 8080
    payfast: int = 8081
    mailbox: int = 8082
    emulator: int = 4566

    @classmethod
    def free(cls) -> Self:
        """Four ports that nobody uses at this moment."""
        sockets = [socket.socket() for _ in fields(cls)]
        for each in sockets:
            each.bind((HOST, 0))
        ports = [int(each.getsockname()[1]) for each in sockets]
        for each in sockets:
            each.close()
        return cls(*ports)

    def refuse_taken(self) -> None:
        """Raises UpFailed for a port that somebody else listens on."""
        for field in fields(self):
            port = getattr(self, field.name)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    message = f"port {port} is taken; choose another with --{field.name}-port"
                    raise UpFailed(message) from None

    def url(self, name: str) -> str:
        return f"http://{HOST}:{getattr(self, name)}"
