"""Fixtures: BBWS itself on the test's own AWS account, provisioned and built as production does.

A directory that needs other settings defines a fixture `settings` of its own; the rest follows from it.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bbws.provision.dynamodb import make_table
from bbws.provision.provisioner import Provisioner
from bbws.shared.bootstrap import Services, aws_clients, bootstrap
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.emulator import Aws, Target, new_account


def settings_for(aws: Aws) -> Settings:
    """Settings of an account of tests; PayFast is this machine, and no bucket is shared with another account."""
    return Settings(
        aws_endpoint_url=aws.endpoint_url,
        aws_region=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        bucket_suffix=f"-{aws.access_key_id}",
        receive_wait_s=1,
        payfast_source_ranges="127.0.0.1/32",
        payfast_source_hosts="",
        # Nobody listens there; a test that pays gives the address of its stand-in.
        payfast_url="http://127.0.0.1:9",
        trusted_proxies="127.0.0.1/32",
        pdf_processes=1,
    )


async def provisioned_account(emulator: Target) -> Aws:
    """A new account with everything that topology declares, but for what `provision` leaves out."""
    aws = new_account(emulator)
    await provision(aws, emulator)
    return aws


async def provision(aws: Aws, emulator: Target) -> None:
    """The account, which has nothing yet, has everything that topology declares, and keeps what has expired: tests
    write at dates of their own, and the emulator looks each minute by the real time.

    Provisioning takes most of a second. Where the target can, it is done once, and other accounts begin as copies.
    """
    if await emulator.missing("accounts") is not None:
        await _apply(aws)
        return
    if emulator.template is None:
        template = new_account(emulator)
        await _apply(template)
        emulator.template = template
    await aws.begin_as(emulator.template)


async def _apply(aws: Aws) -> None:
    settings = settings_for(aws)
    topology = Topology.for_settings(settings)
    lasting = topology.replace(tables=tuple(table.replace(ttl=None) for table in topology.tables))
    async with aws_clients(settings) as clients:
        await Provisioner(clients, settings, lasting).apply()


async def let_expire(aws: Aws) -> None:
    """Turn on what `provision` leaves out: the account differs in nothing from what is declared."""
    settings = settings_for(aws)
    async with aws_clients(settings) as clients:
        for table in Topology.for_settings(settings).tables:
            await make_table(clients, table)


@pytest.fixture
def settings(aws: Aws) -> Settings:
    """Settings of the test's own account."""
    return settings_for(aws)


@pytest_asyncio.fixture
async def clients(settings: Settings) -> AsyncIterator[AwsClients]:
    """AWS clients of the test's account."""
    async with aws_clients(settings) as made:
        yield made


@pytest_asyncio.fixture
async def provisioned(settings: Settings, aws: Aws, emulator: Target) -> Settings:
    """The same settings, once everything that topology declares is there (`provision`)."""
    await provision(aws, emulator)
    return settings


@pytest.fixture
def topology(settings: Settings) -> Topology:
    return Topology.for_settings(settings)


@pytest_asyncio.fixture
async def services(provisioned: Settings) -> AsyncIterator[Services]:
    """All services of a process, on provisioned AWS."""
    async with bootstrap(provisioned) as built:
        yield built
