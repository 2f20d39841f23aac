"""The heart, wired: give it a store, a clock and a config, and it can be ticked.

Builds every part of the engine and hands each what it needs; contains no behaviour of its
own. The gateway puts doors around it, the test kit drives it with a manual clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine import prompt
from engine.agents.base import Tool
from engine.agents.configured import factory_of
from engine.agents.factory import AgentFactory
from engine.agents.tools.cron import cron_tool
from engine.agents.tools.files import file_tools
from engine.agents.tools.heartbeat import heartbeat_tool
from engine.agents.tools.message import message_tool
from engine.alarms import AlertRules
from engine.alerting import Alerting
from engine.beat import Beats
from engine.clock import Clock
from engine.config import effective
from engine.config.paths import Paths
from engine.config.schema import Config
from engine.conversation import ChatTurn, Conversation, Persona
from engine.cron_gates import START_AT
from engine.cron_look import LoopSettings
from engine.cron_run import CronRuns, CronSettings
from engine.events import Bus
from engine.heartbeat import Cadence
from engine.history import History
from engine.lanes import Lanes
from engine.look import JOB_PREFIX, SWITCH, Lookout, ReadFile, switched_on
from engine.loop import Loop
from engine.outlet import Outlet
from engine.process import RunProgram
from engine.profiles import roster_of
from engine.record import Recorder
from engine.roster import AgentProfile, Roster
from engine.running import Running
from engine.scheduling import AgentJobs, Control, Place, Scheduling, SchedulingSettings
from engine.store import audit, meta
from engine.turn import Turns
from engine.view import Shown
from engine.vitals import Insist, Vitals
from engine.waking import Waking
from jobs.errors import InvalidInput
from jobs.ids import new_id
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import HeartbeatBeat, Job, Misfire, Source, StoredJob
from jobs.policies import Overlap, alert_of, budget_of
from jobs.retry import RetryPolicy
from jobs.schedule import At
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish
from jobs.store.db import Database, Tx
from jobs.store.rows import instant

log = logging.getLogger(__name__)

INSTALLATION: Final = "installation.id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the heart is told about the world around it."""

    paths: Paths
    host_zone: str
    environ: Mapping[str, str]
    boot_id: str
    places: Mapping[str, Place]  # where the config declares its jobs
    read_file: ReadFile | None = None  # of checklists; None: from the agents' workspaces
    run_program: RunProgram | None = None  # of command jobs; None: as processes of this host


