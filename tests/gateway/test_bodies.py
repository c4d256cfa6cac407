"""What the gateway refuses to read, and how it says so."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from bbws.gateway import requests
from bbws.gateway.problems import MAX_FIELD_ERRORS
from tests.gateway.support import Answer, answer_of

Client = TestClient[web.Request, web.Application]
JSON = {"Content-Type": "application/json"}


async def _post(client: Client, path: str, **request: Any) -> Answer:
    async with client.post(path, **request) as response:
        return await answer_of(response)


async def test_every_field_error_is_told_at_once(demo: Client) -> None:
    """Whoever integrates must not have to send a body five times to learn of five mistakes."""
    wrong = {"text": "", "partList": [{"quantity": 1}, {"quantity": -2}, {"quantity": "3"}, {}], "a/b~c": 1}
    answer = await _post(demo, "/wishes", json=wrong)
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.pointers == {
        "#/text", "#/partList/1/quantity", "#/partList/2/quantity", "#/partList/3/quantity", "#/a~1b~0c",
    }  # fmt: skip
    assert answer.json["title"] == "Invalid request"
    assert answer.json["detail"] == "5 things in the body are wrong."


async def test_python_names_are_unknown_fields(demo: Client) -> None:
    """The API is camelCase; were both accepted, both would have to be kept for ever."""
    answer = await _post(demo, "/wishes", json={"text": "x", "part_list": []})
    assert (answer.status, answer.pointers) == (422, {"#/part_list"})


@pytest.mark.parametrize("name", ["email", "contactEmail"])
async def test_both_names_of_the_email_are_accepted(demo: Client, name: str) -> None:
    """C-04: the two source documents name the field differently, and both must work."""
    answer = await _post(demo, "/tenants", json={"organizationName": "Protea", name: "a@protea.example"})
    assert (answer.status, answer.json["email"]) == (200, "a@protea.example")


async def test_two_names_of_one_field_are_refused(demo: Client) -> None:
    """With two addresses in one body nobody can say which was meant, so neither is taken silently."""
    both = {"organizationName": "Protea", "email": "a@protea.example", "contactEmail": "b@protea.example"}
    answer = await _post(demo, "/tenants", json=both)
    assert (answer.status, answer.pointers) == (422, {"#/contactEmail"})


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"text": NaN}', b'{"text": "\\ud800"}', b"[" * 3000]
)
async def test_what_is_no_json_is_refused(demo: Client, raw: bytes) -> None:
    """Malformed JSON is 400 (repair the program), not 422 (repair the values)."""
    answer = await _post(demo, "/wishes", data=raw, headers=JSON)
    assert (answer.status, answer.json["type"]) == (400, "urn:bbws:problem:bad-request")


async def test_deeply_nested_json_is_refused(demo: Client) -> None:
    """A parser that recurses into whatever is sent can be made to crash."""
    answer = await _post(demo, "/wishes", data=b'{"text":' + b"[" * 500 + b"]" * 500 + b"}", headers=JSON)
    assert (answer.status, "nested too deeply" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"null", b"7"])
async def test_json_that_is_no_object_points_at_the_body(demo: Client, raw: bytes) -> None:
    """The pointer `#` is the body itself (RFC 6901)."""
    answer = await _post(demo, "/wishes", data=raw, headers=JSON)
    assert (answer.status, answer.pointers) == (422, {"#"})


@pytest.mark.parametrize(
    "media", ["text/plain", "text/vnd.bbws+json", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_other_media_types_are_refused(demo: Client, media: str) -> None:
    """A form on a foreign site can post these without asking the browser; JSON it cannot."""
    answer = await _post(demo, "/wishes", data=b'{"text":"x"}', headers={"Content-Type": media})
    assert (answer.status, answer.headers["Accept"]) == (415, "application/json")


async def test_variants_of_json_are_accepted(demo: Client) -> None:
    """A charset, or a type that ends in +json, changes nothing about the body."""
    for media in ("application/json; charset=utf-8", "application/vnd.bbws+json"):
        assert (await _post(demo, "/wishes", data=b'{"text":"x"}', headers={"Content-Type": media})).status == 200


async def _chunks(count: int, size: int = 1024) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


@pytest.mark.parametrize(("path", "chunks"), [("/wishes", 64), ("/small", 2)])
async def test_too_large_chunked_body_is_refused(demo: Client, path: str, chunks: int) -> None:
    """Without Content-Length the size shows only while reading; the limit must hold there as well."""
    answer = await _post(demo, path, data=_chunks(chunks), headers=JSON)
    assert (answer.status, answer.json["type"]) == (413, "urn:bbws:problem:request-entity-too-large")


async def test_too_large_announced_body_is_refused_unread(demo: Client) -> None:
    """With Content-Length nothing needs to be read to say no: the answer is there before the first byte of it."""
    reader, writer = await asyncio.open_connection(demo.host, demo.port)
    writer.write(
        b"POST /wishes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4097\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()


async def test_body_at_the_limit_is_read(demo: Client) -> None:
    """The limit itself is allowed: a documented number must be usable."""
    body = b'{"text":"x"}'.ljust(4096)
    assert (await _post(demo, "/wishes", data=body, headers=JSON)).status == 200


async def test_compressed_bomb_is_refused(demo: Client) -> None:
    """A few bytes that unpack to megabytes count by what they unpack to."""
    bomb = zlib.compress(b" " * 5_000_000, 9)
    assert len(bomb) < 4096 * 2
    answer = await _post(demo, "/wishes", data=bomb[:], headers={**JSON, "Content-Encoding": "deflate"})
    assert answer.status == 413


async def test_broken_compression_is_refused(demo: Client) -> None:
    """A body that cannot be unpacked is the caller's mistake, not a bug of ours."""
    answer = await _post(demo, "/wishes", data=b"no deflate", headers={**JSON, "Content-Encoding": "deflate"})
    assert answer.status == 400


async def test_slow_body_is_given_up(demo: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that never finish their body would otherwise pile up until none is left."""
    monkeypatch.setattr(requests, "BODY_TIMEOUT_S", 0.1)
    never = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"text":'
        await never.wait()

    answer = await _post(demo, "/wishes", data=stalled(), headers=JSON)
    assert answer.status == 408


async def test_thousands_of_mistakes_make_a_short_answer(demo: Client) -> None:
    """The answer must not grow with the nonsense that was sent."""
    answer = await _post(demo, "/wishes", json={f"f{number}": 0 for number in range(250)})
    assert answer.status == 422
    assert len(answer.json["errors"]) == MAX_FIELD_ERRORS
    assert answer.json["detail"].startswith("251 things")
