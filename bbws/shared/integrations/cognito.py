"""The Cognito user pool: who can sign in, with which password, and in which groups of staff.

Users sign in by e-mail and are known by their `sub`, which is also their user name in a pool of this kind. A user is
looked up by e-mail with AdminGetUser: unlike a filter of ListUsers it is consistent, and there is nothing to quote.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from bbws.shared.aws_errors import cause, error_code, reaching
from bbws.shared.contracts.tenancy.tenants import normal_email
from bbws.shared.errors import FieldError, Invalid, NotFound, Unauthenticated, Unavailable

DEPENDENCY: Final = "cognito-idp"
# What Cognito gives at most in one answer.
MAX_PER_PAGE = 60

_NO_SUCH_USER = "UserNotFoundException"
_REFUSED_PASSWORDS = frozenset(
    {"InvalidPasswordException", "InvalidParameterException", "PasswordHistoryPolicyViolationException"}
)
_REFUSED_SIGN_INS = frozenset({"NotAuthorizedException", "UserNotConfirmedException", "PasswordResetRequiredException"})
_WANTED_CHARACTERS = {
    "RequireLowercase": "a small letter",
    "RequireUppercase": "a capital letter",
    "RequireNumbers": "a digit",
    "RequireSymbols": "a symbol",
}


@dataclass(frozen=True, slots=True)
class UserPool:
    """A pool and the app whose tokens count."""

    pool_id: str
    client_id: str


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """`user_id` is the `sub`; `has_password` is False until the user has chosen one, and cannot sign in before."""

    user_id: str
    email: str
    has_password: bool = True


class UserDirectory:
    """Raises Unavailable when the pool may answer later, or when none is set; NotFound for a user who is not there."""

    def __init__(self, client: Callable[[], Awaitable[Any]], pool_id: str | None) -> None:
        self._client = client
        self._pool_id = pool_id

    async def find_by_email(self, email: str) -> DirectoryUser | None:
        """However the address is written: case does not count."""
        wanted = normal_email(email)
        try:
            answer = await self._call("admin_get_user", Username=wanted)
        except NotFound:
            return None
        user = _user(answer["UserAttributes"], answer["UserStatus"])
        # The pool takes a `sub` in the place of an e-mail too.
        return user if user.email == wanted else None

    async def get(self, user_id: str) -> DirectoryUser:
        answer = await self._call("admin_get_user", Username=user_id)
        return _user(answer["UserAttributes"], answer["UserStatus"])

    async def create(self, email: str) -> DirectoryUser:
        """A user without a password of their own, or the one who is there already; Cognito sends no mail."""
        address = normal_email(email)
        attributes = _attributes({"email": address, "email_verified": "true"})
        try:
            answer = await self._call(
                "admin_create_user", Username=address, UserAttributes=attributes, MessageAction="SUPPRESS"
            )
        except ClientError as error:
            if error_code(error) == "UsernameExistsException" and (existing := await self.find_by_email(address)):
                return existing
            if error_code(error) == "InvalidParameterException":
                raise Invalid("The user pool refuses this e-mail.", [FieldError("#/email", _message(error))]) from None
            raise
        return _user(answer["User"]["Attributes"], answer["User"]["UserStatus"])

    async def set_password(self, user_id: str, password: str) -> None:
        """For good: the user signs in with it from now on, and nobody who did with the former one stays signed in
        beyond the hour of a token. Raises Invalid where the pool's policy refuses it."""
        try:
            await self._call("admin_set_user_password", Username=user_id, Password=password, Permanent=True)
        except ClientError as error:
            if error_code(error) in _REFUSED_PASSWORDS:
                wanted = [FieldError("#/password", await self._password_policy())]
                raise Invalid("The user pool refuses this password.", wanted) from None
            raise
        await self._call("admin_user_global_sign_out", Username=user_id)

    async def groups_of(self, user_id: str) -> frozenset[str]:
        groups: set[str] = set()
        more: dict[str, str] = {}
        while True:
            answer = await self._call("admin_list_groups_for_user", Username=user_id, Limit=MAX_PER_PAGE, **more)
            groups |= {group["GroupName"] for group in answer["Groups"]}
            if not answer.get("NextToken"):
                return frozenset(groups)
            more = {"NextToken": answer["NextToken"]}

    async def add_to_group(self, user_id: str, group: str) -> None:
        """Also where the user is in it already."""
        await self._call("admin_add_user_to_group", Username=user_id, GroupName=group)

    async def remove_from_group(self, user_id: str, group: str) -> None:
        """Also where the user is not in it."""
        await self._call("admin_remove_user_from_group", Username=user_id, GroupName=group)

    async def sign_in(self, client_id: str, email: str, password: str) -> str:
        """An access token. Raises Unauthenticated for a wrong password and for who cannot sign in."""
        parameters = {"USERNAME": normal_email(email), "PASSWORD": password}
        flow = "ADMIN_USER_PASSWORD_AUTH"
        try:
            answer = await self._call(
                "admin_initiate_auth", AuthFlow=flow, ClientId=client_id, AuthParameters=parameters
            )
        except NotFound:
            raise Unauthenticated("The user pool does not know this user.") from None
        except ClientError as error:
            if error_code(error) not in _REFUSED_SIGN_INS:
                raise
            raise Unauthenticated(f"The user pool refuses this sign-in: {_message(error)}") from None
        if "AuthenticationResult" not in answer:
            raise Unauthenticated(f"The user pool wants more than a password: {answer.get('ChallengeName')}.")
        return str(answer["AuthenticationResult"]["AccessToken"])

    async def ping(self) -> None:
        """Raises Unavailable unless the pool answers. Where none is set, nobody waits for it."""
        if self._pool_id is None:
            return
        try:
            await self._call("describe_user_pool")
        except Exception as error:
            raise Unavailable(DEPENDENCY, cause(error)) from error

    async def _password_policy(self) -> str:
        """What a password needs, as a sentence."""
        pool = (await self._call("describe_user_pool"))["UserPool"]
        policy = pool.get("Policies", {}).get("PasswordPolicy", {})
        kinds = [text for name, text in _WANTED_CHARACTERS.items() if policy.get(name)]
        length = f"{policy.get('MinimumLength', 8)} to 256 characters without spaces at the ends"
        return f"A password has {length}{', with ' + ', '.join(kinds) if kinds else ''}."

    async def _call(self, operation: str, **request: Any) -> Any:
        if self._pool_id is None:
            raise Unavailable(DEPENDENCY, "no user pool is set (BBWS_COGNITO_USER_POOL_ID)")
        with reaching(DEPENDENCY):
            try:
                return await getattr(await self._client(), operation)(UserPoolId=self._pool_id, **request)
            except ClientError as error:
                if error_code(error) == _NO_SUCH_USER:
                    raise NotFound(f"there is no user {request.get('Username')} in the user pool") from None
                raise


