"""Registering over HTTP: what a stranger can learn from it, and what a mailed link opens."""

import asyncio
import time

import pytest

from bbws.gateway.api.tenancy.registrations import ANSWERED_AFTER_S
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from bbws.shared.tenancy.repositories.tenants import TenantRepository
from tests.gateway.support import Answer, Api
from tests.support.builders import registration_requested
from tests.support.emulator import Aws
from tests.support.links import mails_to, token_in
from tests.support.system import settings_for

pytestmark = pytest.mark.needs("cognito", "mails")
REGISTRATIONS = "/v1.0/registrations"
CONFIRMATIONS = "/v1.0/registrations/confirmations"
PASSWORD = "correct horse battery"
# What differs between any two answers.
_OF_THIS_ANSWER = {"Date", "X-Request-ID", "Server"}


@pytest.fixture
def settings(aws: Aws) -> Settings:
    """With the emulator's own user pool."""
    return settings_for(aws)


@pytest.fixture
def public(api: Api) -> Api:
    return api.anonymous()


def _visible(answer: Answer) -> tuple[object, ...]:
    headers = {name: value for name, value in answer.headers.items() if name not in _OF_THIS_ANSWER}
    return answer.status, headers, answer.body


async def test_known_and_unknown_addresses_get_the_same_answer(public: Api) -> None:
    """Byte for byte, again and with a company name or without: nobody learns here who is a customer."""
    known = await public.a_tenant()
    asked = [
        {"email": known.email},
        {"email": f"{new_id()}@example.com"},
        {"email": f"{new_id()}@example.com", "organizationName": known.organization_name},
        {"email": known.email, "organizationName": known.organization_name},
        {"email": known.email.upper(), "organizationName": f"Other {new_id()}"},
    ]
    answers = [await public.post(REGISTRATIONS, body) for body in asked]
    assert answers[0].status == 202
    assert known.id.encode() not in answers[0].body
    for answer in answers:
        assert _visible(answer) == _visible(answers[0])


async def test_known_and_unknown_addresses_are_answered_after_the_same_time(public: Api) -> None:
    """A new tenant is more writes than a known one: whoever measures must see the same moment for both."""
    known = await public.a_tenant()
    for email in (known.email, f"{new_id()}@example.com"):
        started = time.perf_counter()
        await public.post(REGISTRATIONS, {"email": email})
        assert time.perf_counter() - started >= ANSWERED_AFTER_S * 0.99


async def test_an_address_that_is_none_is_told(public: Api) -> None:
    """What the form itself can tell is no secret."""
    answer = await public.post(REGISTRATIONS, {"email": "thandi"})
    assert (answer.status, answer.pointers) == (422, {"#/email"})


async def _token(api: Api, aws: Aws, email: str) -> str:
    """Asked for at the API, mailed as the consumer mails it."""
    assert (await api.post(REGISTRATIONS, {"email": email})).status == 202
    tenant = await TenantRepository(api.services.database).find_by_email(email)
    assert tenant
    await api.services.registrations.mail_link(registration_requested(tenant))
    return token_in((await mails_to(aws, email))[-1])


async def test_a_link_leads_to_a_token_that_opens_the_tenant(public: Api, settings: Settings, aws: Aws) -> None:
    """The whole way of a new customer: register, follow the link, sign in, and read what is theirs alone."""
    email = f"{new_id()}@example.com"
    token = await _token(public, aws, email)
    confirmed = await public.post(CONFIRMATIONS, {"token": token, "password": PASSWORD})
    assert (confirmed.status, confirmed.json["registrationStatus"]) == (200, "REGISTERED")
    own = confirmed.json["_links"]["self"]["href"]
    (client_id,) = public.services.settings.cognito_client_ids
    bearer = {"Authorization": f"Bearer {await public.services.directory.sign_in(client_id, email, PASSWORD)}"}
    assert (await public.get(own, headers=bearer)).json["id"] == confirmed.json["id"]
    other = await public.a_tenant()
    assert (await public.get(f"/v1.0/tenants/{other.id}", headers=bearer)).status == 404
    assert (await public.get(own)).status == 401


async def test_a_link_that_does_not_work_says_how_to_get_one(public: Api, aws: Aws) -> None:
    """Used, unknown or no token at all: one answer, which leads on."""
    token = await _token(public, aws, f"{new_id()}@example.com")
    assert (await public.post(CONFIRMATIONS, {"token": token, "password": PASSWORD})).status == 200
    answers = [
        await public.post(CONFIRMATIONS, {"token": each, "password": PASSWORD}) for each in (token, "x" * 43, "", "ü")
    ]
    assert {(answer.status, answer.json["detail"]) for answer in answers} == {
        (422, "This link no longer works: it was used, or it is too old. Ask for a new one at /v1.0/registrations.")
    }
    assert all(answer.pointers == {"#/token"} for answer in answers)


async def test_a_password_that_the_pool_refuses_is_told_and_can_be_mended(
    public: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer says what a password needs, repeats none, and the link still works."""
    token = await _token(public, aws, f"{new_id()}@example.com")
    for password in ("hunter2", ""):
        refused = await public.post(CONFIRMATIONS, {"token": token, "password": password})
        assert (refused.status, refused.pointers) == (422, {"#/password"})
    assert (await public.post(CONFIRMATIONS, {"token": token, "password": PASSWORD})).status == 200
    logged = capsys.readouterr()
    for secret in ("hunter2", PASSWORD, token):
        assert secret not in logged.out + logged.err


async def test_the_pools_outage_is_503_and_over_when_it_is_over(public: Api, aws: Aws) -> None:
    """Nothing is lost: the same request succeeds afterwards."""
    token = await _token(public, aws, f"{new_id()}@example.com")
    await aws.inject("cognito-idp")
    answer = await public.post(CONFIRMATIONS, {"token": token, "password": PASSWORD})
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    await aws.heal()
    assert (await public.post(CONFIRMATIONS, {"token": token, "password": PASSWORD})).status == 200


async def test_parallel_confirmations_are_one_success_and_refusals(public: Api, aws: Aws) -> None:
    """Who comes second hears that the link is in use, or was."""
    token = await _token(public, aws, f"{new_id()}@example.com")
    body = {"token": token, "password": PASSWORD}
    answers = await asyncio.gather(*(public.post(CONFIRMATIONS, body) for _ in range(20)))
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {409, 422}
