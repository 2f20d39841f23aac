"""The composition root: builds every part of the process, and knows the order of start and stop.

Contains no decision about behaviour. Start order and refusals: operations.md §6.2, §6.3;
stop order: §7.1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from engine import __version__
from engine.clock import SystemClock
from engine.clockwork import Clockwork
from engine.config import effective, reload, watch
from engine.config.load import Loaded, load
from engine.config.paths import Paths, host_zone
from engine.config.schema import Config
from engine.core import Circumstances, Engine, installation_id
from engine.housekeeping import Housekeeping
from engine.log import Redactor, set_up
from engine.scheduling import Place
from gateway.auth import Gatekeeper, Mode, Policy
from gateway.channels.base import Channel
from gateway.channels.local import LocalChannel
from gateway.channels.policy import GroupRule, Policy as TalkPolicy
from gateway.channels.telegram.account import TelegramAccount
from gateway.channels.telegram.channel import TelegramChannel
from gateway.connection import Door, Limits
from gateway.fanout import Fanout
from gateway.front import Front
from gateway.http import Pages, Readiness
from gateway.inbound import Reception
from gateway.lock import Lock, Owner
from gateway.protocol.handshake import HelloFacts, Phase, Session, hello_ok
from gateway.protocol.methods import EVENTS, METHODS
from gateway.rpc.desk import new_desk
from gateway.rpc.presence import Presence, SelfEntry
from gateway.sender import Sender
from gateway.server import Server, bind
from jobs import declared
from jobs.edit import Rules
from jobs.errors import ConfigInvalid, EngineError, OwnershipRefused
from jobs.ids import new_id
from jobs.store.db import Database

log = logging.getLogger(__name__)

TICK: Final = timedelta(seconds=30)
HEALTH: Final = timedelta(seconds=60)
HOUSEKEEPING: Final = timedelta(minutes=10)
DELIVERY_GRACE: Final = timedelta(seconds=10)
_LOOPBACK: Final = ("127.0.0.1", "::1")
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - only with auth, see _hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line says to `engine gateway`."""

    paths: Paths
    port: int | None = None
    bind: str | None = None
    token: str | None = None
    verbose: bool = False
    allow_unconfigured: bool = False


async def serve(options: RunOptions) -> int:
    """Run a gateway until it is told to stop; returns the exit status.

    Raises an `EngineError` with exit status 78 for what a restart will not mend.
    """
    environ = dict(os.environ)
    paths = options.paths
    loaded = _load(paths, environ)
    _refuse_unready(loaded.config, options)
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = _token(options, loaded.config, environ)
    redact = set_up(paths.logs, verbose=options.verbose, secrets=(*loaded.secrets, token))
    for note in loaded.notes:
        if note.level == "warning":
            log.warning(note.message, extra={"path": note.path})
    gateway = Gateway(options, loaded, environ, token, redact)
    return await gateway.run()


