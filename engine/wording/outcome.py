"""What a reply amounts to: acknowledged, empty, an alert, or a failure (heartbeat.md §13). Pure.

Every word the agent said is in the verdict: what is not sent stands in ``dropped``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.wording.prefix import put_before
from engine.workspace.checklist import ACK_TOKEN
from jobs.ledger import Outcome, SkipReason

TOKEN: Final = ACK_TOKEN
_TOKEN_LOWER: Final = TOKEN.lower()
NO_REPLY: Final = "NO_REPLY"
ACK_MAX_CHARS: Final = 300
PREVIEW: Final = 200
_AROUND: Final = " \t\r\n.*_`~\"'"  # what may stand around a NO_REPLY

_TAG: Final = re.compile(r"<[^>]*>")
_EDGE_MARKUP: Final = re.compile(r"^[*`~_]+|[*`~_]+$")
_BLANKS: Final = re.compile(r"[ \t]+")
_REASONING: Final = "Reasoning:"
# Debris of a broken turn is never an alert (#143714).
_DEBRIS: Final = re.compile(
    r"^\s*(?:please (?:resend|try again|repeat) your (?:request|message)"
    r"|\[?(?:error|tool_call|tool call|function_call)\]?:?\s*(?:\{.*\})?\s*$"
    r"|<tool_call>.*"
    r"|⚠️ .{0,40}agent (?:failed|error))",
    re.IGNORECASE | re.DOTALL,
)


# Words of somebody who is about to begin; a result is longer, or does not talk of itself.
_INTERIM: Final = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|sure|certainly|got it|understood|alright)\b\W*)?(?:"
    r"on it\b|(?:i'?m |i am )?(?:working|looking) (?:on|into) (?:it|this|that)\b"
    r"|(?:i'?ll|i will|i'?m going to|let me) (?:get|start|begin|look|check|pull|gather|work|do|see"
    r"|let you know|report back|get back)\b"
    r"|(?:just |give me )?(?:a|one) (?:moment|minute|second|sec)\b"
    r"|(?:please )?(?:hold on|stand by)\b"
    r"|(?:马上|稍等|请稍|正在处理|我这就|我来))",
    re.IGNORECASE,
)
_INTERIM_MOST: Final = 200  # characters


def _edges(flags: re.RegexFlag) -> tuple[re.Pattern[str], re.Pattern[str]]:
    # Up to four signs may follow the token at the end; they stay when words precede it.
    return (
        re.compile(rf"{TOKEN}(?![A-Za-z0-9_])", flags),
        re.compile(rf"(?<![A-Za-z0-9_]){TOKEN}([^\w]{{0,4}})$", flags),
    )


_EDGES: Final = {True: _edges(re.IGNORECASE), False: _edges(re.NOFLAG)}  # by: is it read loosely


@dataclass(frozen=True, slots=True)
class Stripped:
    """A text without its acknowledgement token."""

    text: str  # what is left for a person; empty for an acknowledgement
    ack: bool
    dropped: str = ""  # what stood beside the token and is not sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a reply amounts to, and every word of it."""

    outcome: Outcome
    text: str = ""  # to be sent, if it is an alert
    reasoning: tuple[str, ...] = ()  # sent before it, if asked for
    dropped: str = ""
    preview: str = ""
    reason: SkipReason | None = None  # of a failure
    because: str = ""
    response: Mapping[str, Any] | None = None  # of the heartbeat_respond tool


def strip_token(text: str, *, mode: str, ack_max_chars: int = ACK_MAX_CHARS) -> Stripped:
    """Take the token off a text's edges and say whether that was all of it (§13.1).

    ``mode`` is ``heartbeat`` or ``message``. Line breaks and code blocks stay as they are.
    """
    trimmed = text.strip()
    if not trimmed:
        return Stripped("", ack=True)
    if _TOKEN_LOWER not in trimmed.lower():
        return Stripped(trimmed, ack=False)
    loose = mode == "heartbeat"
    left, found = _take_off(trimmed, loose=loose)
    if not (found and left):
        plain, found_plain = _take_off(_without_markup(trimmed), loose=loose)
        left, found = (plain, True) if found_plain else (left, found)
    if not found:
        return Stripped(trimmed, ack=False)
    if not left:
        return Stripped("", ack=True)
    if mode == "heartbeat":
        if len(left) <= ack_max_chars:
            return Stripped("", ack=True, dropped=left)
        return Stripped(left, ack=False)
    if not any(c.isalnum() for c in left):
        return Stripped("", ack=True, dropped=left)
    return Stripped(left, ack=False)


def _take_off(text: str, *, loose: bool) -> tuple[str, bool]:
    at_start, at_end = _EDGES[loose]
    found = False
    while text:
        if match := at_start.match(text):
            text, found = text[match.end() :].strip(), True
        elif match := at_end.search(text):
            before = text[: match.start()].rstrip()
            text, found = (before + match[1].strip() if before else ""), True
        else:
            break
    return text, found


