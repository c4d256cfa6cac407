"""Tokens of the Cognito user pool: who somebody is, as the pool signed it (RS256, keys from its JWKS)."""

import asyncio
import binascii
import math
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeGuard

import aiohttp
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from joserfc.util import urlsafe_b64decode

from bbws.shared.clock import Clock
from bbws.shared.errors import Unauthenticated, Unavailable
from bbws.shared.logging import get_logger

DEPENDENCY: Final = "identity"
# Clocks of this machine and of the pool may differ by so much.
LEEWAY_S = 30
FETCH_TIMEOUT_S = 5
# An unknown key id asks the pool again, but not more often than this: anybody can invent key ids.
REFETCH_COOLDOWN_S = 30
# While there are no keys at all nobody is let in, so the pool is asked more often.
FIRST_FETCH_COOLDOWN_S = 1
KEYS_FRESH_S = 3600
MAX_JWKS_BYTES = 64 * 1024
MAX_TOKEN_CHARS = 8192
# A token that was verified is not verified again for so long; its expiry is looked at each time.
REMEMBERED_S = 300
MAX_REMEMBERED = 4096

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `email` is in ID tokens alone. `expires_at` is in seconds since 1970."""

    user_id: str
    groups: frozenset[str]
    email: str | None
    expires_at: float


class Jwks:
    """The pool's public keys, by key id: fetched when first asked for, kept when the pool cannot be asked.

    One fetch at a time, however many wait for it. Whoever asks for a key that is known never waits.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, RSAKey] = {}
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self._failure: str | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        if self._session:
            await self._session.close()

    async def find(self, key_id: str) -> RSAKey | None:
        """None for a key that the pool does not have. Raises Unavailable where the pool could not be asked for it."""
        if key := self._keys.get(key_id):
            if self._since(self._fetched_at) > KEYS_FRESH_S and self._may_ask():
                self._fetch()
            return key
        if self._may_ask() or self._fetching:
            await asyncio.shield(self._fetch())
        if key_id not in self._keys and self._failure is not None:
            raise Unavailable(DEPENDENCY, self._failure)
        return self._keys.get(key_id)

    async def ping(self) -> None:
        """Raises Unavailable while no key is known and none can be had."""
        if not self._keys:
            await self.find("")

    def _may_ask(self) -> bool:
        return self._since(self._asked_at) > (REFETCH_COOLDOWN_S if self._keys else FIRST_FETCH_COOLDOWN_S)

    def _fetch(self) -> asyncio.Task[None]:
        """The fetch under way, or a new one; it never fails, and goes on when those who wait for it leave."""
        if self._fetching is None:
            self._asked_at = self._now()
            self._fetching = asyncio.create_task(self._refresh())
            self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _refresh(self) -> None:
        try:
            self._keys = await self._fetched()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._failure = f"{type(error).__name__}: {error}"
            log.warning("the user pool's keys cannot be had", kept=len(self._keys), reason=self._failure)
        else:
            self._fetched_at, self._failure = self._asked_at, None

    async def _fetched(self) -> Mapping[str, RSAKey]:
        assert self._session is not None, "not open"
        async with self._session.get(self._url, raise_for_status=True, allow_redirects=False) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_JWKS_BYTES:
                    raise ValueError(f"the key set is larger than {MAX_JWKS_BYTES} bytes")
        return _signing_keys(orjson.loads(body))

    def _since(self, moment: float) -> float:
        return self._now() - moment

    def _now(self) -> float:
        return self._clock().timestamp()


