"""Model refs: a name nobody can mean is refused, a provider that is only missing is told."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from engine.config import models
from engine.config.checks.findings import Check
from engine.config.keypath import Key
from engine.config.schema import Config
from engine.config.schema.agents import Heartbeat, ModelChoice

APIS: Final = ("openai-completions", "openai-responses", "anthropic-messages")
# What the reference's files may name besides (reference_config_keys.tsv).
_KNOWN: Final = frozenset(
    {
        "openai-codex-responses",
        "openai-chatgpt-responses",
        "azure-openai-responses",
        "google-generative-ai",
        "github-copilot",
        "bedrock-converse-stream",
        "ollama",
    }
)


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


def apis(check: Check) -> None:
    """Every provider's api: this version speaks some of those the reference knows."""
    for name, provider in check.config.models.providers.items():
        key: Key = ("models", "providers", name)
        _api(check, key, provider.api)
        for n, model in enumerate(provider.models):
            _api(check, (*key, "models", n), model.api)


def _api(check: Check, key: Key, api: str | None) -> None:
    if api is None or api in APIS:
        return
    spoken = f"{', '.join(APIS[:-1])} or {APIS[-1]}"
    if api in _KNOWN:
        words = f'"{api}" is not spoken here ({spoken}). Until it changes its models do not answer'
        check.warn((*key, "api"), "runner.api_unknown", words)
        return
    near = get_close_matches(api, APIS, 1)
    meant = f' — did you mean "{near[0]}"?' if near else ""
    check.refuse((*key, "api"), f'unknown api "{api}"{meant} ({spoken})', "model")


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
