"""Idempotency keys: one effect and one answer, whatever a client or a crash repeats."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bbws.shared.core.idempotency import KEPT, LEASE, Begun, IdempotencyKeys, StoredAnswer
from bbws.shared.dynamo.database import Database, Put, Update
from bbws.shared.dynamo.keys import IDEMPOTENCY
from bbws.shared.errors import Conflict, Invalid
from tests.support.clock import HandClock
from tests.support.meanwhile import meanwhile

pytestmark = pytest.mark.needs("dynamodb")
CREATED = StoredAnswer(201, {"location": "/v1.0/orders/1", "etag": '"1"'}, b'{"id":"1"}\xff')
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def keys(database: Database, clock: HandClock) -> IdempotencyKeys:
    return IdempotencyKeys(database, clock)


async def _begin(keys: IdempotencyKeys, fingerprint: str = "body", *, scope: str = "tenant-1 POST /orders") -> Begun:
    begun = await keys.begin(scope, "key-1", fingerprint)
    assert isinstance(begun, Begun)
    return begun


async def test_a_repeat_gets_the_first_answer(keys: IdempotencyKeys, clock: HandClock) -> None:
    """A client whose connection broke asks again, and must not buy twice."""
    await keys.finish(await _begin(keys), CREATED)
    clock.move(timedelta(hours=48) - MOMENT)
    assert await keys.begin("tenant-1 POST /orders", "key-1", "body") == CREATED


async def test_a_repeat_while_the_first_is_under_way_is_a_conflict(keys: IdempotencyKeys, clock: HandClock) -> None:
    """Two at once would both create; draft-07 says 409."""
    await _begin(keys)
    clock.move(LEASE - MOMENT)
    with pytest.raises(Conflict, match="under way"):
        await _begin(keys)


async def test_a_key_used_for_another_request_is_invalid(keys: IdempotencyKeys) -> None:
    """Answering with the first order's number would hide that the second was never placed."""
    begun = await _begin(keys)
    with pytest.raises(Invalid, match="another request"):
        await _begin(keys, "other body")
    await keys.finish(begun, CREATED)
    with pytest.raises(Invalid, match="another request"):
        await _begin(keys, "other body")


async def test_keys_of_different_scopes_do_not_meet(keys: IdempotencyKeys) -> None:
    """Two tenants may choose the same key, and must not see each other's answers."""
    await keys.finish(await _begin(keys), CREATED)
    assert await _begin(keys, scope="tenant-2 POST /orders")


async def test_after_a_crash_the_retry_creates_under_the_same_id(keys: IdempotencyKeys, clock: HandClock) -> None:
    """The crashed request may have created it: with the same id the retry finds it instead of making another."""
    crashed = await _begin(keys)
    clock.move(LEASE)
    retried = await _begin(keys)
    assert retried.resource_id == crashed.resource_id
    await keys.finish(crashed, StoredAnswer(500, {}, b"too late"))
    await keys.finish(retried, CREATED)
    assert await keys.begin("tenant-1 POST /orders", "key-1", "body") == CREATED


async def test_an_abandoned_key_is_free_at_once(keys: IdempotencyKeys) -> None:
    """A request that was refused had no effect; its client may try again without waiting for a lease."""
    refused = await _begin(keys)
    await keys.abandon(refused)
    assert (await _begin(keys)).resource_id == refused.resource_id


async def test_an_expired_key_can_be_used_again(keys: IdempotencyKeys, clock: HandClock, database: Database) -> None:
    """DynamoDB deletes expired items within days; until then they must not answer."""
    first = await _begin(keys)
    await keys.finish(first, CREATED)
    clock.move(KEPT + timedelta(seconds=1))
    again = await _begin(keys, "another body")
    assert again.resource_id != first.resource_id
    stored = await database.find(IDEMPOTENCY, again.key) or {}
    assert stored["expiresAt"] == int((clock() + KEPT).timestamp())
    assert "status" not in stored


async def test_of_twenty_at_once_one_begins(keys: IdempotencyKeys) -> None:
    """An impatient client or a retrying proxy sends them within a millisecond."""
    answers = await asyncio.gather(*(_begin(keys) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Begun) for answer in answers) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 19


async def test_of_twenty_that_take_over_one_begins(keys: IdempotencyKeys, clock: HandClock) -> None:
    """After a crash the retries come together, too."""
    await _begin(keys)
    clock.move(LEASE)
    answers = await asyncio.gather(*(_begin(keys) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Begun) for answer in answers) == 1
    assert sum(isinstance(answer, Conflict) for answer in answers) == 19


async def test_a_claim_whose_answer_was_lost_is_the_callers_own(
    keys: IdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK asks again by itself and meets what it wrote: 409 for the only request there is would be absurd."""
    write = Database.write

    async def written_twice(database: Database, claim: Put) -> None:
        await write(database, claim)
        await write(database, claim)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", written_twice)
        begun = await _begin(keys)
    await keys.finish(begun, CREATED)
    assert await keys.begin("tenant-1 POST /orders", "key-1", "body") == CREATED


async def test_a_key_that_goes_while_it_is_looked_at_is_a_conflict(
    keys: IdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB deletes what has expired at any moment: the client repeats, and is the first one then."""
    await _begin(keys)

    async def gone(*_: Any) -> None:
        return None

    monkeypatch.setattr(Database, "find", gone)
    with pytest.raises(Conflict, match="repeat it"):
        await _begin(keys)


@pytest.mark.parametrize("ending", ["finish", "abandon"])
async def test_who_comes_back_after_the_lease_changes_nothing(
    keys: IdempotencyKeys, clock: HandClock, ending: str
) -> None:
    """A request that hung for a minute must neither answer for the one that took over nor open its key to a third."""
    late = await _begin(keys)
    clock.move(LEASE)
    now = await _begin(keys)
    await (keys.finish(late, CREATED) if ending == "finish" else keys.abandon(late))
    with pytest.raises(Conflict, match="under way"):
        await _begin(keys)
    answer = StoredAnswer(201, {}, b"of the second")
    await keys.finish(now, answer)
    assert await keys.begin("tenant-1 POST /orders", "key-1", "body") == answer


async def test_only_one_takes_over_what_two_saw(keys: IdempotencyKeys, clock: HandClock) -> None:
    """Both read the same lease that has ended; whoever writes second is told so, and creates nothing."""
    await _begin(keys)
    clock.move(LEASE)
    taken: list[Begun] = []

    async def other() -> None:
        clock.move(MOMENT)
        taken.append(await _begin(keys))

    with meanwhile(other, before=lambda write: isinstance(write, Update)), pytest.raises(Conflict, match="under way"):
        await _begin(keys)
    await keys.finish(taken[0], CREATED)
    assert await keys.begin("tenant-1 POST /orders", "key-1", "body") == CREATED
