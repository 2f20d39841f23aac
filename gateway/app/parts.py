"""The composition root: every part of a gateway, built once and handed what it needs."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from engine import __version__
from engine.clockwork import Clockwork
from engine.config import chats, effective
from engine.config.paths import host_zone
from engine.core import Circumstances, Engine, installation_id
from engine.vitals import Vitals
from engine.workspace.bootstrap import read_context
from gateway import settings
from gateway.app import chores
from gateway.app.pulse import Pulse
from gateway.app.standing import Standing
from gateway.auth.gatekeeper import Gatekeeper
from gateway.channels import configured
from gateway.channels.base import Channel
from gateway.channels.typing import EVERY, Typing
from gateway.channels.webhook.channel import WebhookChannel
from gateway.connection import Door, Limits
from gateway.devices import Devices, home_key
from gateway.fanout import Fanout, Moments
from gateway.front import Front
from gateway.front.around import Around
from gateway.front.foresight import Foresight
from gateway.front.host import FrontHost
from gateway.front.settings import FrontSettings
from gateway.front.suspension import FrontSuspension
from gateway.front.switchboard import FrontSwitchboard
from gateway.hooks.taking import Taking
from gateway.http.hooks import HookPages
from gateway.http.probes import Readiness
from gateway.http.site import site
from gateway.inbound import Reception
from gateway.listening import listen
from gateway.mail import count_mail
from gateway.monitor import Monitor, rules_of
from gateway.owner import OwnerBook
from gateway.pairing import Pairings
from gateway.protocol.handshake import HelloFacts, Phase, Session, hello_ok
from gateway.protocol.methods import events, names
from gateway.replay import Replay
from gateway.restarts import Appointment, Wanted
from gateway.rpc.desk import Desk, new_desk
from gateway.rpc.presence import Presence, SelfEntry
from gateway.sender import Sender
from gateway.server import Server
from jobs.store.db import Database
from jobs.wallclock import ms

Channels = dict[str, Channel]
Again = Callable[[Wanted], Appointment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is started and stopped in an order."""

    engine: Engine
    channels: Channels
    connect: Callable[[Channel], Awaitable[None]]
    sender: Sender
    reception: Reception
    desk: Desk
    gatekeeper: Gatekeeper
    fanout: Fanout
    door: Door
    server: Server
    clockwork: Clockwork
    devices: Devices
    pulse: Pulse


