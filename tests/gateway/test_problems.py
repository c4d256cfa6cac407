"""How errors look from outside, and what they keep to themselves."""

import asyncio
import re
from contextlib import suppress

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from bbws.gateway.app import create_app
from bbws.gateway.keys import PROBLEM_PAGE
from bbws.gateway.problems import Problem
from bbws.gateway.routes import ROUTES as ALL_ROUTES
from bbws.shared.settings import Settings
from tests.gateway.demo import ROUTES, demo_services
from tests.gateway.support import answer_of

Client = TestClient[web.Request, web.Application]


async def test_bug_shows_a_reference_and_nothing_else(demo: Client) -> None:
    """A traceback helps an attacker; the reference leads us, and only us, to it."""
    with capture_logs() as logs:
        answer = await answer_of(await demo.get("/bug"))
    assert answer.status == 500
    assert b"hunter2" not in answer.body
    assert b"Traceback" not in answer.body
    reference = answer.headers["X-Request-Id"]
    assert reference in answer.json["detail"]
    failed = next(line for line in logs if line["event"] == "request failed")
    assert failed["reference"] == reference
    assert failed["exc_info"]


async def test_outage_asks_to_come_again_and_names_no_host(demo: Client) -> None:
    """What is out is for the log; the caller learns that a repeat may help, and when."""
    with capture_logs() as logs:
        answer = await answer_of(await demo.get("/outage"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert b"10.0.0.7" not in answer.body
    assert next(line for line in logs if line["event"] == "a dependency is out of reach")["dependency"] == "dynamodb"


async def test_unknown_address_is_a_problem(demo: Client) -> None:
    """Clients parse every error the same way, also those of the router."""
    answer = await answer_of(await demo.get("/no/such/thing"))
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert (answer.json["instance"], answer.json["status"]) == ("/no/such/thing", 404)


async def test_unknown_method_names_those_that_are_known(demo: Client) -> None:
    """RFC 9110 asks for Allow with 405."""
    answer = await answer_of(await demo.delete("/wishes"))
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert answer.json["type"] == "urn:bbws:problem:method-not-allowed"


async def test_redirects_pass(demo: Client) -> None:
    """A page's redirect is an exception to aiohttp, but no error."""
    answer = await answer_of(await demo.get("/moved", allow_redirects=False))
    assert (answer.status, answer.headers["Location"]) == (303, "/elsewhere")


@pytest.mark.parametrize("given", ["order-7", "a" * 128, "0:1.2_3-4"])
async def test_request_id_is_echoed(demo: Client, given: str) -> None:
    """A caller who has an id of its own finds our log lines by it."""
    answer = await answer_of(await demo.get("/nowhere", headers={"X-Request-Id": given}))
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "ü", "<script>", 'x"y'])
async def test_odd_request_id_is_replaced(demo: Client, given: str) -> None:
    """The id goes into headers and logs, so only harmless characters get there."""
    answer = await answer_of(await demo.get("/nowhere", headers={"X-Request-Id": given}))
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-Id"])


