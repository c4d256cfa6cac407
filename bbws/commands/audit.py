"""What the commands of `bbws audit` do; `cli/audit.py` only reads their arguments."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import orjson

from bbws.commands.console_lines import printable
from bbws.commands.services import listed, named_tenant
from bbws.shared.bootstrap import Services, bootstrap
from bbws.shared.clock import iso
from bbws.shared.contracts.audit import AuditEntry
from bbws.shared.errors import BadRequest
from bbws.shared.settings import Settings
from bbws.shared.tenancy.rules.audit_chain import Anchor, AuditReport

_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


async def list_entries(settings: Settings, trail: str, limit: int, *, as_json: bool) -> str:
    async with bootstrap(settings) as services:
        entries = await listed(partial(services.audit_trails.list, await _named(services, trail)), most=limit)
    if as_json:
        documents = [entry.model_dump(mode="json") for entry in entries]
        return orjson.dumps(documents, option=orjson.OPT_INDENT_2).decode()
    return "\n".join(map(_line, entries))


async def export_entries(settings: Settings, trail: str, write: Callable[[bytes], object]) -> None:
    async with bootstrap(settings) as services:
        async for entry in services.audit_trails.export(await _named(services, trail)):
            write(entry.model_dump_json().encode() + b"\n")


async def verify_trails(
    settings: Settings, trails: Sequence[str], anchor: str | None, patience_minutes: int, *, as_json: bool
) -> tuple[bool, str]:
    """Whether all of them hold, and what to print. Raises BadRequest for what is no anchor."""
    known, patience = anchor_of(anchor) if anchor else None, timedelta(minutes=patience_minutes)
    async with bootstrap(settings) as services:
        named = [await _named(services, trail) for trail in trails]
        reports = [await services.audit_trails.verify(trail, anchor=known, patience=patience) for trail in named]
    holds = not any(report.findings for report in reports)
    if as_json:
        return holds, orjson.dumps([_document(report) for report in reports], option=orjson.OPT_INDENT_2).decode()
    return holds, "\n".join(line for report in reports for line in _lines_of(report))


def anchor_of(text: str) -> Anchor:
    match = _ANCHOR.fullmatch(text)
    if match is None:
        raise BadRequest("an anchor is a place in the chain and its hash, as in 17:9f86d0…")
    return Anchor(int(match[1]), match[2])


async def _named(services: Services, trail: str) -> str:
    """The trail's id, also for a tenant that is named by its e-mail."""
    return (await named_tenant(services, trail)).id if "@" in trail else trail


def _line(entry: AuditEntry) -> str:
    place = f"#{entry.seal.sequence}" if entry.seal else "not sealed"
    source = f" from {entry.details.source}" if entry.details else ""
    return printable(f"{iso(entry.at)}  {place:<10}  {entry.action:<24} {entry.subject}  by {entry.actor}{source}")


def _lines_of(report: AuditReport) -> list[str]:
    end = f"{report.sealed_up_to}:{report.head_hash}" if report.head_hash else "nothing"
    counts = f"{report.entries} entries, sealed up to {end}, {report.waiting} not sealed yet"
    findings = [printable(f"  {finding.kind:<15} {finding.text}") for finding in report.findings]
    return [f"{report.tenant_id}: {counts}", *findings]


def _document(report: AuditReport) -> dict[str, Any]:
    return {
        "trail": report.tenant_id,
        "holds": not report.findings,
        "entries": report.entries,
        "sealedUpTo": report.sealed_up_to,
        "headHash": report.head_hash,
        "notSealed": report.waiting,
        "findings": [
            {"kind": finding.kind, "sequence": finding.sequence, "text": finding.text} for finding in report.findings
        ],
    }
