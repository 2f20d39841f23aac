"""A command that waits for a person's yes, as a value and in words (operations.md §13.1). Pure.

Asking is not waiting: the turn goes on, nothing runs, and the agent is told what came of it by
an event, as of any command in the background.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from jobs.wallclock import at, ms

SHOWN_MOST: Final = 3000  # characters: what is longer a channel would cut
WAITING_MOST: Final = 10  # of one agent: words from outside may make it ask
_TICKS: Final = re.compile(r"`+")
KEPT: Final = timedelta(days=7)  # after the decision


class Answer(StrEnum):
    """What became of the question."""

    WAITS = "waits"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One command an agent wants to run, and the person's word about it."""

    id: str
    agent_id: str
    session_key: str
    run_id: str
    command: str
    because: str  # why somebody has to be asked
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    route: str | None = None  # of the conversation, as the store writes it
    asked_at: datetime
    expires_at: datetime
    answer: Answer = Answer.WAITS
    by: str = ""
    decided_at: datetime | None = None
    began: bool = False  # it was handed over to be run, or its agent knows that it was not

    def at(self, now: datetime) -> Answer:
        """What became of it by now: one nobody decided in time has expired."""
        late = self.answer is Answer.WAITS and now >= self.expires_at
        return Answer.EXPIRED if late else self.answer

    def to_json(self) -> dict[str, Any]:
        """As the store keeps it."""
        return {
            "id": self.id,
            "agentId": self.agent_id,
            "sessionKey": self.session_key,
            "runId": self.run_id,
            "command": self.command,
            "because": self.because,
            "workdir": self.workdir,
            "env": dict(self.env),
            "timeoutS": self.timeout_s,
            "route": self.route,
            "askedAtMs": ms(self.asked_at),
            "expiresAtMs": ms(self.expires_at),
            "answer": self.answer.value,
            "by": self.by,
            "decidedAtMs": ms(self.decided_at),
            "began": self.began,
        }


def question_of(kept: Mapping[str, Any]) -> Question:
    """Return what the store keeps."""
    decided = kept.get("decidedAtMs")
    return Question(
        id=kept["id"],
        agent_id=kept["agentId"],
        session_key=kept["sessionKey"],
        run_id=kept["runId"],
        command=kept["command"],
        because=kept["because"],
        workdir=kept.get("workdir"),
        env=kept.get("env") or {},
        timeout_s=kept.get("timeoutS"),
        route=kept.get("route"),
        asked_at=at(kept["askedAtMs"]),
        expires_at=at(kept["expiresAtMs"]),
        answer=Answer(kept["answer"]),
        by=kept.get("by") or "",
        decided_at=None if decided is None else at(decided),
        began=bool(kept.get("began")),
    )


def letter(asked: Question, until: str, *, in_chat: bool = True) -> str:
    """Return the message to the person; the question is without secrets.

    An agent wrote the command: it stands between fences it cannot close, so that nothing in it
    is taken for markup or for a line of ours.
    """
    where = f" in {_seen(asked.workdir, lines=False)}" if asked.workdir else ""
    words = whole(asked)
    fence = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(words)), default=0))
    return (
        f"Agent {asked.agent_id} asks to run{where}:\n{fence}\n{words}\n{fence}\n"
        f"It has to ask: {asked.because}\n"
        f"{_how(asked.id, until) if in_chat else _how_here(asked.id, until)}"
    )


def _how(ident: str, until: str) -> str:
    return (
        f"Answer by {until}: /approve {ident} or /deny {ident}\n"
        f"Or: engine approvals approve {ident}"
    )


def _how_here(ident: str, until: str) -> str:
    """Nobody is named who may decide in a chat."""
    return (
        f"Answer by {until}: engine approvals approve {ident}, or deny {ident}\n"
        "To decide in your own chat:"
        """ engine config set commands.ownerAllowFrom '["telegram:YOUR_ID"]'"""
    )


def whole(asked: Question) -> str:
    """Return all that would run: its variables, then the command, with nothing unseen in it."""
    given = (f"{name}={shlex.quote(value)}" for name, value in sorted(asked.env.items()))
    return _seen("\n".join((*given, asked.command)))


def _seen(text: str, *, lines: bool = True) -> str:
    """Spell out what a reader would not see, or what turns a line round."""
    kept = "\n\t" if lines else ""
    return "".join(
        char
        if char in kept or unicodedata.category(char)[0] not in "CZ" or char == " "
        else f"\\u{ord(char):04x}"
        for char in text
    )


def verdict(asked: Question, name: str, now: datetime) -> str:
    """Return what the agent is told of a command that was not run."""
    if asked.at(now) is Answer.DENIED:
        return f"Exec not run ({name}, {asked.id}): {asked.by} said no"
    return f"Exec not run ({name}, {asked.id}): nobody answered in time"
