"""The user pool as BBWS uses it, on a real Cognito: people are found by e-mail, made once, and sign in."""

import asyncio
from functools import partial

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from bbws.provision.cognito import make_user_pool
from bbws.shared.aws_errors import error_code
from bbws.shared.bootstrap import bootstrap
from bbws.shared.errors import Invalid, NotFound, Unauthenticated, Unavailable
from bbws.shared.ids import new_id
from bbws.shared.integrations.aws import AwsClients
from bbws.shared.integrations.cognito import UserDirectory, UserPool, find_user_pool
from bbws.shared.integrations.tokens import DEPENDENCY as IDENTITY
from bbws.shared.settings import Settings
from bbws.shared.topology import Topology
from tests.support.emulator import Aws
from tests.support.scripted import Answer, Scripted, refusal
from tests.support.waiting import eventually

pytestmark = pytest.mark.needs("cognito")
PASSWORD = "a long enough password"


@pytest_asyncio.fixture
async def pool(settings: Settings, clients: AwsClients) -> UserPool:
    made = await make_user_pool(clients, Topology.for_settings(settings).user_pool)
    assert made is not None
    return made


@pytest.fixture
def directory(pool: UserPool, clients: AwsClients) -> UserDirectory:
    return UserDirectory(partial(clients.get, "cognito-idp"), pool.pool_id)


async def test_a_user_is_made_once_however_the_address_is_written(directory: UserDirectory) -> None:
    """Two sign-ups at one moment, or one with capitals, must not split a person in two."""
    addresses = ("Thandi@Protea.example", "thandi@protea.example") * 5
    made = await asyncio.gather(*(directory.create(email) for email in addresses))
    assert len({user.user_id for user in made}) == 1
    assert made[0].email == "thandi@protea.example"
    assert not made[0].has_password
    assert await directory.find_by_email(" THANDI@protea.example ") == made[0]
    assert await directory.get(made[0].user_id) == made[0]


async def test_nobody_is_found_by_what_is_no_e_mail_of_theirs(directory: UserDirectory) -> None:
    """A quote in an address must not widen the search, and an id is no address."""
    thandi = await directory.create("thandi@protea.example")
    for text in ('x" or email ^= "', '"@protea.example', '\\" = \\"', thandi.user_id, "sipho@protea.example"):
        assert await directory.find_by_email(text) is None


async def test_an_address_that_is_none_is_refused_naming_the_field(directory: UserDirectory) -> None:
    """What the pool refuses is the caller's to mend."""
    with pytest.raises(Invalid) as refused:
        await directory.create("no address")
    assert [error.pointer for error in refused.value.errors] == ["#/email"]


async def test_only_who_has_a_password_signs_in(directory: UserDirectory, pool: UserPool) -> None:
    """The pool's own first password is known to nobody; the chosen one counts at once, and the old one no more."""
    user = await directory.create("thandi@protea.example")
    await _refused(directory, pool, PASSWORD)
    await directory.set_password(user.user_id, PASSWORD)
    assert (await directory.get(user.user_id)).has_password
    assert await directory.sign_in(pool.client_id, "Thandi@protea.example", PASSWORD)
    await directory.set_password(user.user_id, "another long password")
    await _refused(directory, pool, PASSWORD)


async def _refused(directory: UserDirectory, pool: UserPool, password: str) -> None:
    for email in ("thandi@protea.example", "nobody@protea.example"):
        with pytest.raises(Unauthenticated, match="user pool"):
            await directory.sign_in(pool.client_id, email, password)


@pytest.mark.parametrize("password", ["too short", ""])
async def test_a_refused_password_is_told_with_what_the_policy_wants(directory: UserDirectory, password: str) -> None:
    """A customer reads this beside the field; a bare refusal makes them guess."""
    user = await directory.create("thandi@protea.example")
    with pytest.raises(Invalid) as refused:
        await directory.set_password(user.user_id, password)
    (error,) = refused.value.errors
    assert error.pointer == "#/password"
    assert "12 to 256 characters" in error.detail


