"""One turn with a model: asked, its tools used, asked again, until it answers.

Requests of one turn share a history, so a retry or a fallback never repeats a tool that
already ran. The library comes in as values: this room imports none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Protocol

from engine.agents.base import (
    AgentFailure,
    FailureClass,
    Message,
    ToolCall,
    TurnReply,
    TurnRequest,
    use_tool,
)
from engine.agents.faults import STUMBLED, classify, told
from engine.agents.pictures import Picture
from engine.agents.provider import ANTHROPIC, Candidate
from engine.agents.secrets import redacted
from jobs.ledger import Usage

ROUNDS_MOST: Final = 24  # requests of one turn: a model that calls tools in circles is stopped
CIRCLES: Final = 3  # the same call with the same result so often: no more tools
RETRY_AFTER: Final = timedelta(seconds=2)
RETRY_AFTER_MOST: Final = timedelta(seconds=30)  # a longer wait is the schedule's business


@dataclass(frozen=True, slots=True)
class Library:
    """The parts of pydantic-ai in use, imported."""

    direct: Any
    messages: Any
    models: Any
    tools: Any
    profiles: Any


class Models(Protocol):
    """The models a turn may ask: `engine.agents.model.ModelAgent`."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Who may answer, in order."""

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

    async def unsent(self, library: Library, candidate: Candidate, request: TurnRequest) -> str:
        """Return what was wished for and did not reach the model, in words."""

    async def pause(self, wait: timedelta) -> None:
        """Wait before the one retry."""


class ModelTurn:
    """One turn: its conversation so far, what it used, who failed."""

    def __init__(
        self,
        models: Models,
        library: Library,
        request: TurnRequest,
        pictures: Sequence[Picture] = (),
    ) -> None:
        self._models = models
        self._library = library
        self._request = request
        self._messages = _conversation(library.messages, request)
        self._asked_at = len(self._messages) - 1
        self._seen = _with_pictures(library.messages, request, pictures)
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
        self._usage = Usage(cost_usd=0.0)

    async def run(self) -> TurnReply:
        """Ask until there is an answer, or raise the last failure with all attempts listed."""
        for _ in range(ROUNDS_MOST):
            response, candidate = await self._ask()
            self._take_in(response, candidate)
            if not await self._use_tools(response):
                remark = await self._models.unsent(self._library, candidate, self._request)
                return self._reply(candidate, remark)
            if self._in_circles():
                # Without tools it has to answer; small models get out of it in no other way.
                self._parameters = self._library.models.ModelRequestParameters()
        raise AgentFailure(
            FailureClass.INVALID,
            f"the model asked for tools {ROUNDS_MOST} times without an answer",
            attempts=tuple(self._attempts),
        )

    def _in_circles(self) -> bool:
        """Whether the same call brought the same result, over and over."""
        if any(one.provider.api == ANTHROPIC for one in self._models.candidates):
            return False  # it refuses a history with tools in a request without
        newest = self._calls[-CIRCLES:]
        return len(newest) == CIRCLES and all(call == newest[0] for call in newest)

    async def _ask(self) -> tuple[Any, Candidate]:
        """Try every candidate; once more, after a pause, if the trouble looks passing."""
        try:
            return await self._first_answer()
        except AgentFailure as failure:
            wait = _pause_before_retry(failure)
            if wait is None:
                raise
        await self._models.pause(wait)
        return await self._first_answer()

    async def _first_answer(self) -> tuple[Any, Candidate]:
        failure: AgentFailure | None = None
        candidates = self._models.candidates
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
        try:
            response = await self._models.ask(
                self._library,
                candidate,
                self._request,
                self._messages_for(candidate),
                self._parameters,
                last=last,
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

    def _messages_for(self, candidate: Candidate) -> list[Any]:
        """Return the conversation as a candidate may read it: pictures only for one that sees."""
        if self._seen is None or candidate.model not in candidate.provider.sees:
            return self._messages
        at = self._asked_at
        return [*self._messages[:at], self._seen, *self._messages[at + 1 :]]

    def _take_in(self, response: Any, candidate: Candidate) -> None:
        self._messages.append(response)
        for part in response.parts:
            if part.part_kind == "text" and part.content.strip():
                self._said.append(part.content.strip())
            elif part.part_kind == "thinking" and part.content:
                self._thought.append(part.content)
        self._usage += _usage(response.usage, candidate)

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
        return await use_tool(self._request.tools, part.tool_name, arguments)

    def _reply(self, candidate: Candidate, remark: str) -> TurnReply:
        return TurnReply(
            payloads=tuple(self._said),
            reasoning="\n\n".join(self._thought) or None,
            usage=self._usage,
            model=candidate.model,
            provider=candidate.provider.id,
            tool_calls=tuple(self._calls),
            attempts=tuple(self._attempts),
            remark=remark,
        )


def _conversation(messages: Any, request: TurnRequest) -> list[Any]:
    instructions = {"instructions": request.system_prompt} if request.system_prompt else {}
    history = [_past(messages, one) for one in request.history if one.text.strip()]
    prompt = messages.UserPromptPart(content=request.prompt)
    return [*history, messages.ModelRequest(parts=[prompt], **instructions)]


def _with_pictures(messages: Any, request: TurnRequest, pictures: Sequence[Picture]) -> Any | None:
    """Return the question with its pictures; None: there are none."""
    if not pictures:
        return None
    shown = [messages.BinaryContent(data=one.data, media_type=one.mime) for one in pictures]
    instructions = {"instructions": request.system_prompt} if request.system_prompt else {}
    prompt = messages.UserPromptPart(content=[request.prompt, *shown])
    return messages.ModelRequest(parts=[prompt], **instructions)


def _past(messages: Any, one: Message) -> Any:
    if one.role == "assistant":
        return messages.ModelResponse(parts=[messages.TextPart(content=one.text)])
    return messages.ModelRequest(parts=[messages.UserPromptPart(content=one.text)])


def _pause_before_retry(failure: AgentFailure) -> timedelta | None:
    """How long to wait before the one retry of a request; None: do not."""
    if not failure.failure.transient:
        return None
    if failure.retry_after_seconds is None:
        return RETRY_AFTER
    asked = timedelta(seconds=max(0.0, failure.retry_after_seconds))
    return asked if asked <= RETRY_AFTER_MOST else None


_NO_END: Final = frozenset({"incomplete", "in_progress", "queued"})


def _why_cut(response: Any) -> str | None:
    match response.finish_reason:
        case "length":
            return (
                "the answer was cut at the output limit. "
                "Fix: elsewhere: raise maxTokens of the model in models.providers"
            )
        case "content_filter":
            return "the provider's content filter stopped the answer"
        case _:
            told = (response.provider_details or {}).get("finish_reason")
            # What `openai-responses` says of an answer that has no end, and no reason given.
            return "the server says that the answer is not complete" if told in _NO_END else None


def _usage(used: Any, candidate: Candidate) -> Usage:
    tokens = Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
    )
    price = candidate.provider.prices.get(candidate.model)
    if price is not None:  # the operator's figures beat the list's
        return replace(tokens, cost_usd=price.of(tokens))
    listed = getattr(used, "cost", None)
    return replace(tokens, cost_usd=None if listed is None else float(listed))
