"""The page behind a mailed link: it looks before it leaps, says what is wrong where it is wrong, and works once."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from bbws.gateway.api.tenancy.registrations import ANSWERED_AFTER_S
from bbws.shared.contracts.tenancy.tenants import Registration
from bbws.shared.ids import new_id
from bbws.shared.settings import Settings
from tests.gateway.storefront.support import Page, Shop, altered
from tests.support.builders import registration_requested
from tests.support.emulator import Aws
from tests.support.links import link_in, mails_to, token_in
from tests.support.system import settings_for

pytestmark = pytest.mark.needs("cognito", "mails")
PASSWORD = "correct horse battery"
PAGE = "/registration"


@pytest.fixture
def settings(aws: Aws) -> Settings:
    """With the emulator's own user pool."""
    return settings_for(aws)


async def _post(shop: Shop, path: str, form: Mapping[str, str], **headers: str) -> Page:
    named = {"Accept": "text/html", **headers}
    async with shop.client.post(path, data=form, headers=named, allow_redirects=False) as answer:
        return Page(answer.status, answer.headers, await answer.text(), answer.url)


async def _mailed(shop: Shop, aws: Aws, **data: Any) -> tuple[str, str]:
    """The address and the token of a link that was just mailed to a new customer."""
    email = data.get("email") or f"{new_id()}@example.com"
    tenant = await shop.services.registrations.for_customer(Registration(email=email))
    await shop.services.registrations.mail_link(registration_requested(tenant, **data))
    return email, token_in((await mails_to(aws, email))[-1])


async def _form(shop: Shop, token: str, **fields: str) -> dict[str, str]:
    page = await shop.get(f"{PAGE}?token={token}")
    assert page.status == 200, page.text
    return {**dict(page.hidden), "password": PASSWORD, "again": PASSWORD, **fields}


async def test_the_mailed_address_is_that_of_the_page(shop: Shop, aws: Aws) -> None:
    """A link that leads elsewhere is the end of a registration."""
    email, _ = await _mailed(shop, aws)
    link = link_in((await mails_to(aws, email))[-1])
    path = link.removeprefix(shop.services.settings.public_base_url)
    page = await shop.get(path)
    assert (page.status, page.one("h1")) == (200, {})
    assert page.one("input", id="username")["value"] == email
    assert page.headers["Cache-Control"] == "private, no-store"


async def test_a_password_is_set_and_the_tenant_is_registered(shop: Shop, aws: Aws) -> None:
    """What a person does with the mail: follow, type twice, done, and told how to go on."""
    email, token = await _mailed(shop, aws)
    done = await _post(shop, PAGE, await _form(shop, token))
    assert (done.status, "From now on you sign in as" in done.text, email in done.text) == (200, True, True)
    tenant = await shop.services.registrations.for_customer(Registration(email=email))
    assert tenant.registration_status == "REGISTERED"
    assert tenant.id in done.text
    (client_id,) = shop.services.settings.cognito_client_ids
    assert await shop.services.directory.sign_in(client_id, email, PASSWORD)


async def test_opening_the_page_changes_nothing(shop: Shop, aws: Aws) -> None:
    """Scanners of mail open every link, some of them twice."""
    email, token = await _mailed(shop, aws)
    before = await shop.services.registrations.for_customer(Registration(email=email))
    for _ in range(3):
        await shop.get(f"{PAGE}?token={token}")
        async with shop.client.head(f"{PAGE}?token={token}") as answer:
            assert answer.status == 200
    assert await shop.services.registrations.for_customer(Registration(email=email)) == before


