"""The agent that is a language model: OpenAI-compatible servers and Anthropic.

Built on pydantic-ai's direct requests, imported in a worker thread at the first turn (2 s).
Nothing is streamed: a cut stream is passed off as a complete answer, and an answer that
stopped at the output limit is a failure here, never words for a person. Requests of one
turn share a history, so a retry or a fallback never repeats a tool that already ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from engine.agents.base import (
    AgentFailure,
    FailureClass,
    Message,
    Tool,
    ToolCall,
    ToolRefused,
    TurnReply,
    TurnRequest,
)
from engine.agents.envelope import completed
from engine.agents.faults import STUMBLED, classify, told
from engine.agents.secrets import redacted
from jobs.ledger import Usage

ROUNDS_MOST: Final = 24  # requests of one turn: a model that calls tools in circles is stopped
RETRY_AFTER: Final = timedelta(seconds=2)
RETRY_AFTER_MOST: Final = timedelta(seconds=30)  # a longer wait is the schedule's business
SDK_RETRIES: Final = 2
_EFFORTS: Final = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})

Sleep = Callable[[timedelta], Awaitable[None]]


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
    api: str = "openai-completions"  # openai-completions | anthropic-messages
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    prices: Mapping[str, Price] = field(default_factory=dict)  # by model name
    max_tokens: Mapping[str, int] = field(default_factory=dict)  # by model name
    require_finish_reason: bool = True  # the opt-out of libraries.md's first trap


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model that may answer: the agent's own, or a fallback."""

    provider: Provider
    model: str

    @property
    def ref(self) -> str:
        """How the config spells it."""
        return f"{self.provider.id}/{self.model}"


