"""Names of tools: one nobody knows is told, with the nearest that exists (operations.md §13.2)."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from engine.config.checks.findings import Check
from engine.config.keypath import Key
from engine.config.schema import Config
from engine.config.schema.tools import ToolRules
from engine.decisions.tool_policy import GROUPS, NAMES, known

_NEAR: Final = (*sorted(NAMES), *(f"group:{name}" for name in sorted(GROUPS)))


def names(check: Check) -> None:
    """Every entry of a list of tools, wherever it stands."""
    for key, entries in _lists(check.config):
        for n, entry in enumerate(entries):
            if known(entry):
                continue
            near = get_close_matches(entry.lower(), _NEAR, 1)
            hint = f'did you mean "{near[0]}"?' if near else "it has no effect"
            check.warn((*key, n), "tools.unknown", f'no tool or group "{entry}": {hint}')


def _lists(config: Config) -> Iterator[tuple[Key, tuple[str, ...]]]:
    for where, rules in _rules(config):
        yield (*where, "allow"), rules.allow or ()
        yield (*where, "alsoAllow"), rules.also_allow
        yield (*where, "deny"), rules.deny
    beats = config.agents.defaults.heartbeat
    if beats is not None:
        yield ("agents", "defaults", "heartbeat", "toolsAllow"), beats.tools_allow or ()
    for n, agent in enumerate(config.agents.list):
        if agent.heartbeat is not None:
            key: Key = ("agents", "list", n, "heartbeat", "toolsAllow")
            yield key, agent.heartbeat.tools_allow or ()


def _rules(config: Config) -> Iterator[tuple[Key, ToolRules]]:
    yield ("tools",), config.tools
    for name, rules in config.tools.by_provider.items():
        yield ("tools", "byProvider", name), rules
    for n, agent in enumerate(config.agents.list):
        yield ("agents", "list", n, "tools"), agent.tools
