"""What the config says of messages that come in: who is called, what is kept, how long it waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from engine.config import effective
from engine.config.schema import Config
from engine.messages.target import PREFIXES

HISTORY_LIMIT: Final = 50  # messages of a group kept as context (channels.md §3.3)
MAX_AGE: Final = timedelta(hours=6)  # older messages move the route and start no turn


def mention_patterns(config: Config, agent_id: str) -> tuple[str, ...]:
    """What calls an agent in a group: its own patterns, else those of all (channels.md §3.3)."""
    agent = effective.find_agent(config, agent_id)
    own = None if agent is None else agent.group_chat.mention_patterns
    return (config.messages.group_chat.mention_patterns if own is None else own) or ()


def history_limit(config: Config, channel: str, account_id: str, agent_id: str) -> int:
    """How many unmentioned messages of a group are kept for the next mentioned one."""
    account = effective.chat_account(config, channel, account_id)
    agent = effective.find_agent(config, agent_id)
    limits = (
        None if account is None else account.history_limit,
        None if agent is None else agent.group_chat.history_limit,
        config.messages.group_chat.history_limit,
    )
    return next((limit for limit in limits if limit is not None), HISTORY_LIMIT)


def debounce(config: Config, channel: str) -> timedelta:
    """How long it waits whether somebody writes on (channels.md §5); zero: not at all."""
    keys = config.messages.inbound
    own = {PREFIXES.get(name.lower(), name): wait for name, wait in keys.by_channel.items()}
    return timedelta(milliseconds=own.get(channel, keys.debounce_ms))


def typing_interval(config: Config) -> timedelta | None:
    """How often a typing indicator is repeated; None: never shown, zero: as the platform wants."""
    session, defaults = config.session, config.agents.defaults
    if (session.typing_mode or defaults.typing_mode) == "never":
        return None
    given = session.typing_interval_seconds or defaults.typing_interval_seconds or 0
    return timedelta(seconds=given)


def looked_after(config: Config, channel: str, account_id: str) -> bool:
    """Whether an account is restarted when it is silent for long (channels.md §12)."""
    account = effective.chat_account(config, channel, account_id)
    health = None if account is None else account.health_monitor
    return health is None or health.enabled


def max_age(config: Config, channel: str, account_id: str) -> timedelta:
    """How old a message may be that starts a turn (channels.md §5)."""
    account = effective.chat_account(config, channel, account_id)
    given = None if account is None else account.max_inbound_age
    return MAX_AGE if given is None else given
