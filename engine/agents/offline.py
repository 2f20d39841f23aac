"""The agent that needs no network: deterministic answers, by rule or from a script.

It answers when no model is configured, in the demo and in tests. Without a script:

* heartbeat: pending events (``facts["events"]``, texts or mappings with ``text``) are
  said as reminders, one line each; else every line of the checklist
  (``facts["checklist"]``) that starts with ``alert:``, a list mark before it allowed, is
  said; else it answers ``HEARTBEAT_OK``;
* cron: ``Done: <first line of the message>``;
* chat: ``You said: <text>``.

A script is a list of entries; the first that matches answers, and where none matches the
rules above do::

    [{when: {kind: "heartbeat", contains: "disk"}, say: "Disk is full."},
     {when: {prompt: "(?i)weather"}, tools: [{name: "read", arguments: {path: "w.md"}}],
      say: ["One moment.", "It rains."], takesMs: 200},
     {when: {kind: "cron"}, fail: {class: "rate_limit", message: "slow down"}, once: true},
     {say: "HEARTBEAT_OK"}]

``when`` holds any of ``kind`` (heartbeat, cron, chat), ``prompt`` (a regular expression
searched in the prompt) and ``contains`` (a text in the prompt, any case); all given must
match. ``say`` is the answer, or several messages of which the last is the answer. ``fail``
raises a failure of that class (`FailureClass`), with ``retryAfterSeconds`` if given;
``takesMs`` waits first; ``once`` uses the entry up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from engine.agents.base import (
    AgentFailure,
    FailureClass,
    Sleep,
    ToolCall,
    TurnReply,
    TurnRequest,
    use_tool,
)
from jobs.errors import InvalidInput
from jobs.ledger import Usage

OK: Final = "HEARTBEAT_OK"
KINDS: Final = ("heartbeat", "cron", "chat")

_ALERT = re.compile(r"^\s*(?:[-*+]\s+(?:\[ \]\s+)?)?alert:\s*(?P<words>.+)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFailure:
    """A failure the script asks for."""

    failure: FailureClass
    message: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptEntry:
    """One entry of a script, checked."""

    kind: str | None = None
    prompt: re.Pattern[str] | None = None
    contains: str | None = None
    say: tuple[str, ...] = ()
    tools: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    fail: ScriptFailure | None = None
    takes: timedelta = field(default=timedelta())
    once: bool = False

    def matches(self, request: TurnRequest) -> bool:
        """Whether everything under ``when`` holds for this turn."""
        if self.kind is not None and self.kind != request.kind:
            return False
        if self.prompt is not None and not self.prompt.search(request.prompt):
            return False
        return self.contains is None or self.contains.casefold() in request.prompt.casefold()


class OfflineAgent:
    """Answers by rule or from a script; the same turn twice gets the same answer."""

    def __init__(self, script: Sequence[ScriptEntry] = (), *, sleep: Sleep) -> None:
        self._script = list(script)
        self._sleep = sleep

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Answer from the first matching entry, else by rule."""
        entry = next((one for one in self._script if one.matches(request)), None)
        if entry is None:
            return _reply(request, (_by_rule(request),), ())
        if entry.once:
            self._script.remove(entry)
        if entry.takes:
            await self._sleep(entry.takes)
        calls = [await use_tool(request.tools, name, args) for name, args in entry.tools]
        if entry.fail is not None:
            raise AgentFailure(
                entry.fail.failure,
                entry.fail.message,
                retry_after_seconds=entry.fail.retry_after_seconds,
            )
        return _reply(request, entry.say, tuple(calls))


def _reply(
    request: TurnRequest, payloads: tuple[str, ...], calls: tuple[ToolCall, ...]
) -> TurnReply:
    said = sum(len(text) for text in payloads)
    return TurnReply(
        payloads=payloads,
        # About four characters a token: a figure for budgets and screens to work with.
        usage=Usage(
            input_tokens=(len(request.prompt) + len(request.system_prompt) + 3) // 4,
            output_tokens=(said + 3) // 4,
            cost_usd=0.0,
        ),
        model="offline",
        provider="offline",
        tool_calls=calls,
    )


def _by_rule(request: TurnRequest) -> str:
    match request.kind:
        case "heartbeat":
            return _beat(request.facts)
        case "cron":
            return f"Done: {_first_line(request.prompt)}"
        case _:
            return f"You said: {request.prompt.strip()}"


