"""What a stop, a restart or a suspension would interrupt now (protocol.md §10.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """Counted without a wait, so that nothing begins between the count and what follows it."""

    turns: int  # agents at it: beats, jobs, chats
    waiting: int  # turns in line for their lane
    tasks: int  # jobs without a turn, and programs of agents
    leaving: int  # messages on their way to a platform
    blockers: Sequence[Mapping[str, Any]]

    @property
    def total(self) -> int:
        """How much there is to wait for."""
        return self.turns + self.waiting + self.tasks + self.leaving


def at_work(engine: Engine, leaving: int) -> AtWork:
    """Count; ``leaving`` is what the sender has in flight."""
    lanes = engine.lanes.busy()
    held = {one.run_id for one in lanes}
    jobs = [job for job in engine.running.jobs() if not job.startswith("heartbeat:")]
    active = {job: engine.running.active(job) for job in jobs}
    alone = [job for job, run in active.items() if run is not None and run not in held]
    programs = engine.programs.going
    # Let go, and not in a lane yet.
    beats = max(engine.beats.at_it - sum(one.kind == "heartbeat" for one in lanes), 0)
    chats = max(engine.conversation.at_it - sum(one.kind == "chat" for one in lanes), 0)
    said = [f"{one.kind} of {one.agent_id}" for one in lanes]
    said += ["heartbeat that begins"] * beats + ["chat that begins"] * chats
    said += [f"job {job}" for job in alone] + [f"program {name}" for name in programs]
    said += [f"{leaving} messages on their way"] if leaving else []
    running = sum(one.running for one in lanes)
    return AtWork(
        turns=running + beats + chats,
        waiting=len(lanes) - running,
        tasks=len(alone) + len(programs),
        leaving=leaving,
        blockers=[{"kind": "active", "summary": words} for words in said],
    )
