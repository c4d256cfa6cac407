"""Products: what is on sale, and its upkeep."""

from functools import partial

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.requests import actor, body, expected_version, page, path_id, resource_id
from bbws.gateway.responses import API, Links, collection, embedded, link, record
from bbws.shared.contracts.sales.products import Product, ProductDraft


def product_path(product_id: str) -> str:
    return f"{API}/products/{product_id}"


def _links(product: Product) -> Links:
    return {"self": link(product_path(product.id)), "collection": link(f"{API}/products")}


def _answer(request: web.Request, product: Product, *, created: bool = False) -> web.Response:
    return record(request, product, _links(product), created=created)


async def list_products(request: web.Request) -> web.Response:
    asked = page(request)
    found = await services(request).products.list_active(asked)
    return collection(request, asked, found, [embedded(product, _links(product)) for product in found.items])


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
