"""Keys under `hooks`: requests from outside that wake an agent."""

from __future__ import annotations

from typing import Literal

from engine.config.schema.base import Names, Positive, Section, Text, key, section
from engine.config.secrets import Secret


class HookMatch(Section):
    """Which requests a mapping takes."""

    path: str | None = key(None, "Path below the hooks path.")
    source: str | None = key(None, "Value of `source` in the body.")


class HookMapping(Section):
    """Turns one kind of request into a wake or a turn."""

    id: str | None = key(None, "Name of the mapping.")
    match: HookMatch = section(HookMatch, "Which requests it takes.")
    action: Literal["wake", "agent"] = key("agent", "What it does.")
    name: str | None = key(None, "Name shown in the session.")
    agent_id: str | None = key(None, "Agent.")
    session_key: str | None = key(None, "Session.")
    wake_mode: Literal["now", "next-heartbeat"] = key("now", "When the agent is woken.")
    message_template: str | None = key(None, "Prompt of `agent`.")
    text_template: str | None = key(None, "Text of `wake`.")
    deliver: bool = key(True, "Deliver the answer.")
    channel: str | None = key(None, "Channel of the answer; last when unset.")
    to: Text | None = key(None, "Recipient of the answer.")
    model: str | None = key(None, "Model of the turn.")
    thinking: str | None = key(None, "How much the model thinks.")
    timeout_seconds: Positive | None = key(None, "Limit of the turn.", unit="s")
    allow_unsafe_external_content: bool = key(False, "Do not fence the text off as untrusted.")


class Hooks(Section):
    """Requests from outside that wake an agent."""

    enabled: bool = key(False, "Serve the hooks path; needs a token.")
    token: Secret | None = key(None, "Bearer token; must differ from the gateway's.")
    path: str = key("/hooks", "Path of the hooks; `/` is refused.")
    default_session_key: str | None = key(None, "Session of requests that name none.")
    allow_request_session_key: bool = key(False, "Requests may name a session.")
    allowed_session_key_prefixes: Names | None = key(None, "Sessions requests may name.")
    allowed_agent_ids: Names | None = key(None, "Agents requests may name; all when unset.")
    max_body_bytes: Positive = key(262_144, "Largest body.", unit="bytes")
    mappings: tuple[HookMapping, ...] = key((), "Further paths.")
