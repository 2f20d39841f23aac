"""What the page tells, asked of the engine as any client asks it (protocol.md §10)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.rpc.core import Core
from gateway.rpc.desk import Desk
from jobs.errors import EngineError

AGENTS: Final = 24  # whose silence is explained; the others are listed
JOBS: Final = 100
NEWEST: Final = 15  # decisions of each kind, messages, lines of the inbox

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Answers of methods, by what they are for; a part that failed stands in ``amiss``."""

    health: Answer = field(default_factory=dict)
    status: Answer = field(default_factory=dict)
    agents: tuple[Answer, ...] = ()
    silence: Mapping[str, Answer] = field(default_factory=dict)
    jobs: Answer = field(default_factory=dict)
    channels: Answer = field(default_factory=dict)
    outbox: Answer = field(default_factory=dict)
    kept: Answer = field(default_factory=dict)
    inbox: Answer = field(default_factory=dict)
    beats: Answer = field(default_factory=dict)
    runs: Answer = field(default_factory=dict)
    amiss: Mapping[str, str] = field(default_factory=dict)


async def gather(desk: Desk) -> Facts:
    """Ask everything at once; what cannot be told is named, and ends nothing."""
    core = desk.core
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "status": core.scheduling.status,
        "agents": core.heartbeats.listing,
        "jobs": lambda: core.scheduling.list({"includeDisabled": True, "limit": JOBS}),
        "channels": core.channels_status,
        "outbox": lambda: core.messages.listing({"limit": NEWEST}),
        "kept": lambda: core.kept.listing({"limit": NEWEST}),
        "inbox": lambda: core.inbox.listing({"limit": NEWEST}),
        "beats": lambda: core.heartbeats.history({"limit": NEWEST}),
        "runs": lambda: core.scheduling.runs({"limit": NEWEST}),
    }
    amiss: dict[str, str] = {}

    async def one(name: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask()
        except EngineError as error:
            amiss[name] = str(error)
            return None

    answers = await asyncio.gather(*(one(name, ask) for name, ask in asked.items()))
    found = {name: answer for name, answer in zip(asked, answers, strict=True) if answer}
    agents = tuple(found.pop("agents", ()))
    silence = await _silence(core, [str(one["agentId"]) for one in agents][:AGENTS], one)
    return Facts(health=desk.health.facts, agents=agents, silence=silence, amiss=amiss, **found)


async def _silence(
    core: Core,
    names: list[str],
    one: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]],
) -> dict[str, Answer]:
    found = {}
    for name in names:
        told = await one(f"why {name}", lambda name=name: core.inquiries.silence(name))  # type: ignore[misc]  # bound in time
        if told is not None:
            found[name] = told
    return found
