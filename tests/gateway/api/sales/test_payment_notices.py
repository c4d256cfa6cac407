"""PayFast's notifications at the door: what is taken in, from whom, and what is answered."""

from collections.abc import AsyncIterator

import pytest

from bbws.gateway.api.sales.payment_notices import MAX_ITN_BYTES
from tests.gateway.support import Api, answer_of
from tests.support.emulator import Aws

PATH = "/v1.0/payments/payfast/itn"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BODY = b"m_payment_id=nobody&pf_payment_id=1089250&payment_status=COMPLETE&amount_gross=249.00&signature=" + b"0" * 32


async def _stored(api: Api, aws: Aws) -> list[dict[str, str]]:
    """The notifications that stand in the table, as stored."""
    async with aws.client("dynamodb") as dynamodb:
        items = (await dynamodb.scan(TableName="orders"))["Items"]
    itns = [item for item in items if "sourceAddress" in item]
    return [{name: next(iter(value.values())) for name, value in item.items()} for item in itns]


async def test_notification_is_stored_and_answered_with_nothing(api: Api, aws: Aws) -> None:
    """PayFast wants 200 and no body; even a forged notification is kept, as evidence (C-29)."""
    answer = await api.call("POST", PATH, data=BODY, headers=FORM)
    assert (answer.status, answer.body) == (200, b"")
    (stored,) = await _stored(api, aws)
    assert stored["rawBody"] == BODY.decode()


async def test_notification_that_cannot_be_stored_is_asked_for_again(api: Api, aws: Aws) -> None:
    """Only 5xx makes PayFast send it again: a 200 here would lose a payment."""
    await aws.inject("dynamodb")
    assert (await api.call("POST", PATH, data=BODY, headers=FORM)).status == 503


async def test_source_is_what_the_trusted_proxy_says(api: Api, aws: Aws) -> None:
    """Anybody may write X-Forwarded-For; only its last entry was written by our own proxy."""
    forwarded = {"X-Forwarded-For": "197.97.145.145, 198.51.100.9"}
    await api.call("POST", PATH, data=BODY, headers=FORM | forwarded)
    (stored,) = await _stored(api, aws)
    assert stored["sourceAddress"] == "198.51.100.9"


async def test_body_limit_is_that_of_notifications(api: Api) -> None:
    """64 KiB is many times what PayFast sends; chunked bodies are counted as well."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b"a" * 1024

    announced = await api.call("POST", PATH, data=b"a" * (MAX_ITN_BYTES + 1), headers=FORM)
    chunked = await api.call("POST", PATH, data=chunks(), headers=FORM)
    assert (announced.status, chunked.status) == (413, 413)


async def test_other_media_types_are_refused(api: Api) -> None:
    """PayFast posts forms; whatever else comes here comes from somebody else."""
    answer = await api.call("POST", PATH, data=b"{}", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.headers["Accept"]) == (415, FORM["Content-Type"])


async def test_idempotency_key_means_nothing_here(api: Api, aws: Aws) -> None:
    """PayFast's own ids tell repeats; a header from outside must not make us drop a payment."""
    headers = FORM | {"Idempotency-Key": '"same"'}
    for number in (b"1", b"2"):
        answer = await api.call("POST", PATH, data=BODY.replace(b"1089250", number), headers=headers)
        assert answer.status == 200
        assert "Idempotency-Replayed" not in answer.headers
    assert len(await _stored(api, aws)) == 2


@pytest.mark.parametrize("body", [b"", b"&&&", b"%ff%fe=\xff", b"a=1&a=2", b"=" * 1000])
async def test_nonsense_is_stored_and_changes_nothing(api: Api, aws: Aws, body: bytes) -> None:
    """Nothing that is posted here may become a 500: PayFast would repeat it for days."""
    answer = await answer_of(await api.client.post(PATH, data=body, headers=FORM))
    assert answer.status == 200
    (stored,) = await _stored(api, aws)
    assert stored["state"] == "REJECTED"
