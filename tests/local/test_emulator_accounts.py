"""An account that begins as a copy of another is what provisioning would have made, and nothing of it is shared."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import ClientResponseError

from bbws.local.emulator_process import Emulator
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import aws_clients
from bbws.shared.contracts.sales.order_events import PAYMENT_SOURCE
from bbws.shared.integrations.cognito import find_app_client, find_pool_id
from bbws.shared.topology import Topology
from tests.support.builders import order_created
from tests.support.emulator import Aws, Target, new_account
from tests.support.system import let_expire, provisioned_account, settings_for
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs("accounts")
QUEUE = "order-record"


@pytest_asyncio.fixture
async def original(aws: Aws, emulator: Target) -> Aws:
    """Provisioned, and used; a copy itself, as every account of the tests."""
    account = await provisioned_account(emulator)
    await let_expire(account)
    return account


async def _copy_of(original: Aws, emulator: Target) -> Aws:
    copy = new_account(emulator)
    await copy.begin_as(original)
    return copy


async def _differences(account: Aws) -> list[str]:
    settings = settings_for(account)
    async with aws_clients(settings) as clients:
        return await Provisioner(clients, settings, Topology.for_settings(settings)).differences()


async def _bodies(account: Aws, queue: str = QUEUE) -> list[str]:
    """What can be received now."""
    async with account.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    return [message["Body"] for message in answer.get("Messages", ())]


async def _send(account: Aws, body: str) -> None:
    async with account.client("sqs") as sqs:
        url = (await sqs.get_queue_url(QueueName=QUEUE))["QueueUrl"]
        assert f"/{account.access_key_id}/" in url
        await sqs.send_message(QueueUrl=url, MessageBody=body)


async def _publish(account: Aws, detail: str) -> None:
    entry = {"Source": PAYMENT_SOURCE, "DetailType": "ORDER_CREATED", "Detail": detail}
    async with account.client("events") as events:
        answer = await events.put_events(Entries=[entry | {"EventBusName": "bbws-events-local"}])
    assert answer["FailedEntryCount"] == 0


async def test_a_copy_differs_in_nothing_from_what_is_declared(original: Aws, emulator: Target) -> None:
    """`bbws provision --check` looks at everything; a copy of a copy is as good."""
    first = await _copy_of(original, emulator)
    second = await _copy_of(first, emulator)
    assert await _differences(first) == []
    assert await _differences(second) == []


async def test_an_event_flows_to_the_queues_of_its_own_account(original: Aws, emulator: Target) -> None:
    """Bus, rule, topic, subscription and queue all name each other by the account's id."""
    copy, other = await _copy_of(original, emulator), await _copy_of(original, emulator)
    detail = order_created().to_json().decode()
    await _publish(copy, detail)
    (arrived,) = await eventually(lambda: _bodies(copy), what="the event is in the queue")
    assert orjson.loads(arrived) == orjson.loads(detail)
    assert await _bodies(original) == await _bodies(other) == []


async def test_messages_stay_behind_and_items_and_objects_are_copied(original: Aws, emulator: Target) -> None:
    """What is stored belongs to the state that is copied; what is under way would arrive twice."""
    await _send(original, "under way")
    item = {"PK": {"S": "TENANT#1"}, "SK": {"S": "METADATA"}, "queue": {"S": f"of {original.access_key_id}"}}
    async with original.client("dynamodb") as dynamodb:
        await dynamodb.put_item(TableName="bbws-tenants", Item=item)
    copy = await _copy_of(original, emulator)
    assert await _bodies(copy) == []
    assert await _bodies(original) == ["under way"]
    async with copy.client("dynamodb") as dynamodb:
        stored = (await dynamodb.get_item(TableName="bbws-tenants", Key={"PK": item["PK"], "SK": item["SK"]}))["Item"]
    assert stored == item | {"queue": {"S": f"of {copy.access_key_id}"}}
    assert await _objects(copy) == await _objects(original) != {}


