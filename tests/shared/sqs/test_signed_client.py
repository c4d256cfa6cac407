"""Whatever goes wrong between a signed client and AWS ends as with aiobotocore alone, and AWS sees the same requests.

Each case is asked of both, of a server that says what the case scripts. Nothing is compared with what this repository
thinks right, but for the few words that say what botocore is known to do.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from ssl import SSLContext
from typing import Any
from unittest.mock import patch
from zlib import crc32

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.session import AioSession
from aiohttp.client_proto import ResponseHandler
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from bbws.shared.dynamo import answers as dynamo
from bbws.shared.integrations.aws import new_session, shared_session
from bbws.shared.sqs import answers as sqs
from bbws.shared.sqs.signed import SignedClient, read
from tests.shared.sqs.wires import JSON_HEADERS, Request, answer, own_certificate, read_request

pytestmark = pytest.mark.process

REGION = "af-south-1"
SECRETS = {"AKIDFIRST": "first secret", "AKIDSECOND": "second secret"}
FIRST = {"aws_access_key_id": "AKIDFIRST", "aws_secret_access_key": SECRETS["AKIDFIRST"]}
READERS: dict[str, Callable[[str, bytes], dict[str, Any]]] = {
    "dynamodb": lambda _, body: dynamo.read(body),
    "events": lambda _, body: read(body),
    "sqs": lambda method, body: sqs.read(body, received=method == "receive_message"),
}


@dataclass(frozen=True)
class Call:
    """A call of a service, and what AWS says when all is well."""

    service: str
    method: str
    arguments: dict[str, Any]
    good: dict[str, Any]


MOMENTS = [
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2))),
]
SNOWMAN = {"PK": {"S": "☃"}, "SK": {"S": "B"}}
PUT = {"Put": {"TableName": "orders", "Item": {**SNOWMAN, "raw": {"B": b"\x00\xff"}, "cents": {"N": "-1.5"}}}}
EVENT = {"Source": "bbws", "DetailType": "T", "Detail": '{"é": 1}', "EventBusName": "bus"}
BYTES = {"B": b64encode(b"\x00\xff").decode()}
CALLS = [
    Call(
        "dynamodb",
        "get_item",
        {"TableName": "orders", "Key": SNOWMAN, "ConsistentRead": True},
        {"Item": {**SNOWMAN, "raw": BYTES, "B": {"M": {"B": BYTES}}, "list": {"L": [BYTES, {"NULL": True}]}}},
    ),
    Call(
        "dynamodb",
        "batch_get_item",
        {"RequestItems": {"orders": {"Keys": [SNOWMAN]}, "products": {"Keys": [SNOWMAN]}}},
        {"Responses": {"orders": [SNOWMAN], "products": []}, "UnprocessedKeys": {}},
    ),
    Call("dynamodb", "transact_write_items", {"TransactItems": [PUT, PUT]}, {}),
    Call(
        "events",
        "put_events",
        {"Entries": [{**EVENT, "Time": moment} for moment in MOMENTS]},
        {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]},
    ),
    Call(
        "sqs",
        "send_message",
        {
            "QueueUrl": "http://x/1/q",
            "MessageBody": "é",
            "MessageAttributes": {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}},
        },
        {"MessageId": "1", "MD5OfMessageBody": "…"},
    ),
    Call(
        "sqs",
        "receive_message",
        {"QueueUrl": "http://x/1/q", "MessageAttributeNames": ["All"]},
        {"Messages": [{"Body": "é", "MessageAttributes": {"raw": {"DataType": "Binary", "BinaryValue": BYTES["B"]}}}]},
    ),
]
ALL = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
GET, BATCH, TRANSACTION, EVENTS, SEND, _ = CALLS


@dataclass(frozen=True)
class Say:
    """One answer; `reset` and `silence` give none, `unasked` another one while the connection is idle."""

    status: int = 200
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = JSON_HEADERS
    extra_length: int = 0
    deed: str = ""


def refusal(status: int, code: str, **more: Any) -> Say:
    return Say(status, json.dumps({"__type": f"com.amazonaws#{code}", "message": f"{code} ☃", **more}).encode())


def checked(body: bytes, *, by: int = 0) -> Say:
    """With DynamoDB's checksum, which is off by so much."""
    return Say(200, body, (*JSON_HEADERS, ("x-amz-crc32", str(crc32(body) + by))))


