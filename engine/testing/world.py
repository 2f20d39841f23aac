"""What a simulation puts in the place of the outside: agents, checklists, programs, platforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engine.agents.base import Agent, TurnRequest
from engine.agents.configured import load_script
from engine.agents.offline import OfflineAgent
from engine.beats.look import FileRead, read_now
from engine.config.paths import Paths
from engine.config.schema import Config
from engine.messages.delivery import Delivery
from engine.messages.outbox import Event, moved
from engine.process import Ended, Hear
from engine.roster.roster import Roster
from engine.store import outbox
from engine.testing.agent import OneAgent, ScriptedAgent, agent_of
from engine.testing.clock import ManualClock
from jobs.store.db import Tx

AnyAgent = Agent | Callable[[TurnRequest], str]
Commands = Callable[[Sequence[str]], str | Ended]

BATCH: Final = 100  # heads of lanes looked at together
# Of an agent the caller did not bring.
_SIDE_EFFECTS: Final = frozenset({"write", "exec", "process"})


class World:
    """The stand-ins of one simulation; what each parameter means says `Simulation`."""

    def __init__(
        self,
        clock: ManualClock,
        *,
        agent: AnyAgent | None,
        checklist: str | Mapping[str, str] | None,
        commands: Commands | None,
    ) -> None:
        self._clock = clock
        self._agent = agent
        self._checklist = checklist
        self._commands = commands or _pretended
        self._turns: OneAgent | None = None

    def source(self, config: Config, paths: Paths) -> OneAgent:
        """Who answers every turn under this config: the agent given, else the offline rules."""
        if self._agent is not None:
            agent = agent_of(self._agent)
            if isinstance(agent, ScriptedAgent):
                agent.clock = self._clock
            self._turns = OneAgent(agent)
            return self._turns
        offline = config.models.providers.get("offline")
        named = offline.script if offline is not None else None
        script = load_script(paths.expand(named)) if named else ()
        rules = OfflineAgent(script, sleep=self._sleep)
        self._turns = OneAgent(rules, without_tools=_SIDE_EFFECTS)
        return self._turns

    @property
    def answering(self) -> bool:
        """Whether a turn waits for something real, and not only for the clock."""
        return self._turns is not None and self._turns.busy > self._clock.sleepers

    def checklist(self, workspace: Path, roster: Roster) -> FileRead:
        """What HEARTBEAT.md says; the real file, where nothing was given."""
        given = self._checklist
        if given is None:
            return read_now(workspace)
        if isinstance(given, str):
            return given.encode(), None
        agents = roster.agents.values()
        owner = next((one.agent_id for one in agents if one.workspace == workspace), "")
        return (given[owner].encode(), None) if owner in given else (None, None)

    async def run_program(
        self, argv: Sequence[str], *, hear: Hear | None = None, **_how: Any
    ) -> Ended:
        """What a command prints, or how it ends. See `engine.process`."""
        said = self._commands(argv)
        ended = said if isinstance(said, Ended) else Ended(code=0, out=said.encode(), err=b"")
        if hear is not None:
            hear(ended.out + ended.err)
        return ended

    async def _sleep(self, span: timedelta) -> None:
        await self._clock.sleep_until(self._clock.now() + span)


def carry(tx: Tx, now: datetime) -> list[tuple[Delivery, bool]]:
    """The whole journey of every message that may leave: no platform refuses them.

    With each whether its job went with it, whose last words these were.
    """
    arrived: list[tuple[Delivery, bool]] = []
    while heads := outbox.ready(tx, now, BATCH):
        before = len(arrived)
        for one in heads:
            sending = moved(one, Event.ATTEMPT, now, attempts=1)
            there = moved(sending, Event.ACCEPTED, now, message_ids=(f"sim-{one.key}",))
            if outbox.put(tx, one, there, now) is not None:
                arrived.append((there, outbox.let_go(tx, there)))
        if len(arrived) == before:
            break
    return arrived


def _pretended(argv: Sequence[str]) -> str:
    return f"(not run in a simulation) {' '.join(argv)}"
