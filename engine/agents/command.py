"""The agent that is a program: prompt in, words out (operations.md §13.4). No engine tools.

Each turn is a process group of its own, and the whole group is ended when the turn is
cancelled, too slow, silent for too long or too talkative. A program that keeps a conversation
goes on with it while ours is the same; any other is told what was said before.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from engine import process
from engine.agents.base import AgentFailure, FailureClass, TurnReply, TurnRequest
from engine.agents.cli_sessions import Talks, answers, filled, ident_in, new_ident
from engine.agents.secrets import redacted
from engine.messages.said import no_remedy
from jobs.ledger import Usage

OUTPUT_MOST: Final = 200_000  # bytes of one stream (tools.exec.maxOutputChars)
PROMPT_ARG_MOST: Final = 100_000  # Linux takes 128 KiB in one argument


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBackend:
    """One entry of ``agents.defaults.cliBackends``, as values."""

    id: str
    command: str
    args: tuple[str, ...] = ()
    input: str = "stdin"  # stdin | arg
    output: str = "text"  # text | json | jsonl
    model_arg: str | None = None
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    system_prompt_arg: str | None = None
    system_prompt_when: str = "always"  # always | first | never
    session_args: tuple[str, ...] = ()  # of a conversation that begins, with {sessionId}
    session_mode: str = "none"  # none | existing | always
    session_id_fields: tuple[str, ...] = ("session_id",)
    resume_args: tuple[str, ...] = ()  # instead of args, of one that goes on
    resume_output: str | None = None  # None: as ``output``
    max_prompt_arg_chars: int | None = None
    serialize: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    clear_env: tuple[str, ...] = ()
    timeout: timedelta | None = None
    no_output_timeout: timedelta | None = None
    output_most: int = OUTPUT_MOST  # bytes of one stream


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a program, and the conversation it is part of."""

    argv: tuple[str, ...]
    stdin: bytes
    talk: str | None = None
    resumed: bool = False


