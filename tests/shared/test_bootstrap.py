"""What a process is built of: secrets from Secrets Manager, and pings that name what is out."""

import asyncio
import json
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError

from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.errors import Dependency, Rejected, Unavailable
from bbws.shared.settings import Settings, secret
from tests.support.emulator import Aws

KEYS = {"cursor_signing_key": "c" * 32, "token_signing_key": "t" * 32, "audit_signing_keys": "a" * 32}


async def _store(aws: Aws, **values: str) -> None:
    async with aws.client("secretsmanager") as manager:
        await manager.create_secret(Name="bbws/prod", SecretString=json.dumps(values))


@pytest.fixture
def in_production(settings: Settings) -> Settings:
    given = settings.model_dump(exclude_unset=True)
    in_earnest = {
        "environment": "prod",
        "secrets_name": "bbws/prod",
        "seller_name": "Acme",
        "cognito_user_pool_id": "af-south-1_Pool01",
        "cognito_client_ids": ("client",),
        "payfast_url": "https://www.payfast.co.za",
        "payfast_merchant_id": "12345678",
        "public_base_url": "https://shop.example",
    }
    return Settings(**given | in_earnest)


@pytest.mark.needs("secretsmanager")
async def test_secrets_replace_what_the_environment_said(aws: Aws, in_production: Settings) -> None:
    """On AWS no key stands in a task definition; everything else does, and stays."""
    await _store(aws, **KEYS, payfast_passphrase="from the manager")
    async with bootstrap(in_production) as services:
        assert secret(services.settings.payfast_passphrase) == "from the manager"
        assert services.settings.cursor_signing_key == SecretStr(KEYS["cursor_signing_key"])
        assert services.settings.seller_name == "Acme"


@pytest.mark.needs("secretsmanager")
async def test_a_secret_without_the_keys_starts_nothing(aws: Aws, in_production: Settings) -> None:
    """Production must not sign with the key from the source code because a secret is incomplete."""
    await _store(aws, payfast_passphrase="only this")
    with pytest.raises(ValidationError, match="BBWS_TOKEN_SIGNING_KEY"):
        async with bootstrap(in_production):
            pass


@pytest.mark.needs("secretsmanager")
async def test_a_misspelt_key_of_the_secret_is_told(aws: Aws, in_production: Settings) -> None:
    """Ignored, it would leave the setting at its default, and nobody would know."""
    await _store(aws, **KEYS, payfast_passphrase="from the manager", payfast_pasphrase="misspelt")
    with pytest.raises(Rejected, match="payfast_pasphrase"):
        async with bootstrap(in_production):
            pass


@pytest.mark.needs("secretsmanager")
async def test_a_missing_secret_is_told_by_its_name(in_production: Settings) -> None:
    """A slip in its name, or a role that may not read it: the text says which secret and why."""
    with pytest.raises(Unavailable, match="bbws/prod: ResourceNotFoundException"):
        async with bootstrap(in_production):
            pass


# Needed by tools and at the start alone, or not ours to ask: its messages come again by themselves.
_NOT_ASKED = {"sqs", "secretsmanager", "payfast", "gateway"}


async def test_whatever_can_be_out_is_asked_or_need_not_be() -> None:
    """A dependency without a ping is missing in `/readyz`, and no consumer can wait for its return."""
    async with bootstrap(
        Settings(cognito_user_pool_id="af-south-1_Pool01", cognito_client_ids=("client",))
    ) as services:
        assert set(services.pings) == set(get_args(Dependency)) - _NOT_ASKED


@pytest.mark.needs("dynamodb", "s3", "events", "sns", "sqs", "sesv2", "faults")
async def test_each_ping_names_its_dependency_while_that_is_out_and_only_then(aws: Aws, services: Services) -> None:
    """`/readyz` and paused consumers ask them: one that always answers would end a pause too early."""
    # `identity` asks once, until it has keys; what becomes of an outage then, `test_tokens` says.
    pings = {name: ping for name, ping in services.pings.items() if name != "identity"}
    await asyncio.gather(*(ping() for ping in pings.values()))
    for dependency in pings:
        await aws.inject("sesv2" if dependency == "ses" else dependency)
    answers = await asyncio.gather(*(ping() for ping in pings.values()), return_exceptions=True)
    assert [answer.dependency for answer in answers if isinstance(answer, Unavailable)] == list(pings)
    await aws.heal()
    await asyncio.gather(*(ping() for ping in pings.values()))
