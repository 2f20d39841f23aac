"""Which tools an agent may use: profile, then provider, global and agent rules. Pure.

operations.md §13.2: deny beats allow, and a list of what is allowed switches all else off. What
is withheld is told with the rule that withholds it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

ANSWER: Final = "heartbeat_respond"  # the answer of a beat: no profile takes it away
_MINIMAL: Final = "minimal"

GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "runtime": frozenset({"exec", "bash", "process"}),
    "fs": frozenset({"read", "write", "edit", "apply_patch"}),
    "sessions": frozenset(
        {"sessions_list", "sessions_history", "sessions_send", "sessions_spawn", "session_status"}
    ),
    "memory": frozenset({"memory_search", "memory_get"}),
    "web": frozenset({"web_search", "web_fetch"}),
    "ui": frozenset({"browser", "canvas"}),
    "automation": frozenset({"cron", "gateway", "heartbeat", ANSWER}),
    "messaging": frozenset({"message"}),
    "nodes": frozenset({"nodes"}),
    "agents": frozenset({"agents_list"}),
}
ENGINE: Final = "engine"  # the group of all built-in tools
BUILT_IN: Final = frozenset({"read", "write", "exec", "process", "cron", "message", ANSWER})
PROFILES: Final[Mapping[str, frozenset[str] | None]] = {
    _MINIMAL: frozenset({"session_status"}),
    "coding": GROUPS["fs"]
    | GROUPS["runtime"]
    | GROUPS["sessions"]
    | GROUPS["memory"]
    | GROUPS["automation"],
    "messaging": GROUPS["messaging"] | GROUPS["sessions"],
    "full": None,
}
NAMES: Final = frozenset().union(*GROUPS.values(), BUILT_IN)
_NEAR: Final = (*sorted(NAMES), *(f"group:{name}" for name in sorted(GROUPS)))


def named(entry: str) -> frozenset[str]:
    """Return the tools an entry of a list means: one tool, ``group:fs``, ``*``; lower case."""
    name = entry.strip().lower()
    if name == "*":
        return NAMES
    group = name.removeprefix("group:")
    if group == ENGINE and name != group:
        return BUILT_IN
    if name != group:
        return GROUPS.get(group, frozenset())
    # A tool goes before a group of its name: `nodes` is both.
    return frozenset({name}) if name in NAMES else GROUPS.get(name, frozenset({name}))


def nearest(entry: str) -> str:
    """Return what was perhaps meant by an entry nobody knows, as the end of a sentence."""
    near = get_close_matches(entry.strip().lower(), _NEAR, 1)
    return f': did you mean "{near[0]}"?' if near else f": there is {', '.join(sorted(BUILT_IN))}"


def known(entry: str) -> bool:
    """Whether an entry names something this product or the reference has."""
    return bool(named(entry) & NAMES)


def meant(entries: Collection[str]) -> frozenset[str]:
    """Return all tools a list names."""
    return frozenset().union(*(named(entry) for entry in entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What one place says about tools; ``where`` is how a refusal names it."""

    where: str
    profile: str | None = None  # None: it says nothing about that
    allow: tuple[str, ...] | None = None  # None, or empty: everything
    also: tuple[str, ...] = ()  # besides the profile
    deny: tuple[str, ...] = ()

    def objects(self, tool: str) -> str:
        """Return why this place withholds a tool; nothing if it does not."""
        if tool in meant(self.deny):
            return f"{self.where}.deny names it"
        if self.allow and tool not in meant(self.allow):
            return f"{self.where}.allow does not name it"
        most = PROFILES.get(self.profile or "full")
        if most is not None and tool not in most | meant(self.also) and tool != ANSWER:
            return f"{self.where}.profile {self.profile} does not have it"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPolicy:
    """All that is said about the tools of one agent."""

    layers: tuple[Layer, ...] = ()
    providers: Mapping[str, Layer] = field(default_factory=dict)  # by provider of the model

    def objects(self, tool: str, provider: str = "") -> str:
        """Return the first rule that withholds a tool; nothing if none does."""
        own = self.providers.get(provider)
        said = [layer.objects(tool) for layer in (own, *self.layers) if layer is not None]
        return next((words for words in said if words), "")