@dataclass
class Aws:
    """Says its answers one after the other, the last one for ever, and keeps what it was asked."""

    says: Sequence[Say]
    good: bytes
    asked: list[Request] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.asked.append(await read_request(reader))
                say = self.says[min(len(self.asked), len(self.says)) - 1]
                if say.deed == "reset":
                    writer.transport.abort()
                elif say.deed == "chunked":
                    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    writer.write(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.good), self.good))
                elif say.deed != "silence":
                    body = self.good if say.body is None else say.body
                    answer(writer, say.status, body, headers=say.headers, length=len(body) + say.extra_length)
                    if say.extra_length:
                        writer.close()
                    if say.deed == "unasked":
                        await writer.drain()
                        await asyncio.sleep(0.05)
                        answer(writer, 408, b"")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def saying(
    call: Call, *says: Say, host: str = "127.0.0.1", tls: SSLContext | None = None
) -> AsyncIterator[tuple[Aws, str]]:
    """An AWS, and its address."""
    aws = Aws(says or [Say()], json.dumps(call.good, ensure_ascii=False).encode())
    async with await asyncio.start_server(aws.serve, host, 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else "localhost" if tls else host
        yield aws, f"{'https' if tls else 'http'}://{name}:{port}"


Outcome = tuple[Any, ...]


async def asked_both(
    call: Call, *says: Say, session: Callable[[], AioSession] = shared_session, repeats: int = 1, **settings: Any
) -> Outcome:
    """What both clients make of it, which is the same; what they sent is the same as well."""
    host, tls = settings.pop("host", "127.0.0.1"), settings.pop("tls", None)
    config = AioConfig(retries={"mode": "standard", "total_max_attempts": 3}).merge(settings.pop("config", AioConfig()))
    told: list[tuple[Outcome, list[Outcome]]] = []
    async with saying(call, *says, host=host, tls=tls) as (aws, url):
        for is_signed in (True, False):
            aws.asked.clear()
            options = {"endpoint_url": url, "region_name": REGION, **(FIRST | settings), "config": config}
            if settings.get("endpoint_url", "") is None:
                del options["endpoint_url"]
            async with session().create_client(call.service, **options) as usual:
                client = SignedClient.of(usual, [call.method], READERS[call.service]) if is_signed else usual
                assert isinstance(client, SignedClient) is is_signed
                outcomes = [await outcome(client, call) for _ in range(repeats)]
            told.append((outcomes[-1], _without_tokens([seen(request) for request in aws.asked])))
    (signed, requests), (plain, usual_requests) = told
    assert signed == plain
    assert requests == usual_requests
    return (*plain, len(requests))


async def outcome(client: Any, call: Call) -> Outcome:
    """The answer, or the error with all that it says but the address, which is another each time."""
    try:
        answered = await getattr(client, call.method)(**call.arguments)
    except Exception as error:  # noqa: BLE001 - which one is the question
        response = dict(getattr(error, "response", None) or {})
        status = response.pop("ResponseMetadata", {})
        kept = {name: status[name] for name in ("HTTPStatusCode", "RetryAttempts") if name in status}
        return type(error).__name__, re.sub(r":\d+", ":port", str(error)), response, kept
    answered.pop("ResponseMetadata", None)
    return (answered,)


def seen(request: Request) -> Outcome:
    """What AWS makes of a request: everything that counts, and whether the signature holds."""
    names = ("x-amz-target", "content-type", "x-amzn-query-mode", "x-amz-security-token", "accept-encoding")
    said = {name: request.headers.get(name) for name in names}
    host = request.headers["host"].partition(":")[0]
    return request.method, request.target, host, said, json.loads(request.body), request.access_key_id, holds(request)


def _without_tokens(requests: list[Outcome]) -> list[Outcome]:
    """Tokens that say that a request is a repeat are another for each client, but stay so through all repeats."""
    tokens: list[str] = []
    for request in requests:
        if token := request[4].get("ClientRequestToken"):
            tokens += [token] if token not in tokens else []
            request[4]["ClientRequestToken"] = tokens.index(token)
    return requests


def holds(request: Request) -> bool:
    """Whether the signature is the one that AWS computes, and covers the token."""
    claim = request.headers["authorization"]
    parts = re.match(r".*Credential=(\w+)/\d+/([^/]+)/([^/]+)/.*SignedHeaders=(\S+), ", claim)
    assert parts is not None
    key, region, service, names = parts.groups()
    signed = {name: request.headers[name] for name in names.split(";")}
    again = AWSRequest(request.method, f"http://{request.headers['host']}{request.target}", signed, request.body)
    token = signed.pop("x-amz-security-token", None)
    at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    with patch.object(auth, "get_current_datetime", lambda: at):
        auth.SigV4Auth(ReadOnlyCredentials(key, SECRETS[key], token), service, region).add_auth(again)
    is_covered = ("x-amz-security-token" in request.headers) == (token is not None)
    return is_covered and bool(again.headers["Authorization"] == claim)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait for nothing."""

    async def at_once(*_: Any) -> None: ...

    monkeypatch.setattr(AioEndpoint, "_sleep", at_once)


GOOD = b'{"Item": {"PK": {"S": "x"}}}'
FAULTS = {
    "nothing": [Say()],
    "chunked": [Say(deed="chunked")],
    "the connection ends": [Say(headers=(*JSON_HEADERS, ("Connection", "close")))],
    "500 and well": [refusal(500, "InternalServerError"), Say()],
    "503 for ever": [refusal(503, "ServiceUnavailable")],
    "503 as a page": [Say(503, b"<html>")],
    "reset and well": [Say(deed="reset"), Say()],
    "reset for ever": [Say(deed="reset")],
    "half and well": [Say(extra_length=9), Say()],
    "half for ever": [Say(extra_length=9)],
    "no JSON": [Say(200, b"<html>")],
    "a list": [Say(200, b"[]")],
    "nothing said": [Say(200, b"")],
    "no UTF-8": [Say(200, b'{"MessageId": "\xff"}')],
    "a key that expired": [refusal(400, "ExpiredTokenException")],
    "an unknown key": [refusal(403, "UnrecognizedClientException")],
    "skewed clocks": [refusal(400, "RequestExpired"), Say()],
    "another code": [refusal(400, "ValidationException")],
    "too large": [Say(413, b"")],
    "no content": [Say(204, b"")],
    "another protocol": [Say(101, b"", (("Upgrade", "x"), ("Connection", "upgrade")))],
    "a header that is no UTF-8": [Say(500, b"{}", (("x", "\udcff"),))],
}


@ALL
@pytest.mark.parametrize("says", FAULTS.values(), ids=FAULTS)
async def test_both_end_alike(call: Call, says: Sequence[Say]) -> None:
    """Answers and errors, their class, code, fields and text, and how often was asked for them."""
    await asked_both(call, *says)


@ALL
@pytest.mark.parametrize("mode", ["standard", "legacy"])
async def test_retries_are_botocores(call: Call, mode: str) -> None:
    """Throttled twice is three requests and an answer; more often, an error after as many as are configured."""
    code = "ProvisionedThroughputExceededException" if call.service == "dynamodb" else "ThrottlingException"
    throttled, config = refusal(400, code), AioConfig(retries={"mode": mode, "max_attempts": 3})
    *_, requests = await asked_both(call, throttled, throttled, Say(), config=config)
    assert requests == 3
    kind, text, *_, requests = await asked_both(call, throttled, config=config)
    assert code in kind + text
    assert requests in (3, 4)


@pytest.mark.parametrize("mode", ["standard", "legacy"])
async def test_an_answer_whose_checksum_is_wrong_is_asked_for_again(mode: str) -> None:
    """DynamoDB says what it sent: another item than the stored one is worse than none."""
    config = AioConfig(retries={"mode": mode, "total_max_attempts": 3})
    answered, requests = await asked_both(GET, checked(GOOD), config=config)
    assert (answered, requests) == ({"Item": {"PK": {"S": "x"}}}, 1)
    answered, requests = await asked_both(GET, checked(GOOD, by=1), checked(GOOD), config=config)
    assert (answered, requests) == ({"Item": {"PK": {"S": "x"}}}, 2)
    *_, requests = await asked_both(GET, checked(GOOD, by=1), config=config)
    assert requests == 3
    malformed = Say(200, GOOD, (*JSON_HEADERS, ("x-amz-crc32", "none")))
    kind, *_ = await asked_both(GET, malformed, config=config)
    assert kind == "ValueError"


async def test_a_repeated_transaction_says_so() -> None:
    """An answer that was lost, and another writer in between: the repeat must not fail at its own first attempt."""
    async with saying(TRANSACTION, Say(deed="reset"), Say(extra_length=9), Say()) as (aws, url):
        options = {"endpoint_url": url, "region_name": REGION, **FIRST}
        async with shared_session().create_client("dynamodb", **options) as usual:
            client = SignedClient.of(usual, ["transact_write_items"], READERS["dynamodb"])
            for _ in range(2):
                assert await outcome(client, TRANSACTION) == ({},)
    first, second, third, other = [json.loads(request.body)["ClientRequestToken"] for request in aws.asked]
    assert first == second == third != other


async def test_a_cancelled_transaction_says_which_of_its_writes_and_why() -> None:
    """Who was faster, which name is taken: services decide by the reasons, in the order of the writes."""
    reasons = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Message": "☃", "Item": {"raw": BYTES}}]
    said = refusal(400, "TransactionCanceledException", CancellationReasons=reasons, Message="cancelled")
    kind, _, response, _, requests = await asked_both(TRANSACTION, said)
    assert (kind, requests) == ("TransactionCanceledException", 1)
    assert [reason["Code"] for reason in response["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    assert response["CancellationReasons"][1]["Item"] == {"raw": {"B": b"\x00\xff"}}


async def test_a_condition_that_failed_comes_with_the_item() -> None:
    """Under its own class, which callers catch."""
    put = Call("dynamodb", "put_item", {"TableName": "orders", "Item": SNOWMAN}, {})
    kind, _, response, *_ = await asked_both(put, refusal(400, "ConditionalCheckFailedException", Item=SNOWMAN))
    assert kind == "ConditionalCheckFailedException"
    assert response["Item"] == SNOWMAN


@ALL
async def test_what_nobody_asked_for_answers_nothing(call: Call) -> None:
    """A balancer says 408 to an idle connection, and aiohttp's pool keeps it: each answer would be one too early."""
    async with saying(call, Say(deed="unasked"), Say()) as (aws, url):
        options = {"endpoint_url": url, "region_name": REGION, **FIRST}
        async with shared_session().create_client(call.service, **options) as usual:
            client = SignedClient.of(usual, [call.method], READERS[call.service])
            first = await outcome(client, call)
            await asyncio.sleep(0.2)
            assert await outcome(client, call) == first
    assert len(aws.asked) == 2


@ALL
async def test_whoever_talks_before_being_asked_is_left(call: Call) -> None:
    """An address where something else listens: an error in the end, and no request."""
    once = AioConfig(retries={"total_max_attempts": 1}, max_pool_connections=2)
    async with saying(call) as (aws, url):
        options = {"endpoint_url": url, "region_name": REGION, **FIRST, "config": once}
        async with shared_session().create_client(call.service, **options) as usual:
            client = SignedClient.of(usual, [call.method], READERS[call.service])
            with patch.object(ResponseHandler, "should_close", True):
                kind, *_ = await outcome(client, call)
    assert (kind, aws.asked) == ("ConnectionClosedError", [])


@ALL
@pytest.mark.parametrize("secret", ["aws_access_key_id", "aws_session_token"])
async def test_no_key_begins_a_header(call: Call, secret: str) -> None:
    """A secret that was stored with its line end is told as by botocore, not sent as something else."""
    for text in ("AKIDFIRST\n", "AKIDFIRST\r\nx-evil: 1"):
        settings: dict[str, Any] = {secret: text}
        kind, said, *_, requests = await asked_both(call, **settings)
        assert (kind, requests) == ("HTTPClientError", 0)
        assert "control character" in said


@ALL
async def test_silence_ends_when_the_configuration_says(call: Call) -> None:
    """A service that hangs must not hang its callers for ever."""
    config = AioConfig(read_timeout=0.2)
    kind, *_, requests = await asked_both(call, Say(deed="silence"), config=config)
    assert (kind, requests) == ("ReadTimeoutError", 3)


@ALL
async def test_a_session_token_is_sent_and_signed(call: Call) -> None:
    """Without it AWS knows no temporary key."""
    await asked_both(call, aws_session_token="a token/+=")
    async with saying(call) as (aws, url):
        options = {"endpoint_url": url, "region_name": REGION, **FIRST, "aws_session_token": "a token/+="}
        async with shared_session().create_client(call.service, **options) as usual:
            await outcome(SignedClient.of(usual, [call.method], READERS[call.service]), call)
    assert [request.headers["x-amz-security-token"] for request in aws.asked] == ["a token/+="]


@ALL
async def test_keys_are_renewed(call: Call) -> None:
    """A process runs longer than the keys of its role: each call asks for those of now."""

    def expiring() -> AioSession:
        def keys(name: str, lifetime: timedelta) -> dict[str, str]:
            expires = (datetime.now(UTC) + lifetime).isoformat()
            return {"access_key": name, "secret_key": SECRETS[name], "token": name.lower(), "expiry_time": expires}

        async def renewed() -> dict[str, str]:
            return keys("AKIDSECOND", timedelta(hours=1))

        session = new_session()
        first = keys("AKIDFIRST", timedelta(seconds=0.3))
        session._credentials = AioRefreshableCredentials.create_from_metadata(first, renewed, "test", 0, 0)
        return session

    nobody = dict.fromkeys(FIRST)
    async with (
        saying(call) as (aws, url),
        expiring().create_client(call.service, endpoint_url=url, region_name=REGION, **nobody) as usual,
    ):
        client = SignedClient.of(usual, [call.method], READERS[call.service])
        await outcome(client, call)
        await asyncio.sleep(0.4)
        await outcome(client, call)
    assert [request.access_key_id for request in aws.asked] == ["AKIDFIRST", "AKIDSECOND"]
    assert [request.headers["x-amz-security-token"] for request in aws.asked] == ["akidfirst", "akidsecond"]
    assert all(holds(request) for request in aws.asked)


@ALL
async def test_over_tls_with_a_ca_of_ones_own(call: Call, tmp_path: Path) -> None:
    """And not without it."""
    tls = own_certificate(tmp_path)
    trusted = str(tmp_path / "certificate")
    *_, requests = await asked_both(call, tls=tls, verify=trusted, repeats=2)
    assert requests == 2
    kind, *_, requests = await asked_both(call, tls=tls)
    assert (kind, requests) == ("SSLError", 0)


@ALL
async def test_over_ipv6(call: Call) -> None:
    """The host in brackets is part of the signature."""
    *_, requests = await asked_both(call, host="::1")
    assert requests == 1


@ALL
async def test_through_a_proxy(call: Call) -> None:
    """Where there is no other way out."""
    target = "http://aws.invalid:1234/"
    async with saying(call) as (aws, url):
        config = AioConfig(proxies={"http": url})
        options = {"endpoint_url": target, "region_name": REGION, **FIRST, "config": config}
        async with shared_session().create_client(call.service, **options) as usual:
            client = SignedClient.of(usual, [call.method], READERS[call.service])
            assert await outcome(client, call) == await outcome(usual, call)
    assert [request.target for request in aws.asked] == [target, target]


@ALL
async def test_where_nobody_listens(call: Call) -> None:
    """As often as configured, and the error of botocore that callers know."""
    with patch.object(Aws, "serve"):
        async with saying(call) as (_, url):
            pass
        told = []
        for is_signed in (True, False):
            options = {"endpoint_url": url, "region_name": REGION, **FIRST}
            async with shared_session().create_client(call.service, **options) as usual:
                client = SignedClient.of(usual, [call.method], READERS[call.service]) if is_signed else usual
                told.append(await outcome(client, call))
    assert told[0] == told[1]
    assert told[0][0] == "EndpointConnectionError"


@ALL
async def test_one_request_is_one_request(call: Call) -> None:
    """Without retries nothing is asked twice, whatever went wrong with the first: it may have been done."""
    once = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})
    for says in FAULTS.values():
        *_, requests = await asked_both(call, *says, config=once)
        assert requests == 1


