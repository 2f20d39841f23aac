"""The process, its log and its restart; and what is asked for and not kept (protocol.md §10.1)."""

from __future__ import annotations

from typing import Any, Final

from gateway.protocol.admin_params import Anything, LogsTailParams, RestartParams
from gateway.protocol.params import Mutation, Nothing
from gateway.restarts import Wanted
from gateway.rpc.desk import Call, Desk
from gateway.rpc.windows import refused
from jobs.errors import InvalidInput
from jobs.wallclock import MILLISECOND, ms

_COUNTED: Final = ("queueSize", "pendingReplies", "embeddedRuns", "activeTasks")


async def tail(desk: Desk, _: Call, params: LogsTailParams) -> object:
    """`logs.tail`."""
    return await desk.core.host.tail(
        params.cursor, limit=params.limit, most=params.max_bytes, mark=params.mark
    )


async def own_identity(desk: Desk, _call: Call, _params: Nothing) -> object:
    """`gateway.identity.get`: the key by which this gateway is the same one tomorrow."""
    return desk.core.host.own_identity()


async def reload_secrets(desk: Desk, _call: Call, _params: Mutation) -> object:
    """`secrets.reload`."""
    return {"ok": True, "warningCount": await desk.core.settings.reload_secrets()}


async def preflight(desk: Desk, _call: Call, _params: Anything) -> object:
    """`gateway.restart.preflight`: what a restart now would have to wait for."""
    activity = await desk.core.host.activity()
    counts = {name: int(activity.get(name) or 0) for name in _COUNTED}
    busy = int(activity.get("totalActive") or 0)
    counts["totalActive"] = busy
    blockers = list(activity.get("blockers") or ())
    summary = "nothing runs; a restart interrupts nobody"
    if busy:
        summary = f"{busy} at work: {', '.join(str(one['summary']) for one in blockers)}"
    return {"safe": not busy, "counts": counts, "blockers": blockers, "summary": summary}


async def restart(desk: Desk, call: Call, params: RestartParams) -> object:
    """`gateway.restart.request`: accepted now, done when what runs has ended."""
    most, window = desk.core.settings.write_limit()
    name = "gateway.restart.request"
    wait = desk.writes.take(f"{name} {call.caller}", desk.clock.now(), most=most, window=window)
    if wait is not None:
        raise refused(name, wait, most, window)
    wanted = Wanted(
        reason=params.reason or "asked for over RPC",
        by=call.by,
        delay=(params.restart_delay_ms or 0) * MILLISECOND,
        session_key=params.session_key,
        delivery=params.delivery_context,
        note=params.note,
    )
    return await desk.core.host.restart(wanted)


async def stability(desk: Desk, _call: Call, _params: Anything) -> object:
    """`diagnostics.stability`: nothing of the kind is collected here; `health` tells what fails."""
    empty: dict[str, Any] = {"capacity": 0, "count": 0, "dropped": 0, "events": []}
    # Command lines of both wires go through it by type.
    return {"generatedAt": ms(desk.clock.now()), **empty, "summary": {"byType": {}}}


async def usage(desk: Desk, _call: Call, _params: Anything) -> object:
    """`usage.status`: quotas of providers are not asked."""
    return {"updatedAt": ms(desk.clock.now()), "providers": []}


async def cost(_desk: Desk, _call: Call, _params: Anything) -> object:
    """`usage.cost`: a sum of nothing would be told as nothing spent."""
    raise InvalidInput(
        "what everything cost is not added up here",
        why="what beats cost is: engine heartbeat cost",  # older command lines show no fix
        fix="engine heartbeat cost --by day",
    )


async def auth_status(desk: Desk, _call: Call, _params: Anything) -> object:
    """`models.authStatus`."""
    return {"ts": ms(desk.clock.now()), "providers": []}


async def update_status(_desk: Desk, _call: Call, _params: Anything) -> object:
    """`update.status`: the engine does not update itself."""
    return {"sentinel": None}


def nothing(name: str) -> Any:
    """Return a handler for a list that is always empty here."""

    async def empty(_desk: Desk, _call: Call, _params: Anything) -> object:
        return {name: []}

    return empty


def none(name: str) -> Any:
    """Return a handler for one of what there is none here."""

    async def absent(_desk: Desk, _call: Call, _params: Anything) -> object:
        return {name: None}

    return absent
