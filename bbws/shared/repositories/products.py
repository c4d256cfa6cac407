"""The catalogue, in `products`."""

from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.products import Product
from bbws.shared.dynamo.codec import Item
from bbws.shared.dynamo.database import Database, Put, Update
from bbws.shared.errors import PreconditionFailed
from bbws.shared.repositories.items import ACTIVE, at_version, item_of, model_of

TABLE = "products"
METADATA = "METADATA"


class ProductRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, product_id: str) -> Product | None:
        item = await self._database.find(TABLE, (f"PRODUCT#{product_id}", METADATA))
        return model_of(Product, item) if item else None

    async def list_active(self, page: PageRequest) -> Page[Product]:
        """AP-4, oldest first."""
        found = await self._database.page(TABLE, page, partition=("activeKey", ACTIVE), index="ProductActiveIndex")
        return Page([model_of(Product, item) for item in found.items], found.next_cursor)

    def new(self, product: Product) -> Put:
        return Put(TABLE, _item(product))

    def changed(self, product: Product) -> Update:
        """Writes this version over the one before; raises PreconditionFailed where another change came first.

        Never the whole item: what a newer process stored beside must survive an older one.
        """
        item = _item(product)
        key = (item.pop("PK"), item.pop("SK"))
        return Update(
            TABLE,
            key,
            {"activeKey": None} | item,
            **at_version(product.version - 1),
            conflict=PreconditionFailed("the product was changed meanwhile; read it again and repeat your change"),
        )


def _item(product: Product) -> Item:
    return item_of(product, (f"PRODUCT#{product.id}", METADATA), activeKey=ACTIVE if product.active else None)