class Gateway:
    """One running gateway and everything it owns."""

    def __init__(
        self,
        options: RunOptions,
        loaded: Loaded,
        environ: Mapping[str, str],
        token: str,
        redact: Redactor,
    ) -> None:
        self._options = options
        self._loaded = loaded
        self._environ = environ
        self._token = token
        self._redact = redact
        self._clock = SystemClock()
        self._started = self._clock.monotonic()
        self._boot_id = new_id(self._clock.now())
        self._phase = Phase.STARTING
        self._stop = asyncio.Event()
        self._reason = "stop"

    async def run(self) -> int:
        """Start everything, wait for the end, stop everything."""
        port, _source = _port(self._options, self._loaded.config, self._environ)
        hosts = _hosts(self._options, self._loaded.config, self._environ)
        owner = Owner(
            pid=os.getpid(),
            started_at_ms=round(self._clock.now().timestamp() * 1000),
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
            database = await _database(self._loaded.config, self._options.paths)
            stack.push_async_callback(database.close)
            parts = await self._build(database, sockets, stack)
            held.bound(hosts[0], parts.server.port)
            await self._open(parts)
            self._listen_to_signals()
            await self._stop.wait()
            await self._close(parts)
        return 0

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
                places=_places(self._loaded),
            ),
        )
        channels = _channels(config, engine, self._environ)
        sender = Sender(
            database,
            channels,
            clock=clock,
            bus=engine.bus,
            resend_unknown=lambda route: _resends(config, route.channel),
        )
        reception = Reception(
            database,
            clock=clock,
            policy_of=lambda channel, account: _policy(config, channel, account),
            agent_of=lambda message: _agent_of(config, message.channel, message.account_id),
            converse=engine.conversation.receive,
            dm_scope=config.session.dm_scope,
            main=config.session.main_key,
        )
        front = Front(engine, channels=channels, loaded=lambda: self._loaded)
        fanout = Fanout(lambda: desk.state_version())
        own = SelfEntry(host=socket.gethostname(), ip="127.0.0.1", version=__version__)
        desk = new_desk(front, clock, Presence(own), fanout.publish)
        stack.callback(engine.bus.listen(fanout.on_bus))
        gatekeeper = Gatekeeper(_auth(config, self._token))

        def hello(session: Session) -> Mapping[str, Any]:
            return hello_ok(
                session,
                HelloFacts(
                    version=__version__,
                    boot_id=self._boot_id,
                    methods=list(METHODS),
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
            limits=Limits(),
        )
        clockwork = Clockwork(engine.loop, clock=clock)
        engine.on_change(clockwork.poke)
        pages = Pages(gatekeeper, lambda: self._readiness(clockwork))
        server = Server(websocket=door, http=pages, sockets=sockets)
        await stack.enter_async_context(server)
        housekeeping = Housekeeping(
            database=database, clock=clock, settings=lambda: engine.config.cron
        )
        clockwork.chore("tick", _told(fanout, clock), every=TICK)
        clockwork.chore("health", desk.health.refresh, every=HEALTH)
        clockwork.chore("housekeeping", housekeeping.clean, every=HOUSEKEEPING)
        return _Parts(engine, channels, sender, reception, desk, fanout, door, server, clockwork)

    # -- start and stop ------------------------------------------------------------------

    async def _open(self, parts: _Parts) -> None:
        """The order of operations.md §6.3: nothing fires before the channels may carry it."""
        engine = parts.engine
        await engine.start()
        await parts.desk.health.refresh()
        if self._environ.get("ENGINE_SKIP_CHANNELS") != "1":
            for channel in parts.channels.values():
                await channel.start(parts.reception.admit)
        await parts.sender.start()
        await parts.reception.replay()
        parts.clockwork.start()
        self._watch = asyncio.create_task(self._follow_config(engine), name="config-watch")
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
        _notify("READY=1")

    async def _close(self, parts: _Parts) -> None:
        """The order of operations.md §7.1: nothing new, what runs ends, then the sockets."""
        _notify("STOPPING=1")
        self._phase = Phase.DRAINING
        grace = timedelta(milliseconds=self._loaded.config.gateway.drain_timeout_ms)
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await parts.clockwork.stop()
        parts.fanout.publish("shutdown", {"reason": self._reason, "restartExpectedMs": None})
        for channel in parts.channels.values():
            await channel.stop()
        await parts.reception.stop(grace)
        await parts.engine.stop(grace)
        await parts.sender.stop(DELIVERY_GRACE)
        parts.door.close_all(1012, "service restart")
        await parts.desk.tasks.close()
        log.info("gateway stopped", extra={"reason": self._reason, "uptime_ms": self._uptime_ms()})

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)

    def _asked_to_stop(self, number: signal.Signals) -> None:
        if self._stop.is_set():  # asked twice: do not wait for turns
            os._exit(128 + number)
        self._reason = number.name.lower()
        self._stop.set()

    def _uptime_ms(self) -> int:
        return (self._clock.monotonic() - self._started) // timedelta(milliseconds=1)

    def _readiness(self, clockwork: Clockwork) -> Readiness:
        ready = self._phase is Phase.READY
        armed = clockwork.armed_for
        return Readiness(
            ready=ready,
            started=ready,
            uptime_ms=self._uptime_ms(),
            version=__version__,
            failing=() if ready else (self._phase.value,),
            detail={
                "scheduler": {
                    "armed": armed is not None,
                    "nextWakeAt": armed.isoformat() if armed else None,
                }
            },
        )

    # -- config --------------------------------------------------------------------------

    async def _follow_config(self, engine: Engine) -> None:
        """Put edits of the file in force; a bad one changes nothing and is told."""
        config = self._loaded.config.gateway.reload
        if config.mode == "off":
            return
        looks = watch.looks(
            self._loaded.files or (self._options.paths.config,),
            debounce_ms=config.debounce_ms,
            stop=self._stop,
        )
        async for _ in watch.changes(lambda: self._loaded.files, looks):
            try:
                await self._reload(engine)
            except EngineError as refusal:
                log.error(  # noqa: TRY400 - a refusal is no traceback
                    "config was not reloaded; the previous one stays in force",
                    extra={"because": str(refusal)},
                )

    async def _reload(self, engine: Engine) -> None:
        fresh = _load(self._options.paths, self._environ)
        if fresh.hash == self._loaded.hash:
            return
        old = self._loaded.root.plain() if self._loaded.root else {}
        new = fresh.root.plain() if fresh.root else {}
        plan = reload.plan(old, new, mode="hot")
        self._redact.learn(fresh.secrets)
        await engine.apply(fresh.config, _places(fresh))
        self._loaded = fresh
        waiting = [
            change.dotted for change in plan.changes if change.dotted.startswith("channels.")
        ]
        engine.bus.publish("config", {"paths": [change.dotted for change in plan.changes]})
        log.info(
            "config reloaded",
            extra={
                "changed": [change.dotted for change in plan.changes],
                "at_next_start": [*plan.pending, *waiting],
            },
        )


