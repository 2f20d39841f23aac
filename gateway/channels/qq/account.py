"""One QQ bot as values: its addresses, its quotas, what it asks to hear. Pure.

Figures: channels.md §7, §8. All of them are config; no code path assumes that any holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntFlag
from typing import Final
from urllib.parse import urlsplit

from engine.messages.address import Route
from engine.messages.media import MB
from gateway.channels.pace import Scope
from gateway.channels.windows import ReplyRules

API_BASE: Final = "https://api.bot.qq.com"
TOKEN_PATH: Final = "/app/getAppAccessToken"  # noqa: S105 - a path
TOKEN_URL: Final = API_BASE + TOKEN_PATH
MEDIA_MOST: Final = 20 * MB
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
DIRECT, GROUP, GUILD, GUILD_DIRECT = "c2c", "group", "channel", "dms"


class Intents(IntFlag):
    """Kinds of events a connection asks for; one that is not granted closes it (4013, 4014)."""

    GUILD_DIRECT = 1 << 12
    GROUP = 1 << 25  # groups and direct chats
    INTERACTION = 1 << 26
    GUILD = 1 << 30  # public guild messages that mention the bot


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerQuota:
    """What the platform takes towards one peer."""

    window: timedelta
    replies: int
    per_minute: int
    per_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What the platform takes from one bot."""

    direct: PeerQuota = PeerQuota(
        window=timedelta(minutes=60), replies=4, per_minute=20, per_day=1000
    )
    group: PeerQuota = PeerQuota(
        window=timedelta(minutes=5), replies=5, per_minute=20, per_day=1000
    )
    guild: PeerQuota = PeerQuota(window=timedelta(minutes=5), replies=5, per_minute=300, per_day=20)
    guild_direct: PeerQuota = PeerQuota(
        window=timedelta(minutes=5), replies=5, per_minute=20, per_day=2
    )

    def of(self, kind: str) -> PeerQuota:
        """Return the quota of a kind of peer."""
        return {GROUP: self.group, GUILD: self.guild, GUILD_DIRECT: self.guild_direct}.get(
            kind, self.direct
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QqAccount:
    """One bot. ``token_source`` says where the secret came from; the secret is never shown."""

    id: str
    app_id: str
    client_secret: str
    api_base: str = API_BASE
    token_url: str = TOKEN_URL
    gateway_url: str | None = None  # None: the REST server is asked
    name: str | None = None
    enabled: bool = True
    token_source: str | None = None  # config | env | file
    allow_from: tuple[str, ...] = ()
    markdown: bool = False
    certified: bool = False
    hold: bool | None = None
    recalls: bool = True
    chunk: int | None = None  # longest message wished for
    media_most: int = MEDIA_MOST  # bytes of a file that is taken in
    intents: Intents = Intents.GROUP
    quota: Quota = field(default_factory=Quota)

    @property
    def configured(self) -> bool:
        """Whether there is something to ask for a token with."""
        return bool(self.app_id and self.client_secret)

    def __repr__(self) -> str:
        return f"QqAccount(id={self.id!r}, app_id={self.app_id!r}, client_secret=<hidden>)"


def token_address(url: str) -> str:
    """Return the address tokens are asked at; a bare host gets the platform's own path."""
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + TOKEN_PATH


def kind_of(to: str) -> str:
    """Return what kind of peer an address names: it stands before its colon."""
    return to.partition(":")[0]


def scopes(route: Route) -> tuple[Scope, ...]:
    """Return the limits of every message: the interface's; a guild channel's own (§7)."""
    bot = f"qqbot/{route.account_id}"
    wide = Scope(bot, 100, _SECOND)
    if kind_of(route.to) == GUILD:
        return wide, Scope(f"{bot}/{route.to}", 5, _SECOND)
    return wide, Scope(f"{bot}/{route.to}", 100, _SECOND)


def rules(account: QqAccount, route: Route) -> ReplyRules:
    """Return what the platform takes towards a peer, as an answer and unasked."""
    kind = kind_of(route.to)
    quota, bot = account.quota.of(kind), f"qqbot/{account.id}/unasked"
    peer = Scope(f"{bot}/{route.to}", quota.per_minute, _MINUTE)
    return ReplyRules(
        window=quota.window,
        replies=quota.replies,
        per_day=quota.per_day,
        unasked=(*_bot_wide(bot, kind, certified=account.certified), peer),
        hold=account.hold,
        recalls=account.recalls and kind == DIRECT,
    )


def _bot_wide(bot: str, kind: str, *, certified: bool) -> tuple[Scope, ...]:
    if kind == GROUP:
        return (Scope(f"{bot}/groups", 60 if certified else 30, _MINUTE),)
    if kind == DIRECT:
        second = Scope(f"{bot}/direct", 10 if certified else 5, _SECOND)
        return (second,) if certified else (second, Scope(f"{bot}/direct", 30, _MINUTE))
    return ()
