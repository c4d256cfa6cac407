"""Buckets: versioned, private, encrypted; and the templates in one of them."""

import hashlib
from collections.abc import Mapping
from typing import Any

from bbws.provision import requests as aws
from bbws.shared.aws_errors import find_or_none
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.templating import packaged_documents
from bbws.shared.topology import Bucket


async def make_bucket(clients: AwsClients, settings: Settings, bucket: Bucket) -> None:
    s3 = await clients.get("s3")
    if await find_or_none(s3.head_bucket, Bucket=bucket.name) is None:
        place = {"LocationConstraint": settings.aws_region}
        elsewhere = {} if settings.aws_region == "us-east-1" else {"CreateBucketConfiguration": place}
        await s3.create_bucket(Bucket=bucket.name, **elsewhere)
    await s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    await s3.put_public_access_block(Bucket=bucket.name, PublicAccessBlockConfiguration=aws.NO_PUBLIC_ACCESS)
    await s3.put_bucket_encryption(Bucket=bucket.name, ServerSideEncryptionConfiguration=aws.SSE_S3)
    if days := bucket.noncurrent_version_days.get(settings.environment):
        await s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration=aws.lifecycle(days))


async def bucket_differences(clients: AwsClients, settings: Settings, bucket: Bucket) -> list[str]:
    s3 = await clients.get("s3")
    if await find_or_none(s3.head_bucket, Bucket=bucket.name) is None:
        return [f"bucket {bucket.name} is missing"]
    found = []
    if (await s3.get_bucket_versioning(Bucket=bucket.name)).get("Status") != "Enabled":
        found.append("is not versioned")
    access = await find_or_none(s3.get_public_access_block, Bucket=bucket.name)
    if access is None or access["PublicAccessBlockConfiguration"] != aws.NO_PUBLIC_ACCESS:
        found.append("does not block public access")
    algorithm = _algorithm(await find_or_none(s3.get_bucket_encryption, Bucket=bucket.name))
    if algorithm != aws.SSE_ALGORITHM:
        found.append(f"encrypts with {algorithm}, declared {aws.SSE_ALGORITHM}")
    days = bucket.noncurrent_version_days.get(settings.environment)
    kept = _days_kept(await find_or_none(s3.get_bucket_lifecycle_configuration, Bucket=bucket.name))
    if kept != days:
        found.append(f"keeps old versions {kept} days, declared {days}")
    return [f"bucket {bucket.name} {difference}" for difference in found]


async def push_templates(clients: AwsClients, bucket: str) -> None:
    """Every packaged text is the newest one of its name in the bucket; what is so already gets no new version."""
    s3 = await clients.get("s3")
    for name, text in (await _stale_templates(s3, bucket)).items():
        await s3.put_object(Bucket=bucket, Key=name, Body=text, ContentType="text/html")


async def template_differences(clients: AwsClients, bucket: str) -> list[str]:
    s3 = await clients.get("s3")
    if await find_or_none(s3.head_bucket, Bucket=bucket) is None:
        return []
    return [f"template {name} is not the packaged one" for name in await _stale_templates(s3, bucket)]


async def _stale_templates(s3: Any, bucket: str) -> dict[str, bytes]:
    """The packaged texts that the bucket does not hold; S3's ETag of a small object is its MD5."""
    standing: dict[str, str] = {}
    async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        standing |= {entry["Key"]: entry["ETag"].strip('"') for entry in page.get("Contents", ())}
    return {name: text for name, text in packaged_documents().items() if standing.get(name) != _md5(text)}


def _md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _algorithm(encryption: Mapping[str, Any] | None) -> str | None:
    for rule in encryption["ServerSideEncryptionConfiguration"]["Rules"] if encryption else ():
        if by_default := rule.get("ApplyServerSideEncryptionByDefault"):
            return str(by_default["SSEAlgorithm"])
    return None


def _days_kept(lifecycle: Mapping[str, Any] | None) -> int | None:
    """After how many days old versions go; None: never."""
    for rule in lifecycle["Rules"] if lifecycle else ():
        days = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
        if days and rule.get("Status") == "Enabled":
            return int(days)
    return None
