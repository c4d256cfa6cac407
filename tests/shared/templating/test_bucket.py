"""Templates of a bucket: asked for seldom, pinned for ever."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from bbws.shared.templating import S3Templates, TemplateError, Templates
from tests.support.emulator import Aws


@pytest.fixture
def now() -> SimpleNamespace:
    return SimpleNamespace(s=1000.0)


@pytest_asyncio.fixture
async def bucket(aws: Aws) -> AsyncIterator[Any]:
    async with aws.client("s3") as s3:
        name = aws.unique("templates")
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
        await s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

        async def put(key: str, text: str) -> None:
            await s3.put_object(Bucket=name, Key=key, Body=text.encode())

        yield SimpleNamespace(s3=s3, name=name, put=put)


@pytest.mark.needs("s3", "calls")
async def test_an_unchanged_template_is_asked_for_once_per_interval(aws: Aws, bucket: Any, now: Any) -> None:
    """Thousands of mails must not mean thousands of reads, and an edit must still show within the interval."""
    store = S3Templates(bucket.s3, bucket.name, revalidate_s=30, monotonic=lambda: float(now.s))
    templates = Templates(store)
    await bucket.put("page.html", "one")
    first = await store.load("page.html")
    assert [await templates.render("page.html", {}) for _ in range(5)] == ["one"] * 5
    assert await aws.calls("s3", "GET object") == 1

    now.s += 31
    assert await store.load("page.html") is first, "an unchanged template was sent again"
    await bucket.put("page.html", "two")
    assert await templates.render("page.html", {}) == "one"
    assert await aws.calls("s3", "GET object") == 2

    now.s += 31
    assert await templates.render("page.html", {}) == "two"
    assert await aws.calls("s3", "GET object") == 3


@pytest.mark.needs("s3", "calls")
async def test_a_pinned_version_outlives_a_later_upload(aws: Aws, bucket: Any) -> None:
    """An invoice rendered again after a redesign looks as it did when it was issued, even in a new process."""
    await bucket.put("page.html", "{% include 'part.html' %}!")
    await bucket.put("part.html", "old")
    pinned = await Templates(S3Templates(bucket.s3, bucket.name, revalidate_s=0)).pin("page.html")
    await bucket.put("part.html", "new")

    before = await aws.calls("s3", "GET object")
    templates = Templates(S3Templates(bucket.s3, bucket.name, revalidate_s=0))
    assert [await templates.render("page.html", {}, pinned) for _ in range(3)] == ["old!"] * 3
    assert await aws.calls("s3", "GET object") == before + 2
    assert await templates.render("page.html", {}) == "new!"


@pytest.mark.needs("s3")
async def test_a_missing_template_says_what_to_do(bucket: Any) -> None:
    """A bucket that nobody filled is the likeliest mistake of a first deployment."""
    templates = Templates(S3Templates(bucket.s3, bucket.name, revalidate_s=0))
    with pytest.raises(TemplateError, match=r"bbws provision"):
        await templates.render("page.html", {})


@pytest.mark.needs("s3")
async def test_a_bucket_without_versions_is_refused(aws: Aws) -> None:
    """Without versions an invoice could not be rendered the same again; better to hear it before the first one."""
    async with aws.client("s3") as s3:
        name = aws.unique("unversioned")
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
        await s3.put_object(Bucket=name, Key="page.html", Body=b"x")
        with pytest.raises(TemplateError, match="not versioned"):
            await S3Templates(s3, name, revalidate_s=0).load("page.html")


class Suspended:
    """S3 with versioning switched off again, as AWS answers it; no emulator does."""

    async def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": self, "VersionId": "null", "ETag": '"e"'}

    async def __aenter__(self) -> "Suspended":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def read(self) -> bytes:
        return b"x"


async def test_a_bucket_whose_versions_were_switched_off_is_refused() -> None:
    """Its newest text has the version "null", which the next upload replaces: no invoice may pin it."""
    with pytest.raises(TemplateError, match="not versioned"):
        await S3Templates(Suspended(), "templates", revalidate_s=0).load("page.html")
