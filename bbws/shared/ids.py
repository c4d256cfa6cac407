"""Identifiers: UUID version 7 (RFC 9562), so that ids sort by the time they were made."""

import os
import re
import time
from uuid import UUID, uuid5

_NAMESPACE = UUID("8f0c5a3e-6f0e-5d6b-9d0a-0b5b77737a61")
_62_BITS = (1 << 62) - 1
_WRITTEN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Whether `text` is a UUID as we write them: in lower case, with dashes."""
    return _WRITTEN.fullmatch(text) is not None


def new_id() -> str:
    milliseconds = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(10))
    digits = f"{milliseconds << 80 | 0x7 << 76 | (chance >> 68) << 64 | 0b10 << 62 | chance & _62_BITS:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived_id(*parts: str) -> str:
    """The same id for the same parts, always: what a repeated message makes again is recognised by it."""
    return str(uuid5(_NAMESPACE, "\x1f".join(parts)))
