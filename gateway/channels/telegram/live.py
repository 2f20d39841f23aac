"""One Telegram account at work: what its connection, its sends and its status share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.messages.fault import Fault, FaultClass
from gateway.channels.telegram.account import Me, TelegramAccount
from gateway.channels.telegram.api import BotApi
from gateway.channels.ups import Ups


@dataclass(slots=True, eq=False)
class Live:
    """Owned by its channel; ``tell`` lets everybody know of a new state."""

    account: TelegramAccount
    tell: Callable[[str], None]
    sending: BotApi
    polling: BotApi  # what only one poller may do: a client of its own, so that neither starves
    runtime: str = "stopped"
    me: Me | None = None
    last_error: str | None = None
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None
    alive_at: datetime | None = None  # the platform answered the connection
    retry_at: datetime | None = None  # while it waits to try again
    port: int | None = None  # where its webhook listens
    note: str | None = None  # something a person should know of, and may mend
    ups: Ups = field(default_factory=Ups)
    later: dict[str, timedelta] = field(default_factory=dict)  # chat → until when it is left alone

    @property
    def over(self) -> bool:
        """Whether no waiting mends it."""
        return self.runtime in ("auth-failed", "fatal")

    def told_later(self, chat: str, fault: Fault, now: timedelta) -> None:
        """The platform said "later" of a chat; on monotonic time."""
        if fault.fault is FaultClass.RATE_LIMITED:
            self.later = {one: until for one, until in self.later.items() if until > now}
            self.later[chat] = now + timedelta(seconds=fault.retry_after_seconds or 0)

    def show(self, runtime: str) -> None:
        """Stand here from now on."""
        if self.runtime != runtime:
            self.runtime = runtime
            self.tell(runtime)

    def well(self, now: datetime) -> None:
        """The platform answered: whatever was wrong is over."""
        self.alive_at, self.retry_at = now, None
        if self.runtime != "connected":
            self.last_error = None
            self.ups.add(now)
            self.show("connected")


def client(account: TelegramAccount) -> BotApi:
    """Return a client of its own for this bot."""
    return BotApi(account.token, account.api_root, account.timeout)
