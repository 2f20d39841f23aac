"""Reads the config the way it is meant: defaults under agents, channels under accounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from engine.config import access
from engine.config.schema import Config
from engine.config.schema.agents import Agent, CheckKeys, Heartbeat
from engine.config.schema.base import Section
from engine.config.schema.channels import (
    AccountKeys,
    AppriseAccount,
    QqAccount,
    TelegramAccount,
    Visibility,
)
from engine.config.schema.conversations import BindingMatch, BindingPeer
from engine.messages.address import ChatType
from engine.messages.target import PREFIXES
from engine.sessions import GLOBAL

S = TypeVar("S", bound=Section)
A = TypeVar("A", bound=AccountKeys)

MAIN: Final = "main"
DEFAULT_ACCOUNT: Final = "default"
ANY_ACCOUNT: Final = "*"
BUILT_IN_VISIBILITY: Final = Visibility.model_construct(
    show_ok=False, show_alerts=True, use_indicator=True
)


def agents(config: Config) -> tuple[Agent, ...]:
    """All agents in configured order; an implicit `main` when none is listed."""
    return config.agents.list or (Agent(id=MAIN, default=True),)


def default_agent(config: Config) -> str:
    """The agent marked default, else the first (channels.md §3.4)."""
    every = agents(config)
    return next((a.id for a in every if a.default), every[0].id)


def find_agent(config: Config, agent_id: str) -> Agent | None:
    """An agent by id, letter case aside."""
    wanted = agent_id.lower()
    return next((a for a in agents(config) if a.id.lower() == wanted), None)


def heartbeat(config: Config, agent: Agent) -> Heartbeat:
    """The agent's block over the defaults, shallow per key (heartbeat.md §2)."""
    base = config.agents.defaults.heartbeat
    return over(base or Heartbeat(), agent.heartbeat) if agent.heartbeat else base or Heartbeat()


def over(base: S, top: Section) -> S:
    """``base`` with every key that ``top`` gives, shallow."""
    given = {
        name: getattr(top, name) for name in top.model_fields_set if name in type(base).model_fields
    }
    return base.model_copy(update=given)


def user_zone(config: Config, agent: Agent | None = None) -> str | None:
    """The person's zone: the agent's, the default's, None for the host's."""
    own = agent.user_timezone if agent else None
    return own or config.agents.defaults.user_timezone


def main_key(config: Config) -> str:
    """The name of main sessions; `global` if there is one for all (heartbeat.md §17)."""
    return GLOBAL if config.session.scope == "global" else config.session.main_key


def telegram_accounts(config: Config) -> dict[str, TelegramAccount]:
    """Accounts in configured order, each over its channel (channels.md §2)."""
    channel = config.channels.telegram
    if channel is None:
        return {}
    top = channel.bot_token is not None or channel.token_file is not None
    return access.written_out(
        config, "telegram", _accounts(TelegramAccount, channel, channel.accounts, top=top)
    )


def qq_accounts(config: Config) -> dict[str, QqAccount]:
    """Accounts in configured order, each over its channel."""
    channel = config.channels.qqbot
    if channel is None:
        return {}
    top = channel.app_id is not None
    return access.written_out(
        config, "qqbot", _accounts(QqAccount, channel, channel.accounts, top=top)
    )


def apprise_accounts(config: Config) -> dict[str, AppriseAccount]:
    """Bundles of services; those at the top are the account `default`."""
    channel = config.channels.apprise
    if channel is None:
        return {}
    top = bool(channel.urls) or not channel.accounts
    own = {ident.strip().lower(): account for ident, account in channel.accounts.items()}
    return {**({DEFAULT_ACCOUNT: channel} if top else {}), **own}


def chat_account(config: Config, channel: str, account_id: str) -> AccountKeys | None:
    """One account of a chat channel, over its channel; None where nobody configured it."""
    match PREFIXES.get(channel):
        case "telegram":
            return telegram_accounts(config).get(account_id.lower())
        case "qqbot":
            return qq_accounts(config).get(account_id.lower())
        case _:
            return None


