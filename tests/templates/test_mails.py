"""The notifications: subject, HTML and plain text."""

from html.parser import HTMLParser

import pytest

from bbws.shared.contracts.documents import Situation
from bbws.shared.templating import MailText, PackagedTemplates, Templates
from tests.support.builders import a_billing_address, a_paid_order, a_product, a_seller, an_item
from tests.support.documents import NOTIFICATIONS, a_context, a_registration_mail

TEMPLATES = Templates(PackagedTemplates())
ORDERS = [name for name in NOTIFICATIONS if "site_creation" not in name and "registration" not in name]
REGISTRATION = "notifications/registration_customer.html"


async def mail(name: str, **changes: object) -> MailText:
    return await TEMPLATES.render_mail(name, a_context(name, **changes))  # type: ignore[arg-type]


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", NOTIFICATIONS)
async def test_a_mail_has_a_subject_of_one_line_a_text_and_html(name: str) -> None:
    """A line break in a subject would be a header of somebody else's choice."""
    sent = await mail(name)
    assert sent.subject
    assert "\n" not in sent.subject
    assert len(sent.text.splitlines()) > 8
    assert "<" not in sent.text
    assert "&" not in sent.text
    assert sent.html.startswith("<!doctype html>")


@pytest.mark.parametrize("name", NOTIFICATIONS)
async def test_a_mail_loads_nothing_and_fits_600_pixels(name: str) -> None:
    """Clients hide what they must load and ask first; tables of 600 px are what all of them show."""
    sent = await mail(name)
    elements = Elements(sent.html).found
    assert not {"img", "script", "link", "iframe", "svg", "form"} & {tag for tag, _ in elements}
    assert "url(" not in sent.html
    assert "@import" not in sent.html
    assert "max-width: 600px" in sent.html
    cells = [attributes for tag, attributes in elements if tag in ("td", "th", "p", "a")]
    assert all(attributes.get("style") for attributes in cells)


@pytest.mark.parametrize("name", NOTIFICATIONS)
async def test_the_first_words_are_the_preheader(name: str) -> None:
    """Inboxes show them beside the subject; without it that is the seller's name once more."""
    body = (await mail(name)).html.partition("<body")[2]
    assert body.partition(">")[2].lstrip().startswith('<div style="display: none;')


@pytest.mark.parametrize("name", ORDERS)
async def test_html_and_text_say_the_same(name: str) -> None:
    """Who reads plain text must learn the same amounts, numbers and address."""
    item = an_item(a_product(name="Hosting & more"), quantity=2, discount_percentage=10)
    order = a_paid_order(item, billing_address=a_billing_address(name="Nkosi & Sons"))
    sent = await mail(name, order=order)
    said = ["Hosting & more", "Nkosi & Sons", "R 448.20", "R 58.46", "R 49.80", order.id]
    said += ["INV-000042", "1089250"] if "payment" in name else []
    for word in said:
        word = word.replace("R ", "R\xa0")
        assert word in sent.text
        assert word.replace("&", "&amp;") in sent.html
    assert f"https://bbws.example/orders/{order.id}" in sent.text
    assert f'href="https://bbws.example/orders/{order.id}"' in sent.html


@pytest.mark.parametrize("name", NOTIFICATIONS)
async def test_who_is_no_vendor_writes_no_vat(name: str) -> None:
    """The mails follow the same rule as the invoice."""
    order = a_paid_order(an_item(vat=0), vat_rate_percent=0)
    sent = await mail(name, order=order, seller=a_seller(vat_number=None))
    for part in (
        sent.subject,
        sent.html.replace("Customer&#39;s VAT no.", ""),
        sent.text.replace("Customer's VAT no.", ""),
    ):
        assert "VAT" not in part
        assert "tax invoice" not in part


@pytest.mark.parametrize("name", NOTIFICATIONS)
async def test_a_hostile_name_stays_a_name(name: str) -> None:
    """Subjects and text parts are not escaped, so nothing in a name may act there either."""
    order = a_paid_order(billing_address=a_billing_address(name="{{71*73}} \u202e<b>" + "x" * 100))
    sent = await mail(name, order=order)
    assert "5183" not in sent.subject + sent.text + sent.html
    assert "\u202e" not in sent.subject + sent.text + sent.html
    assert "<b>x" not in sent.html
    assert len(sent.subject) < 200


@pytest.mark.parametrize("situation", ["NEW", "KNOWN", "INVITED"])
async def test_a_registration_mail_leads_to_the_link_in_each_part(situation: Situation) -> None:
    """Whoever reads text alone needs the link as much, and must see what to do when they asked for nothing."""
    context = a_registration_mail(a_seller(), situation=situation, organization_is_taken=situation == "NEW")
    sent = await TEMPLATES.render_mail(REGISTRATION, context)
    links = [attributes["href"] for tag, attributes in Elements(sent.html).found if tag == "a"]
    assert links == [context.link_url, context.link_url]
    assert context.link_url in sent.text.split()
    for part in (sent.text, sent.html):
        words = " ".join(part.split())
        assert "do nothing" in words
        assert "21 November 2026, 19:30 SAST" in words
        assert ("Protea & Sons" in words.replace("&amp;", "&")) == (situation == "INVITED")
        assert ("was left out" in words) == (situation == "NEW")


async def test_internal_mails_are_recognised_in_the_list() -> None:
    """Colleagues sort by the subject, and must not forward what names tenants and payments."""
    for name in (name for name in NOTIFICATIONS if name.endswith("_internal.html")):
        sent = await mail(name)
        assert sent.subject.startswith(("[Order] ", "[Payment] ", "[Site] "))
        assert "Internal notice" in sent.text
