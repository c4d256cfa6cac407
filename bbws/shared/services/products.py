"""What is sold, and for how much."""

from bbws.shared.clock import Clock
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.products import Product, ProductDraft
from bbws.shared.dynamo.database import ConditionFailed, Database
from bbws.shared.errors import NotFound, PreconditionFailed
from bbws.shared.repositories.products import ProductRepository


class Products:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._products = ProductRepository(database)
        self._clock = clock

    async def get(self, product_id: str) -> Product:
        """Also a retired one: old orders point to it."""
        product = await self._products.find(product_id)
        if product is None:
            raise NotFound(f"there is no product {product_id}")
        return product

    async def list_active(self, page: PageRequest) -> Page[Product]:
        return await self._products.list_active(page)

    async def create(self, draft: ProductDraft, *, actor: str, product_id: str) -> Product:
        now = self._clock()
        record = {"id": product_id, "date_created": now, "date_last_updated": now, "last_updated_by": actor}
        product = Product.model_validate(draft.model_dump(by_alias=False) | record)
        try:
            await self._database.write(self._products.new(product))
        except ConditionFailed:
            return await self.get(product_id)
        return product

    async def update(self, product_id: str, draft: ProductDraft, *, version: int, actor: str) -> Product:
        """The product says what `draft` says. Raises PreconditionFailed unless `version` is the newest."""
        return await self._change(product_id, version, actor, draft.model_dump(by_alias=False))

    async def retire(self, product_id: str, *, version: int, actor: str) -> Product:
        """No longer sold; orders that name it stay as they are."""
        return await self._change(product_id, version, actor, {"active": False})

    async def _change(self, product_id: str, version: int, actor: str, changes: dict[str, object]) -> Product:
        product = await self.get(product_id)
        if product.version != version:
            raise PreconditionFailed(f"product {product_id} is at version {product.version}, not {version}")
        record = {"date_last_updated": self._clock(), "last_updated_by": actor, "version": version + 1}
        changed = Product.model_validate(product.model_dump(by_alias=False) | changes | record)
        await self._database.write(self._products.changed(changed))
        return changed
