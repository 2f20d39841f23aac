"""Session keys: which conversation a message, a beat or a job belongs to. Pure.

Forms: channels.md §3.4 (chats), heartbeat.md §17 (beats), cron.md §8 (jobs). The rows
behind the keys are in engine.store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from engine.messages.address import ChatType
from jobs.errors import InvalidInput

MAIN: Final = "main"
GLOBAL: Final = "global"
BEAT_SUFFIX: Final = ":heartbeat"

_PATH_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One line of a conversation, provider-neutral."""

    role: str  # user | assistant
    text: str
    at: datetime | None = None


def main_key(agent_id: str, *, main: str = MAIN) -> str:
    """Return the key of an agent's main session; `session.scope: global` has one for all."""
    return GLOBAL if main == GLOBAL else f"agent:{agent_id}:{main}"


def normalise(key: str | None, *, default_agent: str, main: str = MAIN) -> str:
    """Return the full key for what a caller wrote: nothing and `main` are the main session.

    protocol.md §10.6: full forms are ``agent:<id>:<rest>``; anything else is a session of
    the default agent. Raises `InvalidInput` for a key that could not be stored safely.
    """
    text = (key or "").strip()
    if text == GLOBAL:
        return GLOBAL
    if text in ("", MAIN, main):
        return main_key(default_agent, main=main)
    if text.startswith("agent:"):
        agent, _, rest = text.removeprefix("agent:").partition(":")
        if not agent or not rest:
            raise _unusable(text)
        text = f"agent:{agent.lower()}:{main if rest == MAIN else rest}"
    else:
        text = f"agent:{default_agent}:{text}"
    if not _PATH_SAFE.fullmatch(text):
        raise _unusable(text)
    return text


def _unusable(key: str) -> InvalidInput:
    return InvalidInput(
        f"session key {key[:80]!r} was refused",
        why="it is not agent:<id>:<name> of letters, digits and . _ : @ + -",
        fix="use main, or a name such as project-x",
    )


def agent_of(key: str, *, default_agent: str) -> str:
    """Return the agent a key belongs to."""
    if key.startswith("agent:"):
        return key.split(":", 2)[1] or default_agent
    return default_agent


def belongs_to(key: str, agent_id: str) -> bool:
    """Whether an agent may work in this session; the global one is everybody's."""
    return key == GLOBAL or key.startswith(f"agent:{agent_id}:")


def chat_key(
    agent_id: str,
    *,
    channel: str,
    account_id: str,
    peer: str,
    chat_type: ChatType,
    thread_id: str | None = None,
    dm_scope: str = MAIN,
    main: str = MAIN,
) -> str:
    """Return the session of a chat (channels.md §3.4)."""
    if chat_type is ChatType.DIRECT:
        base = _direct_key(agent_id, channel, account_id, peer, dm_scope, main)
        return f"{base}:thread:{thread_id}" if thread_id else base
    base = f"agent:{agent_id}:{channel}:group:{peer}"
    return f"{base}:topic:{thread_id}" if thread_id else base


def _direct_key(
    agent_id: str, channel: str, account_id: str, peer: str, dm_scope: str, main: str
) -> str:
    match dm_scope:
        case "per-peer":
            return f"agent:{agent_id}:direct:{peer}"
        case "per-channel-peer":
            return f"agent:{agent_id}:{channel}:direct:{peer}"
        case "per-account-channel-peer":
            return f"agent:{agent_id}:{channel}:{account_id}:direct:{peer}"
        case _:
            return main_key(agent_id, main=main)


def cron_key(agent_id: str, job_id: str, *, run_id: str | None = None) -> str:
    """Return the session of an isolated job, or of one run of it (cron.md §8)."""
    base = f"agent:{agent_id}:cron:{job_id}"
    return f"{base}:run:{run_id}" if run_id else base


def named_key(agent_id: str, name: str, *, main: str = MAIN) -> str:
    """Return the session a job names as ``session:<id>``; the id must be path-safe.

    The id may be a full key of the agent's own: that is what `current` becomes (cron.md §1).
    """
    full = name == main_key(agent_id, main=main) or name.startswith(f"agent:{agent_id}:")
    key = name if full else f"agent:{agent_id}:{name}"
    return normalise(key, default_agent=agent_id, main=main)


def beat_key(
    agent_id: str,
    *,
    forced: str | None = None,
    configured: str | None = None,
    main: str = MAIN,
) -> str:
    """Return the session whose beat it is (heartbeat.md §17).

    A key forced by the wake wins if it belongs to the agent and is no sub-agent's; then
    the configured one; then main.
    """
    base = main_key(agent_id, main=main)
    for wish in (forced, configured):
        key = normalise(wish, default_agent=agent_id, main=main) if wish else base
        if key != base and belongs_to(key, agent_id) and not subagent(key):
            return key
    return base


def isolated_key(base: str) -> str:
    """Return the session of its own a beat may run in: exactly one suffix however often asked."""
    while base.endswith(BEAT_SUFFIX):
        base = base.removesuffix(BEAT_SUFFIX)
    return base + BEAT_SUFFIX


def origin_of(key: str) -> str | None:
    """Return the lasting session a turn belongs to; None: its agent's main session.

    A beat's own session is made anew each time, and a job's is nobody's conversation: what
    comes in later would wait there for ever.
    """
    while key.endswith(BEAT_SUFFIX):
        key = key.removesuffix(BEAT_SUFFIX)
    of_a_job = key.split(":")[2:3] == ["cron"]
    return None if of_a_job or subagent(key) else key


def subagent(key: str) -> bool:
    """Whether the session is a sub-agent's."""
    return ":subagent:" in key


def kind_of(key: str) -> str:
    """Return ``direct``, ``group``, ``global`` or ``unknown`` (protocol.md §10.6)."""
    if key == GLOBAL:
        return "global"
    rest = key.split(":", 2)[2] if key.count(":") >= 2 else ""
    if ":group:" in f":{rest}":
        return "group"
    if rest == MAIN or ":direct:" in f":{rest}":
        return "direct"
    return "unknown"
