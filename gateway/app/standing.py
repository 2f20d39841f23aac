"""How one running gateway stands: its options, the config in force, its phase, who may come in.

Refusals: operations.md §6.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from engine.clock import SystemClock
from engine.config.keeping.outcome import Outcome
from engine.config.load import Loaded
from engine.log.setup import Log
from gateway import exits, settings
from gateway.auth import configured as auth_configured
from gateway.auth.policy import Policy
from gateway.binding import Binding
from gateway.protocol.handshake import Phase
from gateway.reloading.force import InForce
from gateway.restarts import Wanted
from gateway.server import bind
from jobs.errors import GatewayDown

NOWHERE: Final = Binding(mode="loopback", hosts=(), source="default")


async def _too_early(_by: str, _wanted: Wanted | None = None) -> Outcome:
    """Before it is ready nobody is served what would need it."""
    raise GatewayDown("the config was not reloaded", why="the gateway is starting", fix="try again")


@dataclass(slots=True, kw_only=True)
class Standing:
    """What every part of one gateway may ask; replaced as a whole by the next start."""

    options: settings.RunOptions
    environ: Mapping[str, str]
    logs: Log
    ending: exits.Ending
    force: InForce
    clock: SystemClock = field(default_factory=SystemClock)
    phase: Phase = Phase.STARTING
    bound: Binding = NOWHERE
    reload: Callable[[str, Wanted | None], Awaitable[Outcome]] = _too_early
    began: timedelta = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock.monotonic()

    @property
    def loaded(self) -> Loaded:
        """The config in force."""
        return self.force.loaded

    @property
    def boot_id(self) -> str:
        """The name of this start."""
        return self.ending.boot_id

    def restartable(self) -> Loaded:
        """The same where a restart is asked for: another port than this has to be free, too.

        Else a gateway that runs would make way for one that cannot.
        """
        loaded = self.startable()
        asked, _ = settings.port(self.options, loaded.config, self.environ)
        held, _ = settings.port(self.options, self.loaded.config, self.environ)
        if asked not in (held, 0):
            hosts = settings.bind(self.options, loaded.config, self.environ).hosts
            for one in bind(hosts, asked):
                one.close()
        return loaded

    @property
    def with_channels(self) -> bool:
        """Whether channels are connected (`--no-channels`, ENGINE_SKIP_CHANNELS)."""
        skipped = self.environ.get("ENGINE_SKIP_CHANNELS") == "1"
        return not (skipped or self.options.no_channels)

    def uptime_ms(self) -> int:
        """How long it lives, by a clock nobody sets."""
        return (self.clock.monotonic() - self.began) // timedelta(milliseconds=1)

    def policy_of(self, loaded: Loaded) -> Policy:
        """Who may connect by a config; refuses one that lets in whom it must not."""
        shared = settings.shared(self.options, loaded.config, self.environ)
        policy = auth_configured.policy(loaded.config, shared)
        auth_configured.refuse_shared(loaded.config, policy)
        auth_configured.refuse_open(self.bound.hosts, self.bound.mode, policy)
        return policy

    def startable(self, raw: bytes | None = None) -> Loaded:
        """The config a next start would take, or why none would start with it."""
        loaded = settings.load_config(
            self.options.paths, self.environ, jobs_may_wait=raw is None, raw=raw
        )
        settings.refuse_unready(loaded.config, self.options)
        next_bound = settings.bind(self.options, loaded.config, self.environ)
        auth_configured.refuse_open(next_bound.hosts, next_bound.mode, self.policy_of(loaded))
        return loaded