class Engine:
    """All parts, built once. `start` before the first tick, `stop` after the last."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        config: Config,
        seed: str,
        circumstances: Circumstances,
    ) -> None:
        self.database = database
        self.clock = clock
        self.bus = Bus()
        self._config = config
        self._around = circumstances
        self.roster: Roster = roster_of(config, circumstances.paths, circumstances.host_zone)
        self._seed = seed
        self._poke: Callable[[], None] = _nobody
        self._retiring: set[asyncio.Task[None]] = set()
        self._kept: list[tuple[Job, Run]] = []  # claimed by an earlier process, never begun
        self.lanes = Lanes(config.agents.defaults.max_concurrent, clock=clock)
        self.agents: AgentFactory = self._factory(config)
        self.turns = Turns(database=database, lanes=self.lanes, agents=self.agents, clock=clock)
        self.vitals = Vitals()
        insist = Insist(database, clock=clock, vitals=self.vitals)
        self.recorder = Recorder(database, self.bus, insist=insist)
        self.outlet = Outlet(
            database=database, clock=clock, bus=self.bus, roster=lambda: self.roster
        )
        self.lookout = Lookout(
            database=database,
            lanes=self.lanes,
            roster=lambda: self.roster,
            shown=self._shown,
            seed=seed,
            read_file=circumstances.read_file,
        )
        self.beats = Beats(
            database=database,
            clock=clock,
            bus=self.bus,
            recorder=self.recorder,
            turns=self.turns,
            lanes=self.lanes,
            roster=lambda: self.roster,
            lookout=self.lookout,
            tools_for=self.tools_for,
            boot_id=circumstances.boot_id,
            replan=self._plan_beats,
        )
        self.waking = Waking(
            database=database, clock=clock, beats=self.beats, roster=lambda: self.roster
        )
        self.alerting = Alerting(
            database=database,
            bus=self.bus,
            roster=lambda: self.roster,
            rules=self._alert_rules,
            end_pauses=lambda: self.control.end_pauses(),
        )
        self.cron_runs = CronRuns(
            alerting=self.alerting,
            database=database,
            clock=clock,
            recorder=self.recorder,
            turns=self.turns,
            wakes=self.waking,
            roster=lambda: self.roster,
            settings=self._cron_settings,
            tools_for=self.tools_for,
            run_program=circumstances.run_program,
            insist=insist,
        )
        self.running = Running(
            database=database,
            clock=clock,
            recorder=self.recorder,
            performers={"heartbeat": self.beats, "cron": self.cron_runs},
        )
        self.loop = Loop(
            database=database,
            clock=clock,
            recorder=self.recorder,
            running=self.running,
            settings=self._loop_settings,
            boot_id=circumstances.boot_id,
            vitals=self.vitals,
            look_after=self.alerting.look,
        )
        self.control = Control(
            database=database,
            clock=clock,
            bus=self.bus,
            runs=self.running,
            poke=lambda: self._poke(),
            boot_id=circumstances.boot_id,
        )
        self.scheduling = Scheduling(
            database=database,
            clock=clock,
            bus=self.bus,
            settings=self._scheduling_settings,
            dispatch=self.running.dispatch,
            active=self.running.active,
            poke=lambda: self._poke(),
            boot_id=circumstances.boot_id,
        )
        self.conversation = Conversation(
            database=database,
            turns=self.turns,
            bus=self.bus,
            clock=clock,
            persona_of=self._persona,
            tools_for=self._chat_tools,
            insist=insist,
        )
        self.history = History(database, zone_of=lambda agent: self.roster.agent(agent).zone)

    # -- life ----------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The config in force."""
        return self._config

    def on_change(self, poke: Callable[[], None]) -> None:
        """Call ``poke`` whenever something may be due earlier than planned."""
        self._poke = poke

    async def start(self) -> None:
        """Settle what an earlier process left open, and bring the store up to the config."""
        await self._settle_interrupted()
        await self.loop.compare_clocks()
        await self._sync()
        restored = await self.waking.restore()
        if restored:
            log.info("waiting events ask again", extra={"events": restored})

    async def _sync(self) -> None:
        # The jobs first: they may be refused, and then the beats stay as they were.
        await self.scheduling.reconcile(self._config.cron.jobs, places=self._around.places)
        await self._plan_beats()

    async def apply(self, config: Config, places: Mapping[str, Place]) -> None:
        """Put a new config in force: turns that run keep theirs, the next see this one.

        Raises `ConfigInvalid`, and changes nothing, if its jobs are refused. Whatever else
        goes wrong leaves the old one in force too; the same again puts the new one in.
        """
        before = (self._config, self._around, self.roster)
        roster = roster_of(config, self._around.paths, self._around.host_zone)
        agents = self._factory(config)
        self._config, self.roster = config, roster
        self._around = replace(self._around, places=places)
        try:
            await self._sync()
        except BaseException:
            self._config, self._around, self.roster = before
            raise
        old, self.agents = self.agents, agents
        self.turns.use(agents)
        self.lanes.resize(config.agents.defaults.max_concurrent)
        retiring = asyncio.create_task(self._retire(old), name="retiring-agents")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        self._poke()

    async def _retire(self, old: AgentFactory) -> None:
        """Close agents of an earlier config once the last turn they are at has ended."""
        try:
            await self.turns.left(old)
        finally:
            await old.close()

    async def idle(self) -> None:
        """Return when nothing is performed any more."""
        while self.running.jobs() or self.waking.busy:
            await self.running.idle()
            await self.waking.idle()

    async def stop(self, grace: timedelta) -> None:
        """Let what runs finish within ``grace``, all in all; the next start settles the rest."""
        time = asyncio.get_running_loop().time
        end = time() + grace.total_seconds()
        self.loop.stop()
        cut = await self.running.stop(grace)
        await self.waking.stop(timedelta(seconds=max(end - time(), 0)))
        if cut:
            log.warning("runs were cut off", extra={"jobs": list(cut)})
        for retiring in tuple(self._retiring):
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.agents.close()

    async def _settle_interrupted(self) -> None:
        """Rows another process left open: one row each tells the story (cron.md §7 step 2).

        What had begun is recorded as interrupted; a one-shot among it is tried again, beats
        and recurring jobs are not: their next slot comes. What was claimed and never began
        is kept, and begins when `resume` is called.
        """
        now = self.clock.now()
        boot_id = self._around.boot_id

        def work(tx: Tx) -> tuple[list[Run], list[tuple[Job, Run]]]:
            ended, kept = [], []
            for run in run_rows.interrupted(tx, boot_id):
                stored = job_rows.get(tx, run.job_id)
                if stored is not None and _never_began(run):
                    run_rows.adopt(tx, run.id, boot_id)
                    kept.append((stored.job, replace(run, boot_id=boot_id)))
                    continue
                over = _interrupted(run, now)
                again = stored is not None and _replayed(run, stored)
                if stored is not None and again and _interrupted_before(stored):
                    # Perhaps it is the job that ends us: once more, and no more (cron.md §7).
                    again = False
                    over = replace(over, because=f"{over.because}, twice; it is switched off")
                    job_rows.switch_off(tx, run.job_id, now)
                run_rows.finish(tx, [Finish(run=over)])
                ended.append(over)
                if again:
                    job_rows.set_state(tx, run.job_id, next_run_at=now, retry_at=now)
            return ended, kept

        ended, self._kept = await self.database.write(work)
        for run in ended:
            self.recorder.tell(run)
        if ended or self._kept:
            log.warning(
                "an earlier process left runs open",
                extra={"interrupted": len(ended), "begin_now": len(self._kept)},
            )

    async def resume(self) -> None:
        """Begin what an earlier process claimed and never began, unless it is too late for it.

        The config may have changed meanwhile: what is gone or switched off does not begin.
        """
        now = self.clock.now()
        kept, self._kept = self._kept, []
        for job, run in kept:
            stored = await self.database.read(lambda tx, of=job.id: job_rows.get(tx, of))  # type: ignore[misc]  # bound now
            if (words := self._switched_off(stored, run)) or stored is None:
                over = replace(
                    run,
                    status=RunStatus.SKIPPED,
                    reason=SkipReason.DISABLED,
                    because=words,
                    ended_at=now,
                )
                await self.recorder.ended(Finish(run=over))
                continue
            grace = stored.job.misfire.grace
            times = (run.slot, instant(run.facts.get(START_AT)))
            time = max((at for at in times if at is not None), default=now)
            if grace is not None and now - time > grace:
                words = f"claimed before a crash; found {now - time} after its time"
                over = replace(
                    run,
                    status=RunStatus.MISSED,
                    reason=SkipReason.MISSED_GRACE_EXCEEDED,
                    because=words,
                    ended_at=now,
                )
                await self.recorder.ended(Finish(run=over))
            else:
                self.running.dispatch(stored.job, run)

    def _switched_off(self, stored: StoredJob | None, run: Run) -> str:
        """Return why a run that was claimed may not begin any more, or nothing."""
        if stored is None:
            return "the job was removed before it could begin"
        if run.trigger is Trigger.MANUAL:
            return ""  # a person asked for it, enabled or not
        if run.kind == "cron" and not self.cron_enabled:
            return "scheduled jobs were switched off before it could begin"
        return "" if stored.job.enabled else "the job was switched off before it could begin"

    # -- heartbeats ----------------------------------------------------------------------

    async def set_heartbeats(
        self, enabled: bool, *, agent_id: str | None = None, by: str
    ) -> dict[str, Any]:
        """Switch all heartbeats, or one agent's; remembered over restarts, with its author."""
        if agent_id is not None and not self.roster.knows(agent_id):
            have = ", ".join(sorted(self.roster.agents))
            raise InvalidInput(
                "the heartbeat was not switched",
                why=f"agent {agent_id!r} is not configured (have: {have})",
                fix="name one of them",
            )
        key = SWITCH if agent_id is None else f"{SWITCH}:{agent_id.lower()}"
        word = "on" if enabled else "off"

        def work(tx: Tx) -> None:
            meta.put(tx, key, word)
            audit.note(tx, now=self.clock.now(), actor=by, action=key, detail={"set": word})

        await self.database.write(work)
        return {"ok": True, "enabled": enabled, **({"agentId": agent_id} if agent_id else {})}

    async def heartbeats(self) -> list[dict[str, Any]]:
        """Return every agent's heartbeat: cadence, window, next slot, where it would go, last."""
        now = self.clock.now()
        listed = []
        for agent in self.roster.agents.values():
            on = await self.database.read(lambda tx, a=agent.agent_id: switched_on(tx, a))  # type: ignore[misc]  # bound now
            beat = agent.beat
            following = self.lookout.next_beat(agent, now)
            cadence = self.lookout.cadence(agent, now)
            listed.append(
                {
                    "agentId": agent.agent_id,
                    "isDefault": agent.is_default,
                    "enabled": on and beat.period is not None,
                    "switchedOn": on,
                    "because": beat.because or None,
                    "everyMs": None if beat.period is None else _ms(beat.period),
                    "activeHours": beat.active_hours.describe() if beat.active_hours else None,
                    "target": beat.wish.target,
                    "targetSource": beat.wish.source,
                    "route": await self.lookout.route_words(agent),
                    **({"warning": cadence.warning} if cadence and cadence.warning else {}),
                    "nextDueAtMs": None
                    if following is None
                    else round(following.timestamp() * 1000),
                    "last": await self.history.last(agent.agent_id),
                }
            )
        return listed

    async def _plan_beats(self) -> None:
        """Make the stored beats those of the config, as the calendar stands now (§4)."""
        now = self.clock.now()
        jobs = []
        for agent in self.roster.agents.values():
            cadence = self.lookout.cadence(agent, now)
            if cadence is None:
                continue
            jobs.append(_beat_job(agent, cadence))
            if cadence.warning:
                log.warning(
                    "beats moved", extra={"agent": agent.agent_id, "because": cadence.warning}
                )
        await self.scheduling.sync_heartbeats(jobs)

    # -- what the config says ------------------------------------------------------------

    def _factory(self, config: Config) -> AgentFactory:
        return factory_of(config, sleep=self._sleep, folder=self._around.paths.config.parent)

    async def _sleep(self, span: timedelta) -> None:
        await self.clock.sleep_until(self.clock.now() + span)

    @property
    def cron_enabled(self) -> bool:
        """Whether scheduled jobs fire (cron.md §12)."""
        return self._config.cron.enabled and self._around.environ.get("ENGINE_SKIP_CRON") != "1"

    def _loop_settings(self) -> LoopSettings:
        cron = self._config.cron
        budget = cron.budget
        return LoopSettings(
            cron_enabled=self.cron_enabled,
            refire_gap=timedelta(milliseconds=cron.min_refire_gap_ms),
            overlap=Overlap(policy=cron.overlap),
            budget=None if budget is None else budget_of(budget.model_dump(by_alias=True)),
            zone=self.roster.default_zone,
            hours_of=lambda agent: self.roster.agent(agent).beat.active_hours,
        )

    def _alert_rules(self) -> AlertRules:
        cron = self._config.cron
        alert, place = cron.failure_alert, cron.failure_destination
        return AlertRules(
            alert=alert_of(alert.model_dump(by_alias=True)) if alert and alert.enabled else None,
            destination={} if place is None else place.model_dump(by_alias=True, exclude_none=True),
        )

    def _cron_settings(self) -> CronSettings:
        cron = self._config.cron
        return CronSettings(
            max_concurrent_runs=cron.max_concurrent_runs,
            retry=RetryPolicy(
                max_attempts=cron.retry.max_attempts,
                backoff=tuple(timedelta(milliseconds=ms) for ms in cron.retry.backoff_ms),
                retry_on=frozenset(cron.retry.retry_on or RetryPolicy().retry_on),
                auto_disable_after=cron.auto_disable_after,
            ),
        )

    def _scheduling_settings(self) -> SchedulingSettings:
        cron = self._config.cron
        grace = Misfire().grace if cron.misfire.grace is None else cron.misfire.grace
        return SchedulingSettings(
            tz=cron.tz or self.roster.default_zone.key,
            enabled=self.cron_enabled,
            default_agent=self.roster.default_id,
            agents=tuple(self.roster.agents),
            channels=effective.configured_channels(self._config),
            misfire=Misfire(
                policy=cron.misfire.policy, grace=grace, max_catch_up=cron.misfire.max_catch_up
            ),
            config_removal=cron.config_removal,
            orphan_retention=cron.orphan_retention,
        )

    def _shown(self, channel: str | None, account_id: str | None) -> Shown:
        seen = effective.visibility(self._config, channel, account_id)
        return Shown(
            ok=bool(seen.show_ok), alerts=bool(seen.show_alerts), indicator=bool(seen.use_indicator)
        )

    # -- tools and people ----------------------------------------------------------------

    def tools_for(
        self, agent: AgentProfile, *, run_id: str, session_key: str, kind: str
    ) -> Sequence[Tool]:
        """Return the tools of one turn; a beat answers, it does not send (heartbeat.md §22)."""
        tools = [
            *file_tools(agent.workspace),
            cron_tool(
                AgentJobs(self.scheduling),
                agent_id=agent.agent_id,
                session_key=session_key,
                default_agent=self.roster.default_id,
            ),
        ]
        if kind == "heartbeat":
            tools.append(heartbeat_tool())
        else:
            tools.append(message_tool(self.outlet, agent_id=agent.agent_id, run_id=run_id))
        return [
            tool
            for tool in tools
            if (agent.tools_allow is None or tool.name in agent.tools_allow)
            and tool.name not in agent.tools_deny
        ]

    def _persona(self, agent_id: str) -> Persona:
        agent = self.roster.agent(agent_id)
        return Persona(
            agent_id=agent.agent_id,
            model=agent.model,
            fallbacks=agent.fallbacks,
            thinking=agent.thinking,
            workspace=agent.workspace,
            system_prompt=prompt.system(agent.agent_id, "chat"),
            timeout=agent.turn_timeout,
            ack_max_chars=agent.beat.ack_max_chars,
        )

    def _chat_tools(self, chat: ChatTurn, persona: Persona) -> Sequence[Tool]:
        return self.tools_for(
            self.roster.agent(persona.agent_id),
            run_id=chat.run_id,
            session_key=chat.session_key,
            kind="chat",
        )


