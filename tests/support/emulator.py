"""Fixtures: the AWS that tests talk to, and an account of its own in it for each test.

The target is the embedded emulator, one per pytest worker, or what `AWS_ENDPOINT_URL` names. Tests marked
`needs("sesv2")` are skipped with that reason where the target lacks the capability.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bbws.local.emulator_process import Emulator
from bbws.shared.integrations.aws import client_config, shared_session
from bbws.shared.sqs.signed import verification

REGION = "af-south-1"
# With this one the embedded emulator accepts presigned links.
SECRET_ACCESS_KEY = "test"

# What each capability must answer; a target has it when the call does not fail.
_PROBES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sqs": ("sqs", "list_queues", {}),
    "sns": ("sns", "list_topics", {}),
    "events": ("events", "list_event_buses", {}),
    "dynamodb": ("dynamodb", "list_tables", {}),
    "s3": ("s3", "list_buckets", {}),
    "ses": ("ses", "list_identities", {}),
    "sesv2": ("sesv2", "list_email_identities", {}),
    "cognito": ("cognito-idp", "list_user_pools", {"MaxResults": 1}),
    "secretsmanager": ("secretsmanager", "list_secrets", {}),
}
# Capabilities of our own front, which no foreign target has: captured mails, faults, call counts, copied accounts.
_OF_OUR_FRONT = frozenset({"mails", "faults", "calls", "accounts"})


@dataclass
class Target:
    """An AWS to test against, and what it was found to be able to do."""

    endpoint_url: str
    capabilities: dict[str, str | None] = field(default_factory=dict)
    # What others are copied from, once it was provisioned.
    template: "Aws | None" = None

    async def missing(self, capability: str) -> str | None:
        """Why the target lacks a capability, or None when it has it; asked once per session."""
        if capability not in self.capabilities:
            self.capabilities[capability] = await self._probe(capability)
        return self.capabilities[capability]

    async def _probe(self, capability: str) -> str | None:
        try:
            if capability in _OF_OUR_FRONT:
                await _control(self.endpoint_url, "GET", "health")
            else:
                service, call, arguments = _PROBES[capability]
                async with Aws(self.endpoint_url, "000000000001").client(service) as client:
                    await getattr(client, call)(**arguments)
        except KeyError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the target says is the reason
            return f"{self.endpoint_url} lacks {capability}: {error}"
        return None


@dataclass(frozen=True)
class Aws:
    """One account of the target, used by one test alone; only the names of buckets are shared with others."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str = SECRET_ACCESS_KEY
    region: str = REGION

    def unique(self, name: str) -> str:
        """A name that no other test uses, fit for a bucket."""
        return f"{name}-{self.access_key_id}"

    def client(self, service: str) -> AbstractAsyncContextManager[Any]:
        """A client of this account: `async with aws.client("sqs") as sqs`."""
        created: AbstractAsyncContextManager[Any] = shared_session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            verify=verification(self.endpoint_url),
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=client_config(service, local=True),
        )
        return created

    async def mails(self) -> list[EmailMessage]:
        """The mails that this account sent, oldest first."""
        listed = await self._control("GET", f"mails?account={self.access_key_id}")
        return [await self._mail(summary["id"]) for summary in reversed(listed)]

    async def _mail(self, mail_id: str) -> EmailMessage:
        raw = await self._control("GET", f"mails/{mail_id}")
        return message_from_bytes(raw, policy=modern)

    async def begin_as(self, template: "Aws") -> None:
        """This account, which has nothing yet, has what `template` has; messages and mails are left behind."""
        await self._control("PUT", f"accounts/{self.access_key_id}?like={template.access_key_id}")

    async def inject(self, service: str, **fault: Any) -> None:
        """Let calls of this account fail; settings as in `emulator_faults.Fault`, all calls with 503 unless told."""
        settings = {"status": 503, "account": self.access_key_id} | fault
        await self._control("PUT", "faults", json={service: settings})

    async def heal(self) -> None:
        """Switch off every fault of this account."""
        await self._control("DELETE", f"faults?account={self.access_key_id}")

    async def calls(self, service: str, operation: str | None = None) -> int:
        """How many calls this account made to a service, or to one of its operations."""
        counts = (await self._control("GET", f"calls?account={self.access_key_id}")).get(service, {})
        return int(counts.get(operation, 0) if operation else sum(counts.values()))

    async def open_polls(self) -> int:
        """How many `ReceiveMessage` calls of this account are waiting in the emulator now."""
        return int(await self._control("GET", f"polls?account={self.access_key_id}"))

    async def _control(self, method: str, resource: str, **request: Any) -> Any:
        return await _control(self.endpoint_url, method, resource, **request)


async def _control(endpoint_url: str, method: str, resource: str, **request: Any) -> Any:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.request(method, f"{endpoint_url}/_bbws/{resource}", **request) as answer,
    ):
        return await answer.json() if answer.content_type == "application/json" else await answer.read()


def new_account(target: Target) -> Aws:
    # Never a leading zero: some parsers read an account as a number.
    return Aws(target.endpoint_url, str(10**11 + secrets.randbelow(9 * 10**11)))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    """The AWS of this pytest worker."""
    if endpoint_url := os.environ.get("AWS_ENDPOINT_URL"):
        yield Target(endpoint_url)
        return
    directory = tmp_path_factory.mktemp("aws")
    async with Emulator(directory / "state", directory / "mails") as started:
        yield Target(started.endpoint_url)


@pytest_asyncio.fixture
async def aws(emulator: Target, request: pytest.FixtureRequest) -> AsyncIterator[Aws]:
    """An account of the test's own; skips the test where the target lacks what it needs."""
    for marker in request.node.iter_markers("needs"):
        for capability in marker.args:
            if missing := await emulator.missing(capability):
                pytest.skip(missing)
    account = new_account(emulator)
    yield account
    if await emulator.missing("faults") is None:
        await account.heal()