def _accounts(
    kind: type[A], channel: AccountKeys, own: Mapping[str, A], *, top: bool
) -> dict[str, A]:
    shared = {n: getattr(channel, n) for n in channel.model_fields_set if n in kind.model_fields}
    base = kind().model_copy(update=shared)
    # Credentials at the top are the account `default`; without any account it is the one
    # that may still get its credentials from the environment.
    found: dict[str, A] = {}
    if (top or not own) and DEFAULT_ACCOUNT not in own:
        found[DEFAULT_ACCOUNT] = base
    for ident, account in own.items():
        found[ident.strip().lower()] = _ceiling(base, over(_without_name(base), account), account)
    return found


def _without_name(base: A) -> A:
    """Name and credentials belong to one bot; another does not inherit them."""
    blank: dict[str, None] = {
        n: None
        for n in (
            "name",
            "bot_token",
            "token_file",
            "app_id",
            "client_secret",
            "client_secret_file",
            "webhook_url",
            "webhook_secret",
        )
        if n in type(base).model_fields
    }
    return base.model_copy(update=blank)


def _ceiling(base: A, merged: A, account: AccountKeys) -> A:
    """A closed top-level allowFrom is a ceiling: an account's `*` does not open it."""
    top = clean(base.allow_from or ())
    if top and "*" not in top and "*" in clean(account.allow_from or ()):
        return merged.model_copy(update={"allow_from": top})
    return merged


def clean(entries: tuple[str, ...]) -> tuple[str, ...]:
    """An allow list without blanks; `[""]` is an empty list, not a wildcard."""
    return tuple(e.strip() for e in entries if e.strip())


def account_ids(config: Config, channel: str) -> tuple[str, ...]:
    """Accounts of a channel in configured order."""
    match PREFIXES.get(channel):
        case "telegram":
            return tuple(telegram_accounts(config))
        case "qqbot":
            return tuple(qq_accounts(config))
        case "webhook" if config.channels.webhook is not None:
            return tuple(config.channels.webhook.accounts) or (DEFAULT_ACCOUNT,)
        case "apprise":
            return tuple(apprise_accounts(config))
        case "local" if config.channels.local.enabled:
            return (DEFAULT_ACCOUNT,)
        case _ if section := plugged_sections(config).get(channel):
            own = section.get("accounts")
            found = [str(one).strip().lower() for one in own] if isinstance(own, Mapping) else []
            return tuple(found) or (DEFAULT_ACCOUNT,)
        case _:
            return ()


def plugged_sections(config: Config) -> Mapping[str, Mapping[str, Any]]:
    """Sections of channels that come with other packages, switched on, as they were written."""
    return {
        name: section
        for name, section in (config.channels.model_extra or {}).items()
        if isinstance(section, Mapping) and section.get("enabled") is not False
    }


def configured_channels(config: Config) -> tuple[str, ...]:
    """Channels that are configured and switched on."""
    found = []
    for name in ("telegram", "qqbot", "webhook", "apprise", "local"):
        section = getattr(config.channels, name)
        if section is not None and section.enabled:
            found.append(name)
    return (*found, *plugged_sections(config))


def default_account_of(config: Config, channel: str) -> str | None:
    """`defaultAccount` of a channel if it names an account, else None."""
    section = getattr(config.channels, PREFIXES.get(channel, ""), None)
    foreign = plugged_sections(config).get(channel, {})
    wish = getattr(section, "default_account", foreign.get("defaultAccount"))
    ident = wish.strip().lower() if isinstance(wish, str) else None
    return ident if ident in account_ids(config, channel) else None


def bound_accounts(config: Config, agent_id: str, channel: str) -> tuple[str, ...]:
    """Accounts of a channel bound to an agent as a whole (channels.md §2, step 3)."""
    wanted = agent_id.lower()
    found = [account for agent, account in _bindings(config, channel) if agent == wanted]
    return tuple(dict.fromkeys(account for account in found if account != ANY_ACCOUNT))


@dataclass(frozen=True, slots=True)
class Chat:
    """Where a message was written."""

    to: str  # as a channel addresses it
    chat_type: ChatType
    thread_id: str | None = None


def agent_of(config: Config, channel: str, account_id: str, chat: Chat | None = None) -> str:
    """The agent a message belongs to, the most specific choice first (channels.md §3.4).

    A topic's own agent, a binding of the chat, of the account, of the channel, the default.
    """
    if chat is not None:
        found = _topic_agent(config, channel, account_id, chat)
        if found or (found := _chat_agent(config, channel, account_id, chat)):
            return found.lower()
    bound = list(_bindings(config, channel))
    for wanted in (account_id.lower(), ANY_ACCOUNT):
        for agent, account in bound:
            if account == wanted:
                return agent
    return default_agent(config).lower()


