"""The door of a channel: what it is asked for, and what it is handed. All come through it.

Those of other packages are found by their entry point (`engine.messages.plugged`); a
package's object is a `ChannelPlugin` and nothing of it is imported before its section stands in
the config.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clock import Clock
from engine.config import effective
from engine.config.schema import Config
from engine.events import Bus
from engine.messages import plugged
from engine.messages.address import Route
from engine.messages.media import Media
from engine.shelf import NotSaved
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    Channel,
    ChannelError,
    Fault,
    FaultClass,
    LoadCursor,
    SaveCursor,
    Sent,
)
from gateway.channels.pace import Scope

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a channel is handed when it is made."""

    settings: Any  # its section as its own model read it; a mapping if it has none
    config: Config
    environ: Mapping[str, str]
    clock: Clock
    bus: Bus  # publish("channel", {}) when an account is ready again
    load_cursor: LoadCursor
    save_cursor: SaveCursor


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlugin:
    """One channel as its package offers it."""

    id: str
    make: Callable[[Around], Channel]
    settings: type[Any] | None = None  # the pydantic model of `channels.<id>`


def plugged_in(config: Config, around: Callable[[Any], Around]) -> dict[str, Channel]:
    """Return the channels of other packages that are configured and switched on.

    One that cannot be loaded or made stands there all the same, and says why.
    """
    made: dict[str, Channel] = {}
    for name, section in effective.plugged_sections(config).items():
        if barred := config.plugins.bars(name):
            made[name] = Absent(name, effective.account_ids(config, name), barred)
            continue
        try:
            made[name] = _made(name, section, around)
        except plugged.NotLoaded as error:
            log.error(  # noqa: TRY400 - another package's trouble: its sentence is enough
                "a channel cannot be loaded", extra={"channel": name, "because": str(error)}
            )
            made[name] = Absent(name, effective.account_ids(config, name), str(error))
    return made


def tell_open(config: Config) -> None:
    """Log once that whatever is installed may be used (operations.md §1.4)."""
    names = plugged.installed()
    if names and config.plugins.enabled and not config.plugins.allow:
        log.warning(plugged.open_words(names))


def _made(name: str, section: Mapping[str, Any], around: Callable[[Any], Around]) -> Channel:
    plugin = plugged.load(name)
    if not isinstance(plugin, ChannelPlugin):
        raise plugged.NotLoaded(
            f"its entry point names no ChannelPlugin but {type(plugin).__name__}"
        )
    try:
        settings = section if plugin.settings is None else plugin.settings.model_validate(section)
        return plugin.make(around(settings))
    except Exception as error:
        raise plugged.NotLoaded(f"{type(error).__name__}: {error}") from error


class Absent:
    """In the place of a channel that is configured and cannot be had."""

    def __init__(self, ident: str, accounts: tuple[str, ...], why: str) -> None:
        self.id = ident
        self._accounts = accounts
        self._why = f"channel-not-installed: {why}"

    async def start(self, admit: Admit) -> None:
        """Nothing to connect."""

    async def stop(self) -> None:
        """Nothing to close."""

    def measure(self, text: str) -> int:
        """Code points: nobody says otherwise."""
        return len(text)

    def limit(self, account_id: str) -> int:  # noqa: ARG002 - nothing is sent
        """Nobody says."""
        return 1000

    def carries(self, route: Route) -> Carriage:  # noqa: ARG002 - nothing is sent
        """No files."""
        return Carriage(name=self.id)

    def scopes(self, route: Route) -> tuple[Scope, ...]:  # noqa: ARG002 - nothing is sent
        """No limits."""
        return ()

    def ready(self, account_id: str) -> bool:  # noqa: ARG002 - none is
        """Never."""
        return False

    def rules(self, route: Route) -> None:
        """No difference."""

    def idempotent(self, attempt: Attempt) -> bool:  # noqa: ARG002 - nothing is sent
        """Nothing is sent."""
        return False

    async def send(self, attempt: Attempt) -> Sent:  # noqa: ARG002 - it cannot be
        """Refuse."""
        raise ChannelError(Fault(fault=FaultClass.OFFLINE, detail=self._why))

    def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Nothing comes in."""
        raise NotSaved(f"{media.name} cannot be fetched from {account_id}")

    async def typing(self, route: Route) -> None:
        """Nobody could see it."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Its accounts, each with the reason."""
        return tuple(
            AccountStatus(
                account_id=account,
                configured=True,
                enabled=True,
                runtime="fatal",
                last_error=self._why,
                extra={"installed": False},
            )
            for account in self._accounts
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:  # noqa: ARG002 - all alike
        """Say why."""
        return {"ok": False, "class": "channel-not-installed", "detail": self._why}