async def build(
    standing: Standing,
    database: Database,
    sockets: list[socket.socket],
    stack: AsyncExitStack,
    again: Again,
) -> Parts:
    """Build everything; the port is open afterwards, and answers that it is not ready."""
    clock = standing.clock
    engine = await _engine(standing, database)
    pulse = Pulse(clock)
    pulse.start()
    ticking = _Still() if standing.options.no_scheduler else engine.loop
    clockwork = Clockwork(ticking, clock=clock, vitals=engine.vitals)
    engine.on_change(clockwork.poke)
    channels = configured.channels(
        standing.loaded.config,
        database,
        standing.environ,
        clock=clock,
        bus=engine.bus,
        listen=listen,
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
        resend_unknown=lambda route: configured.resends(standing.loaded.config, route),
        vitals=engine.vitals,
        suspension=engine.suspension,
    )
    reception = _reception(standing, engine, channels, sender)

    async def connect(channel: Channel) -> None:
        if standing.with_channels:
            await channel.start(reception.admit)

    devices = Devices(
        database,
        clock,
        home_key(standing.options.paths.device_key),
        lambda name, payload: fanout.publish(name, payload),
    )
    monitor = Monitor(
        channels,
        database,
        clock=clock,
        rules=lambda: rules_of(standing.loaded.config),
        switched_on=lambda *where: chats.looked_after(standing.loaded.config, *where),
    )
    front = Front(
        engine,
        channels=channels,
        loaded=lambda: standing.loaded,
        around=_around(standing, clockwork),
        about=lambda *where: {**reception.told(*where), **monitor.told(*where)},
        foresight=_foresight(standing, engine),
        pairings=Pairings(database, clock, sender.poke, _owner_book(standing).write),
        devices=devices,
        settings=FrontSettings(
            standing.options.paths,
            clock=clock,
            loaded=lambda: standing.loaded,
            check=standing.startable,
            reload=lambda by, wanted: standing.reload(by, wanted),
            state=standing.force.state,
        ),
        switchboard=FrontSwitchboard(channels, connect, sender.poke),
        host=FrontHost(
            engine,
            lambda: standing.logs.files,
            home_key(standing.options.paths.device_key),
            standing.restartable,
            again,
            lambda: sender.in_flight,
        ),
        suspending=FrontSuspension(
            engine, lambda: sender.in_flight, lambda work, name: desk.tasks.spawn(work, name)
        ),
    )
    fanout = Fanout(lambda: desk.state_version(), Replay(ms(clock.now())), later=Moments(clock))
    own = SelfEntry(host=socket.gethostname(), ip="127.0.0.1", version=__version__)
    desk = new_desk(
        front, clock, Presence(own), fanout.publish, fanout.tell, fanout.end, fanout.replay
    )
    phase = partial(_phase, standing, engine)
    stack.callback(engine.bus.listen(fanout.on_bus))
    gatekeeper = Gatekeeper(standing.policy_of(standing.loaded), devices.book, desk.visits)
    door = Door(
        desk=desk,
        gatekeeper=gatekeeper,
        fanout=fanout,
        clock=clock,
        ws_log=standing.options.ws_log,
        hello=_hello(standing, engine, desk, gatekeeper),
        phase=phase,
        limits=Limits(
            handshake=settings.handshake_timeout(standing.loaded.config, standing.environ)
        ),
    )
    hooks = HookPages(
        hooks=lambda: standing.loaded.config.hooks,
        open=lambda: phase() is Phase.READY,
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
        phase=phase,
        readiness=lambda: _readiness(standing, clockwork, engine.vitals, pulse),
        http=lambda: engine.config.gateway.http,
        served=lambda: engine.config.gateway.control_ui.enabled,
        more=[hooks.page],
    )
    server = Server(websocket=door, http=pages, sockets=sockets)
    await stack.enter_async_context(server)
    chores.of_engine(clockwork, engine, channels, standing.environ)
    chores.of_gateway(clockwork, engine, monitor=monitor, fanout=fanout, health=desk.health.refresh)
    return Parts(
        engine=engine,
        channels=channels,
        connect=connect,
        sender=sender,
        reception=reception,
        desk=desk,
        gatekeeper=gatekeeper,
        fanout=fanout,
        door=door,
        server=server,
        clockwork=clockwork,
        devices=devices,
        pulse=pulse,
    )


async def _engine(standing: Standing, database: Database) -> Engine:
    loaded = standing.loaded
    return Engine(
        database=database,
        clock=standing.clock,
        config=loaded.config,
        seed=await installation_id(database, standing.clock.now()),
        circumstances=Circumstances(
            paths=standing.options.paths,
            host_zone=host_zone(standing.environ),
            environ=standing.environ,
            boot_id=standing.boot_id,
            places=loaded.job_places(),
            jobs_wait=loaded.jobs_wait,
            read_context=read_context,
        ),
    )


def _reception(standing: Standing, engine: Engine, channels: Channels, sender: Sender) -> Reception:
    config = standing.loaded.config

    def every() -> timedelta | None:
        """How often a typing indicator is repeated; None: never."""
        told = chats.typing_interval(standing.loaded.config)
        return EVERY if told == timedelta() else told

    return Reception(
        engine.database,
        clock=standing.clock,
        policy_of=lambda *where: configured.talk_policy(standing.loaded.config, *where),
        agent_of=lambda message: effective.agent_of(
            standing.loaded.config,
            message.channel,
            message.account_id,
            effective.Chat(message.peer.to, message.chat_type, message.peer.thread_id),
        ),
        converse=engine.conversation.receive,
        dm_scope=config.session.dm_scope,
        main=effective.main_key(config),
        manners_of=lambda *where: configured.manners(standing.loaded.config, *where),
        quiet=lambda channel: chats.debounce(standing.loaded.config, channel),
        vitals=engine.vitals,
        poke=sender.poke,
        showing=Typing(channels, standing.clock, every).while_answering,
    )