@ALL
async def test_botocore_makes_no_call_where_nothing_is_in_between(call: Call) -> None:
    """Otherwise the signed client is none: all that it need not do is what it saves."""
    made: list[str] = []
    async with saying(call) as (_, url):
        options = {"endpoint_url": url, "region_name": REGION, **FIRST}
        async with shared_session().create_client(call.service, **options) as usual:
            usual.meta.events.register("request-created", lambda operation_name, **_: made.append(operation_name))
            await outcome(SignedClient.of(usual, [call.method], READERS[call.service]), call)
    assert made == []


def _addresses() -> Iterator[Any]:
    arn = f"arn:aws:dynamodb:{REGION}:222222222222:table/orders"
    here = f"dynamodb.{REGION}.amazonaws.com"
    yield pytest.param({}, GET, {}, here, id="usual")
    yield pytest.param({}, EVENTS, {}, f"events.{REGION}.amazonaws.com", id="events")
    yield pytest.param({"use_fips_endpoint": True}, GET, {}, None, id="fips")
    yield pytest.param({"use_dualstack_endpoint": True}, GET, {}, f"dynamodb.{REGION}.api.aws", id="dualstack")
    mine = {"aws_account_id": "111111111111"}
    yield pytest.param({}, GET, mine, f"111111111111.ddb.{REGION}.amazonaws.com", id="account of the key")
    off = {"account_id_endpoint_mode": "disabled"}
    yield pytest.param(off, GET, mine, here, id="disabled")
    for call, changed in (
        (GET, {"TableName": arn}),
        (TRANSACTION, {"TransactItems": [{"Put": {**PUT["Put"], "TableName": arn}}]}),
        (BATCH, {"RequestItems": {arn: {"Keys": [SNOWMAN]}}}),
    ):
        named = Call(call.service, call.method, call.arguments | changed, call.good)
        yield pytest.param({}, named, mine, f"222222222222.ddb.{REGION}.amazonaws.com", id=f"{call.method} of an ARN")


