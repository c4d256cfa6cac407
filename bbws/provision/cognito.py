"""The user pool that `topology.json` declares: made where the endpoint is an emulator, looked at everywhere.

An AWS without Cognito (LocalStack without a licence) gets none; who would sign in there is told so.
"""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from bbws.provision import requests as aws
from bbws.shared.aws_errors import cause, error_code
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import MAX_PER_PAGE, UserPool, find_app_client, find_pool_id
from bbws.shared.logging import get_logger
from bbws.shared.topology import Pool

# What an AWS answers that knows no Cognito.
_NOT_OFFERED = frozenset({"InternalFailure", "NotImplemented", "UnknownOperationException"})

log = get_logger(__name__)


async def make_user_pool(clients: AwsClients, pool: Pool) -> UserPool | None:
    """The pool with its groups and its app, as declared; None where this AWS has no Cognito."""
    client = await clients.get("cognito-idp")
    try:
        pool_id = await find_pool_id(client, pool.name)
    except ClientError as error:
        if error_code(error) not in _NOT_OFFERED:
            raise
        log.warning("nobody can sign in: this AWS has no Cognito", reason=cause(error))
        return None
    if pool_id is None:
        pool_id = (await client.create_user_pool(**aws.user_pool_request(pool)))["UserPool"]["Id"]
    else:
        await client.update_user_pool(UserPoolId=pool_id, **aws.user_pool_settings(pool))
    for name in sorted(set(pool.groups) - await _groups(client, pool_id)):
        await client.create_group(UserPoolId=pool_id, GroupName=name)
    return UserPool(pool_id, await _made_app(client, pool_id, pool))


async def user_pool_differences(clients: AwsClients, pool: Pool) -> list[str]:
    """A line for each thing that is missing or other than declared."""
    client = await clients.get("cognito-idp")
    try:
        pool_id = await find_pool_id(client, pool.name)
    except ClientError as error:
        if error_code(error) not in _NOT_OFFERED:
            raise
        return [f"user pool {pool.name}: this AWS has no Cognito ({cause(error)})"]
    if pool_id is None:
        return [f"user pool {pool.name} is missing"]
    standing = (await client.describe_user_pool(UserPoolId=pool_id))["UserPool"]
    found = _setting_differences(f"user pool {pool.name}", standing, aws.user_pool_settings(pool))
    if standing.get("UsernameAttributes") != ["email"]:
        found.append(f"user pool {pool.name}: users do not sign in by e-mail, and only a new pool can change that")
    missing = sorted(set(pool.groups) - await _groups(client, pool_id))
    return [
        *found,
        *(f"user pool {pool.name}: group {name} is missing" for name in missing),
        *await _app_differences(client, pool_id, pool),
    ]


async def _made_app(client: Any, pool_id: str, pool: Pool) -> str:
    client_id = await find_app_client(client, pool_id, pool.client)
    if client_id is None:
        made = await client.create_user_pool_client(UserPoolId=pool_id, **aws.app_client_settings(pool))
        return str(made["UserPoolClient"]["ClientId"])
    await client.update_user_pool_client(UserPoolId=pool_id, ClientId=client_id, **aws.app_client_settings(pool))
    return client_id


async def _app_differences(client: Any, pool_id: str, pool: Pool) -> list[str]:
    client_id = await find_app_client(client, pool_id, pool.client)
    if client_id is None:
        return [f"user pool {pool.name}: app {pool.client} is missing"]
    answer = await client.describe_user_pool_client(UserPoolId=pool_id, ClientId=client_id)
    return _setting_differences(f"app {pool.client}", answer["UserPoolClient"], aws.app_client_settings(pool))


async def _groups(client: Any, pool_id: str) -> set[str]:
    names: set[str] = set()
    async for page in client.get_paginator("list_groups").paginate(UserPoolId=pool_id, Limit=MAX_PER_PAGE):
        names |= {group["GroupName"] for group in page["Groups"]}
    return names


def _setting_differences(what: str, standing: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return [
        f"{what}: {name} is {_plain(standing.get(name))}, declared {_plain(value)}"
        for name, value in wanted.items()
        if not _holds(standing.get(name), value)
    ]


def _holds(standing: Any, wanted: Any) -> bool:
    """AWS adds defaults of its own to what it was told, and keeps no order."""
    if isinstance(wanted, Mapping):
        return isinstance(standing, Mapping) and all(_holds(standing.get(name), wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return sorted(standing or []) == sorted(wanted)
    return bool(standing == wanted)


def _plain(value: Any) -> Any:
    while isinstance(value, Mapping) and len(value) == 1:
        (value,) = value.values()
    return value