async def _objects(account: Aws) -> dict[str, bytes]:
    """Every object of the account, by bucket without the account's id, and key."""
    found = {}
    async with account.client("s3") as s3:
        for bucket in (await s3.list_buckets())["Buckets"]:
            for entry in (await s3.list_objects_v2(Bucket=bucket["Name"])).get("Contents", ()):
                answer = await s3.get_object(Bucket=bucket["Name"], Key=entry["Key"])
                name = bucket["Name"].removesuffix(account.access_key_id)
                found[f"{name}/{entry['Key']}"] = await answer["Body"].read()
    return found


async def test_nothing_leaks_between_an_account_and_its_copy(original: Aws, emulator: Target) -> None:
    """Two tests that share a dictionary somewhere deep below would fail each other at random."""
    copy = await _copy_of(original, emulator)
    await _send(copy, "of the copy")
    item = {"PK": {"S": "TENANT#2"}, "SK": {"S": "METADATA"}}
    async with copy.client("dynamodb") as dynamodb, copy.client("s3") as s3, copy.client("sqs") as sqs:
        await dynamodb.put_item(TableName="bbws-tenants", Item=item)
        buckets = [bucket["Name"] for bucket in (await s3.list_buckets())["Buckets"]]
        for bucket in buckets:
            await s3.put_object(Bucket=bucket, Key="of-the-copy", Body=b"1")
        url = (await sqs.get_queue_url(QueueName=QUEUE))["QueueUrl"]
        await sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7"})
    assert await _bodies(original) == []
    assert await _differences(original) == []
    async with original.client("dynamodb") as dynamodb, original.client("s3") as s3:
        assert "Item" not in await dynamodb.get_item(TableName="bbws-tenants", Key=item)
        names = [bucket["Name"] for bucket in (await s3.list_buckets())["Buckets"]]
        assert set(names).isdisjoint(buckets)
    assert not [name for name in await _objects(original) if name.endswith("of-the-copy")]


@pytest.mark.needs("cognito")
async def test_a_copied_pool_and_its_app_are_others(original: Aws, emulator: Target) -> None:
    """A sign-in names the app alone, and a token the pool: one id in two accounts would let strangers in."""
    copy = await _copy_of(original, emulator)
    declared = Topology.for_settings(settings_for(copy)).user_pool
    ids = []
    for account in (original, copy):
        async with account.client("cognito-idp") as cognito:
            pool = await find_pool_id(cognito, declared.name)
            assert pool is not None
            ids += [pool, await find_app_client(cognito, pool, declared.client)]
    assert len(set(ids)) == 4


async def _refusal(copying: Any) -> int:
    with pytest.raises(ClientResponseError) as refused:
        await copying
    return refused.value.status


async def test_what_cannot_be_copied_is_refused(original: Aws, emulator: Target) -> None:
    """A copy over what stands would leave a mixture of two accounts; two accounts cannot have one bucket."""
    copy = await _copy_of(original, emulator)
    assert await _refusal(copy.begin_as(original)) == 409
    assert await _refusal(new_account(emulator).begin_as(new_account(emulator))) == 409
    async with copy.client("s3") as s3:
        place = {"LocationConstraint": copy.region}
        await s3.create_bucket(Bucket="one-of-a-kind", CreateBucketConfiguration=place)
    refused = new_account(emulator)
    assert await _refusal(refused.begin_as(copy)) == 409
    await refused.begin_as(original)
    assert await _differences(refused) == []


@pytest.mark.process
async def test_a_copy_is_kept_over_a_clean_stop(tmp_path: Path) -> None:
    """Objects lie in files: a copy in memory alone would come back without them."""
    state, mails = tmp_path / "aws", tmp_path / "mails"
    async with Emulator(state, mails) as emulator:
        target = Target(emulator.endpoint_url)
        original = new_account(target)
        async with original.client("s3") as s3:
            bucket = original.unique("kept")
            place = {"LocationConstraint": original.region}
            await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
            await s3.put_object(Bucket=bucket, Key="a/b", Body=b"1")
        copy = await _copy_of(original, target)
    async with Emulator(state, mails) as emulator:
        again = Aws(emulator.endpoint_url, copy.access_key_id)
        assert await _objects(again) == {"kept-/a/b": b"1"}
