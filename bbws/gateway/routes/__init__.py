"""Every URL of the API; the router and OpenAPI are both made from these values."""

from bbws.gateway.operations import Route
from bbws.gateway.routes.audit import AUDIT
from bbws.gateway.routes.catalogue import CATALOGUE
from bbws.gateway.routes.operation import OPERATION
from bbws.gateway.routes.orders import ORDERS
from bbws.gateway.routes.tenants import TENANTS

ROUTES: tuple[Route, ...] = TENANTS + CATALOGUE + ORDERS + AUDIT + OPERATION