async def test_groups_follow_what_is_said(directory: UserDirectory) -> None:
    """Doing it twice is what a retry does, and harmless."""
    user = await directory.create("olga@bbws.example")
    for _ in range(2):
        await directory.add_to_group(user.user_id, "Operator")
    await directory.add_to_group(user.user_id, "Admin")
    assert await directory.groups_of(user.user_id) == {"Operator", "Admin"}
    for _ in range(2):
        await directory.remove_from_group(user.user_id, "Admin")
    assert await directory.groups_of(user.user_id) == {"Operator"}
    assert await directory.find_by_email("olga@bbws.example") == user


async def test_a_user_who_is_not_there_is_not_found(directory: UserDirectory) -> None:
    """Nobody is made by asking."""
    stranger = new_id()
    for asked in (directory.get(stranger), directory.groups_of(stranger), directory.add_to_group(stranger, "Admin")):
        with pytest.raises(NotFound, match=stranger):
            await asked


async def test_the_token_of_a_sign_in_is_one_that_the_gateway_takes(
    directory: UserDirectory, settings: Settings, clients: AwsClients, pool: UserPool
) -> None:
    """Pool, keys and verifier agree: who signs in is recognised, with the groups that they have."""
    user = await directory.create("olga@bbws.example")
    await directory.set_password(user.user_id, PASSWORD)
    await directory.add_to_group(user.user_id, "Operator")
    token = await directory.sign_in(pool.client_id, user.email, PASSWORD)
    async with bootstrap(settings) as services:
        claims = await services.tokens.verify(token)
    assert (claims.user_id, claims.groups) == (user.user_id, frozenset({"Operator"}))


async def test_a_new_password_signs_out_who_knew_the_old_one(
    directory: UserDirectory, clients: AwsClients, pool: UserPool
) -> None:
    """Whoever stole a password keeps a refresh token for a month: setting another one must end that."""
    user = await directory.create("olga@bbws.example")
    await directory.set_password(user.user_id, PASSWORD)
    cognito = await clients.get("cognito-idp")
    sign_in = partial(cognito.admin_initiate_auth, UserPoolId=pool.pool_id, ClientId=pool.client_id)
    known = {"USERNAME": user.email, "PASSWORD": PASSWORD}
    stolen = await sign_in(AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=known)
    again = {"REFRESH_TOKEN": stolen["AuthenticationResult"]["RefreshToken"]}
    refresh = partial(sign_in, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters=again)
    assert (await refresh())["AuthenticationResult"]["AccessToken"]

    async def is_signed_out() -> bool:
        # The emulator counts in whole seconds: what was signed in within this one is not signed out yet.
        await directory.set_password(user.user_id, f"another {PASSWORD}")
        try:
            await refresh()
        except ClientError as error:
            return error_code(error) == "NotAuthorizedException"
        return False

    await eventually(is_signed_out, what="the refresh token is refused")


async def test_an_outage_is_told_as_one_and_ends(directory: UserDirectory, aws: Aws, pool: UserPool) -> None:
    """Consumers wait for what is Unavailable; anything else would end in the dead letters."""
    user = await directory.create("olga@bbws.example")
    await aws.inject("cognito-idp")
    for asked in (directory.find_by_email(user.email), directory.groups_of(user.user_id), directory.ping(),
                  directory.sign_in(pool.client_id, user.email, PASSWORD)):  # fmt: skip
        with pytest.raises(Unavailable) as told:
            await asked
        assert told.value.dependency == "cognito-idp"
    await aws.heal()
    await directory.ping()


async def test_without_a_pool_every_call_says_which_setting_is_missing(clients: AwsClients) -> None:
    """Somebody who forgot it reads its name; a process that needs no users is not held up."""
    directory = UserDirectory(partial(clients.get, "cognito-idp"), None)
    for asked in (directory.find_by_email("a@b.example"), directory.create("a@b.example"), directory.get(new_id())):
        with pytest.raises(Unavailable, match="BBWS_COGNITO_USER_POOL_ID"):
            await asked
    await directory.ping()


async def test_a_process_on_an_emulator_finds_the_pool_by_its_name(
    settings: Settings, pool: UserPool, clients: AwsClients
) -> None:
    """A command in another terminal knows the endpoint and no more; the oldest of two pools of one name counts."""
    client = await clients.get("cognito-idp")
    declared = Topology.for_settings(settings).user_pool
    await client.create_user_pool(PoolName=declared.name)
    assert await find_user_pool(client, declared.name, declared.client) == pool
    async with bootstrap(settings) as services:
        assert services.settings.cognito_user_pool_id == pool.pool_id
        assert services.settings.cognito_client_ids == (pool.client_id,)
        await services.pings[IDENTITY]()