@pytest.mark.parametrize(
    ("fields", "wrong", "says"),
    [
        ({"again": "something else"}, "again", "not the same"),
        ({"password": "short", "again": "short"}, "password", "12 to 256 characters"),
        ({"password": "", "again": ""}, "password", "at least one"),
        ({"password": "x" * 300, "again": "x" * 300}, "password", "at most 256"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field(
    shop: Shop, aws: Aws, fields: dict[str, str], wrong: str, says: str
) -> None:
    """The form comes back with the sentence, without the password, and the same link goes on working."""
    _, token = await _mailed(shop, aws)
    page = await _post(shop, PAGE, await _form(shop, token, **fields))
    assert (page.status, set(page.errors)) == (422, {wrong})
    assert says in page.errors[wrong]
    assert page.one("input", id=wrong)["aria-invalid"] == "true"
    assert all(field["value"] == "" for field in page.all("input", type="password"))
    again = {**dict(page.hidden), "password": PASSWORD, "again": PASSWORD}
    assert (await _post(shop, PAGE, again)).status == 200


async def test_a_link_that_is_used_or_wrong_leads_to_a_new_one(shop: Shop, aws: Aws) -> None:
    """Nobody is left at a dead end: the page that says no is the page that mails a new link."""
    _, token = await _mailed(shop, aws)
    form = await _form(shop, token)
    assert (await _post(shop, PAGE, form)).status == 200
    for page in (
        await shop.get(f"{PAGE}?token={token}"),
        await shop.get(f"{PAGE}?token=nonsense"),
        await _post(shop, PAGE, form),
    ):
        assert (page.status, "This link no longer works" in page.text) == (422, True)
        assert page.one("form")["action"] == f"{PAGE}/link"
        assert not page.all("input", type="password")


async def test_asking_for_a_link_says_the_same_to_everybody(shop: Shop) -> None:
    """The page must not tell who is a customer, any more than the API does."""
    known = await shop.services.registrations.for_customer(Registration(email="owner@protea.example"))
    texts = []
    for email in (known.email, "nobody@protea.example"):
        form = {**dict((await shop.get(PAGE)).hidden), "email": email}
        page = await _post(shop, f"{PAGE}/link", form)
        assert page.status == 200
        texts.append(page.text.replace(email, "…"))
    assert texts[0] == texts[1]
    assert "a message with a link is on its way" in texts[0]


async def test_asking_for_a_link_takes_as_long_for_everybody(shop: Shop) -> None:
    """A new customer is more writes than a known one: the clock must not tell who is which."""
    known = await shop.services.registrations.for_customer(Registration(email="owner@protea.example"))
    for email in (known.email, f"{new_id()}@protea.example"):
        form = {**dict((await shop.get(PAGE)).hidden), "email": email}
        started = time.perf_counter()
        assert (await _post(shop, f"{PAGE}/link", form)).status == 200
        assert time.perf_counter() - started >= ANSWERED_AFTER_S * 0.99


async def test_a_link_is_mailed_for_our_own_form_alone(shop: Shop) -> None:
    """Another site could otherwise let its visitors' browsers send our mails to anybody."""
    page = await shop.get(PAGE)
    assert "Path=/registration" in page.headers["Set-Cookie"]
    form = {**dict(page.hidden), "email": f"{new_id()}@protea.example"}
    for refused in (
        await _post(shop, f"{PAGE}/link", form, Origin="https://evil.example"),
        await _post(shop, f"{PAGE}/link", {**form, "token": altered(form["token"])}),
        await _post(shop, f"{PAGE}/link", {"email": form["email"]}),
    ):
        assert refused.status == 403
    assert (await _post(shop, f"{PAGE}/link", form)).status == 200


async def test_an_address_that_is_none_is_an_error_of_its_field(shop: Shop) -> None:
    """What was typed stays, for the one letter that was wrong."""
    form = {**dict((await shop.get(PAGE)).hidden), "email": "thandi@protea"}
    page = await _post(shop, f"{PAGE}/link", form)
    assert (page.status, set(page.errors)) == (422, {"email"})
    assert page.one("input", id="email")["value"] == "thandi@protea"


async def test_a_form_that_we_did_not_give_to_this_browser_sets_no_password(shop: Shop, aws: Aws) -> None:
    """Another site could make a browser set a password that the site's owner knows."""
    email, token = await _mailed(shop, aws)
    form = await _form(shop, token)
    foreign = await _post(shop, PAGE, form, Origin="https://evil.example")
    forged = await _post(shop, PAGE, {**form, "token": altered(form["token"])})
    shop.client.session.cookie_jar.clear()
    elsewhere = await _post(shop, PAGE, form)
    assert [page.status for page in (foreign, forged, elsewhere)] == [403, 403, 403]
    assert await shop.services.directory.find_by_email(email) is None


async def test_nothing_of_the_link_is_logged(shop: Shop, aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    """Logs are read by more people than mails are."""
    _, token = await _mailed(shop, aws)
    await _post(shop, PAGE, await _form(shop, token))
    logged = capsys.readouterr()
    assert "storefront-password" in logged.out + logged.err
    for secret in (token, PASSWORD):
        assert secret not in logged.out + logged.err
