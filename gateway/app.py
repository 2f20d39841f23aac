"""The composition root: builds every part of the process, and knows the order of start and stop.

Contains no decision about behaviour. Start order and refusals: operations.md §6.2, §6.3;
stop order: §7.1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from engine import __version__
from engine.clock import SystemClock
from engine.clockwork import Clockwork
from engine.config import chats, effective
from engine.config.load import Loaded
from engine.config.paths import host_zone, unknown_variables
from engine.core import Circumstances, Engine, installation_id
from engine.log import Redactor, set_up
from engine.upkeep.falling_short import FallingShort
from engine.upkeep.housekeeping import Housekeeping
from engine.upkeep.self_test import SelfTest
from engine.upkeep.watchdog import Watchdog
from engine.vitals import Vitals, keep
from engine.workspace.bootstrap import read_context
from gateway import exits, settings
from gateway.attachments import Attachments
from gateway.auth import configured as auth_configured
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.policy import Policy
from gateway.channels import configured
from gateway.channels.base import Channel
from gateway.channels.typing import EVERY, Typing
from gateway.channels.webhook.channel import WebhookChannel
from gateway.connection import Door, Limits
from gateway.devices import Devices, home_key
from gateway.fanout import Fanout
from gateway.front import Front
from gateway.front.foresight import Foresight
from gateway.front.host import FrontHost
from gateway.front.settings import FrontSettings
from gateway.front.switchboard import FrontSwitchboard
from gateway.hooks.taking import Taking
from gateway.http.hooks import HookPages
from gateway.http.probes import Readiness
from gateway.http.site import site
from gateway.inbound import Reception
from gateway.listening import listen
from gateway.lock import Lock, Owner
from gateway.mail import count_mail
from gateway.monitor import Monitor, rules_of
from gateway.owner import OwnerBook
from gateway.pairing import Pairings
from gateway.protocol.handshake import HelloFacts, Phase, Session, hello_ok
from gateway.protocol.methods import EVENTS, names
from gateway.reloading import WATCH, InForce, Reloader
from gateway.rpc.desk import Desk, new_desk
from gateway.rpc.presence import Presence, SelfEntry
from gateway.runtime import settle
from gateway.sender import GRACE, Sender
from gateway.server import Server, bind
from gateway.service.notify import ALIVE, READY, STOPPING, notify
from jobs.duration import format_duration
from jobs.errors import EngineError
from jobs.ids import new_id
from jobs.store.db import Database
from jobs.wallclock import ms

log = logging.getLogger(__name__)

TICK: Final = timedelta(seconds=30)
RESTART: Final = timedelta(seconds=2)  # what clients are told to expect
SELF_TEST: Final = timedelta(hours=1)  # how often it is asked whose time it is
MONITOR: Final = timedelta(minutes=1)  # how often it is asked whether it is time to look
WATCHDOG: Final = timedelta(seconds=60)
HEALTH: Final = timedelta(seconds=60)
REMINDERS: Final = timedelta(seconds=60)
CHECKLISTS: Final = timedelta(seconds=60)
HOUSEKEEPING: Final = timedelta(minutes=10)
FALLING_SHORT: Final = timedelta(hours=1)
HOST_ZONE: Final = timedelta(minutes=1)  # how soon a traveller's laptop is where it is
DELIVERY_GRACE: Final = timedelta(seconds=3)  # at least: with a drain of 25 s less than 30 s


async def serve(options: settings.RunOptions) -> int:
    """Run a gateway until it is told to stop; returns the exit status.

    Raises an `EngineError` with exit status 78 for what a restart will not mend.
    """
    clock, paths = SystemClock(), options.paths
    while True:
        now = clock.now()
        ending = exits.Ending(
            home=paths.state,
            logs=paths.logs,
            clock=clock,
            boot_id=new_id(now),
            version=__version__,
            began=now,
        )
        with exits.told(ending):
            gateway = await _serve(options, ending)
        if not gateway.again:
            return 0
        options = replace(options, port=gateway.port)  # where its clients look for it


async def _serve(options: settings.RunOptions, ending: exits.Ending) -> Gateway:
    environ = dict(os.environ)
    paths = options.paths
    loaded = settings.load_config(paths, environ, jobs_may_wait=True)
    settings.refuse_unready(loaded.config, options)
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = settings.token(options, loaded.config, environ)
    redact = set_up(paths.logs, verbose=options.verbose, secrets=(*loaded.secrets, token))
    for warning in unknown_variables(environ):
        log.warning(warning)
    for line in loaded.jobs_wait:
        log.error("the jobs applied last keep running", extra={"because": line})
    settings.tell(loaded)
    ending.hide = redact
    gateway = Gateway(options, loaded, environ, redact, ending)
    try:
        await gateway.run()
    except EngineError:
        raise
    except Exception as error:  # the edge of the process: told in words, exit status 1
        log.critical("the gateway broke", exc_info=error)
        raise EngineError(
            "the gateway broke",
            why=f"{type(error).__name__}: {error}",
            fix=f"read the last lines of the log in {paths.logs}",
        ) from error
    return gateway


class Gateway:
    """One running gateway and everything it owns."""

    def __init__(
        self,
        options: settings.RunOptions,
        loaded: Loaded,
        environ: Mapping[str, str],
        redact: Redactor,
        ending: exits.Ending,
    ) -> None:
        self._ending = ending
        self._options = options
        self._force = InForce(loaded)
        self._environ = environ
        self._redact = redact
        self._clock = SystemClock()
        self._started = self._clock.monotonic()
        self._boot_id = ending.boot_id
        self._phase = Phase.STARTING
        self._stop = asyncio.Event()
        self._hosts: tuple[str, ...] = ()  # addresses it is bound to
        self._reason = "stop"
        self._signal: str | None = None
        self._reload: Callable[[], Awaitable[None]] = _too_early
        self.again = False  # it stops in order to start anew
        self.port = 0

    @property
    def _loaded(self) -> Loaded:
        return self._force.loaded

    async def run(self) -> None:
        """Start everything, wait for the end, stop everything."""
        port, _source = settings.port(self._options, self._loaded.config, self._environ)
        hosts = settings.hosts(self._options, self._loaded.config, self._environ)
        self._hosts = hosts
        # Refuses what must not be bound, before anything is.
        auth_configured.tell_weak(self._policy_of(self._loaded))
        owner = Owner(
            pid=os.getpid(),
            started_at_ms=ms(self._clock.now()),
            boot_id=self._boot_id,
            version=__version__,
            profile=self._options.paths.profile,
            config_path=str(self._options.paths.config),
            host=hosts[0],
            port=None,
        )
        async with AsyncExitStack() as stack:
            held = stack.enter_context(Lock(self._options.paths.state, owner))
            sockets = bind(list(hosts), port)
            database = await settings.open_database(self._loaded.config, self._options.paths)
            stack.push_async_callback(database.close)
            parts = await self._build(database, sockets, stack)
            self.port = parts.server.port
            held.bound(hosts[0], self.port)
            self._listen_to_signals()
            await self._open(parts)
            await self._stop.wait()
            await self._close(parts)
        self._ending.tell(exits.of_signal(self._reason), code=0, signal=self._signal)

    async def _build(
        self, database: Database, sockets: list[socket.socket], stack: AsyncExitStack
    ) -> _Parts:
        clock, config = self._clock, self._loaded.config
        engine = Engine(
            database=database,
            clock=clock,
            config=config,
            seed=await installation_id(database, clock.now()),
            circumstances=Circumstances(
                paths=self._options.paths,
                host_zone=host_zone(self._environ),
                environ=self._environ,
                boot_id=self._boot_id,
                places=self._loaded.job_places(),
                jobs_wait=self._loaded.jobs_wait,
                read_context=read_context,
            ),
        )
        channels = configured.channels(
            config, database, self._environ, clock=clock, bus=engine.bus, listen=listen
        )
        engine.beats.probing.use(
            lambda url: _webhooks(channels).fetch(url),
            lambda box: count_mail(box, _webhooks(channels).judged),
        )
        sender = Sender(
            database,
            channels,
            clock=clock,
            bus=engine.bus,
            resend_unknown=lambda route: configured.resends(self._loaded.config, route),
            vitals=engine.vitals,
        )
        reception = Reception(
            database,
            clock=clock,
            policy_of=lambda *where: configured.talk_policy(self._loaded.config, *where),
            agent_of=lambda message: effective.agent_of(
                self._loaded.config,
                message.channel,
                message.account_id,
                effective.Chat(message.peer.to, message.chat_type, message.peer.thread_id),
            ),
            converse=engine.conversation.receive,
            dm_scope=config.session.dm_scope,
            main=effective.main_key(config),
            manners_of=lambda *where: configured.manners(self._loaded.config, *where),
            quiet=lambda channel: chats.debounce(self._loaded.config, channel),
            vitals=engine.vitals,
            poke=sender.poke,
            showing=Typing(channels, clock, self._typing).while_answering,
        )
        foresight = Foresight(
            engine,
            paths=self._options.paths,
            environ=self._environ,
            read_config=lambda: settings.load_config(self._options.paths, self._environ),
            host_zone=host_zone(self._environ),
        )
        devices = Devices(
            database,
            clock,
            home_key(self._options.paths.device_key),
            lambda name, payload: fanout.publish(name, payload),
        )
        monitor = Monitor(
            channels,
            database,
            clock=clock,
            rules=lambda: rules_of(self._loaded.config),
            switched_on=lambda *where: chats.looked_after(self._loaded.config, *where),
        )
        front = Front(
            engine,
            channels=channels,
            loaded=lambda: self._loaded,
            about=lambda *where: {**reception.told(*where), **monitor.told(*where)},
            foresight=foresight,
            pairings=Pairings(database, clock, sender.poke, self._owner_book().write),
            devices=devices,
            settings=FrontSettings(
                self._options.paths,
                clock=clock,
                loaded=lambda: self._loaded,
                check=self._startable,
                reload=lambda: self._reload(),
            ),
            switchboard=FrontSwitchboard(
                channels, lambda channel: self._connect(channel, reception), sender.poke
            ),
            host=FrontHost(
                engine,
                self._options.paths.logs,
                home_key(self._options.paths.device_key),
                self._startable,
                self._start_again,
            ),
        )
        fanout = Fanout(lambda: desk.state_version())
        own = SelfEntry(host=socket.gethostname(), ip="127.0.0.1", version=__version__)
        desk = new_desk(front, clock, Presence(own), fanout.publish, fanout.tell, fanout.end)
        stack.callback(engine.bus.listen(fanout.on_bus))
        gatekeeper = Gatekeeper(self._policy_of(self._loaded), devices.book)

        def hello(session: Session) -> Mapping[str, Any]:
            return hello_ok(
                session,
                HelloFacts(
                    version=__version__,
                    boot_id=self._boot_id,
                    methods=names(session.protocol),
                    events=list(EVENTS),
                    presence=desk.presence.listing(clock.now()),
                    health=desk.health.facts,
                    state_version=desk.state_version(),
                    uptime_ms=self._uptime_ms(),
                    default_agent_id=engine.roster.default_id,
                    main_key=engine.roster.main_key,
                    config_path=str(self._options.paths.config),
                    state_dir=str(self._options.paths.state),
                    auth_mode=gatekeeper.policy.mode.value,
                    config_hash=self._loaded.hash,
                ),
            )

        door = Door(
            desk=desk,
            gatekeeper=gatekeeper,
            fanout=fanout,
            clock=clock,
            hello=hello,
            phase=lambda: self._phase,
            limits=Limits(handshake=settings.handshake_timeout(config, self._environ)),
        )
        clockwork = Clockwork(engine.loop, clock=clock, vitals=engine.vitals)
        engine.on_change(clockwork.poke)
        hooks = HookPages(
            hooks=lambda: self._loaded.config.hooks,
            open=lambda: self._phase is Phase.READY,
            taking=Taking(
                wakes=front.wakes,
                scheduling=engine.scheduling,
                database=database,
                clock=clock,
                once=desk.once,
            ),
            proxies=lambda: gatekeeper.policy.proxies,
        )
        pages = site(
            desk,
            gatekeeper,
            clock=clock,
            phase=lambda: self._phase,
            readiness=lambda: self._readiness(clockwork, engine.vitals),
            http=lambda: engine.config.gateway.http,
            more=[hooks.page],
        )
        server = Server(websocket=door, http=pages, sockets=sockets)
        await stack.enter_async_context(server)
        housekeeping = Housekeeping(
            database=database,
            clock=clock,
            settings=lambda: engine.config.cron,
            inbox=lambda: engine.config.messages.inbox.retention,
        )
        watchdog = Watchdog(
            database=database,
            clock=clock,
            vitals=engine.vitals,
            alerting=engine.alerting,
            at_work_for=lambda: clockwork.at_work_for,
            wake=clockwork.poke,
            default_agent=lambda: engine.roster.default_id,
        )
        self_test = SelfTest(
            database=database,
            clock=clock,
            roster=lambda: engine.roster,
            alerting=engine.alerting,
            probe=lambda channel, account: _probed(channels, channel, account),
        )
        short = FallingShort(
            database=database,
            clock=clock,
            roster=lambda: engine.roster,
            history=engine.history,
            alerting=engine.alerting,
        )
        clockwork.chore("falling-short", short.look, every=FALLING_SHORT)
        clockwork.chore("self-test", self_test.look, every=SELF_TEST)
        clockwork.chore("monitor", monitor.look, every=MONITOR)
        clockwork.chore("watchdog", watchdog.look, every=WATCHDOG)
        clockwork.chore("approvals", engine.approvals.sweep, every=WATCHDOG)
        clockwork.chore("stuck-lanes", engine.stuck_lanes.look, every=WATCHDOG)
        clockwork.chore("tick", _told(fanout, clock), every=TICK)
        clockwork.chore("health", desk.health.refresh, every=HEALTH)
        clockwork.chore("checklists", engine.task_jobs.follow, every=CHECKLISTS)
        clockwork.chore("reminders", engine.waking.remind, every=REMINDERS)
        clockwork.chore("zone", lambda: engine.moved_to(host_zone(self._environ)), every=HOST_ZONE)
        _bring_files(engine, channels, clockwork)
        clockwork.chore("housekeeping", housekeeping.clean, every=HOUSEKEEPING)
        return _Parts(
            engine=engine,
            channels=channels,
            sender=sender,
            reception=reception,
            desk=desk,
            gatekeeper=gatekeeper,
            fanout=fanout,
            door=door,
            server=server,
            clockwork=clockwork,
            devices=devices,
        )

    def _owner_book(self) -> OwnerBook:
        paths = self._options.paths
        return OwnerBook(paths, self._environ, clock=self._clock, loaded=lambda: self._loaded)

    def _typing(self) -> timedelta | None:
        """How often a typing indicator is repeated; None: never."""
        every = chats.typing_interval(self._loaded.config)
        return EVERY if every == timedelta() else every

    def _policy_of(self, loaded: Loaded) -> Policy:
        token = settings.token(self._options, loaded.config, self._environ)
        policy = auth_configured.policy(loaded.config, token, self._environ)
        auth_configured.refuse_shared(loaded.config, policy)
        self._refuse_open(loaded, self._hosts, policy)
        return policy

    def _refuse_open(self, loaded: Loaded, hosts: tuple[str, ...], policy: Policy) -> None:
        wish = settings.bind_wish(self._options, loaded.config, self._environ)
        auth_configured.refuse_open(hosts, wish, policy)

    def _startable(self, raw: bytes | None = None) -> Loaded:
        """The config a next start would take, or why none would start with it."""
        loaded = settings.load_config(
            self._options.paths, self._environ, jobs_may_wait=raw is None, raw=raw
        )
        settings.refuse_unready(loaded.config, self._options)
        hosts = settings.hosts(self._options, loaded.config, self._environ)
        self._refuse_open(loaded, hosts, self._policy_of(loaded))
        return loaded

    # -- start and stop ------------------------------------------------------------------

    async def _open(self, parts: _Parts) -> None:
        """The order of operations.md §6.3: nothing fires before the channels may carry it."""
        engine = parts.engine
        engine.bus.listen(parts.desk.subscriptions.on_bus)
        await engine.start()
        await parts.devices.load()
        await parts.desk.health.refresh()
        async with parts.reception.opening():
            for channel in parts.channels.values():
                await self._connect(channel, parts.reception)
            await parts.sender.start()
        await engine.resume()
        parts.clockwork.start()
        reloader = self._reloader(parts)
        self._reload = reloader.reload
        watching = keep(
            WATCH, lambda: reloader.follow(self._stop), clock=self._clock, vitals=engine.vitals
        )
        self._watch = asyncio.create_task(watching, name="config")
        settle()
        self._phase = Phase.READY
        log.info(
            "gateway ready",
            extra={
                "ms": self._uptime_ms(),
                "url": f"ws://127.0.0.1:{parts.server.port}",
                "agents": len(engine.roster.agents),
                "channels": ",".join(parts.channels),
            },
        )
        notify(READY)

    async def _connect(self, channel: Channel, reception: Reception) -> None:
        if self._environ.get("ENGINE_SKIP_CHANNELS") != "1":
            await channel.start(reception.admit)

    def _reloader(self, parts: _Parts) -> Reloader:
        return Reloader(
            force=self._force,
            paths=self._options.paths,
            environ=self._environ,
            redact=self._redact,
            engine=parts.engine,
            channels=parts.channels,
            gatekeeper=parts.gatekeeper,
            policy_of=self._policy_of,
            send_away=lambda: parts.fanout.end(_by_shared_secret, 4001, "gateway auth changed"),
            connect=lambda channel: self._connect(channel, parts.reception),
            poke=parts.sender.poke,
        )

    async def _close(self, parts: _Parts) -> None:
        """The order of operations.md §7.1: nothing new, what runs ends, then the sockets."""
        notify(STOPPING)
        self._phase = Phase.DRAINING
        grace = timedelta(milliseconds=self._loaded.config.gateway.drain_timeout_ms)
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        end = self._clock.monotonic() + grace
        _tell_wait(parts.engine, grace)

        def left(least: timedelta = timedelta()) -> timedelta:
            return max(end - self._clock.monotonic(), least)

        await _done("clockwork", parts.clockwork.stop())
        back = RESTART // timedelta(milliseconds=1) if self.again else None
        parts.fanout.publish("shutdown", {"reason": self._reason, "restartExpectedMs": back})
        await _done("reception", parts.reception.stop(left()))
        await _done("engine", parts.engine.stop(left()))
        await _done("last words", parts.sender.tick())  # what the last turns said still leaves
        await _done("sender", parts.sender.stop(min(left(DELIVERY_GRACE), GRACE)))
        for name, channel in tuple(parts.channels.items()):
            await _done(name, channel.stop())
        parts.door.close_all(1012, "service restart")
        await _done("calls", parts.desk.tasks.close())
        log.info("gateway stopped", extra={"reason": self._reason, "uptime_ms": self._uptime_ms()})

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)

    def _start_again(self, reason: str) -> None:
        log.info("restart asked for", extra={"because": reason})
        self._reason, self.again = "restart", True
        self._stop.set()

    def _asked_to_stop(self, number: signal.Signals) -> None:
        if self._stop.is_set():  # asked twice: do not wait for turns
            code, words = 128 + number, "asked twice, so nothing was waited for"
            reason = exits.of_signal(number.name.lower())
            self._ending.tell(reason, code=code, detail=words, signal=number.name)
            os._exit(code)
        self._reason, self._signal = number.name.lower(), number.name
        self.again = False
        self._stop.set()

    def _uptime_ms(self) -> int:
        return (self._clock.monotonic() - self._started) // timedelta(milliseconds=1)

    def _readiness(self, clockwork: Clockwork, vitals: Vitals) -> Readiness:
        started = self._phase is Phase.READY
        failing = tuple(vitals.failing) if started else (self._phase.value,)
        armed = clockwork.armed_for
        return Readiness(
            ready=not failing,
            started=started,
            uptime_ms=self._uptime_ms(),
            version=__version__,
            failing=failing,
            detail={
                "scheduler": {
                    "armed": armed is not None,
                    "nextWakeAt": armed.isoformat() if armed else None,
                }
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    engine: Engine
    channels: dict[str, Channel]
    sender: Sender
    reception: Reception
    desk: Desk
    gatekeeper: Gatekeeper
    fanout: Fanout
    door: Door
    server: Server
    clockwork: Clockwork
    devices: Devices


def _by_shared_secret(session: Session) -> bool:
    """A device's own token is not what changed."""
    return session.auth_method != "device-token"


