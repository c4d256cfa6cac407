"""The services of this area, and what each is made of."""

from functools import cached_property

from bbws.shared.core.foundation import Foundation
from bbws.shared.sales.repositories import invoices, orders, payment_notices, payments
from bbws.shared.sales.services.campaigns import Campaigns
from bbws.shared.sales.services.documents import Documents
from bbws.shared.sales.services.invoices import Invoices
from bbws.shared.sales.services.notifications import Notifications
from bbws.shared.sales.services.orders import Orders
from bbws.shared.sales.services.payment_notices import PaymentNotices
from bbws.shared.sales.services.payments import Payments
from bbws.shared.sales.services.products import Products

# What this area keeps under a tenant, and beside an order.
KINDS = (*orders.KINDS, *payments.KINDS, *payment_notices.KINDS, *invoices.KINDS)


class SalesServices(Foundation):
    @cached_property
    def products(self) -> Products:
        return Products(self.database, self.audit_entries, self.clock)

    @cached_property
    def campaigns(self) -> Campaigns:
        return Campaigns(self.database, self.audit_entries, self.clock)

    @cached_property
    def orders(self) -> Orders:
        return Orders(self.database, self.audit_entries, self.clock, self.settings)

    @cached_property
    def payments(self) -> Payments:
        return Payments(self.database, self.audit_entries, self.clock)

    @cached_property
    def payment_notices(self) -> PaymentNotices:
        return PaymentNotices(
            self.database,
            self.outbox,
            self.audit_entries,
            self.clock,
            self.settings,
            self.payfast,
            self.payfast_sources,
        )

    @cached_property
    def invoices(self) -> Invoices:
        return Invoices(
            self.database,
            self.outbox,
            self.audit_entries,
            self.clock,
            self.templates,
            self.pdf,
            self.document_store,
            self.seller,
        )

    @cached_property
    def notifications(self) -> Notifications:
        return Notifications(self.database, self.mailer, self.settings, self.document_store, self.seller)

    @cached_property
    def documents(self) -> Documents:
        return Documents(self.database, self.settings, self.templates, self.pdf, self.seller)
