"""Conversations: looked at, changed, made, followed (protocol.md §10.6)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from gateway.protocol.errors import invalid
from gateway.protocol.params import ChatAbortParams, ChatSendParams
from gateway.protocol.session_params import (
    ChatInjectParams,
    SessionAbortParams,
    SessionCompactParams,
    SessionCreateParams,
    SessionDeleteParams,
    SessionPatchParams,
    SessionRef,
    SessionResetParams,
    SessionSendParams,
    SessionsPreviewParams,
    SubscribeParams,
)
from gateway.rpc import chat
from gateway.rpc.desk import Call, Desk
from jobs.wallclock import ms


def _key(desk: Desk, key: str) -> str:
    return desk.core.sessions.resolve(None, key)[1]


async def inject(desk: Desk, call: Call, params: ChatInjectParams) -> object:
    """`chat.inject`: a note of the assistant; no turn is taken."""
    text = params.message if params.label is None else f"[{params.label}]\n\n{params.message}"
    key = _key(desk, params.session_key)
    note = await desk.core.sessions.inject(key, text, by=call.by)
    desk.subscriptions.changed(key, "inject")
    return {"ok": True, "messageId": note}


async def preview(desk: Desk, _: Call, params: SessionsPreviewParams) -> object:
    """`sessions.preview`: the newest lines of several, shortened."""
    previews = []
    for key in params.keys:
        found = await desk.core.sessions.describe(_key(desk, key))
        lines = []
        if found is not None:
            told = await desk.core.sessions.history(str(found["key"]), limit=params.limit)
            lines = [_line(message, params.max_chars) for message in told["messages"]]
        status = "missing" if found is None else "ok" if lines else "empty"
        previews.append({"key": key, "status": status, "items": lines})
    return {"ts": ms(desk.clock.now()), "previews": previews}


def _line(message: dict[str, Any], most: int) -> dict[str, str]:
    text = " ".join(str(part.get("text", "")) for part in message["content"])
    return {"role": message["role"], "text": text if len(text) <= most else f"{text[: most - 1]}…"}


async def describe(desk: Desk, _: Call, params: SessionRef) -> object:
    """`sessions.describe`: one of them, or null."""
    return {"session": await desk.core.sessions.describe(_key(desk, params.key))}


async def patch(desk: Desk, call: Call, params: SessionPatchParams) -> object:
    """`sessions.patch`: what its turns are answered by."""
    if "model" not in params.model_fields_set:
        raise invalid("invalid sessions.patch params: at root: nothing to change", path="/model")
    key = _key(desk, params.key)
    entry = await desk.core.sessions.patch(key, model=params.model, by=call.by)
    desk.subscriptions.changed(key, "patch")
    return {"ok": True, "path": "", "key": key, "entry": entry}


async def reset(desk: Desk, call: Call, params: SessionResetParams) -> object:
    """`sessions.reset`: it begins anew; a turn that runs is ended first."""
    key = _key(desk, params.key)
    await desk.core.conversation.abort(key)
    entry = await desk.core.sessions.reset(key, by=call.by)
    desk.subscriptions.changed(key, params.reason or "reset")
    return {"ok": True, "key": key, "entry": entry}


async def delete(desk: Desk, call: Call, params: SessionDeleteParams) -> object:
    """`sessions.delete`; a main session is reset instead."""
    key = _key(desk, params.key)
    if desk.core.sessions.is_main(key):
        raise invalid(f"Cannot delete the main session ({key}).", path="/key")
    await desk.core.conversation.abort(key)
    deleted = await desk.core.sessions.delete(key, by=call.by)
    if deleted:
        desk.subscriptions.changed(key, "delete")
    return {"ok": True, "key": key, "deleted": deleted, "archived": []}


async def compact(desk: Desk, call: Call, params: SessionCompactParams) -> object:
    """`sessions.compact`: older lines go."""
    key = _key(desk, params.key)
    gone = await desk.core.sessions.compact(key, keep=params.max_lines, by=call.by)
    if not gone:
        return {"ok": True, "key": key, "compacted": False, "reason": "nothing to take out"}
    desk.subscriptions.changed(key, "compact")
    return {"ok": True, "key": key, "compacted": True, "removed": gone, "kept": params.max_lines}


async def create(desk: Desk, call: Call, params: SessionCreateParams) -> object:
    """`sessions.create`; the same key again is the same session."""
    agent_id, key = desk.core.sessions.resolve(params.agent_id, params.key or uuid4().hex)
    entry = await desk.core.sessions.create(key, agent_id, model=params.model, by=call.by)
    desk.subscriptions.changed(key, "create")
    answer = {"ok": True, "key": key, "sessionId": entry["sessionId"], "entry": entry}
    if params.message is None:
        return {**answer, "runStarted": False}
    begun = await _said(desk, call, key, params.message, params.idempotency_key)
    return {**answer, "runStarted": True, "runId": begun["runId"]}


async def send(desk: Desk, call: Call, params: SessionSendParams) -> object:
    """`sessions.send`."""
    how = {"thinking": params.thinking, "timeoutMs": params.timeout_ms}
    return await _said(desk, call, params.key, params.message, params.idempotency_key, **how)


async def _said(
    desk: Desk, call: Call, key: str, message: str, once: str | None, **how: Any
) -> dict[str, Any]:
    order = {"sessionKey": key, "message": message, "idempotencyKey": once or uuid4().hex}
    answer = await chat.chat_send(desk, call, ChatSendParams.model_validate({**order, **how}))
    return dict(answer) if isinstance(answer, dict) else {}


async def abort(desk: Desk, call: Call, params: SessionAbortParams) -> object:
    """`sessions.abort`."""
    order = {"sessionKey": params.key, "runId": params.run_id}
    answer = await chat.chat_abort(desk, call, ChatAbortParams.model_validate(order))
    runs = answer["runIds"] if isinstance(answer, dict) else []
    status = "aborted" if runs else "no-active-run"
    return {"ok": True, "abortedRunId": runs[0] if runs else None, "status": status}


async def subscribe(desk: Desk, call: Call, _params: SubscribeParams) -> object:
    """`sessions.subscribe`: events of the index."""
    desk.subscriptions.follow(call.session.conn_id)
    return {"subscribed": True}


async def unsubscribe(desk: Desk, call: Call, _params: SubscribeParams) -> object:
    """`sessions.unsubscribe`."""
    desk.subscriptions.unfollow(call.session.conn_id)
    return {"subscribed": False}


async def follow(desk: Desk, call: Call, params: SessionRef) -> object:
    """`sessions.messages.subscribe`: what is said in one of them."""
    key = _key(desk, params.key)
    desk.subscriptions.follow(call.session.conn_id, key)
    return {"subscribed": True, "key": key}


async def unfollow(desk: Desk, call: Call, params: SessionRef) -> object:
    """`sessions.messages.unsubscribe`."""
    key = _key(desk, params.key)
    desk.subscriptions.unfollow(call.session.conn_id, key)
    return {"subscribed": False, "key": key}
