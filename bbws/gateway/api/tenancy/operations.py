"""Operations: what outlasts its request, followed from its 202 to its end."""

from typing import cast

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.requests import page, path_id, query
from bbws.gateway.responses import API, Links, collection, embedded, etag_of, link, resource
from bbws.shared.contracts.operations import Operation, OperationStatus

# An operation takes seconds; who asks more often learns nothing.
RETRY_AFTER_S = 2


class OperationAnswer(Operation):
    """An operation; `operationId` is its `id`, under the name that every 202 gives it."""

    operation_id: str

    @classmethod
    def of(cls, operation: Operation) -> "OperationAnswer":
        return cls.model_validate(operation.model_dump(by_alias=False) | {"operation_id": operation.id})


def operation_path(operation_id: str) -> str:
    return f"{API}/operations/{operation_id}"


def accepted(request: web.Request, operation: Operation) -> web.Response:
    """202: the work is on its way, and this is where to ask how far it is."""
    return resource(
        request,
        OperationAnswer.of(operation),
        _links(operation),
        etag=etag_of(operation.version),
        status=202,
        location=operation_path(operation.id),
        retry_after_s=RETRY_AFTER_S,
    )


async def get_operation(request: web.Request) -> web.Response:
    operation = await services(request).operations.get(path_id(request, "operationId"))
    return resource(request, OperationAnswer.of(operation), _links(operation), etag=etag_of(operation.version))


async def list_tenant_operations(request: web.Request) -> web.Response:
    asked, tenant_id = page(request), path_id(request, "tenantId")
    status = cast(OperationStatus | None, query(request).get("status"))
    found = await services(request).operations.list_of_tenant(tenant_id, asked, status)
    shown = [embedded(OperationAnswer.of(each), _links(each)) for each in found.items]
    return collection(request, asked, found, shown)


def _links(operation: Operation) -> Links:
    return {
        "self": link(operation_path(operation.id)),
        "tenant": link(f"{API}/tenants/{operation.tenant_id}"),
    }
