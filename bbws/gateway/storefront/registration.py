"""The page behind a mailed link: whoever follows it sets a password; whoever has no link that works gets one by mail.

GET changes nothing: mail scanners and previews follow links before their reader does.
"""

import asyncio
from typing import Any

from aiohttp import web
from pydantic import SecretStr, ValidationError

from bbws.gateway.api.tenancy.registrations import ANSWERED_AFTER_S
from bbws.gateway.keys import SETTINGS, services
from bbws.gateway.requests import raw_body, resource_id
from bbws.gateway.route import FORM, Route
from bbws.gateway.storefront import form_tokens
from bbws.gateway.storefront.order_form import MAX_FORM_BYTES, WHOLE_FORM, parse
from bbws.gateway.storefront.pages import page
from bbws.shared.addresses import REGISTRATION_PAGE
from bbws.shared.contracts.tenancy.registrations import MAX_PASSWORD_CHARS, MAX_TOKEN_CHARS, Confirmation
from bbws.shared.contracts.tenancy.tenants import Registration
from bbws.shared.errors import Conflict, Invalid

LINK_FIELD = "link"

_TOO_OLD = (
    "This form was open for too long or your browser keeps no cookies. Nothing is saved yet: please send it again."
)
_DEAD = (
    "This link no longer works: it was used already, or it is too old. If you have set your password, sign in with "
    "it. If not, get a new link here."
)
_BUSY = "This link is being used at this moment. Please wait half a minute and send the form again."
_NO_EMAIL = "Enter an e-mail address, such as name@example.com."
_DIFFERENT = "The two passwords are not the same. Please enter the password twice."
# Neither a cache nor the next page that the browser visits shall see the link.
_PRIVATE = {"Cache-Control": "private, no-store", "Referrer-Policy": "same-origin"}


async def show_registration(request: web.Request) -> web.Response:
    """The password form of the link; without one that works, the form that asks for one."""
    link = request.query.get("token", "")[:MAX_TOKEN_CHARS]
    return await (_password_form(request, link) if link else _link_form(request))


async def set_password(request: web.Request) -> web.Response:
    """The link is used, the password counts; or the same form again, with what is wrong beside its field."""
    posted = await _posted(request)
    link, password = posted.get(LINK_FIELD, "")[:MAX_TOKEN_CHARS], posted.get("password", "")
    if _form_id(request, posted) is None:
        return await _password_form(request, link, {WHOLE_FORM: _TOO_OLD}, status=403)
    if password != posted.get("again"):
        return await _password_form(request, link, {"again": _DIFFERENT}, status=422)
    try:
        confirmation = Confirmation(token=link, password=SecretStr(password))
        confirmed = await services(request).confirmations.confirm(confirmation)
    except Conflict:
        return await _password_form(request, link, {WHOLE_FORM: _BUSY}, status=409)
    except Invalid as refused:
        return await _password_form(request, link, _errors(refused), status=422)
    except ValidationError:
        sentence = f"A password has at most {MAX_PASSWORD_CHARS} characters, and at least one."
        return await _password_form(request, link, {"password": sentence}, status=422)
    return await _page(request, "done", {"email": confirmed.email, "tenant": confirmed.tenant})


async def request_link(request: web.Request) -> web.Response:
    """A link is on its way; the page says the same for a known address and an unknown one, after the same time."""
    posted = await _posted(request)
    email = posted.get("email", "").strip()
    if _form_id(request, posted) is None:
        return await _link_form(request, {WHOLE_FORM: _TOO_OLD}, email=email, status=403)
    try:
        registration = Registration(email=email)
    except ValidationError:
        return await _link_form(request, {"email": _NO_EMAIL}, email=email, status=422)
    requested = services(request).registrations.request(registration, tenant_id=resource_id(request))
    await asyncio.gather(requested, asyncio.sleep(ANSWERED_AFTER_S))
    return await _page(request, "sent", {"email": email})


async def _posted(request: web.Request) -> dict[str, str]:
    form_tokens.refuse_other_sites(request)
    return parse(await raw_body(request))


def _form_id(request: web.Request, posted: dict[str, str]) -> str | None:
    token = posted.get(form_tokens.FORM_FIELD, "")
    return form_tokens.form_id_of(token, form_tokens.browser_secret(request), request.app[SETTINGS])


def _errors(refused: Invalid) -> dict[str, str]:
    """What is wrong with the password; that the link is dead, `_password_form` finds by itself."""
    return {name: error.detail for error in refused.errors if (name := error.pointer.removeprefix("#/")) == "password"}


async def _password_form(
    request: web.Request, link: str, errors: dict[str, str] | None = None, *, status: int = 200
) -> web.Response:
    try:
        mailed = await services(request).confirmations.link(link)
    except Invalid:
        return await _link_form(request, {WHOLE_FORM: _DEAD}, status=422)
    min_chars = services(request).topology.user_pool.password_min_length
    context = {"link": link, "email": mailed.email, "purpose": mailed.purpose, "min_chars": min_chars}
    return await _page(request, "password", context, errors, status=status)


async def _link_form(
    request: web.Request, errors: dict[str, str] | None = None, *, email: str = "", status: int = 200
) -> web.Response:
    return await _page(request, "link", {"email": email}, errors, status=status)


async def _page(
    request: web.Request,
    step: str,
    context: dict[str, Any],
    errors: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    settings = request.app[SETTINGS]
    secret = form_tokens.browser_secret(request) or form_tokens.new_browser_secret()
    shown = {**context, "step": step, "errors": errors or {}, "token": form_tokens.new_token(secret, settings)}
    response = await page(request, "registration.html", shown, status=status, headers=_PRIVATE)
    form_tokens.remember_browser(response, secret, settings, REGISTRATION_PAGE)
    return response


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=REGISTRATION_PAGE,
        operation_id="storefront-registration",
        handler=show_registration,
        summary="The page behind a mailed link",
        tag="pages",
        access="public",
        page=True,
    ),
    Route(
        method="POST",
        path=REGISTRATION_PAGE,
        operation_id="storefront-password",
        handler=set_password,
        summary="Set the password with a mailed link",
        tag="pages",
        access="public",
        request_media=FORM,
        max_body_bytes=MAX_FORM_BYTES,
        page=True,
    ),
    Route(
        method="POST",
        path=f"{REGISTRATION_PAGE}/link",
        operation_id="storefront-link",
        handler=request_link,
        summary="Ask for a link by mail",
        tag="pages",
        access="public",
        request_media=FORM,
        max_body_bytes=MAX_FORM_BYTES,
        page=True,
    ),
)
