"""Every URL of the API; the router and OpenAPI are both made from these values."""

from bbws.gateway.operations import Route
from bbws.gateway.routes.audit import AUDIT
from bbws.gateway.routes.catalogue import CATALOGUE
from bbws.gateway.routes.hierarchies import HIERARCHIES
from bbws.gateway.routes.operation import OPERATION
from bbws.gateway.routes.orders import ORDERS
from bbws.gateway.routes.registrations import REGISTRATIONS
from bbws.gateway.routes.tenants import TENANTS
from bbws.gateway.routes.users import USERS

ROUTES: tuple[Route, ...] = REGISTRATIONS + TENANTS + USERS + HIERARCHIES + CATALOGUE + ORDERS + AUDIT + OPERATION
