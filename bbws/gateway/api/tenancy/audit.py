"""The audit trail of a tenant, and that of what belongs to none."""

from collections.abc import AsyncIterator

from aiohttp import web

from bbws.gateway.keys import services
from bbws.gateway.links import Links, link_to
from bbws.gateway.permissions import Right
from bbws.gateway.requests import page, path_id
from bbws.gateway.responses import collection, embedded
from bbws.gateway.route import JSON_LINES, Answer, Route
from bbws.shared.contracts.audit import PLATFORM, AuditEntry
from bbws.shared.logging import get_logger

# Few enough to be held for each download, enough to make few writes.
CHUNK_BYTES = 64 * 1024

log = get_logger(__name__)


async def list_entries(request: web.Request) -> web.Response:
    tenant_id = path_id(request, "tenantId")
    links = {
        "tenant": link_to(request, "tenant-get", tenantId=tenant_id),
        "export": link_to(request, "audit-export", tenantId=tenant_id),
    }
    return await _listed(request, tenant_id, links)


async def list_platform_entries(request: web.Request) -> web.Response:
    return await _listed(request, PLATFORM, {})


async def _listed(request: web.Request, trail: str, links: Links) -> web.Response:
    """An entry has no address of its own: what leads on stands at the list."""
    asked = page(request)
    found = await services(request).audit_trails.list(trail, asked)
    return collection(request, asked, found, [embedded(entry, {}) for entry in found.items], links)


async def export_entries(request: web.Request) -> web.StreamResponse:
    """Errors before the first entry are problems as everywhere; later the connection breaks off."""
    tenant_id = path_id(request, "tenantId")
    chunks = _chunks(services(request).audit_trails.export(tenant_id))
    first = await anext(chunks, b"")
    response = web.StreamResponse(
        headers={
            "Content-Type": JSON_LINES,
            "Content-Disposition": f'attachment; filename="audit-{tenant_id}.jsonl"',
        }
    )
    await response.prepare(request)
    try:
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
    except ConnectionError:
        return response  # The reader left.
    except Exception:
        log.exception("audit export broken off")
        _break_off(request)
    return response


async def _chunks(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[bytes]:
    chunk = bytearray()
    async for entry in entries:
        chunk += entry.model_dump_json().encode() + b"\n"
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def _break_off(request: web.Request) -> None:
    """The reader must not take what came so far for the whole: the last chunk of the transfer never comes."""
    if request.transport is not None:
        request.transport.abort()


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/audit",
        operation_id="audit-list",
        handler=list_entries,
        summary="List who changed what of a tenant",
        tag="audit",
        access=Right.AUDIT_READ,
        scope="tenant",
        description=(
            "Newest first. `seal` is the entry's place in the tenant's hash chain; it comes some seconds after the "
            "change. `details` are gone once the tenant was purged."
        ),
        answers={200: Answer("One page of entries", AuditEntry, "collection")},
        paged=True,
    ),
    Route(
        method="GET",
        path="/v1.0/tenants/{tenantId}/audit/export",
        operation_id="audit-export",
        handler=export_entries,
        summary="Download a tenant's whole audit trail",
        tag="audit",
        access=Right.AUDIT_READ,
        scope="tenant",
        description="JSON Lines, oldest first. An answer that breaks off without its end is not complete.",
        answers={200: Answer("The trail, an entry on each line", AuditEntry, media=(JSON_LINES,))},
    ),
    Route(
        method="GET",
        path="/v1.0/audit",
        operation_id="platform-audit-list",
        handler=list_platform_entries,
        summary="List who changed what belongs to no tenant",
        tag="audit",
        access=Right.PLATFORM_AUDIT_READ,
        scope="platform",
        description="Products, campaigns, dead letters. Newest first.",
        answers={200: Answer("One page of entries", AuditEntry, "collection")},
        paged=True,
    ),
)
