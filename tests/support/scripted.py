"""A client of AWS whose answers a test writes: for what AWS says in earnest, and the emulator never does."""

from collections.abc import Awaitable, Callable
from typing import Any

from botocore.exceptions import ClientError

Answer = dict[str, Any] | Exception


class Scripted:
    """Gives its answers one after the other, the last one for ever, and remembers what it was `asked`.

    It stands where the factory of a client does.
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self) -> "Scripted":
        return self

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        async def call(**request: Any) -> dict[str, Any]:
            self.asked.append((operation, request))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    @property
    def operations(self) -> list[str]:
        """The names of what was asked, in order."""
        return [operation for operation, _ in self.asked]


def refusal(code: str, status: int = 400, **more: Any) -> ClientError:
    """What botocore raises for an answer with this code."""
    said = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(said, "Asked")


def cancelled(*codes: str) -> ClientError:
    """What becomes of a transaction of which each write met this; `None` is the code of one that met nothing."""
    reasons = [{"Code": code} for code in codes]
    return refusal("TransactionCanceledException", CancellationReasons=reasons)