def _topic_agent(config: Config, channel: str, account_id: str, chat: Chat) -> str | None:
    account = chat_account(config, channel, account_id)
    groups = (account.groups if account else None) or {}
    for group in (groups.get(chat.to), groups.get(ANY_ACCOUNT)):
        topic = group.topics.get(chat.thread_id or "") if group else None
        if topic is not None and topic.agent_id:
            return topic.agent_id
    return None


def _chat_agent(config: Config, channel: str, account_id: str, chat: Chat) -> str | None:
    """The agent of the binding of one chat; one of this very account before one of any."""
    found: dict[str, str] = {}
    for binding in config.bindings:
        peer = binding.match.peer
        if peer is not None and _fits(channel, binding.match) and _is_chat(peer, chat):
            found.setdefault(_account_of(config, binding.match), binding.agent_id)
    return found.get(account_id.lower()) or found.get(ANY_ACCOUNT)


def _fits(channel: str, match: BindingMatch) -> bool:
    return PREFIXES.get(match.channel.lower()) == PREFIXES.get(channel)


def _is_chat(peer: BindingPeer, chat: Chat) -> bool:
    """Whether a binding's peer is this chat; on QQ the kind before an id may be left out."""
    kind = {"dm": "direct"}.get(peer.kind, peer.kind)
    ids = {chat.to.lower(), chat.to.partition(":")[2].lower() or chat.to.lower()}
    return kind == chat.chat_type.value and peer.id.strip().lower() in ids


def _account_of(config: Config, match: BindingMatch) -> str:
    """A binding that names no account means the default one."""
    own = match.account_id or default_account_of(config, match.channel.lower()) or DEFAULT_ACCOUNT
    return own.strip().lower()


def _bindings(config: Config, channel: str) -> Iterator[tuple[str, str]]:
    """Agent and account of every binding that takes all of an account's chats."""
    for binding in config.bindings:
        match = binding.match
        if _fits(channel, match) and match.peer is None:
            yield binding.agent_id.lower(), _account_of(config, match)


def check_name(check: CheckKeys) -> str:
    """Return what the record calls a look before a poll; of an address only whose it is."""
    told = check.command or check.file or ""
    if check.url is not None:
        told = urlsplit(check.url).hostname or "url"
    elif check.mail is not None:
        told = f"{check.mail.mailbox} at {check.mail.host}"
    return check.name or (told if isinstance(told, str) else " ".join(told))[:60]


def visibility(config: Config, channel: str | None, account_id: str | None = None) -> Visibility:
    """What of a heartbeat is shown; each flag from the first place that sets it."""
    places = [*_visibilities(config, channel, account_id).values(), BUILT_IN_VISIBILITY]
    flags = {
        flag: next(v for p in places if (v := getattr(p, flag)) is not None)
        for flag in ("show_ok", "show_alerts", "use_indicator")
    }
    return Visibility.model_construct(**flags)


def alerts_key(config: Config, channel: str | None, account_id: str | None = None) -> str:
    """Return the path of the key that decides whether alerts are shown there."""
    places = _visibilities(config, channel, account_id)
    where = (path for path, seen in places.items() if seen.show_alerts is not None)
    return f"{next(where, 'channels.defaults')}.heartbeat.showAlerts"


def _visibilities(
    config: Config, channel: str | None, account_id: str | None
) -> Mapping[str, Visibility]:
    """The places that may say what is shown, by their paths, the most special one first."""
    name = PREFIXES.get(channel or "")
    if name is None:
        return {}
    places: dict[str, Visibility] = {}
    section = getattr(config.channels, name, None)
    if isinstance(section, AccountKeys):
        accounts: Mapping[str, AccountKeys] = getattr(section, "accounts", {})
        if account_id is not None and account_id in accounts:
            places[f"channels.{name}.accounts.{account_id}"] = accounts[account_id].visibility
        places[f"channels.{name}"] = section.visibility
    places["channels.defaults"] = config.channels.defaults.visibility
    return places
