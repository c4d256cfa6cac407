"""Tokens of the user pool: which hold, which do not, and what an outage or a rotation of its keys does."""

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from joserfc import jwt
from joserfc.jwk import RSAKey

from bbws.shared.errors import Unauthenticated, Unavailable
from bbws.shared.integrations import tokens
from bbws.shared.integrations.tokens import Jwks, TokenVerifier
from bbws.shared.settings import Settings
from tests.support.emulator import Aws
from tests.support.identity import CLIENT_ID, ISSUER, Identity, real_pool
from tests.support.market import MovedClock
from tests.support.waiting import eventually

Forge = Callable[[Identity], str]


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _with_header(pool: Identity, header: dict[str, Any]) -> str:
    """A genuine token whose header was replaced."""
    _, claims, signature = pool.token("Admin").split(".")
    return f"{_part(header)}.{claims}.{signature}"


def _signed(pool: Identity, header: dict[str, Any], digest: hashes.HashAlgorithm | None = None) -> str:
    """Genuine claims, genuinely signed, under a header of one's own."""
    signed = f"{_part(header)}.{pool.token('Admin').split('.')[1]}"
    private = pool.keys["access"].private_key
    assert private is not None
    signature = private.sign(signed.encode(), PKCS1v15(), digest or hashes.SHA256())
    return f"{signed}.{_part(signature)}"


def _unsigned(pool: Identity) -> str:
    _, claims, _ = pool.token("Admin").split(".")
    return f"{_part({'alg': 'none', 'kid': 'access'})}.{claims}."


def _by_public_key(pool: Identity) -> str:
    """HS256 with the public key as its secret: what a verifier takes that lets the token choose the algorithm."""
    signed = f"{_part({'alg': 'HS256', 'kid': 'access'})}.{pool.token('Admin').split('.')[1]}"
    public = pool.keys["access"].as_pem(private=False)
    return f"{signed}.{_part(hmac.digest(public, signed.encode(), 'sha256'))}"


def _altered(pool: Identity) -> str:
    head, claims, signature = pool.token("Viewer").split(".")
    said = orjson.loads(base64.urlsafe_b64decode(claims + "=="))
    return f"{head}.{_part({**said, 'cognito:groups': ['Admin']})}.{signature}"


def _groups_as_text(pool: Identity) -> str:
    said: dict[str, Any] = {"cognito:groups": "Admin"}
    return pool.token(**said)


def _nested(pool: Identity) -> str:
    """A header as deep as a first reader takes it, deeper than a second one could."""
    header = b'{"alg":"RS256","kid":"access","x":' + b"[" * 1000 + b"]" * 1000 + b"}"
    _, claims, signature = pool.token("Admin").split(".")
    return f"{_part(header)}.{claims}.{signature}"


