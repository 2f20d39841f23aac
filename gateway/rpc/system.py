"""`health`, `status`, presence, events and wakes (protocol.md §10.1, heartbeat.md §15)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from engine.decisions.wake import ASKED, NEXT_HEARTBEAT, NOW, NewEvent
from gateway.protocol import methods
from gateway.protocol.errors import invalid
from gateway.protocol.params import (
    HealthParams,
    Nothing,
    StatusParams,
    SystemEventParams,
    WakeParams,
)
from gateway.rpc import tasks
from gateway.rpc.desk import Call, Desk
from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule

_BEACON: Final = (
    "deviceId",
    "instanceId",
    "host",
    "ip",
    "mode",
    "version",
    "platform",
    "deviceFamily",
    "modelIdentifier",
    "lastInputSeconds",
    "reason",
    "roles",
    "scopes",
    "tags",
    "text",
)


async def health(desk: Desk, _: Call, params: HealthParams) -> object:
    """The snapshot; nothing is computed on this path unless the caller asks for a probe."""
    return await desk.health.answer(probe=params.probe)


async def status(desk: Desk, call: Call, _params: StatusParams) -> object:
    """`status`; newer clients crash without these lists, so they are never missing (§12.8)."""
    cron = await desk.core.scheduling.status()
    answer: dict[str, Any] = {
        "channelSummary": [],
        "queuedSystemEvents": [],
        "tasks": tasks.counted(cron.get("runs24h") or {}),
        "taskAudit": {"total": 0, "warnings": 0, "errors": 0, "byCode": {}},
        **await desk.core.status(),
    }
    sessions = {"paths": [], "count": 0, "defaults": {}, "recent": [], "byAgent": []}
    sessions |= answer.get("sessions") or {}
    if not methods.allows(call.session.scopes, methods.Scope.ADMIN):
        sessions["paths"] = []
    return {**answer, "sessions": sessions}


async def presence(desk: Desk, _call: Call, _params: Nothing) -> object:
    """A bare list."""
    return desk.presence.listing(desk.clock.now())


async def system_event(desk: Desk, call: Call, params: SystemEventParams) -> object:
    """Queue text for the main session; a `Node:` line is a presence beacon."""
    text = params.text.strip()
    if not text:
        raise invalid("text required", path="/text")
    if text.startswith("Node:"):
        sent = params.wire()
        beacon = {name: sent[name] for name in _BEACON if sent.get(name) is not None}
        changed = desk.presence.beacon(beacon, desk.clock.now())
        desk.announce_presence()
        if not changed:
            return {"ok": True}
    event = NewEvent(
        text=text,
        mode=params.mode or NEXT_HEARTBEAT,
        agent_id=params.agent_id,
        session_key=params.session_key,
        context_key=_context(params.context_key),
        dedupe_key=params.dedupe_key,
        replaces=params.replace,
        source="system-event",
        by=call.by,
    )
    answer = await desk.core.wakes.system_event(event)
    return {"ok": True, **answer}


def _span(text: str) -> timedelta:
    try:
        span = parse_duration(text)
    except InvalidSchedule as error:
        raise invalid(f"expiresIn: {error}", path="/expiresIn") from error
    if span <= timedelta():
        raise invalid("expiresIn must be longer than nothing", path="/expiresIn")
    return span


def _context(key: str | None) -> str | None:
    """What an event is about; reminders and the ends of commands are told by the engine alone."""
    if key is not None and key.strip().lower().startswith(("cron:", "exec:")):
        raise invalid("contextKey: cron: and exec: are the engine's own", path="/contextKey")
    return key


def _about(params: WakeParams) -> str | None:
    """What it is about; one whose sender waits for words says that there (L9)."""
    about = _context(params.context_key)
    return f"{ASKED}:{about or ''}" if params.expect_reply else about


async def wake(desk: Desk, call: Call, params: WakeParams) -> object:
    """Queue text and, with mode now, wake the agent; ``wait`` answers with the outcome."""
    if not params.text.strip():
        return {"ok": False}
    mode = NOW if params.session_key and "mode" not in params.model_fields_set else params.mode
    if params.target is not None and mode != NOW:
        raise invalid("target goes with mode now: it is the target of that beat", path="/target")
    expires_at = None
    if params.expires_in is not None:
        expires_at = desk.clock.now() + _span(params.expires_in)
    event = NewEvent(
        text=params.text.strip(),
        expires_at=expires_at,
        mode=mode,
        agent_id=params.agent_id,
        session_key=params.session_key,
        context_key=_about(params),
        dedupe_key=params.dedupe_key,
        replaces=params.replace,
        target=params.target,
        source="wake",
        by=call.by,
    )
    answer = await desk.core.wakes.system_event(event)
    if not params.wait or mode != NOW or not answer.get("ok", True):
        return {"ok": True, **answer}
    outcome = await desk.core.wakes.wait(
        str(answer["eventId"]), timedelta(milliseconds=params.timeout_ms)
    )
    return {"ok": True, **answer, "outcome": outcome}
