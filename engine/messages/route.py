"""To whom: last, none, a channel → a `Route`, or why there is none. Pure.

heartbeat.md §14 [E], channels.md §2 (accounts) and §4 (last).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.messages.address import ChatType, Route
from engine.messages.target import PREFIXES, LastRoute, Stranger, parse_target, split_target
from jobs.errors import InvalidInput
from jobs.ledger import SkipReason
from jobs.values import changed
from jobs.wallclock import ms

LOCAL: Final = "local"
LOCAL_ACCOUNT: Final = "default"
LOCAL_INBOX: Final = "inbox"
PINGS: Final = "pings"  # the webhook account of those who expect a sign of life
_SET_UP: Final = {  # how a channel comes into the config
    "telegram": "engine setup --channel telegram",
    "qqbot": "engine config set channels.qqbot"
    """ '{appId: "YOUR_APP_ID", clientSecret: "YOUR_SECRET"}'""",
}
_AGAIN: Final = "in the chat: write to a bot that is configured; that account is no longer"
JOB_WEBHOOKS: Final = "jobs"  # the webhook account of URLs that jobs name themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """One configured account."""

    id: str
    enabled: bool = True
    default_to: str | None = None  # whom it writes to when nobody is named


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """One configured channel, as far as routes care."""

    id: str
    accounts: tuple[AccountFacts, ...] = ()
    default_account: str | None = None  # configured, or `default`; None: nobody chose
    bound_accounts: tuple[str, ...] = ()  # of the agent that speaks


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFacts:
    """What is known when a route is resolved."""

    agent_id: str
    channels: Mapping[str, ChannelFacts] = field(default_factory=dict)
    last: LastRoute | None = None  # newest usable external route
    event: Route | None = None  # where the event that caused the turn came from
    owners: tuple[Route, ...] = ()  # direct chats of the owners, in configured order
    local_fallback: bool = False  # no external account is enabled, or the config asks for it
    stranger: Stranger | None = None  # who wrote last and was not let in


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetWish:
    """Where words should go, as configured."""

    target: str = "none"  # none | last | owner | a channel id
    to: str | None = None
    account_id: str | None = None
    thread_id: str | None = None
    source: str = "default"  # default | config
    direct_policy: str = "allow"  # allow | block


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Why words go nowhere."""

    reason: SkipReason
    because: str
    own_fix: str = ""  # what to do in this very case; '' when the reason's remedy says it

    @property
    def fix(self) -> str:
        """What a person can do about it."""
        return self.own_fix or self.reason.fix_for("heartbeat")


def named_wish(text: str) -> TargetWish:
    """Return a place by its name: `telegram:123`, or a channel, `last`, `owner`."""
    channel, behind = split_target(text)
    target = behind.strip() if channel is None else channel
    return TargetWish(
        target=PREFIXES.get(target.lower(), target),
        to=None if channel is None else behind,
        source="config",
    )


def needs_last(wish: TargetWish) -> bool:
    """Whether conversations that were had have a say in where the words go."""
    return wish.target.strip().lower() not in ("", "none", LOCAL)


def resolve(wish: TargetWish, facts: RouteFacts) -> Route | NoRoute:
    """Return where the words go. The same facts give the same answer."""
    target = wish.target.strip().lower()
    if target in ("", "none"):
        how = "set to none" if wish.source == "config" else "not set, which means none"
        return NoRoute(SkipReason.TARGET_NONE, f"target is {how}")
    match target:
        case "last":
            found = _last(wish, facts)
        case "owner":
            found = _owner(wish, facts)
        case _:
            found = _explicit(target, wish, facts)
    if isinstance(found, Route):
        return _allowed(found, wish)
    return found


def _allowed(route: Route, wish: TargetWish) -> Route | NoRoute:
    """Keep alerts out of direct chats where the config says so; unknown counts as direct."""
    if wish.direct_policy == "block" and route.chat_type in (ChatType.DIRECT, ChatType.UNKNOWN):
        return NoRoute(
            SkipReason.DM_BLOCKED,
            f"directPolicy is block and {route.channel}:{route.to} is a {route.chat_type} chat",
        )
    return route


def _last(wish: TargetWish, facts: RouteFacts) -> Route | NoRoute:
    if wish.to is not None and (named := split_target(wish.to)[0]) is not None:
        return _explicit(named, wish, facts)
    base = _origin(facts)
    if isinstance(base, NoRoute) or base.channel == LOCAL:
        return base if wish.to is None else _bare(wish.to, wish, facts)
    channel = facts.channels.get(base.channel, ChannelFacts(id=base.channel))
    account = _account(channel, wish.account_id or base.account_id)
    if isinstance(account, NoRoute):
        gone = wish.account_id is None and account.reason is SkipReason.UNKNOWN_ACCOUNT
        return changed(account, own_fix=_AGAIN) if gone else account
    route = changed(base, account_id=account[0])
    return route if wish.to is None else _to(route, wish.to)


