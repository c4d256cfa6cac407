"""The user pool: made as declared, found again, and every drift of it named and mended."""

import pytest

from bbws.provision.provisioner import Provisioner
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import find_app_client, find_pool_id
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.drifts import Drift, named_and_mended

pytestmark = pytest.mark.needs("dynamodb", "s3", "events", "sns", "sqs", "sesv2", "cognito")


async def _pool_id(clients: AwsClients, topology: Topology) -> str:
    found = await find_pool_id(await clients.get("cognito-idp"), topology.user_pool.name)
    assert found is not None
    return found


async def _weak_passwords(clients: AwsClients, topology: Topology) -> None:
    cognito, policy = await clients.get("cognito-idp"), {"PasswordPolicy": {"MinimumLength": 6}}
    await cognito.update_user_pool(UserPoolId=await _pool_id(clients, topology), Policies=policy)


async def _self_sign_up(clients: AwsClients, topology: Topology) -> None:
    cognito, pool_id = await clients.get("cognito-idp"), await _pool_id(clients, topology)
    await cognito.update_user_pool(UserPoolId=pool_id, AdminCreateUserConfig={"AllowAdminCreateUserOnly": False})


async def _no_group(clients: AwsClients, topology: Topology) -> None:
    cognito, pool_id = await clients.get("cognito-idp"), await _pool_id(clients, topology)
    await cognito.delete_group(UserPoolId=pool_id, GroupName="Admin")


async def _app(clients: AwsClients, topology: Topology) -> dict[str, str]:
    pool_id = await _pool_id(clients, topology)
    client_id = await find_app_client(await clients.get("cognito-idp"), pool_id, topology.user_pool.client)
    assert client_id is not None
    return {"UserPoolId": pool_id, "ClientId": client_id}


async def _no_app(clients: AwsClients, topology: Topology) -> None:
    await (await clients.get("cognito-idp")).delete_user_pool_client(**await _app(clients, topology))


async def _telling_app(clients: AwsClients, topology: Topology) -> None:
    cognito, app = await clients.get("cognito-idp"), await _app(clients, topology)
    await cognito.update_user_pool_client(**app, PreventUserExistenceErrors="LEGACY")


async def _movable_emails(clients: AwsClients, topology: Topology) -> None:
    cognito, app = await clients.get("cognito-idp"), await _app(clients, topology)
    await cognito.update_user_pool_client(**app, WriteAttributes=["email", "name"])


_USER_DRIFTS: tuple[tuple[Drift, str], ...] = (
    (_weak_passwords, "user pool bbws-users-local: Policies is"),
    (_self_sign_up, "user pool bbws-users-local: AdminCreateUserConfig is False, declared True"),
    (_no_group, "user pool bbws-users-local: group Admin is missing"),
    (_no_app, "user pool bbws-users-local: app bbws-portal is missing"),
    (_telling_app, "app bbws-portal: PreventUserExistenceErrors is LEGACY, declared ENABLED"),
    (_movable_emails, "app bbws-portal: WriteAttributes is ['email', 'name'], declared ['name']"),
)


async def test_every_drift_of_the_user_pool_is_named_and_mended(
    clients: AwsClients, provisioner: Provisioner, topology: Topology
) -> None:
    """A pool where anybody signs up, or with short passwords, is an open door; nobody looks at it by chance."""
    for drift, complaint in _USER_DRIFTS:
        await drift(clients, topology)
        await named_and_mended(provisioner, complaint)


async def test_on_aws_neither_a_pool_nor_a_sender_is_made(
    clients: AwsClients, settings: Settings, topology: Topology
) -> None:
    """Terraform makes the pool there, once and for all; a person verifies whose address mails come from."""
    on_aws = settings.model_copy(update={"aws_endpoint_url": None})
    assert await Provisioner(clients, on_aws, topology).make_resources() is None
    assert await find_pool_id(await clients.get("cognito-idp"), topology.user_pool.name) is None
    assert (await (await clients.get("sesv2")).list_email_identities())["EmailIdentities"] == []


async def test_a_pool_that_stands_is_told_again_and_keeps_its_users(
    clients: AwsClients, provisioner: Provisioner, topology: Topology
) -> None:
    """Whoever provisions twice must not end with two pools of one name, each with half of the users."""
    first = await provisioner.make_resources()
    assert first is not None
    cognito = await clients.get("cognito-idp")
    await cognito.admin_create_user(UserPoolId=first.pool_id, Username="olga@bbws.example", MessageAction="SUPPRESS")
    assert await provisioner.make_resources() == first
    assert len((await cognito.list_users(UserPoolId=first.pool_id))["Users"]) == 1
    assert len((await cognito.list_user_pools(MaxResults=10))["UserPools"]) == 1