def _without_markup(text: str) -> str:
    bare = _TAG.sub(" ", text).replace("&nbsp;", " ").strip()
    while (less := _EDGE_MARKUP.sub("", bare).strip()) != bare:
        bare = less
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in bare.splitlines()).strip()


def interim(text: str) -> bool:
    """Whether an answer only promises one: a job's final reply is its deliverable (cron.md §8)."""
    said = text.strip().replace("\u2019", "'")
    return len(said) <= _INTERIM_MOST and "\n" not in said and bool(_INTERIM.match(said))


def classify(
    payloads: Sequence[str],
    *,
    mode: str = "heartbeat",
    ack_max_chars: int = ACK_MAX_CHARS,
    response_prefix: str = "",
    response: Mapping[str, Any] | None = None,
    bare_ack_only: bool = False,
    visible: bool = False,
) -> Verdict:
    """Say what a reply amounts to.

    ``mode`` is ``heartbeat`` or ``cron``; ``response`` is a valid call of heartbeat_respond,
    which beats the text; ``bare_ack_only`` (a beat that relays an event) sends whatever
    stands beside the token; ``visible``: somebody asked and waits, so that even "nothing to
    tell" is told (operations.md §16 L9).
    """
    if response is not None:
        verdict = _by_response(response, payloads, response_prefix)
    else:
        verdict = _by_text(payloads, mode, ack_max_chars, response_prefix, bare=bare_ack_only)
    if not visible or verdict.outcome is not Outcome.ACKNOWLEDGED:
        return verdict
    said = verdict.preview if response is not None else verdict.dropped
    alert = _alert(said.strip() or TOKEN, verdict.reasoning, response_prefix)
    return replace(alert, response=verdict.response)


def _by_text(
    payloads: Sequence[str], mode: str, ack_max_chars: int, response_prefix: str, *, bare: bool
) -> Verdict:
    said = [text for text in payloads if text.strip()]
    reasoning = tuple(text for text in said if text.lstrip().startswith(_REASONING))
    answers = [text for text in said if not text.lstrip().startswith(_REASONING)]
    if not answers:
        return Verdict(outcome=Outcome.EMPTY, reasoning=reasoning)
    text = _without_prefix(answers[-1].strip(), response_prefix)
    if _DEBRIS.match(text):
        return Verdict(
            outcome=Outcome.FAILED,
            dropped=text,
            reason=SkipReason.AGENT_RUNNER_FAILURE,
            because="the agent answered with the remains of a broken turn",
        )
    if mode == "cron":
        return _cron(text, reasoning, response_prefix)
    left = strip_token(text, mode="heartbeat", ack_max_chars=0 if bare else ack_max_chars)
    if left.ack or _silent(left.text):
        return Verdict(
            outcome=Outcome.ACKNOWLEDGED, dropped=left.dropped, reasoning=reasoning, preview=""
        )
    return _alert(left.text, reasoning, response_prefix)


def _cron(text: str, reasoning: tuple[str, ...], prefix: str) -> Verdict:
    """A job's reply is its deliverable; only a bare token means nothing to say (cron.md §10.3)."""
    left = strip_token(text, mode="message")
    if left.ack or _silent(left.text):
        return Verdict(outcome=Outcome.ACKNOWLEDGED, dropped=left.dropped, reasoning=reasoning)
    return _alert(left.text, reasoning, prefix)


def for_person(text: str) -> str:
    """Return what a chat's payload says to a person; nothing if it only said: no reply (§13.1)."""
    left = strip_token(text, mode="message").text.strip()
    return "" if _silent(left) else left


def _silent(text: str) -> bool:
    return text.strip(_AROUND).upper() == NO_REPLY


def _alert(text: str, reasoning: tuple[str, ...], prefix: str) -> Verdict:
    sent = put_before(prefix, text)
    return Verdict(outcome=Outcome.ALERT, text=sent, reasoning=reasoning, preview=preview(sent))


def _by_response(response: Mapping[str, Any], payloads: Sequence[str], prefix: str) -> Verdict:
    summary = str(response.get("summary") or "")
    dropped = "\n".join(text for text in payloads if text.strip())
    if not response.get("notify") or not (summary or response.get("notificationText")):
        return Verdict(
            outcome=Outcome.ACKNOWLEDGED,
            dropped=dropped,
            preview=preview(summary),
            response=response,
        )
    alert = _alert(str(response.get("notificationText") or summary).strip(), (), prefix)
    return replace(alert, dropped=dropped, response=response)


def _without_prefix(text: str, prefix: str) -> str:
    if prefix and text.lower().startswith(prefix.lower()):
        rest = text[len(prefix) :]
        if not rest or not rest[0].isalnum():
            return rest.strip()
    return text


def preview(text: str) -> str:
    """Return the first 200 characters, as the record keeps them."""
    return text[:PREVIEW]