def _signing_keys(document: Any) -> Mapping[str, RSAKey]:
    """The RS256 keys of a key set, by key id; others are passed over. Raises ValueError where there is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = {}
    for each in listed if isinstance(listed, list) else ():
        if _is_rs256(each):
            try:
                keys[each["kid"]] = RSAKey.import_key(each)
            except (JoseError, ValueError, KeyError, TypeError) as error:
                log.warning("a key of the user pool cannot be read", key_id=each["kid"], reason=str(error))
    if not keys:
        raise ValueError("the key set holds no RS256 key")
    return keys


def _is_rs256(key: Any) -> bool:
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return False
    return key.get("kty") == "RSA" and key.get("alg", "RS256") == "RS256" and key.get("use", "sig") == "sig"


class TokenVerifier:
    def __init__(self, jwks: Jwks | None, issuer: str | None, client_ids: Collection[str], clock: Clock) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._client_ids = frozenset(client_ids)
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[Claims, float]] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """What the token says, once everything about it holds: signature, issuer, expiry, use and app.

        Raises Unauthenticated with the reason; Unavailable when the pool's keys cannot be had.
        """
        now = self._clock().timestamp()
        known = self._remembered.get(token)
        if known is None or known[1] <= now:
            known = await self._verified(token, now), now + REMEMBERED_S
            self._remember(token, known)
        if known[0].expires_at <= now - LEEWAY_S:
            raise Unauthenticated("The token has expired.")
        return known[0]

    def _remember(self, token: str, verified: tuple[Claims, float]) -> None:
        self._remembered[token] = verified
        self._remembered.move_to_end(token)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    async def _verified(self, token: str, now: float) -> Claims:
        if self._jwks is None:
            raise Unavailable(DEPENDENCY, "no user pool is set (BBWS_COGNITO_USER_POOL_ID)")
        key = await self._jwks.find(_key_id(token))
        if key is None:
            raise Unauthenticated("The token is signed with a key that the user pool does not have.")
        try:
            claims = jwt.decode(token, key, algorithms=["RS256"]).claims
        except (JoseError, ValueError, RecursionError) as error:
            raise Unauthenticated("The token's signature does not hold.") from error
        self._check(claims, now)
        return _claims(claims)

    def _check(self, claims: Mapping[str, Any], now: float) -> None:
        if claims.get("iss") != self._issuer:
            raise Unauthenticated("The token is from another issuer.")
        _check_times(claims, now)
        match claims.get("token_use"):
            case "id":
                app = claims.get("aud")
            case "access":
                app = claims.get("client_id")
            case _:
                raise Unauthenticated("The token is neither an ID token nor an access token.")
        if not isinstance(app, str) or app not in self._client_ids:
            raise Unauthenticated("The token was made for another app.")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued, starts = claims.get("exp"), claims.get("iat", 0), claims.get("nbf", 0)
    if not (_is_number(expires) and _is_number(issued) and _is_number(starts)):
        raise Unauthenticated("The token does not say when it expires.")
    if expires <= now - LEEWAY_S:
        raise Unauthenticated("The token has expired.")
    if max(issued, starts) > now + LEEWAY_S:
        raise Unauthenticated("The token is not valid yet.")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _key_id(token: str) -> str:
    """The key that the token's header names. Raises Unauthenticated for what is no RS256 token."""
    if len(token) > MAX_TOKEN_CHARS:
        raise Unauthenticated("The token is longer than any that the user pool makes.")
    try:
        header = orjson.loads(urlsafe_b64decode(token.partition(".")[0].encode("ascii")))
    except (ValueError, binascii.Error):
        header = None
    if not isinstance(header, dict) or token.count(".") != 2:
        raise Unauthenticated("This is no signed token (JWT).")
    key_id = header.get("kid")
    if header.get("alg") != "RS256" or "crit" in header or not isinstance(key_id, str):
        raise Unauthenticated("The token is not signed as the user pool signs (RS256, with a key id).")
    return key_id


def _claims(claims: Mapping[str, Any]) -> Claims:
    subject, groups = claims.get("sub"), claims.get("cognito:groups", [])
    if not isinstance(subject, str) or not isinstance(groups, list):
        raise Unauthenticated("The token does not say whose it is.")
    email = claims.get("email")
    named = frozenset(group for group in groups if isinstance(group, str))
    return Claims(subject, named, email if isinstance(email, str) else None, float(claims["exp"]))
