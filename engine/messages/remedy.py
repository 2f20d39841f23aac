"""What mends a way: a command for a beat's, other words for a place named by hand. Pure.

What an agent's own block says is changed there; everything else in the block all agents share
(heartbeat.md §2). A place named for one message is named anew: no config has a part in it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from engine.messages.route import LOCAL, ChannelFacts, NoRoute, TargetWish
from engine.messages.target import FORMS, WORDS, split_target
from jobs.ledger import SkipReason

_OF_BEATS: Final = "engine config set agents."
Keys = Mapping[str, str]  # of an agent's own heartbeat block: where each key stands


def set_key(keys: Keys, key: str, value: str) -> str:
    """Return the command that sets a key of the heartbeat where this agent has it from."""
    return f"engine config set {_path(keys, key)} {shlex.quote(value)}"


def unset_key(keys: Keys, key: str) -> str:
    """Return the command that takes such a key out."""
    return f"engine config unset {_path(keys, key)}"


def way_fix(found: NoRoute, keys: Keys) -> str:
    """Return what gives the words of a beat a way."""
    if found.own_fix:
        return found.own_fix
    match found.reason:
        case SkipReason.TARGET_NONE | SkipReason.NO_TARGET | SkipReason.TARGET_INVALID:
            return set_key(keys, "target", "last")
        case SkipReason.UNKNOWN_ACCOUNT:
            return unset_key(keys, "accountId")
        case SkipReason.DM_BLOCKED:
            return set_key(keys, "directPolicy", "allow")
        case _:
            return found.fix


def place_fix(found: NoRoute, wish: TargetWish, channels: Mapping[str, ChannelFacts]) -> str:
    """Return how to name the place of one message so that it leads somewhere."""
    if found.own_fix and not found.own_fix.startswith(_OF_BEATS):
        return found.own_fix
    match found.reason:
        case SkipReason.TARGET_NONE | SkipReason.NO_TARGET:
            return f"name a recipient: {_example(wish.target, channels)}"
        case SkipReason.TARGET_INVALID:
            return _meant(wish, channels)
        case SkipReason.UNKNOWN_ACCOUNT:
            return _known_accounts(wish, channels)
        case _:
            return found.fix


def _meant(wish: TargetWish, channels: Mapping[str, ChannelFacts]) -> str:
    """What was meant by a channel there is not, or by a recipient that fits none."""
    known = sorted({*channels, LOCAL})
    if wish.target not in (*WORDS, *known):
        near = get_close_matches(wish.target, known, 1)
        return f"did you mean {near[0]}?" if near else f"name one of: {', '.join(known)}"
    to = wish.to or ""
    if wish.thread_id and not wish.thread_id.isdecimal():
        return "name the topic by its number"
    named, rest = split_target(to)
    if named is not None:
        return f"name it as {_example(named, channels)}"
    head, colon, behind = rest.partition(":")
    if colon and (near := get_close_matches(head.lower(), known, 1)):
        return f"did you mean {near[0]}:{behind}?"
    return f"name it with its channel: {_example('', channels)}"


def _example(channel: str, channels: Mapping[str, ChannelFacts]) -> str:
    names = [channel] if channel in (*channels, LOCAL) else sorted({*channels, LOCAL})
    return ", ".join(_form(name, channels.get(name)) for name in names)


def _form(name: str, facts: ChannelFacts | None) -> str:
    if name in FORMS:
        return f"{name}:{FORMS[name].partition(', ')[0].removeprefix(f'{name}:')}"
    return f"{name}:{facts.accounts[0].id if facts and facts.accounts else 'NAME'}"


def _known_accounts(wish: TargetWish, channels: Mapping[str, ChannelFacts]) -> str:
    named = split_target(wish.to or "")[0] if wish.target in WORDS else wish.target
    facts = channels.get(named or "")
    if facts is None:
        return "engine channels status"
    return f"name one of: {', '.join(one.id for one in facts.accounts)}"


def _path(keys: Keys, key: str) -> str:
    return shlex.quote(keys.get(key, f"agents.defaults.heartbeat.{key}"))