FORGERIES: dict[str, tuple[Forge, str]] = {
    "alg none": (_unsigned, "not signed as the user pool signs"),
    "alg none without signature": (lambda p: _unsigned(p).rstrip("."), "no signed token"),
    "HS256 with the public key": (_by_public_key, "not signed as the user pool signs"),
    "RS384": (lambda p: _signed(p, {"alg": "RS384", "kid": "access"}, hashes.SHA384()), "not signed as the user pool"),
    "wrong key, known id": (
        lambda p: p.token("Admin", key=RSAKey.generate_key(2048, {"kid": "access"})), "signature does not hold",
    ),
    "unknown key": (lambda p: p.token("Admin", key=RSAKey.generate_key(2048, {"kid": "mine"})), "a key that the user"),
    "no key id": (lambda p: _signed(p, {"alg": "RS256"}), "with a key id"),
    "key id of another type": (lambda p: _with_header(p, {"alg": "RS256", "kid": ["access"]}), "with a key id"),
    "crit": (lambda p: _signed(p, {"alg": "RS256", "kid": "access", "crit": ["exp"], "exp": 1}), "not signed as"),
    "key of its own in the header": (
        lambda p: _with_header(p, {"alg": "RS256", "kid": "mine", "jku": "http://evil.example"}), "a key that the user",
    ),
    "claims altered": (_altered, "signature does not hold"),
    "header nested deeply": (_nested, "signature does not hold"),
    "expired": (lambda p: p.token("Admin", exp=int(time.time()) - 31), "has expired"),
    "never expires": (lambda p: p.token("Admin", exp=None), "when it expires"),
    "expires at a text": (lambda p: p.token("Admin", exp="never"), "when it expires"),
    "expires at true": (lambda p: p.token("Admin", exp=True), "when it expires"),
    "starts later": (lambda p: p.token("Admin", nbf=int(time.time()) + 60), "not valid yet"),
    "issued later": (lambda p: p.token("Admin", iat=int(time.time()) + 60), "not valid yet"),
    "another pool": (lambda p: p.token("Admin", iss=f"{ISSUER}x"), "another issuer"),
    "no issuer": (lambda p: p.token("Admin", iss=None), "another issuer"),
    "another app's access token": (lambda p: p.token("Admin", client_id="other"), "another app"),
    "another app's ID token": (lambda p: p.token("Admin", use="id", aud="other"), "another app"),
    "ID token with client_id alone": (
        lambda p: p.token("Admin", use="id", aud=None, client_id=CLIENT_ID), "another app",
    ),
    "access token with aud alone": (lambda p: p.token("Admin", client_id=None, aud=CLIENT_ID), "another app"),
    "audience is a list": (lambda p: p.token("Admin", use="id", aud=[CLIENT_ID]), "another app"),
    "refresh token": (lambda p: p.token("Admin", use="refresh"), "neither an ID token nor"),
    "no use": (lambda p: p.token("Admin", token_use=None), "neither an ID token nor"),
    "nobody's": (lambda p: p.token("Admin", sub=None), "whose it is"),
    "groups are a text": (_groups_as_text, "whose it is"),
    "giant": (lambda p: p.token("Admin", fill="x" * 8192), "longer than any"),
    "empty": (lambda _: "", "no signed token"),
    "no JWT": (lambda _: "let-me-in", "no signed token"),
    "dots": (lambda _: "..", "no signed token"),
    "four parts": (lambda p: p.token("Admin") + ".x", "no signed token"),
    "header is a list": (lambda p: f"{_part([])}.{_part({})}.", "no signed token"),
    "no ASCII": (lambda _: "ä.ö.ü", "no signed token"),
    "broken base64": (lambda p: "a" + p.token("Admin"), "no signed token"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_or_stale_token_is_refused_with_its_reason(shared_identity: Identity, name: str) -> None:
    """Each of these would let a stranger in as an operator; the reason is for the client's author."""
    forge, reason = FORGERIES[name]
    async with shared_identity.verifier() as verifier:
        with pytest.raises(Unauthenticated) as refused:
            await verifier.verify(forge(shared_identity))
    assert reason in refused.value.detail


@pytest.mark.parametrize("use", ["id", "access"])
async def test_token_says_who_it_is(shared_identity: Identity, use: str) -> None:
    """Both kinds count, each signed with a key of its own; clocks that differ a little do no harm."""
    now = int(time.time())
    token = shared_identity.token("Operator", user_id="me", use=use, email="me@bbws.example", iat=now + 20, exp=now + 9)
    async with shared_identity.verifier() as verifier:
        claims = await verifier.verify(token)
        await verifier.verify(_signed(shared_identity, {"alg": "RS256", "kid": "access"}))
    assert (claims.user_id, claims.groups, claims.email) == ("me", frozenset({"Operator"}), "me@bbws.example")


async def test_remembered_token_still_expires(shared_identity: Identity) -> None:
    """What was verified once must not be good for ever because it is remembered."""
    clock = MovedClock()
    token = shared_identity.token("Admin", exp=int(time.time()) + 60)
    async with shared_identity.verifier(clock) as verifier:
        await verifier.verify(token)
        clock.advance(60 + tokens.LEEWAY_S - 5)
        await verifier.verify(token)
        clock.advance(6)
        with pytest.raises(Unauthenticated, match="expired"):
            await verifier.verify(token)


async def test_memory_of_tokens_is_bounded(shared_identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who ever called must not stay in memory."""
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 3)
    async with shared_identity.verifier() as verifier:
        for _ in range(5):
            await verifier.verify(shared_identity.token())
        assert len(verifier._remembered) == 3


async def test_oldest_token_is_forgotten_first(shared_identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting the newest would verify every token of a busy gateway anew, with each request."""
    verified: list[str] = []
    decode = jwt.decode

    def noted(token: str, *arguments: Any, **more: Any) -> Any:
        verified.append(token)
        return decode(token, *arguments, **more)

    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(jwt, "decode", noted)
    clock = MovedClock()
    one, two, three, four = (shared_identity.token() for _ in range(4))
    async with shared_identity.verifier(clock) as verifier:
        for token in (one, two, three):
            await verifier.verify(token)
        clock.advance(tokens.REMEMBERED_S + 1)
        # Verified anew, so that two is the oldest now.
        for token in (one, four, three, one, four):
            await verifier.verify(token)
    assert verified == [one, two, three, one, four, three]


async def test_crowd_fetches_the_keys_once(identity: Identity) -> None:
    """At the start every request needs the keys; the pool is asked once, and never again for keys that are known."""
    async with identity.verifier() as verifier:
        await asyncio.gather(*(verifier.verify(identity.token(use=use)) for use in ("id", "access") * 20))
        await verifier.verify(identity.token())
    assert identity.fetches == 1


async def test_rotated_key_is_fetched_and_invented_ones_do_not_flood_the_pool(identity: Identity) -> None:
    """A rotation is noticed by its first token; whoever invents key ids makes one fetch in half a minute."""
    clock = MovedClock()
    async with identity.verifier(clock) as verifier:
        await verifier.verify(identity.token())
        clock.advance(tokens.REFETCH_COOLDOWN_S + 1)
        identity.keys["access"] = RSAKey.generate_key(2048, {"kid": "new"})
        await verifier.verify(identity.token())
        assert identity.fetches == 2
        for number in range(20):
            forged = identity.token(
                key=RSAKey.import_key(identity.keys["id"].as_dict(private=True) | {"kid": f"{number}"})
            )
            with pytest.raises(Unauthenticated):
                await verifier.verify(forged)
        assert identity.fetches == 2


async def test_key_that_was_withdrawn_ends_with_what_is_remembered(identity: Identity) -> None:
    """A stolen key that the pool withdraws opens nothing after an hour and five minutes."""
    clock = MovedClock()
    token = identity.token(exp=int(time.time()) + 86_400)
    async with identity.verifier(clock) as verifier:
        await verifier.verify(token)
        identity.keys["access"] = RSAKey.generate_key(2048, {"kid": "new"})
        clock.advance(tokens.KEYS_FRESH_S + 1)
        await verifier.verify(token)  # starts the fetch, waits for nothing
        await eventually(
            lambda: identity.fetches == 2 and verifier._jwks and not verifier._jwks._fetching, what="fetched"
        )
        clock.advance(tokens.REMEMBERED_S + 1)
        with pytest.raises(Unauthenticated, match="does not have"):
            await verifier.verify(token)


async def test_known_keys_serve_through_an_outage(identity: Identity) -> None:
    """A pool that is out locks nobody out who has a token; a key that nobody could look up is 503, no verdict."""
    clock = MovedClock()
    async with identity.verifier(clock) as verifier:
        await verifier.verify(identity.token())
        identity.is_down = True
        for _ in range(3):
            clock.advance(tokens.KEYS_FRESH_S + 1)
            await verifier.verify(identity.token(exp=int(time.time()) + 86_400))
        identity.keys["access"] = RSAKey.generate_key(2048, {"kid": "new"})
        clock.advance(tokens.REFETCH_COOLDOWN_S + 1)
        fresh = identity.token(exp=int(time.time()) + 86_400)
        with pytest.raises(Unavailable):
            await verifier.verify(fresh)
        identity.is_down = False
        clock.advance(tokens.REFETCH_COOLDOWN_S + 1)
        await verifier.verify(fresh)


async def test_pool_that_is_out_at_the_start_is_asked_once_a_second(identity: Identity) -> None:
    """Nobody can be recognised, which is 503 and no 401; a thousand requests must not become a thousand fetches."""
    clock = MovedClock()
    identity.is_down = True
    async with identity.verifier(clock) as verifier:
        for _ in range(3):
            results = await asyncio.gather(
                *(verifier.verify(identity.token()) for _ in range(10)), return_exceptions=True
            )
            assert {type(result) for result in results} == {Unavailable}
        assert identity.fetches <= 2
        identity.is_down = False
        clock.advance(tokens.FIRST_FETCH_COOLDOWN_S + 0.1)
        await verifier.verify(identity.token())


async def test_whoever_leaves_does_not_stop_the_fetch(identity: Identity) -> None:
    """A readiness check that gives up after two seconds must not begin the fetch anew each time."""
    async with Jwks(identity.jwks_url, MovedClock()) as jwks:
        impatient = asyncio.create_task(jwks.ping())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        assert await jwks.find("id") is not None
    assert identity.fetches == 1


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 3}', b'{"keys": []}', b'{"keys": [{"kty": "RSA", "kid": "id"}]}', b"x" * 70_000],
)
async def test_what_is_no_key_set_replaces_nothing(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, document: bytes
) -> None:
    """A proxy's error page with status 200 must not lock everybody out."""
    clock = MovedClock()
    async with identity.verifier(clock) as verifier:
        await verifier.verify(identity.token())
        monkeypatch.setattr(identity, "jwks", lambda: document)
        clock.advance(tokens.REFETCH_COOLDOWN_S + 1)
        with pytest.raises(Unavailable):
            await verifier.verify(identity.token(key=RSAKey.generate_key(2048, {"kid": "new"})))
        await verifier.verify(identity.token())


@asynccontextmanager
async def _keys_behind(answer: Callable[[web.Request], Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jwks]:
    """Keys that are asked for at an address that gives this answer."""
    app = web.Application()
    app.router.add_get("/jwks.json", answer)
    monkeypatch.setattr(tokens, "FETCH_TIMEOUT_S", 0.3)
    async with TestServer(app) as server, Jwks(str(server.make_url("/jwks.json")), MovedClock()) as jwks:
        yield jwks


async def _silence(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def test_keys_come_from_the_pool_and_from_nowhere_else(
    shared_identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can send a redirect would otherwise choose the keys that open every tenant."""

    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": shared_identity.jwks_url})

    async with _keys_behind(elsewhere, monkeypatch) as jwks:
        with pytest.raises(Unavailable):
            await jwks.find("id")


async def test_keys_in_an_answer_that_is_an_error_are_none(
    shared_identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that serves what is stale says so by the status: a key that was withdrawn may be among them."""

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=503, body=shared_identity.jwks())

    async with _keys_behind(broken, monkeypatch) as jwks:
        with pytest.raises(Unavailable):
            await jwks.find("id")


async def test_key_set_larger_than_any_pools_is_none(
    shared_identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never ends must not fill the memory of the gateway, whatever keys it begins with."""

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=shared_identity.jwks() + b" " * tokens.MAX_JWKS_BYTES)

    async with _keys_behind(large, monkeypatch) as jwks:
        with pytest.raises(Unavailable, match="larger than"):
            await jwks.find("id")


async def test_pool_that_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request waits for the first fetch: without an end of it the gateway would answer nobody."""
    async with _keys_behind(_silence, monkeypatch) as jwks, asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await jwks.find("id")


async def test_large_key_set_is_read_to_its_end(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in several pieces is one document; half of it would be an outage at the next rotation."""
    keys = [key.as_dict(private=False) for key in identity.keys.values()]
    filler = [{"kty": "EC", "kid": f"{number}", "x": "x" * 500} for number in range(100)]
    monkeypatch.setattr(identity, "jwks", lambda: orjson.dumps({"keys": [*filler, *keys]}))
    async with identity.verifier() as verifier:
        await verifier.verify(identity.token())


async def test_keys_for_other_uses_verify_nothing(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key set may hold keys for encryption and of other kinds; they are passed over, the rest counts."""
    others = [
        {**identity.keys["id"].as_dict(private=False), "use": "enc"},
        {**identity.keys["id"].as_dict(private=False), "alg": "RS512"},
        {"kty": "oct", "kid": "id", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "id"},
        "id",
    ]
    good = identity.keys["access"].as_dict(private=False)
    monkeypatch.setattr(identity, "jwks", lambda: orjson.dumps({"keys": [*others, good]}))
    async with identity.verifier() as verifier:
        await verifier.verify(identity.token())
        with pytest.raises(Unauthenticated):
            await verifier.verify(identity.token(use="id"))


async def test_process_without_a_pool_knows_nobody() -> None:
    """503, as nobody could have a token that counts: not 401, which would send people to log in again."""
    verifier = TokenVerifier(None, None, (), MovedClock())
    with pytest.raises(Unavailable, match="BBWS_COGNITO_USER_POOL_ID"):
        await verifier.verify("x")


@pytest.mark.needs("cognito")
async def test_tokens_of_a_real_pool_hold_and_its_refresh_tokens_do_not(aws: Aws) -> None:
    """What Cognito itself signs is taken, ID and access token alike; a refresh token opens nothing, here least."""
    pool = await real_pool(aws, "Operator")
    clock = MovedClock()
    issuer = Settings(**pool.settings).cognito_issuer
    async with Jwks(pool.settings["cognito_jwks_url"], clock) as jwks:
        verifier = TokenVerifier(jwks, issuer, pool.settings["cognito_client_ids"], clock)
        for name in ("IdToken", "AccessToken"):
            claims = await verifier.verify(pool.tokens[name])
            assert claims.groups == {"Operator"}
            with pytest.raises(Unauthenticated, match="another app"):
                await TokenVerifier(jwks, issuer, ("other",), clock).verify(pool.tokens[name])
        with pytest.raises(Unauthenticated, match="neither an ID token nor"):
            await verifier.verify(pool.tokens["RefreshToken"])
        clock.advance(86_400)
        with pytest.raises(Unauthenticated, match="expired"):
            await verifier.verify(pool.tokens["IdToken"])
