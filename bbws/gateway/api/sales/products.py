"""Products: what is on sale, and its upkeep."""

from functools import partial

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import Links, link_to
from bbws.gateway.permissions import Right
from bbws.gateway.requests import actor, body, expected_version, page, path_id, resource_id
from bbws.gateway.responses import collection, embedded, record
from bbws.gateway.route import Answer, Route
from bbws.shared.contracts.sales.products import Product, ProductDraft


def _links(request: web.Request, product: Product) -> Links:
    return {
        "self": link_to(request, "product-get", productId=product.id),
        "collection": link_to(request, "product-list"),
    }


def _answer(request: web.Request, product: Product, *, created: bool = False) -> web.Response:
    return record(request, product, _links(request, product), created=created)


async def list_products(request: web.Request) -> web.Response:
    asked = page(request)
    found = await services(request).products.list_active(asked)
    return collection(request, asked, found, [embedded(product, _links(request, product)) for product in found.items])


async def get_product(request: web.Request) -> web.Response:
    return _answer(request, await services(request).products.get(path_id(request, "productId")))


async def create_product(request: web.Request) -> web.Response:
    draft, product_id = body(request, ProductDraft), resource_id(request)
    product = await services(request).products.create(draft, actor=actor(request), product_id=product_id)
    return _answer(request, product, created=True)


async def update_product(request: web.Request) -> web.Response:
    products, product_id = services(request).products, path_id(request, "productId")
    version = await expected_version(request, partial(products.get, product_id))
    draft = body(request, ProductDraft)
    return _answer(request, await products.update(product_id, draft, version=version, actor=actor(request)))


async def delete_product(request: web.Request) -> web.Response:
    products, product_id = services(request).products, path_id(request, "productId")
    version = await expected_version(request, partial(products.get, product_id))
    return _answer(request, await products.retire(product_id, version=version, actor=actor(request)))


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/products",
        operation_id="product-list",
        handler=list_products,
        summary="List what is on sale",
        tag="products",
        access="public",
        answers={200: Answer("One page of products", Product, "collection")},
        paged=True,
        cacheable=True,
    ),
    Route(
        method="POST",
        path="/v1.0/products",
        operation_id="product-create",
        handler=create_product,
        summary="Put a product on sale",
        tag="products",
        access=Right.CATALOGUE_MANAGE,
        scope="platform",
        description="`priceCents` includes VAT.",
        request=ProductDraft,
        answers={201: Answer("Created", Product, "resource", etag=True, location=True)},
        idempotency="optional",
    ),
    Route(
        method="GET",
        path="/v1.0/products/{productId}",
        operation_id="product-get",
        handler=get_product,
        summary="Read a product",
        tag="products",
        access="public",
        description="Also one that is no longer on sale (`active` is false): old orders name it.",
        answers={200: Answer("The product", Product, "resource", etag=True)},
        conditional=True,
        cacheable=True,
    ),
    Route(
        method="PUT",
        path="/v1.0/products/{productId}",
        operation_id="product-update",
        handler=update_product,
        summary="Replace what is said of a product",
        tag="products",
        access=Right.CATALOGUE_MANAGE,
        scope="platform",
        description="Orders that were placed before keep the product as it was then.",
        request=ProductDraft,
        answers={200: Answer("The product as it is now", Product, "resource", etag=True)},
        if_match=True,
    ),
    Route(
        method="DELETE",
        path="/v1.0/products/{productId}",
        operation_id="product-delete",
        handler=delete_product,
        summary="Take a product off sale",
        tag="products",
        access=Right.CATALOGUE_MANAGE,
        scope="platform",
        description="The product can still be read; `active` is false from now on.",
        answers={200: Answer("The product as it is now", Product, "resource", etag=True)},
        if_match=True,
    ),
)
