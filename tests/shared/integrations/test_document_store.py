"""The documents bucket: what is there stays, and what is not there is not called stored."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bbws.shared.errors import NotFound, Unavailable
from bbws.shared.integrations.document_store import DocumentStore
from tests.support.scripted import Scripted, refusal

KEY = "tenants/1/orders/2/INV-000001.pdf"
SAME_MOMENT = refusal("ConditionalRequestConflict", 409)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", at_once)


def _store(s3: Scripted) -> DocumentStore:
    return DocumentStore(s3, "documents", s3)


async def _put(s3: Scripted) -> bool:
    return await _store(s3).put_once(KEY, b"%PDF", "application/pdf")


async def test_each_document_is_put_on_condition_and_encrypted() -> None:
    """Without the condition a later template replaces an invoice that was sent; the bucket refuses what is in clear."""
    s3 = Scripted({})
    assert await _put(s3)
    ((_, request),) = s3.asked
    assert (request["IfNoneMatch"], request["ServerSideEncryption"]) == ("*", "AES256")
    assert (request["Bucket"], request["Key"], request["ContentType"]) == ("documents", KEY, "application/pdf")


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
async def test_a_document_that_stands_is_left_alone(code: str) -> None:
    """A redelivered order finds its invoice: that is success, and no second version."""
    assert await _put(Scripted(refusal(code, 412))) is False


async def test_two_that_write_at_one_moment_try_again_and_not_for_ever() -> None:
    """S3 does not say which one stays: "stored" would be a guess, and an order could end without its invoice."""
    assert await _put(Scripted(SAME_MOMENT, SAME_MOMENT, {}))
    s3 = Scripted(SAME_MOMENT)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="s3"):
            await _put(s3)
    assert 2 < len(s3.asked) < 20


@pytest.mark.parametrize(
    ("error", "told"), [(refusal("NoSuchKey", 404), NotFound), (refusal("AccessDenied", 403), ClientError)]
)
async def test_only_what_is_not_there_is_not_found(error: Exception, told: type[Exception]) -> None:
    """A missing right that reads as 404 sends mails without their invoice into the dead letters, one by one."""
    with pytest.raises(told):
        await _store(Scripted(error)).get(KEY)


@pytest.mark.parametrize("error", [refusal("404", 404), refusal("403", 403), refusal("503", 503)])
async def test_a_bucket_that_cannot_be_used_is_out(error: Any) -> None:
    """Whatever the reason: no invoice can be stored, so none is begun."""
    with pytest.raises(Unavailable, match="s3"):
        await _store(Scripted(error)).ping()
    await _store(Scripted({})).ping()
