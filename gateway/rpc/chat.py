"""Messages and conversations: `send`, `message.action`, `chat.*` (protocol.md §10.5, §10.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from engine.messages.outbox import NewMessage
from gateway.protocol.errors import invalid
from gateway.protocol.params import (
    ChatAbortParams,
    ChatHistoryParams,
    ChatSendParams,
    MessageActionParams,
    SendParams,
    SessionsListParams,
)
from gateway.rpc.agent import verdict
from gateway.rpc.attached import attached
from gateway.rpc.core import ChatOrder
from gateway.rpc.desk import Call, Desk
from gateway.rpc.shown import fitted

STOP_WORDS: Final = frozenset({"/stop", "/abort", "/cancel", "/esc"})


async def send(desk: Desk, _: Call, params: SendParams) -> object:
    """`send`: one message through the outbox."""
    text = (params.message or "").strip()
    media = [url for url in (params.media_url, *(params.media_urls or ())) if url]
    if not text and not media:
        raise invalid("invalid send params: text or media is required", path="/message")
    message = NewMessage(
        channel=params.channel,
        to=params.to,
        account_id=params.account_id,
        thread_id=params.thread_id,
        text=text,
        files=tuple(media),
        laid_ready=True,
        key=params.idempotency_key,
        agent_id=params.agent_id,
        silent=bool(params.silent),
        dry_run=params.dry_run,
    )
    return {"runId": params.idempotency_key, **await desk.core.outlet.send(message)}


async def message_action(desk: Desk, _: Call, params: MessageActionParams) -> object:
    """`message.action`: of all actions a channel could have, `send`."""
    if params.action != "send":
        raise invalid(f"Channel {params.channel} does not support action {params.action}.")
    asked = params.params
    to, text = _word(asked, "to", "target"), _word(asked, "message", "text")
    media = _files(asked)
    if not to:
        raise invalid("invalid message.action params: at /params: must have required property 'to'")
    if not text and not media:
        raise invalid("invalid message.action params: text or media is required")
    message = NewMessage(
        channel=params.channel,
        to=to,
        account_id=params.account_id or _word(asked, "accountId") or None,
        thread_id=_word(asked, "threadId") or None,
        text=text,
        files=media,
        laid_ready=True,
        key=params.idempotency_key,
        agent_id=params.agent_id,
        silent=asked.get("silent") is True,
        dry_run=asked.get("dryRun") is True,
    )
    answer = await desk.core.outlet.send(message)
    return {"ok": True, "runId": params.idempotency_key, **answer}


def _files(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Files of a message under any of the names clients give them (protocol.md §10.5)."""
    many = asked.get("mediaUrls")
    listed = [one for one in many if isinstance(one, str)] if isinstance(many, list) else []
    one = _word(asked, "mediaUrl", "media", "path", "filePath")
    return tuple(each for each in (one, *listed) if each.strip())


def _word(asked: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if (value := asked.get(name)) not in (None, ""):
            return str(value)
    return ""


async def chat_send(desk: Desk, _: Call, params: ChatSendParams) -> object:
    """`chat.send`: the answer comes as `chat` events."""
    agent_id, session_key = desk.core.sessions.resolve(params.agent_id, params.session_key)
    if params.message.strip().lower() in STOP_WORDS:
        stopped = list(await desk.core.conversation.abort(session_key))
        return {"ok": True, "aborted": bool(stopped), "runIds": stopped}
    files = attached(params.attachments)
    if not params.message.strip() and not files:
        raise invalid("invalid chat.send params: at /message: message is required")
    run = desk.runs.find(params.idempotency_key)
    if run is not None:
        status = verdict(run)[0] if run.ended.is_set() else "in_flight"
        return {"runId": run.run_id, "status": status}
    order = ChatOrder(
        run_id=params.idempotency_key,
        agent_id=agent_id,
        session_key=session_key,
        text=params.message,
        timeout=None if params.timeout_ms is None else timedelta(milliseconds=params.timeout_ms),
        deliver=bool(params.deliver),
        thinking=params.thinking,
        written_here=True,
        attachments=files,
    )
    desk.core.conversation.check(order)
    desk.runs.start(order.run_id, desk.core.conversation.converse(order))
    return {"runId": order.run_id, "status": "started"}


async def chat_abort(desk: Desk, _: Call, params: ChatAbortParams) -> object:
    """`chat.abort`."""
    session_key = desk.core.sessions.resolve(None, params.session_key)[1]
    stopped = list(await desk.core.conversation.abort(session_key, params.run_id))
    return {"ok": True, "aborted": bool(stopped), "runIds": stopped}


async def chat_history(desk: Desk, _: Call, params: ChatHistoryParams) -> object:
    """`chat.history`, at most 6 MiB: the oldest are dropped first (§6)."""
    session_key = desk.core.sessions.resolve(None, params.session_key)[1]
    answer = dict(await desk.core.sessions.history(session_key, limit=params.limit))
    shown = fitted(answer.get("messages") or [], max_chars=params.max_chars)
    return {**answer, "messages": shown}


async def sessions(desk: Desk, _: Call, params: SessionsListParams) -> object:
    """`sessions.list`."""
    return await desk.core.sessions.listing(params.wire())