async def find_user_pool(client: Any, name: str, client_name: str) -> UserPool | None:
    """The pool of this name with its app, or None."""
    pool_id = await find_pool_id(client, name)
    client_id = await find_app_client(client, pool_id, client_name) if pool_id else None
    return UserPool(pool_id, client_id) if pool_id and client_id else None


async def find_pool_id(client: Any, name: str) -> str | None:
    """Names are not unique in Cognito: the oldest pool counts."""
    pools: list[Mapping[str, Any]] = []
    async for page in client.get_paginator("list_user_pools").paginate(MaxResults=MAX_PER_PAGE):
        pools += [pool for pool in page["UserPools"] if pool["Name"] == name]
    oldest = min(pools, key=lambda pool: (pool["CreationDate"], pool["Id"]), default=None)
    return str(oldest["Id"]) if oldest else None


async def find_app_client(client: Any, pool_id: str, client_name: str) -> str | None:
    paginator = client.get_paginator("list_user_pool_clients")
    async for page in paginator.paginate(UserPoolId=pool_id, MaxResults=MAX_PER_PAGE):
        for app in page["UserPoolClients"]:
            if app["ClientName"] == client_name:
                return str(app["ClientId"])
    return None


def _user(attributes: Sequence[Mapping[str, str]], status: str) -> DirectoryUser:
    values = {attribute["Name"]: attribute["Value"] for attribute in attributes}
    return DirectoryUser(values["sub"], values.get("email", ""), status != "FORCE_CHANGE_PASSWORD")


def _attributes(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))