@dataclass(frozen=True, slots=True)
class Library:
    """The parts of pydantic-ai in use, imported."""

    direct: Any
    messages: Any
    models: Any
    tools: Any
    profiles: Any


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
        turn = _Turn(self, library, request)
        return await turn.run()

    async def close(self) -> None:
        """Close the connections."""
        models, self._models = self._models, {}
        for model in models.values():
            client = model.client
            await client.close()

    async def _ready(self) -> Library:
        async with self._loading:
            if self._library is None:
                try:
                    self._library = await asyncio.to_thread(self._load)
                except ImportError as error:
                    raise _extra_missing("model", error) from error
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
                    extra = "anthropic" if _is_anthropic(candidate.provider) else "model"
                    raise _extra_missing(extra, error) from error
            return self._models[candidate.ref]

    def settings(self, candidate: Candidate, request: TurnRequest, *, last: bool) -> dict[str, Any]:
        """Request settings. While another candidate is left, moving on beats waiting."""
        settings: dict[str, Any] = {"max_retries": self._sdk_retries if last else 0}
        if limit := candidate.provider.max_tokens.get(candidate.model):
            settings["max_tokens"] = limit
        if request.thinking == "off":
            settings["thinking"] = False
        elif request.thinking == "ultra":
            settings["thinking"] = "max"
        elif request.thinking in _EFFORTS:
            settings["thinking"] = request.thinking
        elif request.thinking == "adaptive":
            settings["thinking"] = True
        return settings

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Who may answer, in order."""
        return self._candidates

    async def pause(self, wait: timedelta) -> None:
        """Wait before the turn-level retry."""
        await self._sleep(wait)


class _Turn:
    """One turn: its conversation so far, what it used, who failed."""

    def __init__(self, agent: ModelAgent, library: Library, request: TurnRequest) -> None:
        self._agent = agent
        self._library = library
        self._request = request
        self._messages = _conversation(library.messages, request)
        self._parameters = library.models.ModelRequestParameters(
            function_tools=[
                library.tools.ToolDefinition(
                    name=tool.name,
                    description=tool.description,
                    parameters_json_schema=dict(tool.parameters),
                    # Left to itself the library closes every object it is not told of, and a
                    # server that follows the schema could not fill them.
                    strict=False,
                )
                for tool in request.tools
            ]
        )
        self._tools = {tool.name: tool for tool in request.tools}
        self._calls: list[ToolCall] = []
        self._said: list[str] = []
        self._thought: list[str] = []
        self._attempts: list[dict[str, Any]] = []
        self._usage = Usage()
        self._priced = True  # false once a request's cost is not known

    async def run(self) -> TurnReply:
        for _ in range(ROUNDS_MOST):
            response, candidate = await self._ask()
            self._take_in(response, candidate)
            if not await self._use_tools(response):
                return self._reply(candidate)
        raise AgentFailure(
            FailureClass.INVALID,
            f"the model asked for tools {ROUNDS_MOST} times without an answer",
            attempts=tuple(self._attempts),
        )

    async def _ask(self) -> tuple[Any, Candidate]:
        """Try every candidate; once more, after a pause, if the trouble looks passing."""
        try:
            return await self._first_answer()
        except AgentFailure as failure:
            wait = _pause_before_retry(failure)
            if wait is None:
                raise
        await self._agent.pause(wait)
        return await self._first_answer()

    async def _first_answer(self) -> tuple[Any, Candidate]:
        failure: AgentFailure | None = None
        candidates = self._agent.candidates
        for candidate in candidates:
            try:
                last = candidate is candidates[-1]
                return await self._request_from(candidate, last=last), candidate
            except AgentFailure as one:
                failure = one
                self._attempts.append(
                    {"model": candidate.ref, "class": str(one.failure), "message": one.message}
                )
        if failure is None:
            raise AssertionError("no candidate was asked")
        failure.attempts = tuple(self._attempts)
        raise failure

    async def _request_from(self, candidate: Candidate, *, last: bool) -> Any:
        provider = candidate.provider
        model = await self._agent.model_for(self._library, candidate)
        try:
            response = await self._library.direct.model_request(
                model,
                self._messages,
                model_settings=self._agent.settings(candidate, self._request, last=last),
                model_request_parameters=self._parameters,
            )
        except (RuntimeError, ValueError, *STUMBLED) as error:
            # What the library raises for a failed request is one of the first two.
            words = told(error, provider=provider.id, base_url=provider.base_url)
            raise AgentFailure(
                classify(error),
                redacted(f"{candidate.ref}: {words}", [provider.api_key]),
                retry_after_seconds=getattr(error, "retry_after", None),
            ) from error
        if cut := _why_cut(response):
            raise AgentFailure(FailureClass.INVALID, f"{candidate.ref}: {cut}")
        return response

    def _take_in(self, response: Any, candidate: Candidate) -> None:
        self._messages.append(response)
        for part in response.parts:
            if part.part_kind == "text" and part.content.strip():
                self._said.append(part.content.strip())
            elif part.part_kind == "thinking" and part.content:
                self._thought.append(part.content)
        used = _usage(response.usage, candidate)
        self._priced = self._priced and used.cost_usd is not None
        self._usage = Usage(
            input_tokens=self._usage.input_tokens + used.input_tokens,
            output_tokens=self._usage.output_tokens + used.output_tokens,
            cache_read_tokens=self._usage.cache_read_tokens + used.cache_read_tokens,
            cache_write_tokens=self._usage.cache_write_tokens + used.cache_write_tokens,
            cost_usd=(self._usage.cost_usd or 0.0) + (used.cost_usd or 0.0)
            if self._priced
            else None,
        )

    async def _use_tools(self, response: Any) -> bool:
        """Run what was asked for, in order; false if the turn has ended."""
        messages = self._library.messages
        returns, ended = [], False
        for part in response.parts:
            if part.part_kind != "tool-call":
                continue
            call = await self._use(part)
            self._calls.append(call)
            tool = self._tools.get(call.name)
            ended = ended or (tool is not None and tool.ends_turn and not call.failed)
            returns.append(
                messages.ToolReturnPart(
                    tool_name=call.name,
                    content=call.result,
                    tool_call_id=part.tool_call_id,
                    outcome="failed" if call.failed else "success",
                )
            )
        if returns:
            self._messages.append(messages.ModelRequest(parts=returns, **self._instructions()))
        return bool(returns) and not ended

    def _instructions(self) -> dict[str, str]:
        text = self._request.system_prompt
        return {"instructions": text} if text else {}

    async def _use(self, part: Any) -> ToolCall:
        try:
            arguments: Mapping[str, Any] = part.args_as_dict(raise_if_invalid=True)
        except (ValueError, AssertionError):
            text = "the arguments are not a JSON object"
            return ToolCall(name=part.tool_name, arguments={}, result=text, failed=True)
        tool: Tool | None = self._tools.get(part.tool_name)
        if tool is None:
            text = f"there is no tool {part.tool_name!r}; tools: {', '.join(self._tools) or 'none'}"
            return ToolCall(name=part.tool_name, arguments=arguments, result=text, failed=True)
        try:
            result = await tool.call(arguments)
        except ToolRefused as refusal:
            text = str(refusal)
            return ToolCall(name=part.tool_name, arguments=arguments, result=text, failed=True)
        return ToolCall(name=part.tool_name, arguments=arguments, result=result)

    def _reply(self, candidate: Candidate) -> TurnReply:
        return TurnReply(
            payloads=tuple(self._said),
            reasoning="\n\n".join(self._thought) or None,
            usage=self._usage,
            model=candidate.model,
            provider=candidate.provider.id,
            tool_calls=tuple(self._calls),
            attempts=tuple(self._attempts),
        )


def _conversation(messages: Any, request: TurnRequest) -> list[Any]:
    instructions = {"instructions": request.system_prompt} if request.system_prompt else {}
    history = [_past(messages, one) for one in request.history if one.text.strip()]
    prompt = messages.UserPromptPart(content=request.prompt)
    return [*history, messages.ModelRequest(parts=[prompt], **instructions)]


def _past(messages: Any, one: Message) -> Any:
    if one.role == "assistant":
        return messages.ModelResponse(parts=[messages.TextPart(content=one.text)])
    return messages.ModelRequest(parts=[messages.UserPromptPart(content=one.text)])


def _is_anthropic(provider: Provider) -> bool:
    return provider.api.startswith("anthropic")


def _build(library: Library, candidate: Candidate) -> Any:
    """Build the library's model; in a thread, as it imports the provider's SDK."""
    if _is_anthropic(candidate.provider):
        return _anthropic(candidate)
    from pydantic_ai.models.openai import OpenAIChatModel

    provider = candidate.provider
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


def _anthropic(candidate: Candidate) -> Any:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider = candidate.provider
    access = AnthropicProvider(api_key=provider.api_key or "none", base_url=provider.base_url)
    return AnthropicModel(candidate.model, provider=access)


def _extra_missing(extra: str, error: ImportError) -> AgentFailure:
    return AgentFailure(
        FailureClass.INVALID,
        f"the model client is not installed ({error.name or error}). "
        f"Fix: pip install 'heartbeat-engine[{extra}]'",
    )


def _pause_before_retry(failure: AgentFailure) -> timedelta | None:
    """How long to wait before the one retry of a request; None: do not."""
    if not failure.failure.transient:
        return None
    if failure.retry_after_seconds is None:
        return RETRY_AFTER
    asked = timedelta(seconds=max(0.0, failure.retry_after_seconds))
    return asked if asked <= RETRY_AFTER_MOST else None


def _why_cut(response: Any) -> str | None:
    match response.finish_reason:
        case "length":
            return (
                "the answer was cut at the output limit. "
                "Fix: raise maxTokens of the model in models.providers"
            )
        case "content_filter":
            return "the provider's content filter stopped the answer"
        case _:
            return None


def _usage(used: Any, candidate: Candidate) -> Usage:
    tokens = Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
    )
    price = candidate.provider.prices.get(candidate.model)
    if price is not None:  # the operator's figures beat the list's
        cost: float | None = price.of(tokens)
    else:
        listed = getattr(used, "cost", None)
        cost = None if listed is None else float(listed)
    return Usage(
        input_tokens=tokens.input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=tokens.cache_read_tokens,
        cache_write_tokens=tokens.cache_write_tokens,
        cost_usd=cost,
    )