@dataclass(frozen=True, slots=True)
class _Parts:
    engine: Engine
    channels: Mapping[str, Channel]
    sender: Sender
    reception: Reception
    desk: Any
    fanout: Fanout
    door: Door
    server: Server
    clockwork: Clockwork


def _told(fanout: Fanout, clock: SystemClock) -> Any:
    async def tick() -> None:
        fanout.publish("tick", {"ts": round(clock.now().timestamp() * 1000)})

    return tick


def _notify(state: str) -> None:
    """Tell systemd, if it started us (`Type=notify`); without it this does nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(name)
        notify.sendall(state.encode())


# -- what the config says ----------------------------------------------------------------------


def _load(paths: Paths, environ: Mapping[str, str]) -> Loaded:
    def judged(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
        rules = Rules(
            now=SystemClock().now(),
            default_tz=config.cron.tz or effective.user_zone(config) or host_zone(environ),
            default_agent=effective.default_agent(config).lower(),
            agents=tuple(agent.id.lower() for agent in effective.agents(config)),
            channels=effective.configured_channels(config),
        )
        return [(key, text) for key, text in declared.check(config.cron.jobs, rules)]

    return load(paths.config, environ, state=paths.state, resolve_secrets=True, jobs_check=judged)


def _places(loaded: Loaded) -> dict[str, Place]:
    found = {}
    for key in loaded.config.cron.jobs:
        place = loaded.place("cron", "jobs", key)
        if place is not None:
            found[key] = Place(file=place.file, line=place.line)
    return found


def _refuse_unready(config: Config, options: RunOptions) -> None:
    if config.gateway.mode == "local" or options.allow_unconfigured:
        return
    raise ConfigInvalid(
        "Gateway start blocked: set gateway.mode=local (engine config set gateway.mode local)",
        why=f"gateway.mode is {config.gateway.mode or 'not set'}",
        fix="engine setup, or: engine gateway --allow-unconfigured",
    )


def _port(options: RunOptions, config: Config, environ: Mapping[str, str]) -> tuple[int, str]:
    if options.port is not None:
        return options.port, "service args"
    from_env = environ.get("ENGINE_GATEWAY_PORT", "").strip()
    if from_env:
        if not from_env.isdecimal() or int(from_env) > 65_535:
            raise ConfigInvalid(
                "the gateway was not started",
                why=f"ENGINE_GATEWAY_PORT is {from_env!r}, which is no port",
                fix="unset ENGINE_GATEWAY_PORT, or set it to a number up to 65535",
            )
        return int(from_env), "env"
    if config.gateway.port is not None:
        return config.gateway.port, "config"
    return options.paths.default_port, "default"


def _hosts(options: RunOptions, config: Config, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses listened on; anything beyond loopback also listens on 127.0.0.1."""
    wish = options.bind or environ.get("ENGINE_GATEWAY_BIND") or config.gateway.bind
    match wish:
        case "loopback" | "auto":
            return _LOOPBACK
        case "lan":
            _refuse_open(config, wish)
            return _ANY
        case "custom" if config.gateway.custom_bind_host:
            _refuse_open(config, wish)
            host = config.gateway.custom_bind_host
            return (host,) if host in _LOOPBACK else ("127.0.0.1", host)
        case _:
            raise OwnershipRefused(
                f"the gateway was not bound to {wish!r}",
                why="this release binds loopback, lan or custom (with gateway.customBindHost)",
                fix="engine config set gateway.bind loopback",
            )


def _refuse_open(config: Config, wish: str) -> None:
    if config.gateway.auth.mode == "none":
        raise OwnershipRefused(
            f"refusing to bind gateway to {wish} without auth",
            why="gateway.auth.mode is none",
            fix="engine config set gateway.auth.mode token",
        )