def _bare(to: str, wish: TargetWish, facts: RouteFacts) -> Route | NoRoute:
    """Return the way to a recipient of no named channel where no conversation names one either.

    The only channel there is must be meant (the inbox of this machine is none): a recipient
    somebody wrote down is never thrown away.
    """
    outside = sorted(name for name in facts.channels if name != LOCAL)
    if len(outside) == 1:
        return _explicit(outside[0], wish, facts)
    if outside:
        return NoRoute(
            SkipReason.TARGET_INVALID,
            f"recipient {to!r} names no channel, and there are several ({', '.join(outside)})",
            f"engine config set agents.defaults.heartbeat.to {shlex.quote(f'{outside[0]}:{to}')}",
        )
    return NoRoute(
        SkipReason.TARGET_INVALID,
        f"recipient {to!r} names no channel, and there is none but the inbox of this machine",
        "engine setup --channel telegram",
    )


def _origin(facts: RouteFacts) -> Route | NoRoute:
    """Return where the event came from, else where the person wrote last."""
    if facts.event is not None:
        return changed(facts.event, via="event")
    last = facts.last
    if last is not None and last.unusable is None:
        return Route(
            channel=last.channel,
            account_id=last.account_id,
            to=last.to,
            thread_id=None if last.chat_type is ChatType.DIRECT else last.thread_id,
            chat_type=last.chat_type,
            via="last",
            learnt_at=last.set_at,
        )
    if facts.local_fallback:
        return local_route("last-local")
    if last is not None:
        return NoRoute(
            SkipReason.NO_ROUTE,
            f"last leads to {last.channel}/{last.account_id} → {last.to}, which refuses messages"
            f" ({last.unusable}) until the person writes again",
        )
    return NoRoute(
        SkipReason.NO_ROUTE,
        f"agent {facts.agent_id} has had no conversation on a channel yet, so last leads nowhere"
        + (f"; {facts.stranger.words}" if facts.stranger is not None else ""),
        # The message that would teach the way has come: writing another one changes nothing.
        facts.stranger.way if facts.stranger is not None else "",
    )


def _owner(wish: TargetWish, facts: RouteFacts) -> Route | NoRoute:
    """Return the way to the owner (§14.2): never a group; an event answers where it came from."""
    if facts.event is not None:
        return _last(wish, facts)
    last = facts.last
    here = last.channel if last is not None else None
    for owner in sorted(facts.owners, key=lambda owner: owner.channel != here):
        if last is not None and last.unusable is None and _same_person(last, owner):
            return _last(changed(wish, to=None), facts)
        channel = facts.channels.get(owner.channel)
        wanted = wish.account_id or owner.account_id or None
        account = None if channel is None else _account(channel, wanted)
        if account is not None and not isinstance(account, NoRoute):
            return changed(owner, account_id=account[0], warning=account[1], via="owner")
    return NoRoute(
        SkipReason.NO_ROUTE,
        "no owner is known: neither commands.ownerAllowFrom nor an allowFrom names a person on a"
        " channel that is configured and enabled",
        """engine config set commands.ownerAllowFrom '["telegram:YOUR_ID"]'""",
    )


def _same_person(last: LastRoute, owner: Route) -> bool:
    return (
        last.chat_type is ChatType.DIRECT and last.channel == owner.channel and last.to == owner.to
    )


def _to(route: Route, to: str) -> Route | NoRoute:
    try:
        peer = parse_target(route.channel, to)
    except InvalidInput as error:
        return NoRoute(SkipReason.TARGET_INVALID, f"{error.what}: {error.why}; {error.fix}")
    return changed(route, to=peer.to, thread_id=peer.thread_id, chat_type=peer.chat_type)


def _explicit(channel_id: str, wish: TargetWish, facts: RouteFacts) -> Route | NoRoute:
    if channel_id == LOCAL:
        inbox = split_target(wish.to)[1] if wish.to else LOCAL_INBOX
        return local_route("explicit", inbox)
    channel = facts.channels.get(channel_id)
    if channel is None:
        have = ", ".join(sorted(facts.channels)) or "none"
        return NoRoute(
            SkipReason.TARGET_INVALID,
            f"channel {channel_id!r} is not configured (have: {have})",
            _SET_UP.get(channel_id, "engine config set agents.defaults.heartbeat.target last"),
        )
    last = facts.last if facts.last is not None and facts.last.channel == channel_id else None
    if unheard_of := _no_such_address(channel, wish):
        return unheard_of
    account = _account(channel, wish.account_id or _named(channel, wish.to), last)
    if isinstance(account, NoRoute):
        return account
    account_id, warning = account
    own = next((one.default_to for one in channel.accounts if one.id == account_id), None)
    to = wish.to or (last.to if last else None) or own
    if to is None and channel.id in _BY_ACCOUNT:
        to = account_id
    if to is None:
        return NoRoute(
            SkipReason.NO_TARGET, f"channel {channel_id} has no recipient: to is not set"
        )
    route = Route(channel=channel_id, account_id=account_id, to="", warning=warning)
    resolved = _to(route, to)
    if isinstance(resolved, NoRoute):
        return resolved
    if wish.thread_id:
        return _in_topic(resolved, wish.thread_id)
    return resolved if last is None else _as_known(resolved, last)


