"""Schedules in people's words, in English and Chinese (cron.md §22 row 21). Pure, and no model.

A phrase is read from left to right into a `Wish`, and the wish becomes a schedule. Every word
must be understood, or all is refused; what had to be assumed is said beside the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jobs.errors import InvalidSchedule
from jobs.explain import Explanation, Question, explain
from jobs.schedule import schedule_from_json
from jobs.speech import Language
from jobs.spoken import chinese, english, notes, zones
from jobs.spoken.plan import plan
from jobs.spoken.wish import Doubt

__all__ = ["Spoken", "is_spoken", "understand"]

LONGEST: Final = 200
_CHINESE: Final = re.compile(r"[\u3007\u4e00-\u9fff]")
_HOUR: Final = re.compile(r"at\s+\d{1,2}(:\d\d)?(\s*[ap]m)?|\d{1,2}(:\d\d|(:\d\d)?\s*[ap]m)")
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a phrase was understood."""

    text: str
    language: Language
    schedule: Mapping[str, Any]  # in the wire's shape (cron.md §2)
    explanation: Explanation  # with the sentence and the next slots
    assumed: tuple[str, ...]  # what was not said, in words
    tz: str  # the zone the phrase names, or else the one that was asked for
    names_zone: bool

    @property
    def understood(self) -> str:
        """Say in one go how the phrase was understood, and what was assumed."""
        end = "" if self.explanation.sentence.endswith((".", "。")) else "。"
        space = " " if self.language is Language.ENGLISH else ""
        return space.join((self.explanation.sentence + end, *self.assumed))


def understand(
    text: str, *, now: datetime, tz: str, slots: int = 3, told_in: Language | None = None
) -> Spoken:
    """Return the schedule a phrase means, as seen at ``now`` in the zone it names or else ``tz``.

    It is told in the phrase's own language unless asked otherwise. The schedule is one that
    `schedule_from_json` reads and that has a slot to come. Raises `InvalidSchedule`, which says
    what was understood and shows three phrases that are.
    """
    written_in = Language.CHINESE if _CHINESE.search(text) else Language.ENGLISH
    language = told_in or written_in
    try:
        if not text.strip():
            raise Doubt("empty")
        if len(text) > LONGEST:
            raise Doubt("too-long", most=LONGEST)
        bare, named = zones.taken_out(text)
        tz = named or tz
        wish = (chinese if written_in is Language.CHINESE else english).read(bare)
        wire = plan(wish, now=now, tz=tz)
        schedule = schedule_from_json(wire, default_tz=tz, job_id=None, now=now)
    except Doubt as doubt:
        raise _refused(text, doubt, language) from None
    except InvalidSchedule as error:  # a wall time the clocks skip, a day that never comes
        why = f"{error.what}: {error.why}" if error.why else error.what
        fix = error.fix or notes.how_to_say_it(language)
        raise InvalidSchedule(_what(text, language), why=why, fix=fix) from None
    question = Question(after=now, tz=tz, other_tz=tz, count=slots, language=language)
    assumed = [notes.remark(one.code, language, dict(one.detail)) for one in wish.remarks]
    return Spoken(
        text, language, wire, explain(schedule, question), tuple(assumed), tz, named is not None
    )


def is_spoken(text: str) -> bool:
    """Tell whether a text may be a phrase: it has words or an hour, no fields, no instant."""
    worded = _CHINESE.search(text) or re.search(r"[A-Za-z]{3,}", text)
    return bool(worded) or bool(_HOUR.fullmatch(text.strip().lower()))


def _refused(text: str, doubt: Doubt, language: Language) -> InvalidSchedule:
    code = doubt.code
    if code == "unknown" and not doubt.detail["read"]:
        code = "unknown-all"
    return InvalidSchedule(
        _what(text, language),
        why=notes.doubt(code, language, {"piece": _short(text), **doubt.detail}),
        fix=notes.how_to_say_it(language),
    )


def _what(text: str, language: Language) -> str:
    english_ = language is Language.ENGLISH
    return f"“{_short(text)}” was not understood" if english_ else f"没有理解“{_short(text)}”"


def _short(text: str) -> str:
    told = " ".join(text.split())
    return told if len(told) <= _SHOWN else told[:_SHOWN] + "…"
