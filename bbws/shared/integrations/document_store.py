"""The documents bucket: private PDFs, each written once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from botocore.exceptions import ClientError

from bbws.shared.aws_errors import cause, error_code, reaching
from bbws.shared.errors import NotFound, Unavailable

LINK_LIFETIME_S = 900
_ALREADY_THERE = {"PreconditionFailed", "412"}
# Two conditional writes met, and S3 cannot say which one stays: it asks for another try (409).
_WRITTEN_AT_THE_SAME_MOMENT = "ConditionalRequestConflict"
_PUT_TRIES = 5
_PUT_AGAIN_AFTER_S = 0.2


class DocumentStore:
    """`link_client` signs the links: it knows S3 by the address that browsers use."""

    def __init__(
        self, client: Callable[[], Awaitable[Any]], bucket: str, link_client: Callable[[], Awaitable[Any]]
    ) -> None:
        self._client = client
        self._link_client = link_client
        self._bucket = bucket

    async def put_once(self, key: str, content: bytes, content_type: str) -> bool:
        """The object exists; True when this call wrote it. What is there already is never replaced."""
        request = {"Key": key, "Body": content, "ContentType": content_type}
        for _ in range(_PUT_TRIES):
            try:
                await self._call("put_object", **request, IfNoneMatch="*", ServerSideEncryption="AES256")
            except ClientError as error:
                if error_code(error) in _ALREADY_THERE:
                    return False
                if error_code(error) != _WRITTEN_AT_THE_SAME_MOMENT:
                    raise
            else:
                return True
            await asyncio.sleep(_PUT_AGAIN_AFTER_S)
        raise Unavailable("s3", _WRITTEN_AT_THE_SAME_MOMENT)

    async def get(self, key: str) -> bytes:
        """The object's bytes. Raises NotFound."""
        try:
            answer = await self._call("get_object", Key=key)
        except ClientError as error:
            if error_code(error) != "NoSuchKey":
                raise
            raise NotFound(f"there is no document {key}") from None
        async with answer["Body"] as body:
            content: bytes = await body.read()
        return content

    async def link(self, key: str, file_name: str) -> str:
        """A presigned address of the object, good for 15 minutes."""
        parameters = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{file_name}"',
        }
        client = await self._link_client()
        url: str = await client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=LINK_LIFETIME_S)
        return url

    async def ping(self) -> None:
        """Raises Unavailable unless the bucket answers."""
        try:
            await self._call("head_bucket")
        except ClientError as error:
            raise Unavailable("s3", cause(error)) from error

    async def _call(self, operation: str, **request: Any) -> Any:
        with reaching("s3"):
            return await getattr(await self._client(), operation)(Bucket=self._bucket, **request)