async def installation_id(database: Database, now: datetime) -> str:
    """Return the id of this installation, made once: the seed of every phase (§4)."""
    fresh = new_id(now)
    return await database.write(lambda tx: meta.keep(tx, INSTALLATION, fresh))


def _nobody() -> None:
    """Nobody is told."""


def _beat_job(agent: AgentProfile, cadence: Cadence) -> Job:
    return Job(
        id=JOB_PREFIX + agent.agent_id,
        name=f"heartbeat {agent.agent_id}",
        schedule=cadence.schedule,
        payload=HeartbeatBeat(),
        agent_id=agent.agent_id,
        session_target="main",
        source=Source.SYSTEM,
        misfire=Misfire(
            policy="run-once" if agent.beat.catch_up else "skip", grace=agent.beat.period
        ),
    )


def _never_began(run: Run) -> bool:
    """A row of a slot or a manual run that waits; a wake is asked for again by its event."""
    waits = run.status is RunStatus.DEFERRED and run.kind == "cron"
    return (run.status is RunStatus.CLAIMED or waits) and run.trigger is not Trigger.WAKE


def _interrupted(run: Run, now: datetime) -> Run:
    if run.status in (RunStatus.DEFERRED, RunStatus.CLAIMED):
        words = "the gateway restarted while it waited; its event is kept and asks again"
        return replace(
            run,
            status=RunStatus.SKIPPED,
            reason=SkipReason.SUPERSEDED,
            because=words,
            ended_at=now,
        )
    words = f"{run.kind}: job interrupted by gateway restart"
    return replace(
        run,
        status=RunStatus.FAILED,
        reason=SkipReason.INTERRUPTED,
        because=words,
        error={"class": "interrupted", "message": words},
        ended_at=now,
    )


def _interrupted_before(stored: StoredJob) -> bool:
    return stored.state.last_reason is SkipReason.INTERRUPTED


def _replayed(run: Run, stored: StoredJob) -> bool:
    return (
        run.kind == "cron"
        and isinstance(stored.job.schedule, At)
        and stored.job.enabled
        and stored.state.next_run_at is None
    )


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
