import asyncio
import subprocess
import sys
from typing import Any

import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ReadTimeoutError

from bbws.shared.integrations import aws as integration
from bbws.shared.integrations.aws import AwsClients, service_endpoint
from bbws.shared.settings import Settings
from bbws.shared.sqs.signed import verification
from tests.support.emulator import Aws

SERVICES = ("dynamodb", "sqs", "sns", "s3", "events", "cognito-idp", "secretsmanager", "ses", "sesv2")
LONGEST_POLL_S = 20


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "LOCALSTACK_HOST"):
        monkeypatch.delenv(name, raising=False)


async def test_a_client_is_made_once_and_works(aws: Aws) -> None:
    """Every service holds a pool of connections; one per call would exhaust them."""
    async with AwsClients(aws.endpoint_url, aws.region, aws.access_key_id, aws.secret_access_key) as clients:
        dynamodb = await clients.get("dynamodb")
        assert await clients.get("dynamodb") is dynamodb
        assert (await dynamodb.list_tables())["TableNames"] == []


async def test_a_crowd_that_asks_for_a_client_shares_one(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process begins with many requests, while a role is still asked for its credentials; each client is a pool."""
    find_credentials = AioSession.get_credentials

    async def slowly(session: AioSession) -> Any:
        await asyncio.sleep(0.01)
        return await find_credentials(session)

    monkeypatch.setattr(AioSession, "get_credentials", slowly)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws.secret_access_key)
    async with AwsClients(aws.endpoint_url, aws.region) as clients:
        made = await asyncio.gather(*(clients.get("dynamodb") for _ in range(10)))
    assert len({id(client) for client in made}) == 1


@pytest.mark.parametrize(
    ("endpoint_url", "proxy", "expected"),
    [
        (None, "", None),
        ("https://127.0.0.1:4566", "", None),
        ("http://127.0.0.1:4566", "", False),
        ("http://127.0.0.1:4566", "https://proxy.example:3128", None),
    ],
)
def test_certificates_are_left_out_only_where_none_is_seen(
    monkeypatch: pytest.MonkeyPatch, endpoint_url: str | None, proxy: str, expected: bool | None
) -> None:
    """A proxy has one of its own, whatever is behind it."""
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    assert verification(endpoint_url) is expected


@pytest.mark.parametrize("service", SERVICES)
async def test_no_client_waits_without_end(service: str) -> None:
    """A network that swallows packets never answers: each call ends by itself, but a poll of SQS after its answer."""
    async with AwsClients(None, "af-south-1", "123456789012", "secret") as clients:
        config = (await clients.get(service)).meta.config
    assert 0 < config.connect_timeout <= 10
    assert 0 < config.read_timeout <= 60
    if service in ("ses", "sesv2"):
        longest_s = config.connect_timeout + config.read_timeout
        assert config.retries["total_max_attempts"] == 1
        assert longest_s < Settings().mail_lease_s, "who still waits for SES must hold the mail's lease"
    else:
        assert config.read_timeout > LONGEST_POLL_S
        assert 1 < config.retries["total_max_attempts"] <= 5


@pytest.mark.needs("faults")
async def test_a_call_without_an_answer_ends(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the configuration says is what the connection does."""
    monkeypatch.setattr(integration, "READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(integration, "MAX_ATTEMPTS", 1)
    await aws.inject("dynamodb", status=None, latency_ms=10_000)
    async with AwsClients(aws.endpoint_url, aws.region, aws.access_key_id, aws.secret_access_key) as clients:
        dynamodb = await clients.get("dynamodb")
        async with asyncio.timeout(5):
            with pytest.raises(ReadTimeoutError):
                await dynamodb.list_tables()


async def test_bucket_names_stay_in_the_path_at_an_endpoint() -> None:
    """`docs.emulator` has no address, so presigned links of the local system would lead nowhere."""
    async with AwsClients("http://emulator:4566", "af-south-1", "123456789012", "secret") as clients:
        s3 = await clients.get("s3")
        url = await s3.generate_presigned_url("get_object", Params={"Bucket": "docs", "Key": "a.pdf"})
    assert url.startswith("http://emulator:4566/docs/a.pdf?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url


def test_a_given_endpoint_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """localstack-client prefers AWS_ENDPOINT_URL to what it is told; a test must reach its own emulator."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere:1")
    assert service_endpoint("sqs", "http://127.0.0.1:4000") == "http://127.0.0.1:4000"


@pytest.mark.parametrize("package", ["installed", "absent"])
@pytest.mark.parametrize(
    ("name", "value", "endpoint"),
    [
        ("AWS_ENDPOINT_URL", "https://aws.test:8443", "https://aws.test:8443"),
        ("LOCALSTACK_HOST", "stack.test", "http://stack.test:4566"),
        ("LOCALSTACK_HOST", "stack.test:4000", "http://stack.test:4000"),
    ],
)
def test_the_environment_names_a_localstack(
    monkeypatch: pytest.MonkeyPatch, package: str, name: str, value: str, endpoint: str
) -> None:
    """The variables of LocalStack's own tools work here too, with localstack-client or without."""
    monkeypatch.setenv(name, value)
    if package == "absent":
        monkeypatch.setitem(sys.modules, "localstack_client.config", None)
    assert service_endpoint("dynamodb", None) == endpoint


@pytest.mark.process
def test_on_aws_localstack_client_is_never_imported() -> None:
    """It brings boto3, which no server has."""
    script = (
        "import sys\n"
        "from bbws.shared.integrations.aws import service_endpoint\n"
        "assert service_endpoint('sqs', None) is None\n"
        "assert not [m for m in sys.modules if m.startswith(('localstack', 'boto3'))]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