def _around(standing: Standing, clockwork: Clockwork) -> Around:
    return Around(
        paths=standing.options.paths,
        boot_id=standing.boot_id,
        began=standing.ending.began,
        uptime_ms=standing.uptime_ms,
        armed_for=lambda: clockwork.armed_for,
        lag=lambda: clockwork.lag,
        refused=lambda: standing.force.refused,
        pending=lambda: standing.force.pending,
        degraded=lambda: bool(standing.force.unresolved),
    )


def _foresight(standing: Standing, engine: Engine) -> Foresight:
    paths, environ = standing.options.paths, standing.environ
    return Foresight(
        engine,
        paths=paths,
        environ=environ,
        read_config=lambda: settings.load_config(paths, environ),
        host_zone=host_zone(environ),
    )


def _owner_book(standing: Standing) -> OwnerBook:
    return OwnerBook(
        standing.options.paths,
        standing.environ,
        clock=standing.clock,
        loaded=lambda: standing.loaded,
    )


def _hello(
    standing: Standing, engine: Engine, desk: Desk, gatekeeper: Gatekeeper
) -> Callable[[Session], Mapping[str, Any]]:
    def hello(session: Session) -> Mapping[str, Any]:
        return hello_ok(
            session,
            HelloFacts(
                version=__version__,
                boot_id=standing.boot_id,
                methods=names(session.protocol),
                events=events(session.protocol),
                presence=desk.presence.listing(standing.clock.now()),
                health=desk.health.facts,
                state_version=desk.state_version(),
                uptime_ms=standing.uptime_ms(),
                default_agent_id=engine.roster.default_id,
                main_key=engine.roster.main_key,
                config_path=str(standing.options.paths.config),
                state_dir=str(standing.options.paths.state),
                auth_mode=gatekeeper.policy.mode.value,
                config_hash=standing.loaded.hash,
                suspension=desk.core.suspending.phase,
                event_cursor=desk.replay.cursor,
            ),
        )

    return hello


def _phase(standing: Standing, engine: Engine) -> Phase:
    """How far its life has come, and whether a host holds it meanwhile."""
    held = standing.phase is Phase.READY and engine.suspension.held
    return Phase.SUSPENDED if held else standing.phase


def _readiness(standing: Standing, clockwork: Clockwork, vitals: Vitals, pulse: Pulse) -> Readiness:
    started = standing.phase is Phase.READY
    failing = tuple(vitals.failing) if started else (standing.phase.value,)
    armed = None if standing.options.no_scheduler else clockwork.armed_for
    return Readiness(
        ready=not failing,
        started=started,
        uptime_ms=standing.uptime_ms(),
        version=__version__,
        failing=failing,
        detail={
            "scheduler": {
                "armed": armed is not None,
                "nextWakeAt": armed.isoformat() if armed else None,
                "lagMs": clockwork.lag // timedelta(milliseconds=1),
            },
            "eventLoop": pulse.told(),
        },
    )


class _Still:
    """In the place of the loop where nothing is to fire by itself (`--no-scheduler`)."""

    async def tick(self) -> None:
        """Look at nothing."""


def _webhooks(channels: Mapping[str, Channel]) -> WebhookChannel:
    """What probes are reached by: as the webhooks in force may reach it."""
    channel = channels.get("webhook")
    if not isinstance(channel, WebhookChannel):
        raise OSError("there are no webhooks to reach it by")
    return channel
