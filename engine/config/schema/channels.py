"""Keys under `channels` (channels.md §§2, 3, 13). Accounts inherit from their channel."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from engine.config.schema.base import (
    YET,
    Count,
    DmPolicy,
    GroupPolicy,
    Names,
    Positive,
    Section,
    Span,
    Text,
    Texts,
    key,
    section,
    table,
)
from engine.config.secrets import Secret


class Visibility(Section):
    """What of a heartbeat a channel shows; the first place that says so decides."""

    show_ok: bool | None = key(None, "Send HEARTBEAT_OK; false when unset everywhere.")
    show_alerts: bool | None = key(None, "Send alerts; true when unset everywhere.")
    use_indicator: bool | None = key(None, "Show a status indicator; true when unset everywhere.")


class Topic(Section):
    """One topic of a group."""

    enabled: bool = key(True, "False: messages in this topic are ignored.")
    agent_id: str | None = key(None, "Agent that answers in this topic.")
    require_mention: bool | None = key(None, "Answer only when mentioned.")
    allow_from: Texts | None = key(None, "Who may speak in this topic.")


class Group(Section):
    """One group, or `*` for any."""

    enabled: bool = key(True, "False: messages in this group are ignored.")
    group_policy: GroupPolicy | None = key(None, "Overrides the channel's groupPolicy.")
    require_mention: bool | None = key(None, "Answer only when mentioned; true when unset.")
    allow_from: Texts | None = key(None, "Who may speak in this group.")
    ignore_other_mentions: bool = key(
        False, "Drop messages that mention somebody else and not the bot."
    )
    topics: dict[str, Topic] = table("Topics by number.")


class HealthMonitor(Section):
    """Whether an account is looked after."""

    enabled: bool = key(True, "False: it is not restarted when it is silent for long.")


class AccountKeys(Section):
    """What any account of any chat channel may say, and its channel for all of them."""

    enabled: bool = key(True, "False: not started, nothing sent.")
    name: str | None = key(None, "Name shown to people.")
    dm_policy: DmPolicy | None = key(
        None,
        "Who may write directly; `pairing` when unset.",
    )
    allow_from: Texts | None = key(None, "Senders known without pairing; `*` is anyone.")
    group_policy: GroupPolicy | None = key(None, "Which groups are heard; `allowlist` when unset.")
    group_allow_from: Texts | None = key(None, "Who may speak in groups; allowFrom when unset.")
    groups: dict[str, Group] | None = key(None, "Groups by id; `*` is any group.")
    history_limit: Count | None = key(
        None, "Unmentioned messages kept as context; 50 when unset, 0 = none."
    )
    max_inbound_age: Span | None = key(
        None, "Messages that were written longer ago start no turn; 6h when unset."
    )
    default_to: Text | None = key(None, "Recipient when a delivery names only the channel.")
    response_prefix: str | None = key(None, "Put before every message sent.")
    text_chunk_limit: Positive | None = key(
        None, "Longest message; Telegram 4000, QQ 2000 when unset.", unit="chars"
    )
    health_monitor: HealthMonitor | None = key(None, "Whether it is looked after.")
    media_max_mb: Positive | None = key(
        None, "Largest file taken in; 20 when unset, which is Telegram's own limit.", unit="MB"
    )
    heartbeat: Visibility | None = key(None, "What of heartbeats is shown here.")
    heartbeat_visibility: Visibility | None = key(None, "Newer spelling of `heartbeat`.")
    on_unknown: Literal["keep", "resend"] = key(
        "keep", "A send whose fate a crash hid: `resend` repeats it, marked so."
    )

    @property
    def visibility(self) -> Visibility:
        """Either spelling; the newer one wins."""
        return self.heartbeat_visibility or self.heartbeat or Visibility()


class TelegramAccount(AccountKeys):
    """One Telegram bot."""

    bot_token: Secret | None = key(None, "Token of the bot, from @BotFather.")
    token_file: str | None = key(None, "File with the token; regular, not a symlink.")
    api_root: str | None = key(
        None, "Bot API server without `/bot<token>`; https://api.telegram.org when unset."
    )
    timeout_seconds: Positive | None = key(None, "Limit of one API call; 20 when unset.", unit="s")
    polling_stall_threshold_ms: int = key(
        120_000,
        "Without a completed poll for so long the connection is made anew.",
        unit="ms",
        ge=30_000,
        le=600_000,
    )
    webhook_url: str | None = key(
        None, "Public address the platform brings updates to, instead of being polled."
    )
    webhook_secret: Secret | None = key(
        None, "Word by which the platform is known at the webhook; A-Z a-z 0-9 _ -, up to 256."
    )
    webhook_host: str = key("127.0.0.1", "Where the webhook listens, behind your proxy.")
    webhook_port: int = key(8787, "Its port, not the gateway's; 0 = any.", ge=0, le=65_535)
    webhook_path: str = key("/telegram-webhook", "Its path.")


class Telegram(TelegramAccount):
    """Telegram: keys here hold for every account."""

    default_account: str | None = key(None, "Account that sends when a route names none.")
    accounts: dict[str, TelegramAccount] = table("Bots by id.")


class QqPeerQuota(Section):
    """What the platform takes towards one peer."""

    window: Span | None = key(None, "How long a message may be answered.")
    replies: Positive | None = key(None, "Answers to one message.")
    per_minute: Positive | None = key(None, "Messages nobody asked for, a minute.")
    per_day: Count | None = key(None, "Messages nobody asked for, a day.")


class QqQuota(Section):
    """The platform's figures, where yours differ (channels.md §7, §8)."""

    direct: QqPeerQuota = section(QqPeerQuota, "Direct chats: 60m, 4, 20, 1000.")
    group: QqPeerQuota = section(QqPeerQuota, "Groups: 5m, 5, 20, 1000.")
    guild: QqPeerQuota = section(QqPeerQuota, "Guild channels: 5m, 5, 300, 20.")
    guild_direct: QqPeerQuota = section(QqPeerQuota, "Direct chats of guilds: 5m, 5, 20, 2.")


