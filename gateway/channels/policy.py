"""Who may talk to an agent: direct messages and groups (channels.md §3). Pure.

Pairing codes are not made here: an unknown sender under `pairing` is told apart
(`pairing-required`), and what follows is the inbound room's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from engine.config.chats import HISTORY_LIMIT, MAX_AGE
from engine.messages.address import ChatType
from engine.messages.unheard import Unheard
from gateway.channels.base import Inbound

ANYONE: Final = "*"
_PREFIXES: Final = ("telegram:", "tg:", "qqbot:", "qq:")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRule:
    """Settings of one group, or of ``*``, every other one."""

    require_mention: bool = True
    ignore_others: bool = False  # what calls somebody else, and not the bot, is not for it
    allow_from: tuple[str, ...] = ()  # empty: the account's
    enabled: bool = True
    policy: str | None = None  # instead of the account's
    topics: Mapping[str, GroupRule] = field(default_factory=dict)  # by number, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may talk through one account."""

    dm: str = "pairing"  # pairing | allowlist | open | disabled
    allow_from: tuple[str, ...] = ()
    paired: tuple[str, ...] = ()  # the allow store of this account
    group: str = "allowlist"  # open | allowlist | disabled
    groups: Mapping[str, GroupRule] | None = None  # present: the list of allowed groups
    group_allow_from: tuple[str, ...] | None = None  # None: allow_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How an account listens, for one agent: the keys of channels.md §3.3 and §5."""

    patterns: tuple[str, ...] = ()  # what calls the agent in a group
    history: int = HISTORY_LIMIT  # unmentioned messages kept for the next mentioned one
    max_age: timedelta = MAX_AGE


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a message is let in; ``reason`` is the step that refused, None if none did."""

    reason: Unheard | None = None
    may_set_route: bool = field(default=True)  # False: let in, but not its agent's owner

    @property
    def admitted(self) -> bool:
        """Nothing refused it."""
        return self.reason is None


def entries(allow_from: Sequence[str]) -> tuple[str, ...]:
    """Return an allow list as it counts: trimmed, without prefixes; blanks match nobody."""
    cleaned = (_bare(entry) for entry in allow_from)
    return tuple(entry for entry in cleaned if entry)


def _bare(entry: str) -> str:
    text = str(entry).strip()
    lowered = text.lower()
    prefix = next((prefix for prefix in _PREFIXES if lowered.startswith(prefix)), "")
    return text[len(prefix) :].strip()


def matches(allow_from: Sequence[str], sender_id: str) -> bool:
    """Whether the sender is on the list; ``*`` only as a whole entry, ids without case."""
    sender = sender_id.strip().lower()
    listed = entries(allow_from)
    return ANYONE in listed or (bool(sender) and sender in {entry.lower() for entry in listed})


def judge(policy: Policy, message: Inbound) -> Verdict:
    """Decide about one message; the first step that refuses is the reason."""
    if message.chat_type is ChatType.DIRECT:
        return _direct(policy, message)
    return Verdict(_group(policy, message))


def _direct(policy: Policy, message: Inbound) -> Verdict:
    if policy.dm == "disabled":
        return Verdict(Unheard.DM_DISABLED)
    known = matches(policy.allow_from, message.sender_id)
    if known or (policy.dm != "open" and matches(policy.paired, message.sender_id)):
        return Verdict(may_set_route=_is_owner(policy, message.sender_id))
    return Verdict(Unheard.PAIRING_REQUIRED if policy.dm == "pairing" else Unheard.BLOCKED)


def _is_owner(policy: Policy, sender_id: str) -> bool:
    """With exactly one person named, nobody else moves the main route (channels.md §4)."""
    named = [entry for entry in entries(policy.allow_from) if entry != ANYONE]
    return len(named) != 1 or named[0].lower() == sender_id.strip().lower()


def _group(policy: Policy, message: Inbound) -> Unheard | None:
    rule = _rule(policy, message.peer.to)
    own = policy.group if rule is None or rule.policy is None else rule.policy
    if own == "disabled":
        return Unheard.GROUP_DISABLED
    if rule is not None:
        policy = replace(policy, group=own)
        rule = rule.topics.get(message.peer.thread_id or "", rule)
    if rule is None or not rule.enabled:
        return Unheard.GROUP_NOT_ALLOWED
    if not _group_sender_allowed(policy, rule, message.sender_id):
        return Unheard.SENDER_NOT_ALLOWED
    if message.mentioned:
        return None
    if rule.ignore_others and message.calls_others:
        return Unheard.OTHER_MENTIONED
    if rule.require_mention:
        return Unheard.MENTION_REQUIRED
    return None


def _rule(policy: Policy, group_id: str) -> GroupRule | None:
    """The group's settings, or nothing if it is not allowed. A missing block fails closed."""
    if policy.groups is None:
        return GroupRule() if policy.group == "open" or policy.group_allow_from else None
    # On QQ the kind stands before an id, and may be left out where people write it.
    names = {group_id.lower(), group_id.partition(":")[2].lower() or group_id.lower()}
    own = (rule for name, rule in policy.groups.items() if name.strip().lower() in names)
    found = next(own, None) or policy.groups.get(ANYONE)
    return found or (GroupRule() if policy.group == "open" else None)


def _group_sender_allowed(policy: Policy, rule: GroupRule, sender_id: str) -> bool:
    if rule.allow_from:
        return matches(rule.allow_from, sender_id)
    if policy.group == "open" and policy.group_allow_from is None:
        return True
    senders = policy.allow_from if policy.group_allow_from is None else policy.group_allow_from
    return matches(senders, sender_id)
