"""Requests and answers as JSON, in one go instead of member by member along botocore's description of them."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Any

dumps: Callable[[Any], bytes]
"""Values as botocore writes them; TypeError for what is none of AWS's types."""

loads: Callable[[bytes], Any]


def read(content: bytes) -> dict[str, Any]:
    """An answer as JSON has it: blobs in Base64, times as numbers. ValueError for anything else."""
    answer = loads(content)
    if not isinstance(answer, dict):
        raise ValueError("not an answer of AWS")  # noqa: TRY004 - as for content that is no JSON
    return answer


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, datetime):
        seconds = value.timestamp()
        return int(seconds) if seconds.is_integer() else seconds
    raise TypeError(f"{type(value).__name__} in a request to AWS")


try:
    import orjson
except ImportError:  # the package works without it, with more CPU for the same
    loads = json.loads

    def dumps(arguments: Any) -> bytes:
        return json.dumps(arguments, default=_plain).encode()
else:
    loads = orjson.loads

    def dumps(arguments: Any) -> bytes:
        return orjson.dumps(arguments, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
