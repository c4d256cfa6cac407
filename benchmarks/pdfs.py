"""PDFs per second: invoices of two lines and their internal copies, drawn as `order-pdf` draws them.

Template, worker processes and priority are the real ones; AWS is not asked.
"""

import asyncio
import resource
import time
from decimal import Decimal

import click

from bbws.shared.contracts.documents import InvoiceDocument
from bbws.shared.contracts.sales.invoices import Invoice, invoice_number
from bbws.shared.integrations.pdf import PdfRenderer
from bbws.shared.sales.services.invoices import INTERNAL_TEMPLATE, TEMPLATE
from bbws.shared.templating import PackagedTemplates, Templates
from benchmarks.figures import table
from tests.support.builders import a_billing_address, a_paid_order, a_product, an_invoice, an_item

WARM_UP = 20


def invoice(serial: int) -> Invoice:
    discounted = an_item(a_product(), quantity=2, discount_percentage=Decimal("12.5"))
    other = an_item(a_product(name="Extra storage", price_cents=99_00))
    address = a_billing_address(name=f"Protea Bakery {serial} (Pty) Ltd", vat_number="4987654321")
    return an_invoice(a_paid_order(discounted, other, billing_address=address), number=invoice_number(serial))


async def draw(pdf: PdfRenderer, templates: Templates, serial: int) -> None:
    """An invoice for odd numbers, the internal copy of one for even ones."""
    of = invoice(serial)
    html = await templates.render(TEMPLATE if serial % 2 else INTERNAL_TEMPLATE, InvoiceDocument(invoice=of))
    await pdf.render(html, title=f"Invoice {of.number}", created=of.date_created)


async def measure(count: int, processes: int) -> float:
    """Seconds for `count` PDFs, all asked for at once, in `processes` that are warm."""
    templates = Templates(PackagedTemplates())
    async with PdfRenderer(processes) as pdf:
        await asyncio.gather(*(draw(pdf, templates, serial) for serial in range(1, WARM_UP + 1)))
        began = time.perf_counter()
        await asyncio.gather(*(draw(pdf, templates, serial) for serial in range(1, count + 1)))
        return time.perf_counter() - began


def cpu_s(count: int, processes: int) -> tuple[float, float]:
    """Seconds, and seconds of CPU in the workers, from their start to their end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    took_s = asyncio.run(measure(count, processes))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(pdfs: int, processes: int) -> tuple[str, str, str]:
    # Starting the workers and warming them up is work too, but not of the PDFs that are counted.
    _, start_s = cpu_s(1, processes)
    took_s, all_s = cpu_s(pdfs + 1, processes)
    return f"{pdfs} in {processes} processes", f"{pdfs / took_s:.1f}", f"{(all_s - start_s) / pdfs * 1000:.0f}"


@click.command(help=__doc__)
@click.option("--pdfs", default=400, show_default=True, type=click.IntRange(1))
@click.option("--processes", default=2, show_default=True, type=click.IntRange(1))
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1))
@click.option("--quick", is_flag=True, help="40 PDFs, one run: shows that it runs, says little about speed.")
def main(pdfs: int, processes: int, runs: int, quick: bool) -> None:
    pdfs, runs = (40, 1) if quick else (pdfs, runs)
    click.echo(table(("PDFs", "per s", "CPU ms each"), [run(pdfs, processes) for _ in range(runs)]))


if __name__ == "__main__":
    main()
