"""Jobs as the wire shows them: pages, previews (cron.md §14)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from jobs.addresses import address_shown
from jobs.codec import stored_to_wire
from jobs.errors import InvalidInput
from jobs.model import DeliverySpec, StoredJob
from jobs.wallclock import ms

LIMIT_MOST: Final = 200
LIMIT_USUAL: Final = 50
_COMPACT: Final = ("id", "name", "displayName", "enabled", "agentId", "schedule", "sessionTarget")


def page(
    key: str, items: Sequence[Mapping[str, Any]], *, total: int, offset: int, limit: int
) -> dict[str, Any]:
    """Return one page with all the metadata a client checks (protocol.md §12 point 9)."""
    end = offset + len(items)
    more = bool(items) and end < total
    return {
        key: list(items),
        "total": total,
        "offset": offset,
        "limit": limit,
        "hasMore": more,
        "nextOffset": end if more else None,
    }


def listed(word: str, known: Iterable[str], what: str) -> str:
    """Return a word out of a closed list; one that is not in it is refused with the list."""
    words = sorted(known)
    if word in words:
        return word
    near = get_close_matches(word, words, 1)
    raise InvalidInput(
        f"{what} {word!r} is not known",
        why=f'did you mean "{near[0]}"?' if near else "",
        fix=f"use one of: {', '.join(words)}",
    )


def snapshot(revisions: Iterable[tuple[str, str]]) -> str:
    """Return a mark of which definitions a listing covers; no run ever changes it."""
    digest = hashlib.sha256()
    for job_id, revision in sorted(revisions):
        digest.update(f"{job_id}\0{revision}\n".encode())
    return digest.hexdigest()[:32]


def wire_job(stored: StoredJob, *, default_agent: str) -> dict[str, Any]:
    """Return a job as clients of either wire version read it (protocol.md §13)."""
    wire = stored_to_wire(stored)
    wire["effectiveAgentId"] = stored.job.agent_id or default_agent
    wire["nextRunAtMs"] = ms(stored.state.runs_next_at) if stored.job.enabled else None
    return wire


def compact(wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a list needs of a job: no prompt, no policy."""
    kept = {key: wire[key] for key in _COMPACT if key in wire}
    for key in ("nextRunAtMs", "effectiveAgentId", "configRevision", "state"):
        kept[key] = wire[key]
    return kept | {"payload": {"kind": wire["payload"]["kind"]}}


def delivery_preview(delivery: DeliverySpec, way: Mapping[str, Any]) -> dict[str, str]:
    """Say where a job's words would go; ``way`` is where, or why nowhere, if anybody knows."""
    if delivery.mode == "none":
        return {"label": "none", "detail": "nothing is delivered"}
    if delivery.mode == "webhook":
        return {"label": f"webhook -> {address_shown(delivery.to or '')}", "detail": "explicit"}
    explicit = delivery.channel not in (None, "last")
    found = {"to": delivery.to, "channel": delivery.channel, "threadId": delivery.thread_id}
    detail = "explicit" if explicit else "the last route when it runs"
    if not explicit and way.get("channel"):
        found, detail = dict(way), f"resolved from {way.get('via') or 'last'}"
    elif why := way.get("because"):
        detail = str(why)
    place = ":".join(str(part) for part in (found["channel"] or "last", found.get("to")) if part)
    thread = f" (thread {found['threadId']})" if found.get("threadId") else ""
    told = {"label": f"announce -> {place}{thread}", "detail": detail}
    return told | ({"fix": str(way["fix"])} if way.get("fix") else {})
