"""Opaque page cursors: where the next page starts, signed, and bound to the list that gave them."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from bbws.shared.errors import BadRequest

_TAG_BYTES = 16


class CursorSigner:
    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def seal(self, scope: str, start_key: Mapping[str, Any]) -> str:
        payload = orjson.dumps(start_key)
        return base64.urlsafe_b64encode(self._tag(scope, payload) + payload).decode().rstrip("=")

    def open(self, scope: str, cursor: str) -> dict[str, Any]:
        """The start key. Raises BadRequest for a cursor that was altered or belongs to another list."""
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except ValueError:
            sealed = b""
        tag, payload = sealed[:_TAG_BYTES], sealed[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(scope, payload)):
            raise BadRequest("this cursor is not one that this list gave; start again without it")
        opened: dict[str, Any] = orjson.loads(payload)
        return opened

    def _tag(self, scope: str, payload: bytes) -> bytes:
        return hmac.digest(self._key, scope.encode() + b"\0" + payload, hashlib.sha256)[:_TAG_BYTES]
