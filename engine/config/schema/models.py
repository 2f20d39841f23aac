"""Keys under `models`: where answers come from."""

from __future__ import annotations

from typing import Literal

from engine.config.schema.base import YET, Names, Open, Positive, Section, key, table
from engine.config.secrets import Secret


class ModelCost(Section):
    """Prices, US dollars per million tokens."""

    input: float = key(0, "Input tokens.")
    output: float = key(0, "Output tokens.")
    cache_read: float = key(0, "Tokens read from the cache.")
    cache_write: float = key(0, "Tokens written to the cache.")


class ModelSpec(Section):
    """One model of a provider."""

    id: str = key(..., "Id the provider knows.")
    name: str | None = key(None, "Name shown to people.")
    api: str | None = key(None, "Overrides the provider's api.")
    base_url: str | None = key(None, "Overrides the provider's baseUrl.")
    reasoning: bool = key(
        False, "It thinks before it answers: an OpenAI-compatible server is sent reasoning_effort."
    )
    input: Names = key(
        ("text",), "Kinds of input it takes; with `image` it is shown pictures people send."
    )
    cost: ModelCost | None = key(None, "Prices.")
    context_window: Positive | None = key(None, "Context window.", unit="tokens", inert=YET)
    max_tokens: Positive | None = key(None, "Longest answer.", unit="tokens")
    headers: dict[str, str] = table("HTTP headers.")
    params: Open = table("Request parameters passed through.")


class Provider(Section):
    """One model provider; `offline` takes a script instead of an address."""

    base_url: str | None = key(None, "Address, with its /v1.")
    api_key: Secret | None = key(None, "API key.")
    api: str = key(
        "openai-completions", "openai-completions, openai-responses or anthropic-messages."
    )
    auth: Literal["api-key", "aws-sdk", "oauth", "token"] | None = key(
        None, "Kind of credential.", inert=YET
    )
    headers: dict[str, Secret] = table("HTTP headers.")
    models: tuple[ModelSpec, ...] = key((), "Models it offers.")
    params: Open = table("Request parameters passed through.")
    timeout_seconds: Positive | None = key(None, "Limit of one request.", unit="s")
    max_tokens: Positive | None = key(None, "Longest answer of its models.", unit="tokens")
    context_window: Positive | None = key(
        None, "Context window of its models.", unit="tokens", inert=YET
    )
    require_finish_reason: bool = key(
        True, "A cut stream is an error (openai-completions without it passes for complete)."
    )
    script: str | None = key(None, "`offline` only: file of scripted answers.")


class Models(Section):
    """Where answers come from."""

    mode: Literal["merge", "replace"] = key(
        "merge", "Providers here add to or replace the known.", inert=YET
    )
    providers: dict[str, Provider] = table("Providers by id; a model is `<provider>/<model id>`.")
