"""Model refs: a name nobody can mean is refused, a provider that is only missing is told."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config import models
from engine.config.checks.findings import Check
from engine.config.keypath import Key
from engine.config.schema import Config
from engine.config.schema.agents import Heartbeat, ModelChoice


def refs(check: Check) -> None:
    """Every model an agent or a heartbeat asks (design.md §8)."""
    for key, ref in _refs(check.config):
        found = models.fault(ref, check.config)
        if found is None:
            continue
        if found.misspelt:
            check.refuse(key, found.text, "model")
        else:
            check.warn(key, "runner.model_unknown", f"{found.text}. Until then every turn fails")


def _refs(config: Config) -> Iterator[tuple[Key, str]]:
    defaults: Key = ("agents", "defaults")
    yield from _of(defaults, config.agents.defaults.model, config.agents.defaults.heartbeat)
    for n, agent in enumerate(config.agents.list):
        yield from _of(("agents", "list", n), agent.model, agent.heartbeat)


def _of(
    key: Key, choice: ModelChoice | None, heartbeat: Heartbeat | None
) -> Iterator[tuple[Key, str]]:
    for where, found in (
        ((*key, "model"), choice),
        ((*key, "heartbeat", "model"), heartbeat.model if heartbeat is not None else None),
    ):
        if found is None:
            continue
        if found.primary:
            yield (*where, "primary"), found.primary
        for n, ref in enumerate(found.fallbacks or ()):
            yield (*where, "fallbacks", n), ref
