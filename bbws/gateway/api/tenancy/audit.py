"""The audit trail of a tenant, and that of what belongs to none."""

from collections.abc import AsyncIterator

from aiohttp import web

from bbws.gateway.api.tenancy.tenants import tenant_path
from bbws.gateway.keys import services
from bbws.gateway.operations import JSON_LINES
from bbws.gateway.requests import page, path_id
from bbws.gateway.responses import Links, collection, embedded, link
from bbws.shared.contracts.audit import PLATFORM, AuditEntry
from bbws.shared.logging import get_logger

# Few enough to be held for each download, enough to make few writes.
CHUNK_BYTES = 64 * 1024

_log = get_logger(__name__)


async def list_entries(request: web.Request) -> web.Response:
    tenant_id = path_id(request, "tenantId")
    tenant = tenant_path(tenant_id)
    return await _listed(request, tenant_id, {"tenant": link(tenant), "export": link(f"{tenant}/audit/export")})


async def list_platform_entries(request: web.Request) -> web.Response:
    return await _listed(request, PLATFORM, {})


async def _listed(request: web.Request, trail: str, links: Links) -> web.Response:
    """An entry has no address of its own: what leads on stands at the list."""
    asked = page(request)
    found = await services(request).audits.list(trail, asked)
    return collection(request, asked, found, [embedded(entry, {}) for entry in found.items], links)


async def export_entries(request: web.Request) -> web.StreamResponse:
    """Errors before the first entry are problems as everywhere; later the connection breaks off."""
    tenant_id = path_id(request, "tenantId")
    chunks = _chunks(services(request).audits.export(tenant_id))
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
    except Exception:  # noqa: BLE001 - the head is sent: whatever it is, no problem can be answered any more
        _log.exception("audit.export_broken_off")
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
