"""What is sold, and for how much."""

from bbws.shared.clock import Clock
from bbws.shared.contracts.audit import PLATFORM
from bbws.shared.contracts.pages import Page, PageRequest
from bbws.shared.contracts.sales.products import Product, ProductDraft
from bbws.shared.core.audit import AuditEntries
from bbws.shared.dynamo.database import ConditionFailed, Database, Put
from bbws.shared.errors import NotFound, PreconditionFailed
from bbws.shared.sales.repositories.products import ProductRepository


class Products:
    def __init__(self, database: Database, audit: AuditEntries, clock: Clock) -> None:
        self._database = database
        self._audit = audit
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
            await self._database.transact([self._products.new(product), self._entry("PRODUCT_CREATED", None, product)])
        except ConditionFailed:
            return await self.get(product_id)
        return product

    async def update(self, product_id: str, draft: ProductDraft, *, version: int, actor: str) -> Product:
        """The product says what `draft` says. Raises PreconditionFailed unless `version` is the newest."""
        return await self._change("PRODUCT_UPDATED", product_id, version, actor, draft.model_dump(by_alias=False))

    async def retire(self, product_id: str, *, version: int, actor: str) -> Product:
        """No longer sold; orders that name it stay as they are."""
        return await self._change("PRODUCT_RETIRED", product_id, version, actor, {"active": False})

    async def _change(
        self, action: str, product_id: str, version: int, actor: str, changes: dict[str, object]
    ) -> Product:
        product = await self.get(product_id)
        if product.version != version:
            raise PreconditionFailed(f"product {product_id} is at version {product.version}, not {version}")
        changed = product.changed(by=actor, at=self._clock(), **changes)
        await self._database.transact([self._products.changed(changed), self._entry(action, product, changed)])
        return changed

    def _entry(self, action: str, before: Product | None, after: Product) -> Put:
        return self._audit.entry(
            action,
            tenant_id=PLATFORM,
            subject=f"products/{after.id}",
            actor=after.last_updated_by,
            before=before,
            after=after,
        )
