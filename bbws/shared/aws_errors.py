"""Which errors of AWS mean "later", which mean "never", and which only "there is none"."""

from typing import Any

import aiohttp
from botocore import exceptions as botocore_errors

from bbws.shared.errors import Dependency, Unavailable

_THROTTLED = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "KMSThrottlingException",
        "AWS.SimpleQueueService.OverLimit",
    }
)
_CREDENTIALS_OUT_OF_DATE = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_TRY_LATER = frozenset({"InternalServerError", "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable"})
_CODES_OF_UNAVAILABLE = _THROTTLED | _CREDENTIALS_OUT_OF_DATE | _TRY_LATER
# What the services answer for a thing that is not there; they never agreed on one name.
_ABSENT = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchKey",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
_SERVER_ERROR = 500
# botocore's connection errors have two roots: what could not be reached is no HTTPClientError.
_TRANSPORT_ERRORS = (
    botocore_errors.ConnectionError,
    botocore_errors.HTTPClientError,
    botocore_errors.NoCredentialsError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.IncompleteReadError,
    aiohttp.ClientError,
    TimeoutError,
    ConnectionError,
)


def unavailable(error: BaseException) -> bool:
    """Whether the same call may work later: throttled, 5xx, unreachable, timed out, credentials out of date."""
    if isinstance(error, _TRANSPORT_ERRORS):
        return True
    if not isinstance(error, botocore_errors.ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= _SERVER_ERROR or error_code(error) in _CODES_OF_UNAVAILABLE


def error_code(error: botocore_errors.ClientError) -> str:
    """The code AWS gave, such as `ConditionalCheckFailedException`; empty when the answer carried none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def cause(error: BaseException) -> str:
    """AWS's code, or the class of an error that never reached AWS: what a log line and a person need."""
    return (error_code(error) if isinstance(error, botocore_errors.ClientError) else "") or type(error).__name__


async def find_or_none(call: Any, **request: Any) -> Any | None:
    """The answer, or None where the thing is not there."""
    try:
        return await call(**request)
    except botocore_errors.ClientError as error:
        if error_code(error) in _ABSENT:
            return None
        raise


class reaching:  # noqa: N801 - used as a block, as those of contextlib, which are slower
    """What means "later" leaves the block as Unavailable, which names the dependency."""

    __slots__ = ("_dependency",)

    def __init__(self, dependency: Dependency) -> None:
        self._dependency = dependency

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and unavailable(error):
            raise Unavailable(self._dependency, cause(error)) from error
