"""The life of the process: one gateway, and after a restart the next, until it is told to stop.

operations.md §6.3 (start), §7 (signals, restart).
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import AsyncExitStack

from engine import __version__
from engine.clock import SystemClock
from engine.config.keeping import guard
from engine.config.paths import unknown_variables
from engine.log.files import Place
from engine.log.setup import set_up
from gateway import exits, lock, settings
from gateway.app.back import tell_back
from gateway.app.closing import closed
from gateway.app.foothold import Foothold
from gateway.app.leaving import Leaving
from gateway.app.opening import opened
from gateway.app.parts import build
from gateway.app.signals import Signals
from gateway.app.standing import Standing
from gateway.auth import configured as auth_configured
from gateway.channels import plugin
from gateway.lock import Owner
from gateway.reloading import recovery
from gateway.reloading.force import InForce
from jobs.errors import EngineError, OwnershipRefused
from jobs.ids import new_id
from jobs.wallclock import ms

log = logging.getLogger(__name__)


async def serve(options: settings.RunOptions) -> int:
    """Run a gateway until it is told to stop; returns the exit status.

    Raises an `EngineError` with exit status 78 for what a restart will not mend.
    """
    clock, paths, foothold = SystemClock(), options.paths, Foothold()
    try:
        again = True
        while again:
            now = clock.now()
            ending = exits.Ending(
                home=paths.state,
                logs=Place(folder=paths.logs),
                clock=clock,
                boot_id=new_id(now),
                version=__version__,
                began=now,
            )
            with exits.told(ending):
                again = (await _serve(options, ending, foothold)).leaving.again
    finally:
        foothold.close()
    return 0


async def _serve(options: settings.RunOptions, ending: exits.Ending, foothold: Foothold) -> Gateway:
    first = foothold.restarts.last is None
    gateway = Gateway(_standing(options, ending, first=first), foothold)
    try:
        await gateway.run()
    except EngineError:
        raise
    except Exception as error:  # the edge of the process: told in words, exit status 1
        log.critical("the gateway broke", exc_info=error)
        raise EngineError(
            "the gateway broke",
            why=f"{type(error).__name__}: {error}",
            fix=f"read the last lines of the log in {options.paths.logs}",
        ) from error
    return gateway


def _standing(options: settings.RunOptions, ending: exits.Ending, *, first: bool) -> Standing:
    """Read the config, refuse what no gateway starts with, open the log."""
    environ = dict(os.environ)
    paths = options.paths
    options, loaded, recovered = recovery.at_start(options, environ, ending.clock.now())
    if environ.get("ENGINE_SERVICE_MARKER") and loaded.root is not None:
        guard.refuse_older(loaded.root.plain(), environ)
    settings.refuse_unready(loaded.config, options)
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    shared = settings.shared(options, loaded.config, environ)
    logs = set_up(
        settings.log_wish(paths, loaded.config, verbose=options.verbose),
        secrets=(*loaded.secrets, shared.token, shared.password or ""),
        environ=environ,
        boot_id=ending.boot_id,
    )
    for note in (*unknown_variables(environ), *options.notes) if first else ():
        log.warning(note)
    for line in loaded.jobs_wait:
        log.error("the jobs applied last keep running", extra={"because": line})
    settings.tell(loaded)
    plugin.tell_open(loaded.config)
    ending.follow(logs)
    return Standing(
        options=options,
        environ=environ,
        logs=logs,
        ending=ending,
        force=InForce(loaded, recovered=recovered),
    )


class Gateway:
    """One running gateway, from its lock to its last words."""

    def __init__(self, standing: Standing, foothold: Foothold) -> None:
        self._standing = standing
        self._foothold = foothold
        self.leaving = Leaving(
            ending=standing.ending,
            home=standing.options.paths.state,
            clock=standing.clock,
            restarts=foothold.restarts,
            environ=standing.environ,
        )

    async def run(self) -> None:
        """Start everything, wait for the end, stop everything."""
        standing = self._standing
        options, config = standing.options, standing.loaded.config
        port, _source = settings.port(options, config, standing.environ)
        standing.bound = settings.bind(options, config, standing.environ)
        # Refuses what must not be bound, before anything is.
        auth_configured.tell_weak(standing.policy_of(standing.loaded))
        held = self._foothold.hold(options.paths.state, self._owner())
        Signals(standing=standing, leaving=self.leaving).listen()
        if (number := self._foothold.restarts.ended_by) is not None:
            self.leaving.stop_by(number)
        sockets = self._listening(port)
        async with AsyncExitStack() as stack:
            database = await settings.open_database(config, options.paths)
            stack.push_async_callback(database.close)
            parts = await build(standing, database, sockets, stack, self.leaving.ask)
            held.bound(standing.bound.hosts[0], parts.server.port)
            watch = await opened(standing, parts, self.leaving)
            await tell_back(standing, parts, self._foothold.restarts)
            if options.once:
                await self.leaving.once(parts.engine)
            await self.leaving.asked.wait()
            await closed(standing, parts, self.leaving, watch)
        self.leaving.tell()

    def _listening(self, port: int) -> list[socket.socket]:
        """Take the port; of another gateway of this user that has it, more is told."""
        try:
            return self._foothold.listen(self._standing.bound.hosts, port)
        except OwnershipRefused as refused:
            paths = self._standing.options.paths
            owner = lock.on_port(paths.os_home, port) if refused.detail.get("port") else None
            if owner is None:
                raise
            fix = f"engine --profile {paths.profile} gateway --port {port + 20}"
            raise lock.already(owner, fix=fix) from refused

    def _owner(self) -> Owner:
        standing = self._standing
        return Owner(
            pid=os.getpid(),
            started_at_ms=ms(standing.clock.now()),
            boot_id=standing.boot_id,
            version=__version__,
            profile=standing.options.paths.profile,
            config_path=str(standing.options.paths.config),
            host=standing.bound.hosts[0],
            port=None,
            oom_kills=exits.oom_kills(),
        )
