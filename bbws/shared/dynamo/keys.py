"""What several repositories know of the tables: their names, and the partitions that features share."""

CAMPAIGNS = "campaigns"
IDEMPOTENCY = "idempotency"
ORDERS = "orders"
PRODUCTS = "products"
TENANTS = "bbws-tenants"

# The sort key of the item that a partition is named after.
METADATA = "METADATA"


def tenant_partition(tenant_id: str) -> str:
    """In `TENANTS` the tenant and all that belongs to it, in `ORDERS` its orders."""
    return f"TENANT#{tenant_id}"


def order_partition(tenant_id: str, order_id: str) -> str:
    """In `ORDERS`: what stands beside an order, as its payments and its invoice."""
    return f"TENANT#{tenant_id}#ORDER#{order_id}"