class CommandAgent:
    """Runs a backend's program once per turn."""

    def __init__(
        self,
        backend: CommandBackend,
        *,
        model: str | None = None,
        environ: Mapping[str, str] | None = None,
        lock: asyncio.Lock | None = None,  # shared by the agents of one backend
        talks: Talks | None = None,  # so are its conversations
    ) -> None:
        self._talks = talks or Talks()
        self._backend = backend
        self._model = backend.model_aliases.get(model, model) if model else None
        self._environ = environ  # None: the gateway's own
        self._one_at_a_time = lock or asyncio.Lock()

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Run the program and read its answer; cancellation ends its process group."""
        backend = self._backend
        if not backend.serialize:
            return await self._answer(request)
        async with self._one_at_a_time:
            return await self._answer(request)

    async def _answer(self, request: TurnRequest) -> TurnReply:
        call = self._call_for(request)
        limit = self._backend.timeout
        try:
            async with asyncio.timeout(limit.total_seconds() if limit else None):
                code, out, err = await self._run(list(call.argv), call.stdin, request)
        except TimeoutError:
            raise AgentFailure(
                FailureClass.TIMEOUT, f"{self._backend.id}: no answer within {limit}; it was ended"
            ) from None
        if code != 0 and call.resumed and (out + err).strip():
            self._talks.forget(self._talk_of(request))
            if classify_words((err or out).decode(errors="replace")) is FailureClass.INTERNAL:
                return await self._answer(request)  # it no longer knows the conversation
        if code != 0:
            raise self._failure(code, out, err)
        return self._reply(out, call, request)

    def _talk_of(self, request: TurnRequest) -> str:
        return f"{self._model or ''} {request.session_key}"

    def _call_for(self, request: TurnRequest) -> _Call:
        backend = self._backend
        known = None
        if backend.session_mode != "none" and backend.resume_args:
            known = self._talks.going_on(self._talk_of(request), request.history)
        begun = None
        if known is not None:
            argv = [backend.command, *filled(backend.resume_args, known)]
        else:
            argv = [backend.command, *backend.args]
            if backend.session_mode == "always" and backend.session_args:
                begun = new_ident()
                argv += filled(backend.session_args, begun)
        if backend.model_arg and self._model:
            argv += [backend.model_arg, self._model]
        argv, stdin = self._told(request, argv, resumed=known is not None)
        return _Call(tuple(argv), stdin, known or begun, resumed=known is not None)

    def _told(
        self, request: TurnRequest, argv: list[str], *, resumed: bool
    ) -> tuple[list[str], bytes]:
        """What is said to it, and how: it knows what was said before where it goes on."""
        backend = self._backend
        blocks = [request.prompt if resumed else _conversation(request)]
        when = backend.system_prompt_when
        if request.system_prompt and (when == "always" or (when == "first" and not resumed)):
            if backend.system_prompt_arg:
                argv += [backend.system_prompt_arg, request.system_prompt]
            else:
                blocks.insert(0, request.system_prompt)
        prompt = "\n\n".join(blocks)
        if backend.input == "arg" and len(prompt) <= (
            backend.max_prompt_arg_chars or PROMPT_ARG_MOST
        ):
            return [*argv, prompt], b""
        return argv, prompt.encode()

    def _environment(self) -> dict[str, str]:
        env = dict(os.environ if self._environ is None else self._environ)
        for name in self._backend.clear_env:
            env.pop(name, None)
        return {**env, **self._backend.env, "ENGINE_SHELL": "exec"}

    async def _run(
        self, argv: list[str], stdin: bytes, request: TurnRequest
    ) -> tuple[int, bytes, bytes]:
        backend = self._backend
        try:
            end = await process.run(
                argv,
                stdin=stdin,
                cwd=request.workspace,
                env=self._environment(),
                no_output_timeout=backend.no_output_timeout,
                output_most=backend.output_most,
            )
        except OSError as error:
            raise AgentFailure(
                FailureClass.INVALID,
                f"{backend.id}: {process.unstarted(error, argv[0], request.workspace)}. "
                f"Fix: correct agents.defaults.cliBackends.{backend.id}.command",
            ) from error
        if end.silent:
            raise AgentFailure(
                FailureClass.TIMEOUT,
                f"{backend.id}: no output for {backend.no_output_timeout}; ended",
            )
        if end.too_long:
            # Cut words would pass for an answer.
            raise AgentFailure(
                FailureClass.INVALID,
                f"{backend.id}: more than {backend.output_most} bytes of output; ended",
            )
        return end.code, end.out, end.err

    def _failure(self, code: int, out: bytes, err: bytes) -> AgentFailure:
        words = (err or out).decode(errors="replace").strip()
        status = f"signal {-code}" if code < 0 else f"exit status {code}"
        return AgentFailure(
            classify_words(words),
            redacted(
                f"{self._backend.id}: {status}: {no_remedy(words)[-500:] or 'no words'}",
                self._backend.env.values(),
            ),
        )

    def _reply(self, out: bytes, call: _Call, request: TurnRequest) -> TurnReply:
        text = out.decode(errors="replace").strip()
        output = self._backend.output
        documents: list[Any] = []
        match (self._backend.resume_output or output) if call.resumed else output:
            case "json":
                documents = [self._parsed(text)] if text else []
            case "jsonl":
                documents = [self._parsed(line) for line in text.splitlines() if line.strip()]
            case _:
                pass
        parts = [part for document in documents for part in answers(document)]
        said = [words for part in parts if (words := _words_of(part))]
        if not documents and text:
            said = [text]
        ident = ident_in(documents, self._backend.session_id_fields) or call.talk
        if self._backend.session_mode != "none" and ident and said:
            self._talks.keep(self._talk_of(request), ident, said[-1])
        return TurnReply(
            payloads=tuple(said),
            usage=next((u for d in reversed(documents) if (u := _usage_of(d))), None),
            model=self._model,
            provider=self._backend.id,
        )

    def _parsed(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise AgentFailure(
                FailureClass.INVALID,
                redacted(f"{self._backend.id}: its output is not JSON ({error}): {text[:120]!r}"),
            ) from None


def _conversation(request: TurnRequest) -> str:
    if not request.history:
        return request.prompt
    names = {"user": "User", "assistant": "You"}
    lines = [f"{names.get(one.role, one.role)}: {one.text}" for one in request.history]
    earlier = "\n".join(lines)
    return f"Earlier in this conversation:\n{earlier}\n\nNow:\n{request.prompt}"


def _words_of(document: Any) -> str:
    """Find the answer in a document: the keys the known programs use."""
    if isinstance(document, str):
        return document.strip()
    if not isinstance(document, Mapping):
        return ""
    for key in ("result", "response", "text", "content", "message", "output"):
        value = document.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, Mapping) and (words := _words_of(value)):
            return words
    return ""


def _usage_of(document: Any) -> Usage | None:
    usage = document.get("usage") if isinstance(document, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    cost = document.get("total_cost_usd")
    return Usage(
        input_tokens=_count(usage, "input_tokens", "input"),
        output_tokens=_count(usage, "output_tokens", "output"),
        cache_read_tokens=_count(usage, "cache_read_input_tokens", "cached_input_tokens"),
        cost_usd=float(cost) if isinstance(cost, int | float) else None,
    )


def _count(usage: Mapping[str, Any], *names: str) -> int:
    return next((value for name in names if isinstance(value := usage.get(name), int)), 0)


# A program has only words to say what is wrong, so words decide; numbers in prose do not
# count as a status unless something says so (cron.md §9.3).
_WORDS: Final[tuple[tuple[FailureClass, re.Pattern[str]], ...]] = tuple(
    (failure, re.compile(pattern, re.IGNORECASE))
    for failure, pattern in (
        (
            FailureClass.BILLING,
            (
                r"\bbilling\b|insufficient[ _](?:quota|credits?|funds)|payment required"
                r"|credit balance"
            ),
        ),
        (
            FailureClass.RATE_LIMIT,
            (
                r"rate[ _-]?limit|too many requests|resource[ _]exhausted|usage limit"
                r"|tokens per day|(?:http|status|error)[ :]*429\b"
            ),
        ),
        (FailureClass.OVERLOADED, r"\boverloaded|high demand|capacity exceeded"),
        (
            FailureClass.AUTH,
            (
                r"unauthori[sz]ed|invalid (?:api )?key|api key|not logged in|please log ?in"
                r"|authenticat|forbidden|(?:http|status|error)[ :]*40[13]\b"
            ),
        ),
        (
            FailureClass.MODEL_NOT_FOUND,
            r"model[^\n]{0,60}(?:not found|does not exist|unknown)|unknown model",
        ),
        (FailureClass.TIMEOUT, r"timed? ?out|etimedout|deadline exceeded"),
        (
            FailureClass.NETWORK,
            (
                r"econn(?:reset|refused|aborted)|eai_again|ehostunreach|enetunreach|epipe"
                r"|connection (?:refused|reset|error)|fetch failed|network error|getaddrinfo"
            ),
        ),
        (
            FailureClass.SERVER_ERROR,
            (
                r"internal server error|bad gateway|service unavailable"
                r"|(?:http|status|error)[ :]*5\d\d\b"
            ),
        ),
    )
)


def classify_words(words: str) -> FailureClass:
    """Return the class of a program's last words; `internal` where they tell nothing."""
    for failure, pattern in _WORDS:
        if pattern.search(words):
            return failure
    return FailureClass.INTERNAL
