"""Decision: what a running gateway does about a changed config (operations.md §4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Class(StrEnum):
    """How a change takes effect."""

    NONE = "none"
    HOT = "hot"
    RESTART = "restart"


class Action(StrEnum):
    """What is done about it."""

    NOTHING = "nothing"
    ACCOUNT = "restart-account"
    CHANNEL = "restart-channel"
    CRON = "re-arm-cron"
    HEARTBEATS = "recompute-heartbeats"
    SNAPSHOT = "swap-snapshot"
    SECRETS = "resolve-secrets"
    AUTH = "swap-auth"
    GATEWAY = "restart-gateway"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `*` stands for any one part."""

    prefix: str
    kind: Class
    action: Action


_SNAPSHOT: Final = (
    "accessGroups", "agents", "models", "bindings", "messages", "session", "tools", "skills",
    "hooks", "commands", "logging", "identity", "ui", "env",
)  # fmt: skip

TABLE: Final[tuple[Row, ...]] = (
    Row("channels.*.accounts.default", Class.HOT, Action.CHANNEL),
    Row("channels.*.accounts.*", Class.HOT, Action.ACCOUNT),
    Row("channels", Class.HOT, Action.CHANNEL),
    Row("cron", Class.HOT, Action.CRON),
    Row("agents.*.heartbeat", Class.HOT, Action.HEARTBEATS),
    Row("agents.defaults.heartbeat", Class.HOT, Action.HEARTBEATS),
    Row("agents.list", Class.HOT, Action.HEARTBEATS),
    *(Row(name, Class.HOT, Action.SNAPSHOT) for name in _SNAPSHOT),
    Row("secrets", Class.HOT, Action.SECRETS),
    Row("security", Class.NONE, Action.NOTHING),
    Row("gateway.reload", Class.NONE, Action.NOTHING),
    Row("gateway.remote", Class.NONE, Action.NOTHING),
    Row("meta", Class.NONE, Action.NOTHING),
    Row("$schema", Class.NONE, Action.NOTHING),
    Row("gateway.auth.token", Class.HOT, Action.AUTH),
    Row("gateway.auth.password", Class.HOT, Action.AUTH),
    Row("gateway.auth.rateLimit", Class.HOT, Action.SNAPSHOT),
    Row("gateway.channelHealthCheckMinutes", Class.HOT, Action.SNAPSHOT),
    Row("gateway.channelStaleEventThresholdMinutes", Class.HOT, Action.SNAPSHOT),
    Row("gateway.channelMaxRestartsPerHour", Class.HOT, Action.SNAPSHOT),
    Row("gateway.http", Class.HOT, Action.SNAPSHOT),
    Row("gateway.controlPlane", Class.HOT, Action.SNAPSHOT),
    Row("gateway", Class.RESTART, Action.GATEWAY),
    Row("discovery", Class.RESTART, Action.GATEWAY),
    Row("canvasHost", Class.RESTART, Action.GATEWAY),
    Row("plugins", Class.RESTART, Action.GATEWAY),
)
UNKNOWN: Final = Row("", Class.RESTART, Action.GATEWAY)

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs, and what follows from it."""

    path: Path
    kind: Class
    action: Action

    @property
    def dotted(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)

    @property
    def target(self) -> str | None:
        """`telegram/work` or `telegram`: what an account or channel restart is about."""
        if self.action is Action.ACCOUNT:
            return f"{self.path[1]}/{self.path[3]}"
        return self.path[1] if self.action is Action.CHANNEL and len(self.path) > 1 else None


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes of one reload, and what the mode makes of them."""

    changes: tuple[Change, ...]
    restart: bool  # an in-process restart is to be made now
    apply: bool  # the new snapshot is to be put in force now
    pending: tuple[str, ...] = ()  # paths that wait for a restart nobody makes

    @property
    def actions(self) -> tuple[tuple[Action, str | None], ...]:
        """What to do, each once; a channel's restart covers its accounts."""
        wanted = dict.fromkeys((c.action, c.target) for c in self.changes if c.kind is Class.HOT)
        whole = {target for action, target in wanted if action is Action.CHANNEL}
        return tuple(
            (action, target)
            for action, target in wanted
            if not (action is Action.ACCOUNT and target and target.split("/")[0] in whole)
        )

    @property
    def sentence(self) -> str:
        """The truth about when it takes effect (operations.md §1.4)."""
        if self.restart:
            return "Restarting gateway."
        if self.pending:
            return f"Restart pending: {', '.join(self.pending)}."
        return "Applied live." if self.apply else "Takes effect when the gateway starts."


def classify(path: Path) -> Row:
    """The longest prefix of the table that fits; an exact part beats `*`."""
    fitting = [row for row in TABLE if _fits(row.prefix.split("."), path)]
    return max(fitting, key=_weight, default=UNKNOWN)


def _fits(prefix: list[str], path: Path) -> bool:
    return len(prefix) <= len(path) and all(
        p in ("*", part) for p, part in zip(prefix, path, strict=False)
    )


def _weight(row: Row) -> tuple[int, int]:
    parts = row.prefix.split(".")
    return len(parts), sum(p != "*" for p in parts)


def diff(old: Any, new: Any, path: Path = ()) -> Iterator[Path]:
    """Paths that differ between two plain trees; lists are compared whole."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*old, *(k for k in new if k not in old)):
            yield from _differs(old, new, key, path)
    elif old != new or type(old) is not type(new):
        yield path


def _differs(
    old: Mapping[str, Any], new: Mapping[str, Any], key: str, path: Path
) -> Iterator[Path]:
    here = (*path, str(key))
    if key in old and key in new:
        yield from diff(old[key], new[key], here)
        return
    # An added or removed object is told leaf by leaf, so that each leaf finds its own row.
    value = old.get(key, new.get(key))
    yield from _leaves(value, here)


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path


def plan(old: Mapping[str, Any], new: Mapping[str, Any], *, mode: str = "hybrid") -> Plan:
    """What follows from replacing ``old`` by ``new`` (plain trees of the two files)."""
    changes = tuple(
        Change(path, row.kind, row.action) for path in diff(old, new) for row in (classify(path),)
    )
    effective = [c for c in changes if c.kind is not Class.NONE]
    needs = [c.dotted for c in changes if c.kind is Class.RESTART]
    match mode:
        case "off":
            return Plan(changes, restart=False, apply=not effective)
        case "hot":
            return Plan(changes, restart=False, apply=True, pending=tuple(needs))
        case "restart":
            return Plan(changes, restart=bool(effective), apply=True)
        case _:
            return Plan(changes, restart=bool(needs), apply=True)
