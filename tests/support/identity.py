"""A user pool for tests: keys of its own, a JWKS over HTTP, and tokens of whatever kind a test needs.

Tests of the pool itself use the emulator's Cognito; this one can also sign what no pool ever would.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from bbws.shared.clock import Clock, utc_now
from bbws.shared.ids import new_id
from bbws.shared.integrations.tokens import Jwks, TokenVerifier
from tests.support.emulator import Aws

PIECE_BYTES = 16_000
POOL_ID = "af-south-1_Testing01"
CLIENT_ID = "client-of-tests"
ISSUER = f"https://cognito-idp.af-south-1.amazonaws.com/{POOL_ID}"


class Identity:
    """`jwks_url` serves the public halves of `keys`; by default the key `id` signs ID tokens, `access` the others."""

    def __init__(self) -> None:
        self.keys = {name: RSAKey.generate_key(2048, {"kid": name}) for name in ("id", "access")}
        self.fetches = 0
        self.is_down = False
        self.jwks_url = ""

    def settings(self) -> dict[str, Any]:
        """The fields of `Settings` that make a gateway trust this pool."""
        return {
            "cognito_user_pool_id": POOL_ID,
            "cognito_client_ids": (CLIENT_ID,),
            "cognito_jwks_url": self.jwks_url,
        }

    def token(
        self, *groups: str, user_id: str | None = None, use: str = "access", key: RSAKey | None = None, **claims: Any
    ) -> str:
        """A token of an hour; `claims` replace those that Cognito would write, None leaves one out."""
        now = int(time.time())
        app = {"aud": CLIENT_ID} if use == "id" else {"client_id": CLIENT_ID}
        said = {
            "sub": user_id or new_id(), "iss": ISSUER, "token_use": use, "iat": now, "exp": now + 3600,
            "cognito:groups": list(groups), **app, **claims,
        }  # fmt: skip
        signing = key or self.keys["id" if use == "id" else "access"]
        header = {"alg": "RS256", "kid": signing.kid}
        return jwt.encode(header, {name: value for name, value in said.items() if value is not None}, signing)

    def bearer(self, *groups: str, **more: Any) -> dict[str, str]:
        """The header of a caller."""
        return {"Authorization": f"Bearer {self.token(*groups, **more)}"}

    @asynccontextmanager
    async def verifier(self, clock: Clock = utc_now, *client_ids: str) -> AsyncIterator[TokenVerifier]:
        """What a gateway that trusts this pool holds tokens against."""
        async with Jwks(self.jwks_url, clock) as jwks:
            yield TokenVerifier(jwks, ISSUER, client_ids or (CLIENT_ID,), clock)

    def jwks(self) -> bytes:
        return orjson.dumps({"keys": [{**key.as_dict(private=False), "use": "sig"} for key in self.keys.values()]})


@pytest.fixture(scope="session")
def shared_identity() -> Iterator[Identity]:
    """The pool that every gateway of a worker's tests trusts; tests that change a pool take `identity`."""
    yield from _served()


@pytest.fixture
def identity() -> Iterator[Identity]:
    yield from _served()


@dataclass(frozen=True)
class RealPool:
    """A user pool of the target itself: the settings that trust it, and the tokens of one user who logged in."""

    settings: dict[str, Any]
    tokens: dict[str, str]


async def real_pool(aws: Aws, *groups: str) -> RealPool:
    """A pool with one user in `groups`, who has logged in with a password."""
    user, password = "thandi@bbws.example", "Correct-Horse-9"
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    async with aws.client("cognito-idp") as cognito:
        pool = (await cognito.create_user_pool(PoolName="bbws"))["UserPool"]["Id"]
        app = await cognito.create_user_pool_client(UserPoolId=pool, ClientName="cli", ExplicitAuthFlows=flows)
        client = app["UserPoolClient"]["ClientId"]
        await cognito.admin_create_user(UserPoolId=pool, Username=user, MessageAction="SUPPRESS")
        await cognito.admin_set_user_password(UserPoolId=pool, Username=user, Password=password, Permanent=True)
        for group in groups:
            await cognito.create_group(UserPoolId=pool, GroupName=group)
            await cognito.admin_add_user_to_group(UserPoolId=pool, Username=user, GroupName=group)
        answer = await cognito.admin_initiate_auth(
            UserPoolId=pool, ClientId=client, AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": password},
        )  # fmt: skip
    jwks_url = f"{aws.endpoint_url}/{pool}/.well-known/jwks.json"
    settings = {"cognito_user_pool_id": pool, "cognito_client_ids": (client,), "cognito_jwks_url": jwks_url}
    return RealPool(settings, answer["AuthenticationResult"])


def _served() -> Iterator[Identity]:
    pool = Identity()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pool.fetches += 1
            body = b"" if pool.is_down else pool.jwks()
            self.send_response(503 if pool.is_down else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:PIECE_BYTES])
            if rest := body[PIECE_BYTES:]:
                # A network brings what is large in pieces, some later than others.
                time.sleep(0.05)
                self.wfile.write(rest)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    pool.jwks_url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield pool
    server.shutdown()
    server.server_close()
    thread.join()