@pytest.mark.parametrize(("settings", "call", "credentials", "expected"), list(_addresses()))
async def test_requests_go_where_botocore_sends_them(
    settings: dict[str, Any], call: Call, credentials: dict[str, str], expected: str | None
) -> None:
    """Account, region, table and switches have a part in the address: the same host, whichever client."""
    hosts: list[list[str]] = []
    for is_signed in (True, False):
        asked: list[str] = []

        async def send(_: Any, request: Any, asked: list[str] = asked) -> Any:
            asked.append(request.url)
            raise OSError("that is all we want to know")

        once = AioConfig(retries={"total_max_attempts": 1}, **settings)
        with (
            patch("aiobotocore.httpsession.AIOHTTPSession.send", send),
            patch(
                "bbws.shared.sqs.signed.transport.HttpTransport.post",
                lambda transport, *_, asked=asked: send(transport, AWSRequest("POST", transport._url), asked),
            ),
        ):
            options = {"region_name": REGION, **FIRST, **credentials, "config": once}
            async with new_session().create_client(call.service, **options) as usual:
                client = SignedClient.of(usual, [call.method], READERS[call.service]) if is_signed else usual
                await outcome(client, next(one for one in CALLS if one.method == call.method))
                await outcome(client, call)
                # Keys are renewed, and may be another account's.
                usual._request_signer._credentials.account_id = "333333333333"
                await outcome(client, call)
        hosts.append(asked)
    assert hosts[0] == hosts[1]
    assert len(hosts[0]) == 3
    assert expected is None or hosts[0][1] == f"https://{expected}/"
