"""Our signature is botocore's, whatever is signed."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.sqs.signed.signing import Signer, host_of

NAMES = st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)
HOSTS = st.one_of(
    st.sampled_from(
        [
            "sqs.af-south-1.amazonaws.com",
            "LOCALHOST",
            "127.0.0.1",
            "[::1]",
            "sqs.cn-north-1.amazonaws.com.cn",
            "a_b.test",
        ]
    ),
    st.from_regex(r"[A-Za-z0-9]{1,12}(\.[A-Za-z0-9]{1,12}){0,3}", fullmatch=True),
)
PORTS = st.one_of(st.just(""), st.sampled_from([":80", ":443"]), st.integers(1, 65535).map(lambda port: f":{port}"))
PATHS = st.lists(st.text(st.sampled_from("abcXYZ019-._~%20+ é:@=&$,;"), max_size=8), max_size=4).map(
    lambda parts: "".join(f"/{part}" for part in parts) or "/"
)
URLS = st.builds("{}://{}{}{}".format, st.sampled_from(["http", "https"]), HOSTS, PORTS, PATHS)
SECRETS = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=40)
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
HEADERS = {"content-type": "application/x-amz-json-1.0", "x-amzn-query-mode": "true"}


def by_botocore(url: str, region: str, headers: dict[str, str], body: bytes, credentials: object, at: datetime) -> str:
    request = AWSRequest("POST", url, headers=dict(headers), data=body)
    with patch.object(auth, "get_current_datetime", lambda: at):
        auth.SigV4Auth(credentials, "sqs", region).add_auth(request)
    return str(request.headers["Authorization"])


@given(
    URLS,
    NAMES,
    NAMES.map(lambda n: f"AmazonSQS.{n}"),
    st.binary(max_size=200),
    SECRETS,
    st.none() | SECRETS,
    TIMES,
    TIMES,
)
def test_the_signature_is_botocores(
    url: str, region: str, target: str, body: bytes, secret: str, token: str | None, first: datetime, second: datetime
) -> None:
    """Bodies, tokens, clocks, hosts, ports and paths: AWS would refuse the smallest difference."""
    signer = Signer(url, region, "sqs")
    headers = {**HEADERS, "x-amz-target": target}
    credentials = ReadOnlyCredentials("AKID", secret, token, None)
    # Twice, because the second finds a signing key in the cache, of the same day or of another.
    for at in (first, second):
        ours = signer.sign(headers, body, credentials, at=int(at.timestamp()))
        assert ours["authorization"] == by_botocore(url, region, headers, body, credentials, at)
        assert ours.get("x-amz-security-token") == token


def test_changed_credentials_change_the_signature() -> None:
    """The cached key is that of the secret it was derived from: renewed credentials are used at once."""
    signer, at = Signer("https://sqs.af-south-1.amazonaws.com/", "af-south-1", "sqs"), datetime(2026, 11, 1, tzinfo=UTC)
    for secret in ("one", "two", "one"):
        credentials = ReadOnlyCredentials("AKID", secret, None, None)
        ours = signer.sign(HEADERS, b"{}", credentials, at=at.timestamp())
        assert ours["authorization"] == by_botocore(signer.url, "af-south-1", HEADERS, b"{}", credentials, at)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://SQS.example.com:443/x", "sqs.example.com"),
        ("http://localhost:4566", "localhost:4566"),
        ("http://[::1]:80/", "[::1]"),
    ],
)
def test_the_host_is_what_goes_over_the_wire(url: str, host: str) -> None:
    """It is signed and sent: both must be the same text."""
    assert host_of(url) == host
