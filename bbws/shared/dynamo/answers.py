"""DynamoDB's answers as botocore gives them, read in one go."""

from base64 import b64decode
from typing import Any

from bbws.shared.sqs import signed

# Those that `Database` makes, under aiobotocore's names.
CALLS = (
    "get_item",
    "batch_get_item",
    "query",
    "put_item",
    "update_item",
    "delete_item",
    "transact_write_items",
)
_KIND_OF_BYTES = b'"B":'


def read(content: bytes) -> dict[str, Any]:
    """ValueError for what is no answer."""
    answer = signed.read(content)
    if _KIND_OF_BYTES in content:
        _decode_bytes(answer)
    return answer


def _decode_bytes(value: Any) -> None:
    """Attributes `{"B": …}` at any depth; one that is called B holds another attribute, no text."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "B" and isinstance(inner, str):
                value[name] = b64decode(inner)
            else:
                _decode_bytes(inner)
    elif isinstance(value, list):
        for inner in value:
            _decode_bytes(inner)
