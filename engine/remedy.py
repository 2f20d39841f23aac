"""The command that mends a beat's way, with the key this agent has it from (heartbeat.md §2). Pure.

What an agent's own block says is changed there; everything else in the block all agents share.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from engine.route import NoRoute
from jobs.ledger import SkipReason

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


def _path(keys: Keys, key: str) -> str:
    return shlex.quote(keys.get(key, f"agents.defaults.heartbeat.{key}"))