async def _too_early() -> None:
    """Before it is ready nobody is served what would need it."""


async def _probed(channels: Mapping[str, Channel], channel: str, account: str) -> Mapping[str, Any]:
    """What a platform says of an account; of a channel that was taken out, that."""
    found = channels.get(channel)
    if found is None:
        return {"ok": False, "detail": f"channel {channel} is not configured any more"}
    return await found.probe(account)


def _told(fanout: Fanout, clock: SystemClock) -> Callable[[], Awaitable[None]]:
    async def tick() -> None:
        notify(ALIVE)  # a service whose loop is wedged is begun anew (operations.md §8.1)
        fanout.publish("tick", {"ts": ms(clock.now())})

    return tick


def _tell_wait(engine: Engine, grace: timedelta) -> None:
    """Whoever stops a gateway that is at work learns at once what it waits for, and how long."""
    turns = [f"{one.kind} of {one.agent_id}" for one in engine.lanes.busy()]
    jobs = [job for job in engine.running.jobs() if not job.startswith("heartbeat")]
    if turns or jobs:
        log.info(
            "stopping; waiting for what runs (once more to stop at once)",
            extra={
                "turns": ", ".join(turns) or "none",
                "jobs": ", ".join(jobs) or "none",
                "at_most": format_duration(grace),
            },
        )


def _bring_files(engine: Engine, channels: Mapping[str, Channel], clockwork: Clockwork) -> None:
    """Files people send are fetched when their turn begins, and swept when they are old."""
    attachments = Attachments(
        engine.database,
        channels,
        engine.shelf,
        clock=engine.clock,
        keys=lambda: engine.config.messages.media,
    )
    engine.conversation.use(attachments.bring)
    clockwork.chore("files", attachments.sweep, every=HOUSEKEEPING)


def _webhooks(channels: Mapping[str, Channel]) -> WebhookChannel:
    """What probes are reached by: as the webhooks in force may reach it."""
    channel = channels.get("webhook")
    if not isinstance(channel, WebhookChannel):
        raise OSError("there are no webhooks to reach it by")
    return channel


async def _done(part: str, stopping: Awaitable[object]) -> None:
    """Stop one part; that it could not must not keep the others from stopping."""
    try:
        await stopping
    except Exception:
        log.exception("a part did not stop as it should", extra={"part": part})
