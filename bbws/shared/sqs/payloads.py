"""Bodies over the limit in S3, in the format of AWS's Extended Client libraries: others read ours, we read theirs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from .wire import Attribute

SIZE = "ExtendedPayloadSize"
"""The attribute that marks a pointer; its value is the bytes of the body."""

_SIZE_OF_OLD = "SQSLargePayloadSize"
_POINTER = "software.amazon.payloadoffloading.PayloadS3Pointer"
_POINTERS = frozenset({_POINTER, "com.amazon.sqs.javamessaging.MessageS3Pointer"})


@dataclass(frozen=True)
class PayloadBucket:
    """Where bodies over the limit go, under `prefix`, and the only place that pointers are followed to.

    `delete` removes the object when its message was handled and deleted: not where a topic has several queues. What
    stays behind, such as objects of dead letters, is for a lifecycle rule of the bucket.
    """

    name: str
    prefix: str = ""
    delete: bool = False


class Pointer(NamedTuple):
    """Where a body is."""

    bucket: str
    key: str


class Objects(Protocol):
    """What is needed of S3; raises what botocore raises."""

    async def put(self, at: Pointer, body: bytes) -> None: ...

    async def get(self, at: Pointer) -> bytes: ...

    async def delete(self, at: Pointer) -> None: ...


class S3Objects:
    """`Objects` on an S3 client of aiobotocore."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    async def put(self, at: Pointer, body: bytes) -> None:
        await self._s3.put_object(Bucket=at.bucket, Key=at.key, Body=body)

    async def get(self, at: Pointer) -> bytes:
        answer = await self._s3.get_object(Bucket=at.bucket, Key=at.key)
        async with answer["Body"] as stream:
            return bytes(await stream.read())

    async def delete(self, at: Pointer) -> None:
        await self._s3.delete_object(Bucket=at.bucket, Key=at.key)


class MemoryObjects:
    """`Objects` of the test broker."""

    def __init__(self) -> None:
        self._bodies: dict[Pointer, bytes] = {}

    async def put(self, at: Pointer, body: bytes) -> None:
        self._bodies[at] = body

    async def get(self, at: Pointer) -> bytes:
        return self._bodies[at]

    async def delete(self, at: Pointer) -> None:
        self._bodies.pop(at, None)


class Payloads:
    """Stores, fetches and removes bodies in one bucket."""

    def __init__(self, bucket: PayloadBucket, objects: Objects) -> None:
        self._bucket = bucket
        self._objects = objects

    async def store(self, text: str) -> str:
        """The body to send instead."""
        at = Pointer(self._bucket.name, f"{self._bucket.prefix}{uuid4()}")
        await self._objects.put(at, text.encode())
        return json.dumps([_POINTER, {"s3BucketName": at.bucket, "s3Key": at.key}], separators=(",", ":"))

    async def fetch(self, at: Pointer) -> str:
        """The body; ValueError for a pointer to somewhere else, which a stranger may have written."""
        own = self._bucket
        if at.bucket != own.name or not at.key.startswith(own.prefix):
            raise ValueError(f"the body is at {at.bucket}/{at.key}, this consumer reads {own.name}/{own.prefix} only")
        return (await self._objects.get(at)).decode()

    async def handled(self, at: Pointer) -> None:
        """Its message was handled and deleted: the object may go."""
        if self._bucket.delete:
            await self._objects.delete(at)


def size_attribute(text: str) -> dict[str, Attribute]:
    """What marks a pointer to this body."""
    return {SIZE: {"DataType": "Number", "StringValue": str(len(text.encode()))}}


def pointer_in(text: str, attributes: Mapping[str, Attribute]) -> Pointer | None:
    """Where the body is, when this is a pointer by attribute and by form."""
    if SIZE not in attributes and _SIZE_OF_OLD not in attributes:
        return None
    try:
        kind, place = json.loads(text)
        return Pointer(place["s3BucketName"], place["s3Key"]) if kind in _POINTERS else None
    except (ValueError, TypeError, KeyError):
        return None
