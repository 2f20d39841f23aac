"""The heart, wired: give it a store, a clock and a config, and it can be ticked.

Builds every part of the engine and hands each what it needs; contains no behaviour of its
own. The gateway puts doors around it, the test kit drives it with a manual clock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from engine.agents.configured import factory_of
from engine.agents.factory import AgentFactory
from engine.agents.preflight import Preflight
from engine.alerts.alerting import Alerting
from engine.beats.beat import Beats
from engine.beats.end import BeatEnd
from engine.beats.errands import Errands
from engine.beats.jobs import BeatJobs
from engine.beats.look import Lookout, ReadFile
from engine.beats.probing import Probing
from engine.beats.task_jobs import TaskJobs
from engine.beats.turn import BeatTurn
from engine.beats.waking import Waking
from engine.clock import Clock
from engine.config.calendars import calendars
from engine.config.json5 import Place
from engine.config.paths import Paths
from engine.config.schema import Config
from engine.cron.end import CronEnd
from engine.cron.run import CronRuns
from engine.cron.wait import Ends
from engine.events import Bus
from engine.inquiry.coming import Coming
from engine.inquiry.dry_run import ByHand
from engine.inquiry.trial import Trial
from engine.ledger.history import History
from engine.loop import Loop
from engine.outlet import Outlet
from engine.process import RunProgram
from engine.programs.journal import Journal
from engine.programs.room import Room
from engine.record import Recorder
from engine.roster.profiles import roster_of
from engine.roster.roster import Roster
from engine.running import Running
from engine.scheduling import Control, Outlook, Scheduling
from engine.sessions import main_key
from engine.settings import Settings
from engine.shelf import Shelf
from engine.store import meta
from engine.suspension import Suspension
from engine.talk.approvals import Approvals
from engine.talk.conversation import ChatTurn, Conversation
from engine.talk.inbox_desk import InboxDesk
from engine.talk.outbox_desk import OutboxDesk
from engine.turns.lanes import Lanes
from engine.turns.toolbox import Toolbox
from engine.turns.turn import ReadContext, Turns
from engine.upkeep.recovery import Recovery
from engine.upkeep.strikes import Strikes
from engine.upkeep.stuck_lane import StuckLanes
from engine.vitals import Insist, Vitals
from jobs.ids import new_id
from jobs.model import ERRAND
from jobs.store.db import Database

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
    jobs_wait: tuple[str, ...] = ()  # why they are not read: those applied last go on
    read_file: ReadFile | None = None  # of checklists; None: from the agents' workspaces
    read_context: ReadContext | None = None  # of the agents' workspaces; None: nobody reads them
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
        self.bus, self.suspension = Bus(), Suspension(lambda: self._poke())
        self._around = circumstances
        self._settings = self._read(config)
        self._places, self._jobs_wait = circumstances.places, circumstances.jobs_wait
        self._poke: Callable[[], None] = _nobody
        self._retiring: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()  # one change of what is in force at a time
        self.vitals = Vitals()
        insist = Insist(database, clock=clock, vitals=self.vitals)
        self.recorder = Recorder(database, self.bus, insist=insist)
        self.history = History(
            database,
            clock,
            zone_of=lambda agent: self.roster.agent(agent).zone,
            hours_of=lambda agent: self.roster.agent(agent).beat.active_hours,
        )
        # Jobs are kept by the desk and performed further down, and a turn may ask the desk.
        self.scheduling = Scheduling(
            database=database,
            clock=clock,
            bus=self.bus,
            settings=lambda: self._settings.scheduling(),
            dispatch=lambda job, run: self.running.dispatch(job, run),
            active=lambda job_id: self.running.active(job_id),
            cancel=lambda job_id, because: self.running.cancel_job(job_id, because),
            withdraw=lambda job_id, because: self.running.withdraw(job_id, because),
            poke=lambda: self._poke(),
            boot_id=circumstances.boot_id,
        )
        self.lanes = Lanes(config.agents.defaults.max_concurrent, clock=clock)
        self.agents: AgentFactory = self._factory(config)
        self.turns = Turns(
            database=database,
            lanes=self.lanes,
            agents=self.agents,
            clock=clock,
            read_context=circumstances.read_context,
        )
        self.outlet = Outlet(
            database=database,
            clock=clock,
            bus=self.bus,
            roster=lambda: self.roster,
            shelf=self.shelf,
        )
        self.inbox_desk = InboxDesk(
            database=database, clock=clock, bus=self.bus, roster=lambda: self.roster
        )
        self.outbox_desk = OutboxDesk(database=database, clock=clock, bus=self.bus)
        self.control = Control(
            database=database,
            clock=clock,
            bus=self.bus,
            runs=lambda: self.running,
            poke=lambda: self._poke(),
            boot_id=circumstances.boot_id,
        )
        self.trial = Trial(database=database, clock=clock, bus=self.bus, roster=lambda: self.roster)
        self._journal = Journal(database, clock)
        self.programs = Room(
            journal=self._journal,
            clock=clock,
            rules=lambda: self._settings.exec_rules,
            wakes=lambda: self.waking,
            insist=insist,
            run_program=circumstances.run_program,
            ask=lambda order, because: self.approvals.ask(order, because),
        )
        self.toolbox = Toolbox(
            jobs=self.scheduling,
            holds=self.control,
            outlet=self.outlet,
            programs=self.programs,
            roster=lambda: self.roster,
            leave=lambda: self._settings.leave,
            received=lambda agent_id: self.shelf.incoming(agent_id),
        )
        self.lookout = self._lookout(seed)
        self.beat_jobs = BeatJobs(
            database=database,
            clock=clock,
            roster=lambda: self.roster,
            lookout=self.lookout,
            scheduling=self.scheduling,
            history=self.history,
            plan_tasks=lambda: self.task_jobs.plan(),
        )
        # It counts by a clock that is ahead, so it looks with eyes of its own.
        self.coming = Coming(
            database=database, lookout=self._lookout(seed), roster=lambda: self.roster
        )
        self.alerting = Alerting(
            database=database,
            bus=self.bus,
            roster=lambda: self.roster,
            rules=lambda: self._settings.alerts,
            end_pauses=lambda: self.control.end_pauses(),
        )
        beat_end = BeatEnd(clock=clock, recorder=self.recorder, alerting=self.alerting)
        self.beats = Beats(
            clock=clock,
            recorder=self.recorder,
            lanes=self.lanes,
            roster=lambda: self.roster,
            lookout=self.lookout,
            turn=self._beat_turn(beat_end),
            end=beat_end,
            probing=Probing(
                database,
                run=circumstances.run_program,
                threads=circumstances.read_file is None,
            ),
            boot_id=circumstances.boot_id,
            replan=self.beat_jobs.plan,
            suspension=self.suspension,
        )
        self.waking = Waking(
            database=database,
            clock=clock,
            beats=self.beats,
            roster=lambda: self.roster,
            next_turn=self.lookout.next_turn,
        )
        self.task_jobs = TaskJobs(
            database=database,
            clock=clock,
            roster=lambda: self.roster,
            scheduling=self.scheduling,
            control=self.control,
            waking=self.waking,
            seed=seed,
            read_file=circumstances.read_file,
        )
        self.cron_end = CronEnd(
            database=database,
            clock=clock,
            recorder=self.recorder,
            roster=lambda: self.roster,
            alerting=self.alerting,
            retry=lambda: self._settings.cron_runs.retry,
            others=lambda job_id: len(self.running.standing(job_id).running) > 1,
            poke=lambda: self._poke(),
        )
        self.cron_runs = CronRuns(
            database=database,
            clock=clock,
            recorder=self.recorder,
            turns=self.turns,
            wakes=self.waking,
            roster=lambda: self.roster,
            settings=lambda: self._settings.cron_runs,
            toolbox=self.toolbox,
            end=self.cron_end,
            preflight=Preflight(clock),
            ends=Ends(self.bus),
            run_program=circumstances.run_program,
            insist=insist,
            suspension=self.suspension,
        )
        self.running = Running(
            database=database,
            clock=clock,
            recorder=self.recorder,
            performers={
                "heartbeat": self.beats,
                "cron": self.cron_runs,
                ERRAND: Errands(
                    clock=clock,
                    recorder=self.recorder,
                    roster=lambda: self.roster,
                    wake=lambda wake: self.waking.wake(wake),
                ),
            },
            enders={"cron": self.cron_end.cut},
            waits=self.cron_runs.waits,
        )
        self.loop = Loop(
            database=database,
            clock=clock,
            recorder=self.recorder,
            running=self.running,
            settings=lambda: self._settings.loop,
            boot_id=circumstances.boot_id,
            vitals=self.vitals,
            look_after=self.alerting.look,
            overspent=self.alerting.overspent,
            passed_over=self.alerting.passed_over,
            strikes=Strikes(database, bus=self.bus, alerting=self.alerting),
            replan=self.beat_jobs.plan,
            suspension=self.suspension,
        )
        self.outlook = Outlook(
            database=database, clock=clock, sight=lambda: self._settings.outlook()
        )
        self.recovery = Recovery(
            database=database,
            clock=clock,
            recorder=self.recorder,
            dispatch=self.running.dispatch,
            end=self.cron_end.cut,
            cron_enabled=lambda: self._settings.cron_enabled,
            boot_id=circumstances.boot_id,
        )
        self.conversation = Conversation(
            hear=self._hear,
            database=database,
            turns=self.turns,
            bus=self.bus,
            clock=clock,
            roster=lambda: self.roster,
            toolbox=self.toolbox,
            insist=insist,
            suspension=self.suspension,
        )

    def _beat_turn(self, end: BeatEnd) -> BeatTurn:
        return BeatTurn(
            database=self.database,
            clock=self.clock,
            bus=self.bus,
            recorder=self.recorder,
            end=end,
            turns=self.turns,
            roster=lambda: self.roster,
            toolbox=self.toolbox,
        )

    @property
    def standing(self) -> tuple[object, ...] | None:
        """What answers from rows and settings hang on: while it is equal, they stand.

        None: others write to the store too, and what was read may be otherwise any moment.
        """
        changes = self.database.changes
        return None if changes is None else (changes, self._settings, self.scheduling.remarks)

    @property
    def shelf(self) -> Shelf:
        """Where files of messages lie."""
        return Shelf(self._around.paths.media)

    @property
    def by_hand(self) -> ByHand:
        """Runs beats because a person asked."""
        return ByHand(
            database=self.database,
            clock=self.clock,
            roster=lambda: self.roster,
            lookout=self.lookout,
            turn=self.beats.turn,
            waking=self.waking,
            history=self.history,
        )

    @property
    def approvals(self) -> Approvals:
        """Asks a person whether a command may run."""
        return Approvals(
            database=self.database,
            clock=self.clock,
            bus=self.bus,
            roster=lambda: self.roster,
            within=lambda: self._settings.exec_rules.answer_within,
            runs=lambda: self.programs,
            wakes=lambda: self.waking,
        )

    async def _hear(self, chat: ChatTurn) -> str | None:
        """Answer what is said in a chat to the engine itself; None: it is for the agent."""
        words = await self.approvals.hear(chat.text, chat.route)
        return words if words is not None else await self.inbox_desk.hear(chat)

    @property
    def stuck_lanes(self) -> StuckLanes:
        """Tells of turns that keep beats waiting for long."""
        return StuckLanes(
            database=self.database,
            clock=self.clock,
            lanes=self.lanes,
            roster=lambda: self.roster,
            alerting=self.alerting,
        )

    def _lookout(self, seed: str) -> Lookout:
        return Lookout(
            database=self.database,
            lanes=self.lanes,
            roster=lambda: self.roster,
            shown=lambda channel, account: self._settings.shown(channel, account),
            seed=seed,
            read_file=self._around.read_file,
            config_hash=lambda: self._settings.digest,
        )

    # -- what is in force ----------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The config in force."""
        return self._settings.config

    @property
    def roster(self) -> Roster:
        """Who its agents are."""
        return self._settings.roster

    def on_change(self, poke: Callable[[], None]) -> None:
        """Call ``poke`` whenever something may be due earlier than planned."""
        self._poke = poke

    def _read(self, config: Config) -> Settings:
        around = self._around
        found = calendars(config, around.paths.config.parent, self.clock.now(), around.host_zone)
        roster = roster_of(config, around.paths, around.host_zone, calendars=found)
        return Settings(config=config, roster=roster, environ=around.environ, calendars=found)

    async def _read_aside(self, config: Config) -> Settings:
        """Read the same while the loop goes on: the files of calendars may be large."""
        if not config.cron.calendars:
            return self._read(config)
        return await asyncio.to_thread(self._read, config)

    def _factory(self, config: Config) -> AgentFactory:
        return factory_of(config, sleep=self._sleep, folder=self._around.paths.config.parent)

    async def _sleep(self, span: timedelta) -> None:
        await self.clock.sleep_until(self.clock.now() + span)

    async def apply(self, config: Config, places: Mapping[str, Place]) -> None:
        """Put a new config in force: turns that run keep theirs, the next see this one.

        Raises `ConfigInvalid`, and changes nothing, if its jobs are refused. Whatever else
        goes wrong leaves the old one in force too; the same again puts the new one in.
        """
        async with self._changing:
            await self._apply(config, places)
        self._poke()

    async def _apply(self, config: Config, places: Mapping[str, Place]) -> None:
        settings, agents = await self._read_aside(config), self._factory(config)
        before = self._settings, self._places
        self._jobs_wait = ()  # what is put in force now was read whole
        self._settings, self._places = settings, places
        try:
            await self._sync()
        except BaseException:
            self._settings, self._places = before
            raise
        old, self.agents = self.agents, agents
        self.turns.use(agents)
        self.lanes.resize(config.agents.defaults.max_concurrent)
        self.beats.look_again()
        retiring = asyncio.create_task(self._retire(old), name="retiring-agents")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def moved_to(self, host_zone: str) -> None:
        """Go by another zone of the host from now on, where nobody gave one (cron.md §3.1)."""
        if host_zone == self._around.host_zone:
            return
        async with self._changing:
            self._around = replace(self._around, host_zone=host_zone)
            self._settings = await self._read_aside(self.config)
            await self._sync()
        self._poke()

    async def _sync(self) -> None:
        # The jobs first: they may be refused, and then the beats stay as they were.
        if self._jobs_wait:
            self.scheduling.file_told(self._jobs_wait)
        else:
            await self.scheduling.reconcile(self.config.cron.jobs, places=self._places)
        await self.scheduling.rezone()
        await self.beat_jobs.plan()

    async def _retire(self, old: AgentFactory) -> None:
        """Close agents of an earlier config once the last turn they are at has ended."""
        try:
            await self.turns.left(old)
        finally:
            await old.close()

    # -- life ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Settle what an earlier process left open, and bring the store up to the config."""
        await self.recovery.settle()
        await self.loop.compare_clocks()
        await self._sync()
        await self._journal.settle(self._main_session)
        restored = await self.waking.restore()
        if restored:
            log.info("waiting events ask again", extra={"events": restored})

    def _main_session(self, agent_id: str) -> str | None:
        """The main session of an agent, if there is such an agent."""
        roster = self.roster
        return main_key(agent_id, main=roster.main_key) if roster.knows(agent_id) else None

    async def resume(self) -> None:
        """Begin what an earlier process claimed and never began."""
        await self.recovery.resume()

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
        await self.programs.stop()
        if cut:
            log.warning("runs were cut off", extra={"jobs": list(cut)})
        for retiring in tuple(self._retiring):
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.agents.close()


async def installation_id(database: Database, now: datetime) -> str:
    """Return the id of this installation, made once: the seed of every phase (§4)."""
    fresh = new_id(now)
    return await database.write(lambda tx: meta.keep(tx, INSTALLATION, fresh))


def _nobody() -> None:
    """Nobody is told."""
