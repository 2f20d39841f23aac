"""`cron.*`: pass on what was asked, shape what differs between wire versions (§10.3, §13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.config.masks import HIDDEN_ON_WIRE, is_marker, job_shown
from engine.scheduling import Chosen
from gateway.protocol.cron_params import (
    CronAddParams,
    CronAuditParams,
    CronBackfillParams,
    CronCancelParams,
    CronChosenParams,
    CronExplainParams,
    CronGetParams,
    CronImportParams,
    CronListParams,
    CronNextParams,
    CronPauseParams,
    CronRemoveParams,
    CronRunParams,
    CronRunsParams,
    CronSimulateParams,
    CronSkipParams,
    CronTimelineParams,
    CronUpdateParams,
    JobRef,
)
from gateway.protocol.methods import Scope, allows
from gateway.protocol.params import Nothing
from gateway.rpc.desk import Call, Desk
from jobs.errors import JobNotFound
from jobs.wallclock import at, instant


async def status(desk: Desk, _call: Call, _params: Nothing) -> object:
    """`cron.status`."""
    return await desk.cron_status.answer()


async def listing(desk: Desk, call: Call, params: CronListParams) -> object:
    """`cron.list`; wire 3 always gets delivery previews."""
    answer = dict(await desk.core.scheduling.list(params.wire()))
    if call.session.protocol < 4:
        answer.setdefault("deliveryPreviews", {})
    if not _may_see(call, params.reveal):
        answer["jobs"] = [job_shown(job, marker=HIDDEN_ON_WIRE) for job in answer["jobs"]]
    return answer


async def get(desk: Desk, call: Call, params: CronGetParams) -> object:
    """`cron.get`."""
    found = await desk.core.scheduling.get(params.ref)
    return found if _may_see(call, params.reveal) else job_shown(found, marker=HIDDEN_ON_WIRE)


def _may_see(call: Call, reveal: bool | None) -> bool:
    """The address of a webhook lets anybody post there: only who asks for it, and may, sees it."""
    return bool(reveal) and allows(call.session.scopes, Scope.ADMIN)


def _unhidden(patch: Mapping[str, Any]) -> dict[str, Any]:
    """A patch without what a client only read as hidden: it stays as it is stored."""
    return {
        key: _unhidden(value) if isinstance(value, Mapping) else value
        for key, value in patch.items()
        if not (isinstance(value, str) and is_marker(value))
    }


async def add(desk: Desk, call: Call, params: CronAddParams) -> object:
    """`cron.add`."""
    return await desk.core.scheduling.add(params.wire(), by=call.by)


async def bring_in(desk: Desk, call: Call, params: CronImportParams) -> object:
    """`cron.import`."""
    return await desk.core.scheduling.bring_in(params.wire(), by=call.by)


async def update(desk: Desk, call: Call, params: CronUpdateParams) -> object:
    """`cron.update`."""
    return await desk.core.scheduling.update(
        params.ref,
        _unhidden(params.patch),
        by=call.by,
        expected_revision=params.expected_config_revision,
    )


async def remove(desk: Desk, call: Call, params: CronRemoveParams) -> object:
    """`cron.remove`; wire 3 clients expect a calm answer for an unknown id."""
    try:
        return await desk.core.scheduling.remove(params.ref, by=call.by, force=bool(params.force))
    except JobNotFound:
        if call.session.protocol < 4:
            return {"ok": True, "removed": False}
        raise


async def run(desk: Desk, call: Call, params: CronRunParams) -> object:
    """`cron.run`."""
    return await desk.core.scheduling.run(
        params.ref, mode=params.mode, by=call.by, process=params.expected_process_instance_id
    )


async def pause(desk: Desk, call: Call, params: CronPauseParams) -> object:
    """`cron.pause`."""
    until = None if params.until_ms is None else instant(params.until_ms)
    return await desk.core.control.pause(
        _chosen(params), by=call.by, note=params.note or "", until=until
    )


async def resume(desk: Desk, call: Call, params: CronChosenParams) -> object:
    """`cron.resume`."""
    return await desk.core.control.resume(_chosen(params), by=call.by)


async def skip(desk: Desk, call: Call, params: CronSkipParams) -> object:
    """`cron.skip`."""
    return await desk.core.control.skip(
        params.ref, by=call.by, count=params.count, note=params.note or "", undo=params.undo
    )


async def adopt(desk: Desk, call: Call, params: JobRef) -> object:
    """`cron.adopt`."""
    return await desk.core.control.adopt(params.ref, by=call.by)


async def cancel(desk: Desk, call: Call, params: CronCancelParams) -> object:
    """`cron.cancel`."""
    return await desk.core.control.cancel(params.run_id, by=call.by)


async def backfill(desk: Desk, call: Call, params: CronBackfillParams) -> object:
    """`cron.backfill`."""
    return await desk.core.control.backfill(
        params.ref,
        since=at(params.from_ms),
        until=at(params.to_ms),
        by=call.by,
        policy=params.policy,
        dry_run=params.dry_run,
        rate=params.rate,
    )


async def explain(desk: Desk, _: Call, params: CronExplainParams) -> object:
    """`cron.explain`; of a run, why it ended as it did."""
    if params.run_id is not None:
        return await desk.core.inquiries.run(params.run_id)
    return await desk.core.outlook.explain(params.wire())


async def timeline(desk: Desk, _: Call, params: CronTimelineParams) -> object:
    """`cron.timeline`."""
    return await desk.core.outlook.timeline(params.wire())


async def coming(desk: Desk, _: Call, params: CronNextParams) -> object:
    """`cron.next`."""
    return await desk.core.outlook.next(params.wire())


async def audit(desk: Desk, _: Call, params: CronAuditParams) -> object:
    """`cron.audit`."""
    return await desk.core.outlook.audit(params.wire())


async def plan(desk: Desk, _: Call, _params: Nothing) -> object:
    """`cron.plan`."""
    return await desk.core.foresight.plan()


async def simulate(desk: Desk, _: Call, params: CronSimulateParams) -> object:
    """`cron.simulate`."""
    return await desk.core.foresight.simulate(params.wire())


async def runs(desk: Desk, _: Call, params: CronRunsParams) -> object:
    """`cron.runs`."""
    return await desk.core.scheduling.runs(params.wire())


def _chosen(params: CronChosenParams) -> Chosen:
    return Chosen(ref=params.id, tag=params.tag, everything=params.all)
