"""Every URL of the API on one page; the router and OpenAPI are both made from these values."""

from bbws.gateway import docs, health
from bbws.gateway.api import campaigns, documents, invoices, order_events, orders, payments, products, tenants
from bbws.gateway.operations import EVENT_STREAM, FORM, Answer, Parameter, Route
from bbws.shared.contracts.campaigns import Campaign, CampaignDraft
from bbws.shared.contracts.orders import Order, OrderDraft, Payment, TimelineEntry
from bbws.shared.contracts.products import Product, ProductDraft
from bbws.shared.contracts.tenants import Registration, Tenant, TenantDraft

_TENANTS = (
    Route(
        method="POST",
        path="/v1.0/registrations",
        operation_id="registration-create",
        handler=tenants.create_registration,
        summary="Register as a new customer",
        tag="tenants",
        description="Makes the tenant under which the customer orders. E-mail and organisation are unique.",
        request=Registration,
        answers={201: Answer("Registered", Tenant, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="POST",
        path="/v1.0/tenants",
        operation_id="tenant-create",
        handler=tenants.create_tenant,
        summary="Create a tenant",
        tag="tenants",
        description="By an operator; `contactEmail` is accepted for `email`.",
        request=TenantDraft,
        answers={201: Answer("Created", Tenant, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}",
        operation_id="tenant-get",
        handler=tenants.get_tenant,
        summary="Read a tenant",
        tag="tenants",
        answers={200: Answer("The tenant", Tenant, "resource", etag=True)},
        conditional=True,
    ),
)

_PRODUCTS = (
    Route(
        method="GET",
        path="/v1.0/products",
        operation_id="product-list",
        handler=products.list_products,
        summary="List what is on sale",
        tag="products",
        answers={200: Answer("One page of products", Product, "collection")},
        paged=True,
        cacheable=True,
    ),
    Route(
        method="POST",
        path="/v1.0/products",
        operation_id="product-create",
        handler=products.create_product,
        summary="Put a product on sale",
        tag="products",
        description="`priceCents` includes VAT.",
        request=ProductDraft,
        answers={201: Answer("Created", Product, "resource", etag=True, location=True)},
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/products/{productId}",
        operation_id="product-get",
        handler=products.get_product,
        summary="Read a product",
        tag="products",
        description="Also one that is no longer on sale (`active` is false): old orders name it.",
        answers={200: Answer("The product", Product, "resource", etag=True)},
        conditional=True,
        cacheable=True,
    ),
    Route(
        method="PUT",
        path="/v1.0/products/{productId}",
        operation_id="product-update",
        handler=products.update_product,
        summary="Replace what is said of a product",
        tag="products",
        description="Orders that were placed before keep the product as it was then.",
        request=ProductDraft,
        answers={200: Answer("The product as it is now", Product, "resource", etag=True)},
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/products/{productId}",
        operation_id="product-delete",
        handler=products.delete_product,
        summary="Take a product off sale",
        tag="products",
        description="The product can still be read; `active` is false from now on.",
        answers={200: Answer("The product as it is now", Product, "resource", etag=True)},
        if_match=True,
    ),
)

_CAMPAIGNS = (
    Route(
        method="POST",
        path="/v1.0/campaigns",
        operation_id="campaign-create",
        handler=campaigns.create_campaign,
        summary="Start a campaign",
        tag="campaigns",
        description="A discount on one product, on South African days from `fromDate` to `toDate`, both included.",
        request=CampaignDraft,
        answers={201: Answer("Created", Campaign, "resource", etag=True, location=True)},
        errors=(409,),
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/campaigns/{code}",
        operation_id="campaign-get",
        handler=campaigns.get_campaign,
        summary="Read a campaign",
        tag="campaigns",
        answers={200: Answer("The campaign", Campaign, "resource", etag=True)},
        conditional=True,
        cacheable=True,
    ),
)

_ORDERS = (
    Route(
        method="POST",
        path="/v1.0/tenants/{tenantId}/orders",
        operation_id="order-create",
        handler=orders.create_order,
        summary="Place an order",
        tag="orders",
        description="All amounts are fixed now. Post the fields of `checkout` to its `url`, in their order, to pay.",
        request=OrderDraft,
        answers={201: Answer("Placed", orders.OrderAnswer, "resource", etag=True, location=True)},
        idempotency="required",
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders",
        operation_id="order-list",
        handler=orders.list_orders,
        summary="List a tenant's orders",
        tag="orders",
        answers={200: Answer("One page of orders", Order, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}",
        operation_id="order-get",
        handler=orders.get_order,
        summary="Read an order",
        tag="orders",
        description="`_links.invoice` is there once the invoice is issued.",
        answers={200: Answer("The order", orders.OrderAnswer, "resource", etag=True)},
        conditional=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/payments",
        operation_id="order-payment-list",
        handler=orders.list_payments,
        summary="List an order's payments",
        tag="orders",
        answers={200: Answer("One page of payments", Payment, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/invoice",
        operation_id="order-invoice-get",
        handler=invoices.get_invoice,
        summary="Read an order's invoice",
        tag="orders",
        description="404 until it is issued. `_links.pdf` works for some minutes; read again for a new one.",
        answers={200: Answer("The invoice", invoices.InvoiceAnswer, "resource", etag=True)},
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/events",
        operation_id="order-event-stream",
        handler=order_events.stream_events,
        summary="Watch an order",
        tag="orders",
        description=(
            "The timeline as server-sent events, one per entry, `data` being the entry as JSON. The event `end` says "
            "that nothing more will come; without it, connect again with Last-Event-ID."
        ),
        answers={
            200: Answer("The stream", TimelineEntry, media=(EVENT_STREAM,)),
            204: Answer("Nothing more will come"),
        },
        errors=(406,),
        parameters=(Parameter("Last-Event-ID", "header", "The last entry the client has.", {"type": "string"}),),
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/orders/{orderId}/documents/{kind}",
        operation_id="order-document-get",
        handler=documents.get_document,
        summary="Print an order, its receipt or its invoice",
        tag="orders",
        description="`kind` is order, receipt or invoice; the invoice is PDF only.",
        answers={200: Answer("The document", media=(documents.HTML, documents.PDF))},
        errors=(400, 406),
        parameters=(Parameter("format", "query", "Wins over Accept.", {"type": "string", "enum": ["html", "pdf"]}),),
    ),
)

_PAYMENTS = (
    Route(
        method="POST",
        path="/v1.0/payments/payfast/itn",
        operation_id="payfast-itn-receive",
        handler=payments.receive_itn,
        summary="Receive PayFast's notification of a payment",
        tag="payments",
        description="Called by PayFast alone. What is forged or unknown is stored, flagged, and changes nothing.",
        request_media=FORM,
        answers={200: Answer("Stored")},
        max_body_bytes=payments.MAX_ITN_BYTES,
    ),
)

_OPERATIONS = (
    Route(
        method="GET",
        path="/healthz",
        operation_id="health-get",
        handler=health.get_health,
        summary="Does the process live?",
        tag="operation",
        answers={200: Answer("It does", health.Health)},
    ),
    Route(
        method="GET",
        path="/readyz",
        operation_id="ready-get",
        handler=health.get_readiness,
        summary="Can it serve?",
        tag="operation",
        description="Asks every dependency, each for at most two seconds and once a second, however many ask.",
        answers={200: Answer("It can", health.Readiness), 503: Answer("It cannot; see why", health.Readiness)},
    ),
    Route(
        method="GET",
        path="/metrics",
        operation_id="metrics-get",
        handler=health.get_metrics,
        summary="Metrics for Prometheus",
        tag="operation",
        answers={200: Answer("The metrics", media=("text/plain",))},
    ),
    Route(
        method="GET",
        path="/openapi.json",
        operation_id="openapi-get",
        handler=docs.get_openapi,
        summary="This description",
        tag="operation",
        answers={200: Answer("OpenAPI 3.1", docs.OpenApiDocument)},
        cacheable=True,
    ),
)

_PAGES = (
    Route(
        method="GET",
        path="/docs",
        operation_id="docs-page",
        handler=docs.get_page,
        summary="The API for people",
        tag="pages",
        cacheable=True,
        page=True,
    ),
    Route(
        method="GET",
        path="/docs/{name}",
        operation_id="docs-asset",
        handler=docs.get_asset,
        summary="Script and styles of the page",
        tag="pages",
        cacheable=True,
        page=True,
    ),
)

ROUTES: tuple[Route, ...] = _TENANTS + _PRODUCTS + _CAMPAIGNS + _ORDERS + _PAYMENTS + _OPERATIONS + _PAGES
