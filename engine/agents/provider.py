"""Who serves models, what they cost, and who may answer: values of the config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from jobs.ledger import Usage

COMPLETIONS: Final = "openai-completions"
RESPONSES: Final = "openai-responses"
ANTHROPIC: Final = "anthropic-messages"
APIS: Final = (COMPLETIONS, RESPONSES, ANTHROPIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens (``models.providers.<id>.models[].cost``)."""

    input: float = 0.0
    output: float = 0.0
    cache_read: float = 0.0
    cache_write: float = 0.0

    def of(self, usage: Usage) -> float:
        """What these tokens cost; cached ones are part of the input."""
        fresh = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
        return (
            fresh * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
        ) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One entry of ``models.providers``, as values."""

    id: str
    api: str = "openai-completions"  # one of `APIS`
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    prices: Mapping[str, Price] = field(default_factory=dict)  # by model name
    max_tokens: Mapping[str, int] = field(default_factory=dict)  # by model name
    require_finish_reason: bool = True  # the opt-out of libraries.md's first trap
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a credential
    params: Mapping[str, Any] = field(default_factory=dict)  # put into the body as they are
    timeout: timedelta | None = None  # of one request
    thinks: frozenset[str] = frozenset()  # models that take a thinking level, by name
    sees: frozenset[str] = frozenset()  # models that take images, by name
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)  # by model name

    def serving(self, model: str) -> Provider:
        """Return the provider as this model of it wants to be asked."""
        own = dict(self.own.get(model, {}))
        for name in ("headers", "params"):
            own[name] = {**getattr(self, name), **own.get(name, {})}
        return replace(self, own={}, **own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model that may answer: the agent's own, or a fallback."""

    provider: Provider
    model: str

    @property
    def ref(self) -> str:
        """How the config spells it."""
        return f"{self.provider.id}/{self.model}"