async def test_trace_goes_on(demo: Client) -> None:
    """W3C Trace Context: the problem and the log carry the caller's trace id, in a span of our own."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = f"00-{trace_id}-00f067aa0ba902b7-01"
    answer = await answer_of(await demo.get("/nowhere", headers={"traceparent": given}))
    assert answer.json["traceId"] == trace_id


@pytest.mark.parametrize("given", ["junk", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff-{'a' * 32}-{'b' * 16}-01"])
async def test_broken_trace_is_replaced(demo: Client, given: str) -> None:
    """An invalid traceparent is ignored, as the specification asks; a new trace begins."""
    answer = await answer_of(await demo.get("/nowhere", headers={"traceparent": given}))
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", answer.json["traceId"])
    assert answer.json["traceId"] not in given


async def test_tenant_header_from_outside_is_dropped(demo: Client) -> None:
    """C-31: nobody chooses their tenant by sending a header; the rest of the request arrives untouched."""
    headers = {"X-Tenant-Id": "somebody-else", "x-tenant-id": "again"}
    answer = await answer_of(await demo.post("/wishes", json={"text": "hi"}, headers=headers))
    assert (answer.json["tenant"], answer.json["text"]) == (None, "hi")


async def test_answers_carry_protection(demo: Client) -> None:
    """Every answer, errors included, tells browsers not to guess, frame, refer or keep."""
    for path in ("/nowhere", "/bug", "/wishes"):
        headers = (await answer_of(await demo.get(path))).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "bbws"


async def test_pages_may_load_their_own_parts_and_post_to_payfast(demo: Client) -> None:
    """The checkout form goes to PayFast and nowhere else; scripts come from here and are never inline."""
    policy = (await answer_of(await demo.get("/page"))).headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "form-action 'self' https://sandbox.payfast.co.za" in policy
    assert "unsafe" not in policy


async def test_people_get_a_page_where_the_storefront_makes_one() -> None:
    """Somebody who follows a dead link in a browser must not be shown JSON; a program must not be shown HTML."""

    async def page(request: web.Request, problem: Problem) -> web.Response:
        return web.Response(status=problem.status, text=problem.title, content_type="text/html")

    app = create_app(Settings(), demo_services(), routes=ROUTES)
    app[PROBLEM_PAGE] = page
    async with TestClient(TestServer(app)) as client:
        as_person = {"Accept": "text/html,*/*;q=0.8"}
        assert (await client.get("/dead-link", headers=as_person)).content_type == "text/html"
        assert (await client.get("/dead-link")).content_type == "application/problem+json"
        assert (await client.get("/v1.0/dead-link", headers=as_person)).content_type == "application/problem+json"
        assert (await client.get("/bug", headers=as_person)).content_type == "application/problem+json"


async def test_browsers_are_told_to_stay_with_https_where_it_is_spoken() -> None:
    """On a laptop there is no TLS, and the header would lock people out of other local servers."""
    for url, expected in (("https://bbws.example", "max-age=31536000"), ("http://127.0.0.1:8080", None)):
        app = create_app(Settings(public_base_url=url), demo_services(), routes=ROUTES)
        async with TestClient(TestServer(app)) as client:
            assert (await client.get("/page")).headers.get("Strict-Transport-Security") == expected


async def _raw(client: Client, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read(65536)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\rSet-Cookie: b\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\r\n Set-Cookie: b=1\r\n\r\n",
        b"GET /%0d%0aSet-Cookie:%20b=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01 not http at all\r\n\r\n",
    ],
)
async def test_no_header_can_be_smuggled_in(demo: Client, request_head: bytes) -> None:
    """What a caller sends never becomes a header line of the answer."""
    head = (await _raw(demo, request_head)).split(b"\r\n\r\n")[0]
    assert b"\r\nset-cookie" not in head.lower()
    assert b"Traceback" not in head


async def test_log_line_says_what_was_asked_without_the_query(demo: Client) -> None:
    """One line for each request; the query, which may hold personal data, is not in it."""
    with capture_logs() as logs:
        await demo.get("/page?email=thandi@protea.example", headers={"X-Request-Id": "order-7"})
    line = next(line for line in logs if line["event"] == "request ended")
    assert (line["method"], line["path"], line["status"], line["operation"]) == ("GET", "/page", 200, "page")
    assert "thandi" not in str(line)


async def _context(client: Client, headers: dict[str, str]) -> dict[str, str]:
    answer = await answer_of(await client.post("/wishes", json={"text": "hi"}, headers=headers))
    context: dict[str, str] = answer.json["context"]
    return context


async def test_everything_below_a_request_knows_its_ids(demo: Client) -> None:
    """Events published by a request carry its correlation id and trace; they read them from the log context."""
    given = {"X-Request-Id": "order-7", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    context = await _context(demo, given)
    assert (context["correlation_id"], context["request_id"]) == ("order-7", "order-7")
    assert re.fullmatch(r"00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01", context["traceparent"])
    assert context["traceparent"] != given["traceparent"]


async def test_a_trace_that_nobody_samples_stays_unsampled(demo: Client) -> None:
    """The caller decided that this one is not kept; with the flag set, every part behind us would keep it."""
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
    for flags in ("00", "01"):
        assert (await _context(demo, {"traceparent": given + flags}))["traceparent"].endswith(f"-{flags}")


async def test_log_lines_of_a_request_carry_the_ids_of_its_address(demo: Client) -> None:
    """Everything about one order is found by its id, whichever operation wrote the line."""
    context = (await answer_of(await demo.get("/of/a-tenant/an-order"))).json
    assert (context["tenant_id"], context["order_id"]) == ("a-tenant", "an-order")


async def test_questions_of_monitors_fill_no_log() -> None:
    """Several processes ask each gateway every few seconds, for ever; somebody who looks for a request finds it."""
    with capture_logs() as logs:
        async with TestClient(
            TestServer(create_app(Settings(), demo_services(), routes=(*ALL_ROUTES, *ROUTES)))
        ) as client:
            for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/moved"):
                await client.get(path, allow_redirects=False)
    lines = {line["path"]: (line["log_level"], line["status"]) for line in logs if line["event"] == "request ended"}
    assert lines == {
        "/healthz": ("debug", 200), "/readyz": ("debug", 200), "/metrics": ("debug", 200),
        "/openapi.json": ("info", 200), "/moved": ("info", 303),
    }  # fmt: skip


async def test_a_request_that_nobody_waits_for_any_more_is_no_success(demo: Client) -> None:
    """Counted as 499: an answer that never left must not look like one in the rate of successes."""
    with capture_logs() as logs:
        with suppress(ClientError):
            await demo.get("/cut-off")
        metrics = await (await demo.get("/metrics-of-demo")).text()
    line = next(line for line in logs if line["event"] == "request ended")
    assert (line["path"], line["status"]) == ("/cut-off", 499)
    assert 'bbws_gateway_requests_total{operation="cut-off",status="499"} 1.0' in metrics