QqIntent = Literal["group", "interaction", "guild", "guildDirect"]


class QqAccount(AccountKeys):
    """One QQ bot."""

    app_id: Text | None = key(None, "AppID of the bot.")
    client_secret: Secret | None = key(None, "AppSecret of the bot.")
    client_secret_file: str | None = key(None, "File with the AppSecret.")
    api_base: str | None = key(None, "REST server; https://api.bot.qq.com when unset.")
    token_url: str | None = key(None, "Where access tokens are issued; apiBase when unset.")
    gateway_url: str | None = key(None, "WebSocket address; asked from the REST server when unset.")
    markdown_support: bool = key(False, "The bot may send markdown.")
    certified: bool = key(False, "The bot is certified: larger quotas.")
    intents: tuple[QqIntent, ...] = key(
        ("group",), "Events asked for; one that is not granted closes the connection."
    )
    held_on_contact: bool | None = key(
        None,
        "What may not be sent unasked waits until its person writes; unset: all but heartbeats.",
    )
    recall_messages: bool = key(
        True,
        "What would wait for its person may recall them: once on the day they wrote, and once"
        " 1-3, 3-7 and 7-30 days later.",
    )
    quota: QqQuota = section(QqQuota, "The platform's quotas.")


class Qqbot(QqAccount):
    """QQ official bot: keys here hold for every account."""

    default_account: str | None = key(None, "Account that sends when a route names none.")
    accounts: dict[str, QqAccount] = table("Bots by id.")


class Local(Section):
    """The inbox that needs no account."""

    enabled: bool = key(True, "False: no local inbox.")
    fallback: bool = key(
        False, "`last` without an external route leads here even when other channels are on."
    )


class WebhookAccount(Section):
    """One place that takes HTTP POST."""

    enabled: bool = key(True, "False: nothing is sent.")
    name: str | None = key(None, "Name shown to people.", inert=YET)
    url: Secret | None = key(None, "Where messages are posted; may hold a secret.")
    secret: Secret | None = key(None, "Signs each request (HMAC SHA-256).")
    format: Literal["text", "markdown", "html"] = key("text", "How the text is rendered.")
    allow_private: bool = key(False, "Private and loopback addresses are allowed.")
    probe_url: str | None = key(None, "Asked by `channels status --probe`.")


class Webhook(WebhookAccount):
    """Webhooks: keys here are the account `default`."""

    default_account: str | None = key(None, "Account that sends when a route names none.")
    accounts: dict[str, WebhookAccount] = table("Webhooks by id.")


class AppriseAccount(Section):
    """A bundle of services reached through apprise."""

    enabled: bool = key(True, "False: nothing is sent.")
    name: str | None = key(None, "Name shown to people.")
    urls: tuple[Secret, ...] = key((), "Service URLs; they hold secrets.")
    tags: Names = key((), "Tags this account answers to.")


class Apprise(AppriseAccount):
    """Apprise (optional extra): keys here are the account `default`."""

    default_account: str | None = key(None, "Account that sends when a route names none.")
    accounts: dict[str, AppriseAccount] = table("Bundles by id.")


class ChannelDefaults(Section):
    """What holds for every channel that does not say otherwise."""

    group_policy: GroupPolicy | None = key(None, "groupPolicy of channels that set none.")
    heartbeat: Visibility | None = key(None, "What of heartbeats is shown.")
    heartbeat_visibility: Visibility | None = key(None, "Newer spelling of `heartbeat`.")

    @property
    def visibility(self) -> Visibility:
        """Either spelling; the newer one wins."""
        return self.heartbeat_visibility or self.heartbeat or Visibility()


class Channels(Section):
    """Chat channels. None means: not configured.

    Beside the keys stand the sections of installed channels of other packages, as they were
    written: the walk leaves no others (`engine.config.walk`), and each has its own model.
    """

    model_config = ConfigDict(extra="allow")

    defaults: ChannelDefaults = section(ChannelDefaults, "What holds for every channel.")
    local: Local = section(Local, "The local inbox.")
    telegram: Telegram | None = key(None, "Telegram.")
    qqbot: Qqbot | None = key(None, "QQ official bot.")
    webhook: Webhook | None = key(None, "HTTP POST to anything.")
    apprise: Apprise | None = key(None, "Many services through apprise.")