def _in_topic(route: Route, thread_id: str) -> Route | NoRoute:
    """Refuse what can be no topic: the platform would show the words in the main one."""
    if route.channel == "telegram" and not thread_id.isdecimal():
        return NoRoute(SkipReason.TARGET_INVALID, f"topic {thread_id!r} is no number")
    return changed(route, thread_id=thread_id)


def _as_known(route: Route, last: LastRoute) -> Route:
    """Use what a conversation with the same peer taught: its kind, and a group's topic."""
    if route.to != last.to:
        return route
    kind = last.chat_type if route.chat_type is ChatType.UNKNOWN else route.chat_type
    inherits = route.thread_id is None and kind is ChatType.GROUP
    return changed(route, chat_type=kind, thread_id=last.thread_id if inherits else route.thread_id)


_BY_ACCOUNT: Final = frozenset({"webhook", "apprise"})  # an account is the recipient


def _named(channel: ChannelFacts, to: str | None) -> str | None:
    """Return the account that a recipient is, where accounts are recipients (channels.md §4)."""
    if to is None or channel.id not in _BY_ACCOUNT:
        return None
    wanted = split_target(to)[1].lower()
    return next((one.id for one in channel.accounts if one.id.lower() == wanted), None)


def _no_such_address(channel: ChannelFacts, wish: TargetWish) -> NoRoute | None:
    """Refuse a webhook nobody configured: its words would go to another account's address."""
    if channel.id != "webhook" or wish.to is None or _named(channel, wish.to):
        return None
    return _no_account(channel, split_target(wish.to)[1])


def _no_account(channel: ChannelFacts, wanted: str) -> NoRoute:
    have = ", ".join(account.id for account in channel.accounts) or "none"
    return NoRoute(
        SkipReason.UNKNOWN_ACCOUNT,
        f"accountId {wanted!r} is not configured for {channel.id} (have: {have})",
    )


def _account(
    channel: ChannelFacts, wanted: str | None, last: LastRoute | None = None
) -> tuple[str, str | None] | NoRoute:
    """Return the account that sends, and the warning if nobody chose it (channels.md §2)."""
    known = {account.id.lower(): account for account in channel.accounts}
    if wanted is not None:
        account = known.get(wanted.strip().lower())
        if account is None:
            return _no_account(channel, wanted)
        if not account.enabled:
            return NoRoute(
                SkipReason.ACCOUNT_DISABLED,
                f"account {account.id} of {channel.id} is disabled",
                _switch_on(channel, account.id),
            )
        return account.id, None
    enabled = [account.id for account in channel.accounts if account.enabled]
    if not enabled:
        return NoRoute(
            SkipReason.ACCOUNT_DISABLED,
            f"no account of {channel.id} is configured and enabled",
            _switch_on(channel, channel.accounts[0].id if channel.accounts else "default"),
        )
    bound = channel.bound_accounts[0] if len(channel.bound_accounts) == 1 else None
    for candidate in (last.account_id if last else None, bound, channel.default_account):
        if candidate is not None and candidate in enabled:
            return candidate, None
    if len(enabled) == 1:
        return enabled[0], None
    return enabled[0], (
        f"channels.{channel.id}: multiple accounts are configured but no explicit default is"
        f" set; {enabled[0]!r} was used. Set channels.{channel.id}.defaultAccount"
    )


def _switch_on(channel: ChannelFacts, account_id: str) -> str:
    whose = "" if account_id == "default" else f".accounts.{shlex.quote(account_id)}"
    return f"engine config set channels.{channel.id}{whose}.enabled true"


def webhook_route(url: str) -> Route:
    """Return the way of a job's own webhook: to the URL it names (cron.md §10.3)."""
    return Route(channel="webhook", account_id=JOB_WEBHOOKS, to=url, via="explicit")


def ping_route(url: str) -> Route:
    """Return the way of a sign of life: to whoever expects one (heartbeat.md §25 row 17)."""
    return Route(channel="webhook", account_id=PINGS, to=url, via="explicit")


def local_route(via: str, inbox: str = LOCAL_INBOX) -> Route:
    """Return the way to an inbox on this machine."""
    return Route(
        channel=LOCAL,
        account_id=LOCAL_ACCOUNT,
        to=inbox,
        chat_type=ChatType.DIRECT,
        via=via,
    )


def found_words(found: Route | NoRoute) -> dict[str, Any]:
    """Return a resolved route, or why there is none, as the record keeps it."""
    if isinstance(found, NoRoute):
        return {"reason": found.reason.value, "because": found.because}
    words = {
        "channel": found.channel,
        "accountId": found.account_id,
        "to": found.shown,
        "threadId": found.thread_id,
        "chatType": found.chat_type.value,
        "via": found.via,
        "learntAt": ms(found.learnt_at),
        "warning": found.warning,
    }
    return {key: value for key, value in words.items() if value is not None}
