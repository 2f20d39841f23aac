"""The agent that is a language model: OpenAI-compatible servers and Anthropic.

Built on pydantic-ai's direct requests, imported in a worker thread at the first turn (2 s).
Nothing is streamed: a cut stream is passed off as a complete answer, and an answer that
stopped at the output limit is a failure here, never words for a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from engine.agents import pictures
from engine.agents.base import AgentFailure, FailureClass, Sleep, TurnReply, TurnRequest
from engine.agents.envelope import completed
from engine.agents.model_turn import Library, ModelTurn
from engine.agents.pictures import unseen
from engine.agents.provider import ANTHROPIC, APIS, RESPONSES, Candidate, Provider

SDK_RETRIES: Final = 2
_MEANT: Final[dict[str, bool | str]] = {"off": False, "ultra": "max", "adaptive": True}
# What every server that takes an effort understands; an adaptive one is the model's own.
_SENT: Final = {"off": "none", "xhigh": "high", "max": "high", "ultra": "high", "adaptive": ""}
_EFFORTS: Final = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})


def load_library() -> Library:
    """Import pydantic-ai; slow the first time. Raises ImportError without the extra."""
    from pydantic_ai import direct, messages, models, profiles, tools

    return Library(direct=direct, messages=messages, models=models, tools=tools, profiles=profiles)


class ModelAgent:
    """Asks the candidates in order; the first that answers wins."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        sleep: Sleep,
        load: Callable[[], Library] = load_library,
        sdk_retries: int = SDK_RETRIES,
    ) -> None:
        if not candidates:
            raise ValueError("an agent needs at least one model")
        self._candidates = tuple(candidates)
        self._sleep = sleep
        self._load = load
        self._sdk_retries = sdk_retries
        self._library: Library | None = None
        self._models: dict[str, Any] = {}  # by candidate ref
        self._loading = asyncio.Lock()

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Answer, or raise the failure of the last candidate with all attempts listed."""
        library = await self._ready()
        turn = ModelTurn(self, library, request, await pictures.read(request.images))
        return await turn.run()

    async def close(self) -> None:
        """Close the connections."""
        models, self._models = self._models, {}
        for model in models.values():
            await model.client.close()

    async def _ready(self) -> Library:
        async with self._loading:
            if self._library is None:
                try:
                    self._library = await asyncio.to_thread(self._load)
                except ImportError as error:
                    raise _extra_missing(error) from error
            return self._library

    async def model_for(self, library: Library, candidate: Candidate) -> Any:
        """Return the library's model, built once."""
        async with self._loading:
            if candidate.ref not in self._models:
                try:
                    self._models[candidate.ref] = await asyncio.to_thread(
                        _build, library, candidate
                    )
                except ImportError as error:
                    raise _extra_missing(error) from error
            return self._models[candidate.ref]

    async def ask(
        self,
        library: Library,
        candidate: Candidate,
        request: TurnRequest,
        messages: list[Any],
        parameters: Any,
        *,
        last: bool,
    ) -> Any:
        """Send the conversation so far to one model and return its answer."""
        model = await self.model_for(library, candidate)
        settings = self.settings(candidate, request, last=last)
        if candidate.provider.api == ANTHROPIC:
            tools = parameters.function_tools
            return await model.request(library.messages, messages, settings, tools)
        return await library.direct.model_request(
            model, messages, model_settings=settings, model_request_parameters=parameters
        )

    def settings(self, candidate: Candidate, request: TurnRequest, *, last: bool) -> dict[str, Any]:
        """Request settings. While another candidate is left, moving on beats waiting."""
        settings: dict[str, Any] = {"max_retries": self._sdk_retries if last else 0}
        if limit := candidate.provider.max_tokens.get(candidate.model):
            settings["max_tokens"] = limit
        provider = candidate.provider
        if provider.timeout is not None:
            settings["timeout"] = provider.timeout.total_seconds()
        if provider.headers:
            settings["extra_headers"] = dict(provider.headers)
        if provider.params:
            settings["extra_body"] = dict(provider.params)
        return settings | _thinking(candidate, request.thinking)

    async def unsent(self, library: Library, candidate: Candidate, request: TurnRequest) -> str:
        """Return what was wished for and did not reach the model, in words."""
        model = await self.model_for(library, candidate)
        words = unsent(candidate, model, request.thinking), unseen(candidate, request.images)
        return "; ".join(one for one in words if one)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Who may answer, in order."""
        return self._candidates

    async def pause(self, wait: timedelta) -> None:
        """Wait before the turn-level retry."""
        await self._sleep(wait)


def _thinking(candidate: Candidate, level: str | None) -> dict[str, Any]:
    """Return how a thinking level is asked for: in the words of the library, or as they stand.

    The library drops a level for a model it does not know; the config may know that it thinks.
    """
    if level is None:
        return {}
    if candidate.model in candidate.provider.thinks and candidate.provider.api != ANTHROPIC:
        effort = _SENT.get(level, level)
        return {"openai_reasoning_effort": effort} if effort else {}
    if level in _EFFORTS:
        return {"thinking": level}
    return {"thinking": _MEANT[level]} if level in _MEANT else {}


def unsent(candidate: Candidate, model: Any, level: str | None) -> str:
    """Return why a thinking level does not reach a model; nothing if it does, or if none is set."""
    known = candidate.model in candidate.provider.thinks or candidate.provider.api == ANTHROPIC
    if known or level in (None, "adaptive"):
        return ""
    if dict(model.profile or {}).get("supports_thinking"):
        return ""
    return (
        f"thinking {level} was not sent: {candidate.ref} is not known to think. If it does, set"
        f" reasoning of it in models.providers.{candidate.provider.id}.models"
    )


def _build(library: Library, candidate: Candidate) -> Any:
    """Build the library's model; in a thread, as it imports the provider's SDK."""
    provider = candidate.provider
    if provider.api not in APIS:
        raise AgentFailure(
            FailureClass.INVALID,
            f"{candidate.ref}: api {provider.api!r} is not spoken here. Fix: set api of"
            f" models.providers.{provider.id} to {', '.join(APIS[:-1])} or {APIS[-1]}",
        )
    if provider.api == ANTHROPIC:
        from engine.agents.anthropic import AnthropicModel

        return AnthropicModel(candidate)
    if provider.api == RESPONSES:
        from pydantic_ai.models.openai import OpenAIResponsesModel

        return OpenAIResponsesModel(candidate.model, provider=_openai_access(provider))
    from pydantic_ai.models.openai import OpenAIChatModel

    access = _openai_access(provider)
    profile = library.profiles.merge_profile(
        access.model_profile(candidate.model),
        {"openai_chat_streaming_requires_finish_reason": provider.require_finish_reason},
    )

    class Similar(OpenAIChatModel):  # type: ignore[misc]  # the extra is absent from a plain install
        """A model on a server that may leave out what nobody needs."""

        def _validate_completion(self, response: Any) -> Any:  # a hook meant for subclasses
            answer = completed(response.model_dump(warnings=False), candidate.model)
            return super()._validate_completion(type(response).construct(**answer))

    return Similar(candidate.model, provider=access, profile=profile)


def _openai_access(provider: Provider) -> Any:
    # A local server asks for no key, and the SDK refuses to have none.
    key = provider.api_key or "none"
    if provider.base_url is None or urlsplit(provider.base_url).hostname == "api.openai.com":
        from pydantic_ai.providers.openai import OpenAIProvider

        return OpenAIProvider(api_key=key, base_url=provider.base_url)
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    return OpenAICompatibleProvider(provider.id, base_url=provider.base_url, api_key=key)


def _extra_missing(error: ImportError) -> AgentFailure:
    return AgentFailure(
        FailureClass.INVALID,
        f"the model client is not installed ({error.name or error}). "
        "Fix: pip install 'heartbeat-engine[model]'",
    )
