"""What the fast client must have in common with aiobotocore's, and what it does on its own."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore import UNSIGNED
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ProxyConnectionError, SSLError

from bbws.shared.sqs.client import BotocoreClient
from bbws.shared.sqs.connection import ClientName, Connection
from bbws.shared.sqs.limits import MAX_WAIT_TIME_S
from bbws.shared.sqs.outgoing import Outgoing
from bbws.shared.sqs.signed import SignedClient
from tests.shared.sqs.faulty import network
from tests.shared.sqs.wires import own_certificate
from tests.support.emulator import Aws
from tests.support.waiting import eventually

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "text": {"DataType": "String", "StringValue": "ünï ☃"},
    "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    "count": {"DataType": "Number", "StringValue": "7"},
}
BOTH = pytest.mark.parametrize("name", ["fast", "botocore"])


def connection(aws: Aws, name: ClientName = "fast", **settings: Any) -> Connection:
    keys = {"aws_access_key_id": aws.access_key_id, "aws_secret_access_key": aws.secret_access_key}
    return Connection(aws.endpoint_url, client=name, region_name=aws.region, **(keys | settings))


async def new_queue(client: BotocoreClient, name: str = "q") -> str:
    return str((await client.sqs.create_queue(QueueName=name))["QueueUrl"])


async def received(client: BotocoreClient, url: str) -> list[dict[str, Any]]:
    return await client.receive(url, max_messages=10, wait_s=1, visibility_timeout_s=0)


async def test_both_read_the_same_from_the_same(aws: Aws) -> None:
    """Bodies, system attributes and attributes of every type: a handler cannot tell which client is at work."""
    fast, slow = connection(aws), connection(aws, "botocore")
    try:
        one, two = await fast.open(max_connections=5), await slow.open(max_connections=5)
        assert type(one.sqs) is not type(two.sqs)
        url = await new_queue(one)
        await one.send(url, Outgoing("fast ☃", ATTRIBUTES))
        await two.send(url, Outgoing("slow ☃", ATTRIBUTES))
        messages = [sorted(await received(client, url), key=lambda m: m["Body"]) for client in (one, two)]
    finally:
        await fast.close()
        await slow.close()
    changing = {"ReceiptHandle", "Attributes"}
    quick, usual = ([{k: v for k, v in m.items() if k not in changing} for m in read] for read in messages)
    assert quick == usual
    assert [m["MessageAttributes"]["bytes"]["BinaryValue"] for m in quick] == [b"\x00\xff"] * 2
    assert [m["Attributes"].keys() for m in messages[0]] == [m["Attributes"].keys() for m in messages[1]]


@BOTH
async def test_renewed_credentials_are_used_at_once(aws: Aws, name: ClientName) -> None:
    """A worker that runs for weeks with a role's credentials must not stop at the first expiry."""
    keys = iter(["111111111111", "222222222222"])

    def issued() -> dict[str, str]:
        expires = datetime.now(UTC) + timedelta(seconds=1)
        return {"access_key": next(keys), "secret_key": "s", "token": "t", "expiry_time": expires.isoformat()}

    async def renewed() -> dict[str, str]:
        return {**issued(), "expiry_time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}

    session = AioSession()
    async with network(aws) as (between, address):
        with_role = connection(address, name, session=session, aws_access_key_id=None, aws_secret_access_key=None)
        session._credentials = AioRefreshableCredentials.create_from_metadata(issued(), renewed, "test")
        client = await with_role.open(max_connections=2)
        await new_queue(client)
        await received(client, f"{address.endpoint_url}/x/q")
        await with_role.close()
    assert between.keys[-1] == "222222222222"


@BOTH
async def test_missing_credentials_are_botocores_error(aws: Aws, name: ClientName, monkeypatch: Any) -> None:
    """The same class with either client, so that the same handling of it works; nothing is sent under no name."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    async with network(aws) as (between, address):
        somebody = connection(address, name)
        nobody = connection(address, name, aws_access_key_id=None, aws_secret_access_key=None)
        url = await new_queue(await somebody.open(max_connections=2))
        client = await nobody.open(max_connections=2)
        with pytest.raises(NoCredentialsError):
            await received(client, url)
        await somebody.close()
        await nobody.close()
    assert between.calls == {"CreateQueue": 1}


async def test_anonymous_requests_stay_anonymous(aws: Aws) -> None:
    """`UNSIGNED` means that keys which happen to be there are not sent."""
    async with network(aws) as (between, address):
        unsigned = connection(address, client_config=AioConfig(signature_version=UNSIGNED))
        client = await unsigned.open(max_connections=2)
        await new_queue(client)
        await received(client, "http://x/1/q")
        await unsigned.close()
    assert between.keys == ["", ""]


async def test_a_cancelled_call_leaves_no_answer_for_the_next(aws: Aws) -> None:
    """The connection of a call that was cut off is closed: its late answer must not be taken for another's."""
    async with network(aws) as (between, address):
        line = connection(address)
        client = await line.open(max_connections=1)
        url = await new_queue(client)
        between.always("ReceiveMessage", "slow")
        receiving = asyncio.create_task(received(client, url))
        await eventually(lambda: between.calls["ReceiveMessage"], what="the call is under way")
        receiving.cancel()
        await asyncio.wait([receiving])
        assert await client.send(url, Outgoing("x"))
        assert [message["Body"] for message in await received(client, url)] == ["x"]
        await line.close()


@BOTH
async def test_a_proxy_of_the_config_is_used(aws: Aws, name: ClientName) -> None:
    """In a closed network there is no other way out: requests name their target to the proxy."""
    async with network(aws) as (between, proxy):
        target = replace(aws, endpoint_url="http://sqs.invalid:1234")
        proxied = connection(target, name, client_config=AioConfig(proxies={"http": proxy.endpoint_url}))
        client = await proxied.open(max_connections=2)
        url = await new_queue(client)
        assert await client.send(url, Outgoing("x"))
        await proxied.close()
    assert set(between.targets) == {"http://sqs.invalid:1234/"}


@BOTH
async def test_certificates_are_checked_as_configured(aws: Aws, name: ClientName, tmp_path: Path) -> None:
    """Over TLS with the session's `ca_bundle` it works, without it the certificate is refused."""
    async with network(aws, tls=own_certificate(tmp_path)) as (between, address):
        session = AioSession()
        session.set_config_variable("ca_bundle", str(tmp_path / "certificate"))
        trusting = connection(address, name, session=session)
        client = await trusting.open(max_connections=2)
        url = await new_queue(client)
        assert await client.send(url, Outgoing("x" * 500_000))
        assert len((await received(client, url))[0]["Body"]) == 500_000
        await trusting.close()
        calls = between.calls.total()
        once = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
        strange = connection(address, name, client_config=once)
        client = await strange.open(max_connections=2)
        with pytest.raises(SSLError):
            await client.send(url, Outgoing("x"))
        await strange.close()
    assert between.calls.total() == calls


@BOTH
async def test_a_proxys_certificate_is_checked_where_the_target_has_none(
    aws: Aws, name: ClientName, tmp_path: Path
) -> None:
    """Whoever stands in the proxy's place would read every message."""
    async with network(aws, tls=own_certificate(tmp_path)) as (between, proxy):
        target = replace(aws, endpoint_url="http://sqs.invalid:1234")
        once = {"mode": "standard", "total_max_attempts": 1}
        config = AioConfig(proxies={"http": proxy.endpoint_url}, retries=once)
        proxied = connection(target, name, client_config=config)
        client = await proxied.open(max_connections=2)
        with pytest.raises((SSLError, ProxyConnectionError)):
            await client.send("http://sqs.invalid:1234/q", Outgoing("x"))
        await proxied.close()
    assert between.calls.total() == 0


@BOTH
async def test_an_unreachable_service_is_botocores_error(name: ClientName) -> None:
    """Nobody listens: the class is that which handlers of botocore's errors know."""
    nowhere = connection(
        Aws("http://127.0.0.1:9", "123456789012"), name, client_config=AioConfig(retries={"max_attempts": 0})
    )
    client = await nowhere.open(max_connections=2)
    with pytest.raises(EndpointConnectionError):
        await received(client, "http://x/1/q")
    await nowhere.close()


async def test_requests_take_the_short_way(aws: Aws) -> None:
    """Where nothing is in between, botocore makes none of the hot calls: otherwise the fast client is none."""
    made: list[str] = []
    line = connection(aws)
    client = await line.open(max_connections=5)
    client.sqs.meta.events.register("request-created.sqs", lambda operation_name, **_: made.append(operation_name))
    url = await new_queue(client)
    await client.send_batch(url, [Outgoing("x"), Outgoing("y")])
    handles = [message["ReceiptHandle"] for message in await received(client, url)]
    assert not await client.change_visibility_batch(url, [(handle, 30) for handle in handles])
    assert not await client.delete_batch(url, handles)
    await line.close()
    assert made == ["CreateQueue"]


@pytest.mark.process
async def test_an_endpoint_with_a_query_is_left_to_aiobotocore() -> None:
    """A signature without the query would be refused; the same for what it cannot sign at all."""
    settings: dict[str, Any] = {"region_name": "af-south-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    unsigned = AioConfig(signature_version=UNSIGNED)
    for url, config, is_signed in [("/", None, True), ("/?tenant=1", None, False), ("/", unsigned, False)]:
        line = Connection(f"http://127.0.0.1:9{url}", client_config=config, **settings)
        client = (await line.open(max_connections=1)).sqs
        known = isinstance(client, SignedClient) and await client._resolved(client.send_message.args[0], {})
        assert bool(known) is is_signed
        await line.close()


async def test_settings_of_the_transport_are_what_long_polls_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read timeout of a poll's length fails every quiet poll; the user's settings win, and AWS_REGION is a region."""
    usual = Connection()._transport(7)
    assert usual.read_timeout > MAX_WAIT_TIME_S + 5
    assert (usual.max_pool_connections, usual.retries["total_max_attempts"]) == (7, 3)
    own = Connection(client_config=AioConfig(read_timeout=99))._transport(7)
    assert (own.read_timeout, own.max_pool_connections) == (99, 7)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Connection()._place()[1] == "eu-west-1"


@pytest.mark.process
def test_it_works_without_orjson() -> None:
    """Whoever takes this package alone may not have it."""
    script = (
        "import sys; sys.modules['orjson'] = None\n"
        "from bbws.shared.sqs import answers\n"
        "from bbws.shared.sqs.signed import bodies\n"
        "text = bodies.dumps({'a': b'x', 'b': '\u2603'})\n"
        "assert answers.read(text, received=False) == {'a': 'eA==', 'b': '\u2603'}\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
