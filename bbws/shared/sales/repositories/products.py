"""The catalogue, in `products`."""

from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.products import Product
from bbws.shared.core.items import ACTIVE, Sought, at_version, item_of, model_of
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Key, Put, Update
from bbws.shared.dynamo.keys import METADATA, PRODUCTS
from bbws.shared.errors import PreconditionFailed


class ProductRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, product_id: str) -> Product | None:
        item = await self._database.find(PRODUCTS, _key(product_id))
        return model_of(Product, item) if item else None

    def sought(self, product_id: str) -> Sought[Product]:
        return Sought(Product, (PRODUCTS, _key(product_id)))

    async def list_active(self, page: PageRequest) -> Page[Product]:
        """AP-4, oldest first."""
        found = await self._database.page(PRODUCTS, page, partition=("activeKey", ACTIVE), index="ProductActiveIndex")
        return Page([model_of(Product, item) for item in found.items], found.next_cursor)

    def new(self, product: Product) -> Put:
        return Put(PRODUCTS, _item(product))

    def changed(self, product: Product) -> Update:
        """Writes this version over the one before; raises PreconditionFailed where another change came first.

        Never the whole item: what a newer process stored beside must survive an older one.
        """
        item = _item(product)
        key = (item.pop("PK"), item.pop("SK"))
        return Update(
            PRODUCTS,
            key,
            {"activeKey": None} | item,
            **at_version(product.version - 1),
            conflict=PreconditionFailed("the product was changed meanwhile; read it again and repeat your change"),
        )


def _key(product_id: str) -> Key:
    return f"PRODUCT#{product_id}", METADATA


def _item(product: Product) -> Item:
    return item_of(product, _key(product.id), activeKey=ACTIVE if product.active else None)
