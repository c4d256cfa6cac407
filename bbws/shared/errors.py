"""The errors that leave a service, in three families; anything else that leaves one is a bug.

Conflicts that a service settles itself (a number was taken, an order changed) are plain exceptions of its repository.

BbwsError
├── Rejected               the caller must change something: 4xx, and a message goes to the dead letters at once
│   ├── BadRequest         400
│   ├── Unauthenticated    401, saying what is wrong with the token
│   ├── Forbidden          403, naming the right that is missing
│   ├── NotFound           404
│   ├── Conflict           409
│   ├── PreconditionFailed 412
│   ├── Invalid            422, with every field error at once
│   └── PreconditionRequired 428
├── NotYet                 nothing is wrong, somebody else is at it: 503, and a message returns, uncounted
└── Unavailable            may work later: 503, and a message returns with back-off (names the dependency)
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `pointer` is an RFC 6901 JSON pointer into the body, `#/items/0/quantity`."""

    pointer: str
    detail: str


class BbwsError(Exception):
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Rejected(BbwsError):
    status = 400
    title = "Request refused"

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class BadRequest(Rejected):
    status = 400
    title = "Bad request"


class Unauthenticated(Rejected):
    status = 401
    title = "Unauthenticated"


class Forbidden(Rejected):
    status = 403
    title = "Forbidden"


class NotFound(Rejected):
    status = 404
    title = "Not found"


class Conflict(Rejected):
    status = 409
    title = "Conflict"


class PreconditionFailed(Rejected):
    status = 412
    title = "Precondition failed"


class Invalid(Rejected):
    status = 422
    title = "Invalid request"


class PreconditionRequired(Rejected):
    status = 428
    title = "Precondition required"


class NotYet(BbwsError):
    status = 503
    title = "Not yet"

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


# What our processes need and cannot mend, as `/readyz` and the log name it. Two belong to the user pool: `identity` are
# its public keys, by which tokens are known, and `cognito-idp` is its API. `gateway` is a process that is itself busy.
Dependency = Literal[
    "dynamodb", "s3", "events", "ses", "sqs", "secretsmanager", "identity", "cognito-idp", "payfast", "gateway",
]  # fmt: skip


class Unavailable(BbwsError):
    status = 503
    title = "Service unavailable"

    def __init__(self, dependency: Dependency, detail: str) -> None:
        super().__init__(f"{dependency} is out of reach: {detail}")
        self.dependency = dependency


Ping = Callable[[], Awaitable[None]]
"""Raises Unavailable while its dependency is out."""
