"""`last-heartbeat`, `set-heartbeats`, `heartbeat.*` (protocol.md §10.1, §10.2)."""

from __future__ import annotations

from datetime import timedelta

from gateway.protocol.params import (
    HeartbeatCostParams,
    HeartbeatEventsParams,
    HeartbeatExplainParams,
    HeartbeatHistoryParams,
    HeartbeatNextParams,
    HeartbeatPauseParams,
    HeartbeatReplayParams,
    HeartbeatResumeParams,
    HeartbeatRunParams,
    HeartbeatTasksParams,
    HeartbeatTestParams,
    LastHeartbeatParams,
    Nothing,
    SetHeartbeatsParams,
)
from gateway.rpc.desk import Call, Desk
from jobs.wallclock import EPOCH, MILLISECOND, at


async def last(desk: Desk, _: Call, params: LastHeartbeatParams) -> object:
    """The newest record, or null."""
    if params.agent_id is None:
        return await desk.last_heartbeat.answer()
    return await desk.core.heartbeats.last(params.agent_id)


async def set_enabled(desk: Desk, call: Call, params: SetHeartbeatsParams) -> object:
    """Switch heartbeats on or off."""
    answer = await desk.core.heartbeats.set_enabled(
        params.enabled, agent_id=params.agent_id, by=call.by
    )
    desk.health.renew()
    return {"ok": True, "enabled": params.enabled, **answer}


async def pause(desk: Desk, call: Call, params: HeartbeatPauseParams) -> object:
    """Hold heartbeats for a while."""
    until = None if params.until_ms is None else EPOCH + params.until_ms * MILLISECOND
    return await desk.core.heartbeats.pause(
        agent_id=params.agent_id, by=call.by, note=params.note, until=until
    )


async def resume(desk: Desk, call: Call, params: HeartbeatResumeParams) -> object:
    """Let held heartbeats go on."""
    return await desk.core.heartbeats.resume(agent_id=params.agent_id, by=call.by)


async def listing(desk: Desk, _call: Call, _params: Nothing) -> object:
    """Every agent's heartbeat."""
    return {"heartbeats": list(await desk.core.heartbeats.listing())}


async def history(desk: Desk, _: Call, params: HeartbeatHistoryParams) -> object:
    """Records, newest first."""
    return await desk.core.heartbeats.history(params.model_dump(by_alias=True))


async def events(desk: Desk, _: Call, params: HeartbeatEventsParams) -> object:
    """What a client missed of the event `heartbeat` while it was away."""
    return await desk.core.heartbeats.events(params.since)


async def cost(desk: Desk, _: Call, params: HeartbeatCostParams) -> object:
    """What beats cost, and how budgets stand."""
    return await desk.core.heartbeats.cost(params.model_dump(by_alias=True))


async def coming(desk: Desk, _: Call, params: HeartbeatNextParams) -> object:
    """Slots to come, each with the gate that would stop it."""
    return await desk.core.heartbeats.next(params.model_dump(by_alias=True))


async def replay(desk: Desk, _: Call, params: HeartbeatReplayParams) -> object:
    """One beat decided once more from what its row keeps."""
    return await desk.core.heartbeats.replay(params.run_id)


async def explain(desk: Desk, _: Call, params: HeartbeatExplainParams) -> object:
    """Why no message came, or when the next may; at another instant, why then."""
    then = None if params.at_ms is None else at(params.at_ms)
    return await desk.core.inquiries.silence(params.agent_id, at=then)


async def tasks(desk: Desk, call: Call, params: HeartbeatTasksParams) -> object:
    """The tasks of HEARTBEAT.md; one is run or left out if it is named."""
    agent, by = params.agent_id, call.by
    if params.run is not None:
        return await desk.core.heartbeats.run_task(params.run, agent_id=agent, by=by)
    if params.skip is not None:
        return await desk.core.heartbeats.skip_task(params.skip, agent_id=agent, by=by)
    return await desk.core.heartbeats.tasks(agent)


async def run(desk: Desk, call: Call, params: HeartbeatRunParams) -> object:
    """A beat now, because a person asked; or what it would do."""
    beats = desk.core.heartbeats
    if params.dry_run:
        return await beats.rehearse(params.agent_id, by=call.by, ask=params.ask)
    within = timedelta(milliseconds=params.wait_ms) if params.wait_ms else None
    return await beats.run(params.agent_id, by=call.by, deliver=params.deliver, within=within)


async def test(desk: Desk, _: Call, params: HeartbeatTestParams) -> object:
    """A marked message to where an alert would go, and its receipt; no model is asked."""
    place = {"channel": params.channel, "to": params.to, "accountId": params.account_id}
    given = {**place, "threadId": params.thread_id}
    return await desk.core.heartbeats.test(
        params.agent_id,
        place={key: value for key, value in given.items() if value is not None} or None,
        dry_run=params.dry_run,
        within=timedelta(milliseconds=params.timeout_ms),
    )
