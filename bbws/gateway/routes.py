"""Every route of the gateway, by module: method and path stand at the foot of each. To read the API, open `/docs`."""

from bbws.gateway import docs, health
from bbws.gateway.api.sales import campaigns, documents, invoices, order_events, orders, payment_notices, products
from bbws.gateway.api.tenancy import (
    audit,
    hierarchies,
    operations,
    registrations,
    tenant_holds,
    tenants,
    users,
)
from bbws.gateway.route import Route
from bbws.gateway.storefront import assets, order_pages
from bbws.gateway.storefront import orders as storefront_orders
from bbws.gateway.storefront import products as storefront_products
from bbws.gateway.storefront import registration as storefront_registration

TENANCY: tuple[Route, ...] = (
    *registrations.ROUTES,
    *tenants.ROUTES,
    *tenant_holds.ROUTES,
    *operations.ROUTES,
    *users.ROUTES,
    *hierarchies.ROUTES,
    *audit.ROUTES,
)
SALES: tuple[Route, ...] = (
    *products.ROUTES,
    *campaigns.ROUTES,
    *orders.ROUTES,
    *invoices.ROUTES,
    *order_events.ROUTES,
    *documents.ROUTES,
    *payment_notices.ROUTES,
)
ROUTES: tuple[Route, ...] = (*TENANCY, *SALES, *health.ROUTES, *docs.ROUTES)

# Pages for people, which every gateway serves beside its API.
STOREFRONT: tuple[Route, ...] = (
    *storefront_products.ROUTES,
    *storefront_orders.ROUTES,
    *order_pages.ROUTES,
    *storefront_registration.ROUTES,
    *assets.ROUTES,
)
