"""What a hook request asks for, and whether it may (protocol.md §11). Pure.

The body comes from a stranger who holds the token of hooks: each field is checked before
anything is done, and what cannot be meant is refused in a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.config.schema.hooks import HookMapping, Hooks
from engine.decisions.wake import NEXT_HEARTBEAT, NOW
from engine.sessions import agent_of

NAME: Final = "Hook"
LONGEST_NAME: Final = 200
_HOLE: Final = re.compile(r"\{\{\s*([\w.\[\]-]+)\s*\}\}")
_STEP: Final = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeOrder:
    """Text for the next beat of an agent, or for one now."""

    text: str
    mode: str  # now | next-heartbeat
    agent_id: str | None = None
    session_key: str | None = None
    trusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOrder:
    """A turn of its own, whose answer goes to a person."""

    message: str
    name: str = NAME
    agent_id: str | None = None
    session_key: str | None = None
    wake_mode: str = NOW
    deliver: bool = True
    channel: str = "last"
    to: str | None = None
    model: str | None = None
    thinking: str | None = None
    timeout_seconds: int | None = None
    trusted: bool = False

    def job(self, job_id: str, at: str) -> dict[str, Any]:
        """The one-shot job that performs it, as `cron.add` takes one."""
        payload = {
            "kind": "agentTurn",
            "message": self.message,
            "model": self.model,
            "thinking": self.thinking,
            "timeoutSeconds": self.timeout_seconds,
            "external": True,
            "allowUnsafeExternalContent": True if self.trusted else None,
        }
        delivery: dict[str, Any] = {"mode": "none"}
        if self.deliver:
            delivery = {"mode": "announce", "channel": self.channel, "to": self.to}
        job = {
            "id": job_id,
            "name": self.name,
            "agentId": self.agent_id,
            "schedule": {"kind": "at", "at": at},
            "sessionTarget": f"session:{self.session_key}" if self.session_key else "isolated",
            "wakeMode": self.wake_mode,
            "payload": _given(payload),
            "delivery": _given(delivery),
            "deleteAfterRun": True,
        }
        return _given(job)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A mapping has nothing to say about this request."""

    because: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not obeyed."""

    error: str


Order = WakeOrder | AgentOrder | Dropped | Refused


def order_of(path: str, body: Mapping[str, Any], hooks: Hooks) -> Order | None:
    """Return what a request to ``path`` below the hooks path asks for; None: nobody serves it."""
    match path:
        case "wake":
            return _wake(body)
        case "agent":
            return _agent(body, hooks)
        case _:
            return _mapped(path, body, hooks)


def _wake(body: Mapping[str, Any]) -> Order:
    text, mode = body.get("text"), body.get("mode", NOW)
    if not isinstance(text, str) or not text.strip():
        return Refused("text required")
    if mode not in (NOW, NEXT_HEARTBEAT):
        return Refused(f"mode must be {NOW} or {NEXT_HEARTBEAT}")
    return WakeOrder(text=text.strip(), mode=mode)


def _agent(body: Mapping[str, Any], hooks: Hooks) -> Order:
    message = body.get("message")
    if not isinstance(message, str) or not message.strip():
        return Refused("message required")
    if wrong := _wrong_kind(body):
        return Refused(wrong)
    agent, session = _word(body, "agentId"), _word(body, "sessionKey")
    # A session is somebody's: its key names an agent as much as agentId does.
    owner = agent_of((session or "").lower(), default_agent="")
    named = _stranger(agent, hooks) or _stranger(owner or None, hooks)
    if refusal := named or _session(session, hooks):
        return Refused(refusal)
    return AgentOrder(
        message=message.strip(),
        name=(_word(body, "name") or NAME)[:LONGEST_NAME],
        agent_id=agent,
        session_key=session or hooks.default_session_key,
        wake_mode=body.get("wakeMode") or NOW,
        deliver=body.get("deliver") is not False,
        channel=_word(body, "channel") or "last",
        to=_word(body, "to"),
        model=_word(body, "model"),
        thinking=_word(body, "thinking"),
        timeout_seconds=body.get("timeoutSeconds"),
    )


_WORDS: Final = ("name", "agentId", "sessionKey", "channel", "model", "thinking", "idempotencyKey")


def _wrong_kind(body: Mapping[str, Any]) -> str:
    """Return which field is of no kind that can be meant, or ''."""
    for key in _WORDS:
        value = body.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            return f"{key} must be a non-empty string"
    if not isinstance(body.get("to"), str | int | None) or isinstance(body.get("to"), bool):
        return "to must be a string"
    if not isinstance(body.get("deliver"), bool | None):
        return "deliver must be true or false"
    if body.get("wakeMode") not in (None, NOW, NEXT_HEARTBEAT):
        return f"wakeMode must be {NOW} or {NEXT_HEARTBEAT}"
    seconds = body.get("timeoutSeconds")
    if seconds is not None and (type(seconds) is not int or seconds < 0):
        return "timeoutSeconds must be a whole number of seconds"
    return ""


def _stranger(agent: str | None, hooks: Hooks) -> str:
    """Return why a request may not name this agent, or ''."""
    allowed = hooks.allowed_agent_ids
    if agent is None or allowed is None or "*" in allowed:
        return ""
    known = {one.strip().lower() for one in allowed}
    return "" if agent.lower() in known else f"agentId {agent!r} is not in hooks.allowedAgentIds"


def _session(key: str | None, hooks: Hooks) -> str:
    """Return why a request may not name this session, or ''."""
    if key is None:
        return ""
    if not hooks.allow_request_session_key:
        return "sessionKey is not taken from requests: set hooks.allowRequestSessionKey"
    prefixes = hooks.allowed_session_key_prefixes
    if prefixes is not None and not key.lower().startswith(tuple(p.lower() for p in prefixes)):
        return f"sessionKey must start with one of: {', '.join(prefixes)}"
    return ""


def _mapped(path: str, body: Mapping[str, Any], hooks: Hooks) -> Order | None:
    for mapping in hooks.mappings:
        if _takes(mapping, path, body):
            return _by_mapping(mapping, path, body, hooks)
    return None


def _by_mapping(mapping: HookMapping, path: str, body: Mapping[str, Any], hooks: Hooks) -> Order:
    template = mapping.text_template if mapping.action == "wake" else mapping.message_template
    text = filled(template, body) if template is not None else _plain(mapping, body)
    if not text.strip():
        return Dropped(f"mapping {mapping.id or path} has no words for this request")
    if mapping.action == "wake":
        return WakeOrder(
            text=text.strip(),
            mode=mapping.wake_mode,
            agent_id=mapping.agent_id,
            session_key=mapping.session_key,
            trusted=mapping.allow_unsafe_external_content,
        )
    to = filled(mapping.to, body).strip() if mapping.to is not None else ""
    return AgentOrder(
        message=text.strip(),
        name=(filled(mapping.name or "", body).strip() or mapping.id or NAME)[:LONGEST_NAME],
        agent_id=mapping.agent_id,
        session_key=mapping.session_key or hooks.default_session_key,
        wake_mode=mapping.wake_mode,
        deliver=mapping.deliver,
        channel=mapping.channel or "last",
        to=to or None,
        model=mapping.model,
        thinking=mapping.thinking,
        timeout_seconds=mapping.timeout_seconds,
        trusted=mapping.allow_unsafe_external_content,
    )


def _takes(mapping: HookMapping, path: str, body: Mapping[str, Any]) -> bool:
    """Whether a mapping is about this request; without a match its id is its path."""
    match = mapping.match
    wanted = (match.path or ("" if match.source else mapping.id) or "").strip("/")
    if wanted and wanted != path:
        return False
    if match.source is not None and body.get("source") != match.source:
        return False
    return bool(wanted or match.source)


def _plain(mapping: HookMapping, body: Mapping[str, Any]) -> str:
    """Return what is said without a template: the field that the action takes."""
    said = body.get("text" if mapping.action == "wake" else "message")
    return said if isinstance(said, str) else ""


def filled(template: str, body: Mapping[str, Any]) -> str:
    """Return a template with `{{a.b[0].c}}` replaced by what the body has there, else nothing."""
    return _HOLE.sub(lambda hole: _said(_found(body, hole[1])), template)


def _found(body: object, path: str) -> object:
    here: object = body
    for step in _STEP.findall(path):
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
            here = here[int(step)]
        else:
            return None
    return here


def _said(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _word(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    return None if value is None else str(value).strip() or None


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