def _token(options: RunOptions, config: Config, environ: Mapping[str, str]) -> str:
    """The shared token: option, environment, config, file; made at the first start."""
    given = options.token or environ.get("ENGINE_GATEWAY_TOKEN", "").strip()
    if given:
        return given
    if config.gateway.auth.token:
        return config.gateway.auth.token.reveal()
    path: Path = options.paths.token_file
    if path.exists():
        return path.read_text("utf-8").strip()
    token = secrets.token_hex(32)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w") as out:
        out.write(token + "\n")
    return token


def _auth(config: Config, token: str) -> Policy:
    auth = config.gateway.auth
    mode = auth.mode or ("password" if auth.password else "token")
    if mode == "trusted-proxy":
        raise ConfigInvalid(
            "the gateway was not started",
            why="gateway.auth.mode trusted-proxy is not served by this release",
            fix="engine config set gateway.auth.mode token",
        )
    return Policy(
        mode=Mode(mode),
        token=token,
        password=auth.password.reveal() if auth.password else None,
        allowed_origins=tuple(config.gateway.control_ui.allowed_origins or ()),
    )


async def _database(config: Config, paths: Paths) -> Database:
    url = config.store.url.reveal() if config.store.url else None
    return await Database.open(url or paths.database)


def _channels(config: Config, engine: Engine, environ: Mapping[str, str]) -> dict[str, Channel]:
    channels: dict[str, Channel] = {
        "local": LocalChannel(engine.database, clock=engine.clock, bus=engine.bus)
    }
    telegram = config.channels.telegram
    if telegram is not None and telegram.enabled:
        accounts = [
            one
            for ident, account in effective.telegram_accounts(config).items()
            if (one := _telegram_account(ident, account, environ)) is not None
        ]
        channels["telegram"] = TelegramChannel(
            accounts, clock=engine.clock, bus=engine.bus, load_cursor=_cursor_of(engine.database)
        )
    return channels


def _cursor_of(database: Database) -> Any:
    from engine.store import sessions

    async def cursor(channel: str, account: str) -> str | None:
        return await database.read(lambda tx: sessions.cursor(tx, channel, account))

    return cursor


def _telegram_account(
    ident: str, account: Any, environ: Mapping[str, str]
) -> TelegramAccount | None:
    token, source = None, None
    if account.bot_token:
        token, source = account.bot_token.reveal(), "config"
    elif account.token_file:
        token, source = Path(account.token_file).expanduser().read_text("utf-8").strip(), "file"
    elif ident == effective.DEFAULT_ACCOUNT and environ.get("TELEGRAM_BOT_TOKEN"):
        token, source = environ["TELEGRAM_BOT_TOKEN"], "env"
    if not token:
        log.warning("telegram account has no token", extra={"account": ident})
        return None
    more = {"api_root": account.api_root} if account.api_root else {}
    policy = _talk_policy(account)
    return TelegramAccount(
        id=ident,
        token=token,
        name=account.name,
        enabled=account.enabled is not False,
        token_source=source,
        allow_from=policy.allow_from,
        dm_policy=policy.dm,
        group_policy=policy.group,
        groups=policy.groups,
        group_allow_from=policy.group_allow_from,
        **more,
    )


def _talk_policy(account: Any) -> TalkPolicy:
    groups = None
    if account.groups is not None:
        groups = {
            ident: GroupRule(
                require_mention=group.require_mention is not False,
                allow_from=effective.clean(group.allow_from or ()),
                enabled=group.enabled,
            )
            for ident, group in account.groups.items()
        }
    return TalkPolicy(
        dm=account.dm_policy or "pairing",
        allow_from=effective.clean(account.allow_from or ()),
        group=account.group_policy or "allowlist",
        groups=groups,
        group_allow_from=effective.clean(account.group_allow_from)
        if account.group_allow_from is not None
        else None,
    )


def _policy(config: Config, channel: str, account_id: str) -> TalkPolicy:
    if channel == "telegram":
        account = effective.telegram_accounts(config).get(account_id.lower())
        if account is not None:
            return _talk_policy(account)
    return TalkPolicy(dm="disabled")


def _agent_of(config: Config, channel: str, account_id: str) -> str:
    """The agent a message belongs to: the account's binding, the channel's, the default."""
    for wanted in (account_id.lower(), "*"):
        for binding in config.bindings:
            match = binding.match
            same = effective.ALIASES.get(match.channel.lower()) == channel
            account = (match.account_id or effective.DEFAULT_ACCOUNT).strip().lower()
            if same and match.peer is None and account == wanted:
                return binding.agent_id.lower()
    return effective.default_agent(config).lower()


def _resends(config: Config, channel: str) -> bool:
    section = getattr(config.channels, channel, None)
    return getattr(section, "on_unknown", "keep") == "resend"
