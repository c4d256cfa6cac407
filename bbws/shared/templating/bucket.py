"""The templates of a versioned bucket."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError

from bbws.shared.aws_errors import reaching
from bbws.shared.templating.sources import Source, TemplateError


@dataclass(slots=True)
class _Newest:
    source: Source
    etag: str
    asked_at: float


class S3Templates:
    """The newest text is asked for again after `revalidate_s` seconds (If-None-Match: an unchanged one is not sent
    again); a given version cannot change and is read once. Raises Unavailable while S3 is out of reach.
    """

    def __init__(
        self, client: Any, bucket: str, *, revalidate_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._revalidate_s = revalidate_s
        self._monotonic = monotonic
        self._newest: dict[str, _Newest] = {}
        self._pinned: dict[tuple[str, str], Source] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def load(self, name: str, version: str | None = None) -> Source:
        # One question at a time for each name: ten workers that start together need one answer.
        async with self._locks.setdefault(name, asyncio.Lock()):
            return await (self._load_newest(name) if version is None else self._load_pinned(name, version))

    async def _load_pinned(self, name: str, version: str) -> Source:
        if (name, version) not in self._pinned:
            self._pinned[name, version], _ = await self._get(name, VersionId=version)
        return self._pinned[name, version]

    async def _load_newest(self, name: str) -> Source:
        known = self._newest.get(name)
        now = self._monotonic()
        if known and now - known.asked_at < self._revalidate_s:
            return known.source
        try:
            source, etag = await self._get(name, **({"IfNoneMatch": known.etag} if known else {}))
        except _NotModified:
            assert known is not None
            known.asked_at = now
            return known.source
        self._pinned[name, source.version] = source
        self._newest[name] = _Newest(source, etag, now)
        return source

    async def _get(self, name: str, **conditions: str) -> tuple[Source, str]:
        try:
            with reaching("s3"):
                answer = await self._client.get_object(Bucket=self._bucket, Key=name, **conditions)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_MODIFIED:
                raise _NotModified from error
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion"):
                raise self._missing(name, conditions.get("VersionId")) from error
            raise
        async with answer["Body"] as body:
            text = (await body.read()).decode()
        version = answer.get("VersionId")
        if version in (None, "null"):
            raise TemplateError(name, f"bucket {self._bucket} is not versioned, so no invoice can pin its template")
        return Source(text, version), answer["ETag"]

    def _missing(self, name: str, version: str | None) -> TemplateError:
        wanted = f"version {version}" if version else "it"
        return TemplateError(name, f"bucket {self._bucket} does not hold {wanted}; `bbws provision` uploads it")


class _NotModified(Exception):
    pass