async def test_pools_and_apps_of_other_names_are_nobodys(settings: Settings, clients: AwsClients) -> None:
    """An account may hold pools of other programs, older ones too: their users must not sign in here."""
    client = await clients.get("cognito-idp")
    declared = Topology.for_settings(settings).user_pool
    other = (await client.create_user_pool(PoolName=f"{declared.name}-of-another"))["UserPool"]["Id"]
    await client.create_user_pool_client(UserPoolId=other, ClientName=declared.client)
    assert await find_user_pool(client, declared.name, declared.client) is None
    made = await make_user_pool(clients, declared)
    assert made is not None
    await client.create_user_pool_client(UserPoolId=made.pool_id, ClientName="of-another")
    assert await find_user_pool(client, declared.name, declared.client) == made


@pytest.mark.needs("faults")
async def test_a_process_starts_while_the_user_pool_is_out(settings: Settings, pool: UserPool, aws: Aws) -> None:
    """What is public works all the same; who needs the pool is told which setting is missing."""
    await aws.inject("cognito-idp")
    async with bootstrap(settings) as services:
        assert services.settings.cognito_user_pool_id is None
        with pytest.raises(Unavailable, match="BBWS_COGNITO_USER_POOL_ID"):
            await services.directory.get(new_id())


def _scripted(*answers: Answer) -> tuple[UserDirectory, Scripted]:
    cognito = Scripted(*answers)
    return UserDirectory(cognito, "af-south-1_Testing01"), cognito


async def test_a_new_password_counts_before_the_old_one_is_signed_out() -> None:
    """The other way round whoever knows the old one signs in again in between, and stays for a month."""
    directory, cognito = _scripted({})
    await directory.set_password(new_id(), PASSWORD)
    assert cognito.operations == ["admin_set_user_password", "admin_user_global_sign_out"]
    assert cognito.asked[0][1]["Permanent"] is True


async def test_a_password_that_is_refused_signs_nobody_out() -> None:
    """A customer who mistypes the new one stays where they are."""
    directory, cognito = _scripted(refusal("InvalidPasswordException"), {"UserPool": {}})
    with pytest.raises(Invalid):
        await directory.set_password(new_id(), PASSWORD)
    assert "admin_user_global_sign_out" not in cognito.operations


async def test_a_user_is_made_with_a_proven_address_and_without_a_mail_of_cognito() -> None:
    """Its mail brings a password that nobody shall have, and an address that counts as unproven resets none."""
    user = {"Attributes": [{"Name": "sub", "Value": new_id()}], "UserStatus": "FORCE_CHANGE_PASSWORD"}
    directory, cognito = _scripted({"User": user})
    await directory.create("Thandi@Protea.example")
    ((_, request),) = cognito.asked
    attributes = {each["Name"]: each["Value"] for each in request["UserAttributes"]}
    assert attributes == {"email": "thandi@protea.example", "email_verified": "true"}
    assert request["MessageAction"] == "SUPPRESS"


async def test_groups_are_read_to_the_last_page() -> None:
    """A role that stands behind the first sixty would never be taken away."""
    pages = [{"Groups": [{"GroupName": name}]} for name in ("Operator", "Admin")]
    directory, cognito = _scripted(pages[0] | {"NextToken": "more"}, pages[1])
    assert await directory.groups_of(new_id()) == {"Operator", "Admin"}
    assert [request.get("NextToken") for _, request in cognito.asked] == [None, "more"]


@pytest.mark.parametrize("challenge", ["NEW_PASSWORD_REQUIRED", "SOFTWARE_TOKEN_MFA"])
async def test_a_pool_that_wants_more_than_a_password_signs_nobody_in(challenge: str) -> None:
    """The command says what is missing; a KeyError would say nothing."""
    directory, _ = _scripted({"ChallengeName": challenge})
    with pytest.raises(Unauthenticated, match=challenge):
        await directory.sign_in("client", "olga@bbws.example", PASSWORD)