def _beat(facts: Mapping[str, Any]) -> str:
    if events := [text for event in facts.get("events") or () if (text := _event_text(event))]:
        return "\n".join(f"Reminder: {text}" for text in events)
    checklist = facts.get("checklist")
    lines = checklist.splitlines() if isinstance(checklist, str) else []
    alerts = [found["words"].strip() for line in lines if (found := _ALERT.match(line))]
    return "\n".join(alerts) if alerts else OK


def _event_text(event: object) -> str:
    text = event.get("text") if isinstance(event, Mapping) else event
    return text.strip() if isinstance(text, str) else ""


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "nothing was asked")


def read_script(data: object, *, origin: str = "script") -> tuple[ScriptEntry, ...]:
    """Check what a script file held; raises `InvalidInput` naming the entry and the key."""
    if not isinstance(data, list):
        raise _wrong(origin, "it is not a list of entries")
    return tuple(_entry(item, f"{origin}[{index}]") for index, item in enumerate(data))


_KEYS: Final = frozenset({"when", "say", "tools", "fail", "takesMs", "once"})
_WHEN: Final = frozenset({"kind", "prompt", "contains"})


def _entry(item: object, where: str) -> ScriptEntry:
    entry = _mapping(item, where, _KEYS)
    when = _mapping(entry.get("when", {}), f"{where}.when", _WHEN)
    kind = when.get("kind")
    if kind is not None and kind not in KINDS:
        raise _wrong(f"{where}.when.kind", f"{kind!r} is none of {', '.join(KINDS)}")
    takes = entry.get("takesMs", 0)
    if isinstance(takes, bool) or not isinstance(takes, int | float) or takes < 0:
        raise _wrong(f"{where}.takesMs", f"{takes!r} is not a number of milliseconds")
    contains = when.get("contains")
    if contains is not None and not isinstance(contains, str):
        raise _wrong(f"{where}.when.contains", f"{contains!r} is not a text")
    return ScriptEntry(
        kind=kind,
        prompt=_pattern(when.get("prompt"), f"{where}.when.prompt"),
        contains=contains,
        say=_say(entry.get("say"), f"{where}.say"),
        tools=_tools(entry.get("tools", []), f"{where}.tools"),
        fail=_fail(entry.get("fail"), f"{where}.fail"),
        takes=timedelta(milliseconds=takes),
        once=bool(entry.get("once", False)),
    )


def _mapping(value: object, where: str, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "it is not an object")
    if unknown := sorted(str(key) for key in value.keys() - known):
        raise _wrong(where, f"unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return value


def _pattern(value: object, where: str) -> re.Pattern[str] | None:
    if value is None:
        return None
    try:
        return re.compile(str(value))
    except re.error as error:
        raise _wrong(where, f"{value!r} is not a regular expression: {error}") from None


def _say(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _wrong(where, "it is neither a text nor a list of texts")
    return tuple(texts)


def _tools(value: object, where: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    if not isinstance(value, list):
        raise _wrong(where, "it is not a list")
    calls = []
    for index, item in enumerate(value):
        call = _mapping(item, f"{where}[{index}]", frozenset({"name", "arguments"}))
        arguments = call.get("arguments", {})
        if not isinstance(call.get("name"), str) or not isinstance(arguments, Mapping):
            raise _wrong(f"{where}[{index}]", "it needs a name and an object of arguments")
        calls.append((call["name"], arguments))
    return tuple(calls)


def _fail(value: object, where: str) -> ScriptFailure | None:
    if value is None:
        return None
    known = frozenset({"class", "message", "retryAfterSeconds"})
    fail = _mapping(value, where, known)
    try:
        failure = FailureClass(fail.get("class", "internal"))
    except ValueError:
        classes = ", ".join(FailureClass)
        raise _wrong(f"{where}.class", f"{fail['class']!r} is none of {classes}") from None
    return ScriptFailure(
        failure=failure,
        message=str(fail.get("message", f"scripted {failure}")),
        retry_after_seconds=fail.get("retryAfterSeconds"),
    )


def _wrong(where: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"the offline agent's script cannot be used at {where}",
        why=why,
        fix="correct the file named by models.providers.offline.script",
    )
