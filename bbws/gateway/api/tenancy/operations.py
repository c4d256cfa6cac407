"""Operations: what outlasts its request, followed from its 202 to its end."""

from typing import cast, get_args

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import Links, address, link_to
from bbws.gateway.permissions import Right
from bbws.gateway.requests import page, path_id, query
from bbws.gateway.responses import collection, embedded, etag_of, resource
from bbws.gateway.route import Answer, Route, query_parameter
from bbws.shared.contracts.operations import Operation, OperationStatus

# An operation takes seconds; who asks more often learns nothing.
RETRY_AFTER_S = 2


class OperationAnswer(Operation):
    """An operation; `operationId` is its `id`, under the name that every 202 gives it."""

    operation_id: str

    @classmethod
    def of(cls, operation: Operation) -> "OperationAnswer":
        return cls.model_validate(operation.model_dump(by_alias=False) | {"operation_id": operation.id})


def accepted(request: web.Request, operation: Operation) -> web.Response:
    """202: the work is on its way, and this is where to ask how far it is."""
    return resource(
        request,
        OperationAnswer.of(operation),
        _links(request, operation),
        etag=etag_of(operation.version),
        status=202,
        location=address(request, "operation-get", operationId=operation.id),
        retry_after_s=RETRY_AFTER_S,
    )


async def get_operation(request: web.Request) -> web.Response:
    operation = await services(request).operations.get(path_id(request, "operationId"))
    return resource(request, OperationAnswer.of(operation), _links(request, operation), etag=etag_of(operation.version))


async def list_tenant_operations(request: web.Request) -> web.Response:
    asked, tenant_id = page(request), path_id(request, "tenantId")
    status = cast(OperationStatus | None, query(request).get("status"))
    found = await services(request).operations.list_of_tenant(tenant_id, asked, status)
    shown = [embedded(OperationAnswer.of(each), _links(request, each)) for each in found.items]
    return collection(request, asked, found, shown)


def _links(request: web.Request, operation: Operation) -> Links:
    return {
        "self": link_to(request, "operation-get", operationId=operation.id),
        "tenant": link_to(request, "tenant-get", tenantId=operation.tenant_id),
    }


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/operations",
        operation_id="tenant-operation-list",
        handler=list_tenant_operations,
        summary="List the operations on a tenant",
        tag="operations",
        access=Right.OPERATIONS_READ,
        scope="tenant",
        description="Newest first.",
        answers={200: Answer("One page of operations", OperationAnswer, "collection")},
        parameters=(query_parameter("status", "Only those that are so far.", *get_args(OperationStatus)),),
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/operations/{operationId}",
        operation_id="operation-get",
        handler=get_operation,
        summary="Read how far an operation is",
        tag="operations",
        access=Right.OPERATIONS_READ,
        scope="operation",
        answers={200: Answer("The operation", OperationAnswer, "resource", etag=True)},
        conditional=True,
    ),
)
