"""`agent` and its two answers, `agent.wait`, and the lists (protocol.md §8, §10.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway.protocol import frames
from gateway.protocol.admin_params import (
    AgentCreateParams,
    AgentDeleteParams,
    AgentIdentityParams,
    AgentUpdateParams,
)
from gateway.protocol.errors import Code, WireError, from_engine_error, invalid
from gateway.protocol.params import AgentParams, AgentWaitParams, ModelsListParams, Nothing
from gateway.rpc.attached import attached
from gateway.rpc.core import Answer, ChatOrder
from gateway.rpc.desk import ANSWERED, Call, ClientRun, Desk
from jobs.errors import EngineError
from jobs.wallclock import ms


async def agent(desk: Desk, call: Call, params: AgentParams) -> object:
    """Accept at once; the result comes as a second answer with the same id.

    Every caller that was told `accepted` gets the second answer, a repeat after the end
    gets it at once. The turn goes on when the caller has left.
    """
    run = desk.runs.find(params.idempotency_key)
    if run is None:
        run = _start(desk, params)
    if run.ended.is_set():
        call.reply(second_answer(call.request_id, run))
        return ANSWERED
    run.waiting.append(lambda ended: call.reply(second_answer(call.request_id, ended)))
    return run.accepted


def _start(desk: Desk, params: AgentParams) -> ClientRun:
    agent_id, session_key = desk.core.sessions.resolve(params.agent_id, params.session_key)
    order = ChatOrder(
        run_id=params.idempotency_key,
        agent_id=agent_id,
        session_key=session_key,
        text=params.message,
        timeout=None if params.timeout is None else timedelta(seconds=params.timeout),
        deliver=params.deliver,
        channel=params.reply_channel or params.channel,
        to=params.reply_to or params.to,
        account_id=params.reply_account_id or params.account_id,
        thread_id=params.thread_id,
        model=params.model,
        thinking=params.thinking,
        extra_system_prompt=params.extra_system_prompt,
        best_effort=params.best_effort_deliver,
        attachments=attached(params.attachments),
    )
    desk.core.conversation.check(order)
    run = desk.runs.start(order.run_id, desk.core.conversation.converse(order))
    run.accepted = {
        "runId": run.run_id,
        "status": "accepted",
        "acceptedAt": ms(run.started_at),
    }
    return run


def second_answer(request_id: str, run: ClientRun) -> str:
    """The frame that ends a two-stage call (§8)."""
    status, answer, error = verdict(run)
    if error is not None:
        payload = {"runId": run.run_id, "status": "error", "summary": error.message}
        return frames.failure(request_id, error.to_wire(), payload)
    if status == "timeout":
        reason = answer.get("stopReason") or "timeout"
        aborted = {"runId": run.run_id, "status": status, "summary": "aborted"}
        return frames.response(request_id, {**aborted, "stopReason": reason})
    result = {
        "payloads": [_payload(item) for item in answer.get("payloads") or ()],
        "meta": answer.get("meta") or {},
    }
    if "deliveryStatus" in answer:
        result["deliveryStatus"] = answer["deliveryStatus"]
    done = {"runId": run.run_id, "status": "ok", "summary": "completed", "result": result}
    return frames.response(request_id, done)


def _payload(item: object) -> object:
    return {"text": item, "mediaUrl": None} if isinstance(item, str) else item


def verdict(run: ClientRun) -> tuple[str, Answer, WireError | None]:
    """How a run that has ended ended: ok, timeout or error."""
    task = run.task
    if task is None or task.cancelled():
        return "timeout", {"stopReason": "aborted"}, None
    if (error := task.exception()) is not None:
        return "error", {}, _wire(error)
    answer = task.result()
    status = str(answer.get("status") or "ok")
    if status == "error":
        said = answer.get("error") or "the agent failed"
        message = str(said.get("message") if isinstance(said, dict) else said)
        return status, answer, WireError(Code.UNAVAILABLE, message, {"runId": run.run_id})
    return status, answer, None


def _wire(error: BaseException) -> WireError:
    if isinstance(error, EngineError):
        return from_engine_error(error)
    return WireError(Code.UNAVAILABLE, f"the turn failed: {type(error).__name__}")


async def wait(desk: Desk, _: Call, params: AgentWaitParams) -> object:
    """`agent.wait`: an unknown run may still appear, so it is waited for too."""
    run = await desk.runs.wait(params.run_id, timedelta(milliseconds=params.timeout_ms))
    if run is None:
        return {"runId": params.run_id, "status": "timeout"}
    status, answer, error = verdict(run)
    told: dict[str, Any] = {
        "runId": run.run_id,
        "status": status,
        "startedAt": ms(run.started_at),
        "endedAt": None if run.ended_at is None else ms(run.ended_at),
    }
    if error is not None:
        told["error"] = error.message
    if answer.get("stopReason"):
        told["stopReason"] = answer["stopReason"]
    return told


async def agents(desk: Desk, _call: Call, _params: Nothing) -> object:
    """`agents.list`."""
    return desk.core.agents()


async def create(desk: Desk, _call: Call, params: AgentCreateParams) -> object:
    """`agents.create`: an entry of the config, in force when this answers."""
    return await desk.core.settings.add_agent(_facts(params))


async def update(desk: Desk, _call: Call, params: AgentUpdateParams) -> object:
    """`agents.update`."""
    facts = _facts(params)
    if not facts:
        raise invalid("invalid agents.update params: at root: nothing to change")
    return await desk.core.settings.change_agent(params.agent_id.lower(), facts)


async def delete(desk: Desk, _call: Call, params: AgentDeleteParams) -> object:
    """`agents.delete`: out of the config; files are not removed from afar."""
    if params.delete_files:
        words = "deleteFiles is not offered: an agent's workspace is removed by hand"
        raise invalid(words, path="/deleteFiles")
    return await desk.core.settings.remove_agent(params.agent_id.lower())


def _facts(params: AgentCreateParams | AgentUpdateParams) -> dict[str, str]:
    given = params.model_dump(include={"name", "workspace", "model", "emoji", "avatar"})
    return {name: value for name, value in given.items() if value is not None}


async def identity(desk: Desk, _call: Call, params: AgentIdentityParams) -> object:
    """`agent.identity.get`: of an agent, or of who talks in a session."""
    agent_id, _key = desk.core.sessions.resolve(params.agent_id, params.session_key)
    return desk.core.host.identity(agent_id)


async def models(desk: Desk, _call: Call, params: ModelsListParams) -> object:
    """`models.list`: all there are, or those of one provider."""
    wanted = (params.provider or "").lower()
    every = desk.core.models()
    return {"models": [one for one in every if wanted in ("", str(one["provider"]).lower())]}
