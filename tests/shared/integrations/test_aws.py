import subprocess
import sys

import pytest

from bbws.shared.integrations.aws import AwsClients, service_endpoint
from tests.support.emulator import Aws


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
