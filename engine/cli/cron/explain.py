"""`engine cron explain`: a schedule in plain words, and the coming slots of a job (cron.md §22-8).

An expression is explained here, with neither gateway nor config; a job by whoever knows it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import click

from engine.cli import complete
from engine.cli.ask import Line, gateway_options
from engine.cli.render import cells, pad
from engine.clock import SystemClock
from jobs.errors import EngineError, InvalidSchedule, UsageError
from jobs.explain import MOST, Question, explain, schedule_of
from jobs.schedule import schedule_from_json
from jobs.speech import SPEECHES, Language, label
from jobs.wallclock import at, zone
from jobs.written import parse_at

COUNT: Final = 5
_FIELD: Final = re.compile(r"[\w*?/,#()+-]+", re.ASCII)
_KEYWORDS: Final = ("every", "at", "in")
_CHINESE: Final = ("每", "隔", "工作日")


def is_expression(text: str) -> bool:
    """Whether a text is a schedule; anything else names a job."""
    words = text.split()
    if text.startswith("@") or (len(words) > 1 and words[0].lower() in _KEYWORDS):
        return True
    fields = len(words) in (5, 6, 7) and all(map(_FIELD.fullmatch, words))
    return fields and any(not word.isalpha() for word in words)


@click.command("explain", epilog='Example: engine cron explain "30 2 * * *" --tz Europe/Berlin')
@click.argument("what", metavar="JOB|EXPR", shell_complete=complete.jobs)
@click.option(
    "--tz",
    metavar="ZONE",
    help="Zone of an expression; the host's otherwise.",
    shell_complete=complete.zones,
)
@click.option(
    "--other-tz",
    metavar="ZONE",
    help="Tell the runs in this zone as well.",
    shell_complete=complete.zones,
)
@click.option("--from", "begin", metavar="WHEN", help="Runs after it; now otherwise.")
@click.option("--count", type=click.IntRange(1, MOST), default=COUNT, show_default=True)
@click.option(
    "--lang",
    type=click.Choice([one.value for one in Language]),
    help="Language of the words: English, or that of a phrase.",
)
@gateway_options()
def command(
    line: Line,
    what: str,
    tz: str | None,
    other_tz: str | None,
    begin: str | None,
    count: int,
    lang: str | None,
) -> None:
    """What a schedule means, in plain words, and what may surprise about it.

    JOB is an id, a config key or an exact name. EXPR is a cron expression (quote it), as in
    "every 30m" and "at 2026-12-01T09:00", or words: "every weekday at 9", "工作日早上9点"; it
    needs no gateway. Without --tz it is read in the zone of the config, or of this machine.
    """
    host = line.place.zone
    language = Language(lang) if lang else None
    asked = _Asked(
        tz=tz or line.place.job_zone, other_tz=other_tz, begin=begin, count=count, host=host
    )
    try:
        if is_expression(what):
            told = _of_expression(what, asked, language or Language.ENGLISH)
        else:
            from engine.cli.at_rest import looked

            spoken = language or Language.ENGLISH
            params = {"id": what, "otherTz": other_tz or tz or host, "from": begin, "lang": spoken}
            given = {key: value for key, value in params.items() if value is not None}
            told = looked(line, "cron.explain", {**given, "count": count})
    except EngineError as refusal:
        told = _of_phrase(what, asked, language, refusal)
    line.show(told, lambda answer: "\n".join(lines(answer)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is wanted of a schedule that belongs to no job."""

    tz: str
    other_tz: str | None
    begin: str | None
    count: int
    host: str

    def question(self, now: datetime, language: Language) -> Question:
        other = self.other_tz or (self.host if self.tz != self.host else "UTC")
        zone(self.tz)
        zone(other)
        return Question(
            after=now if self.begin is None else parse_at(self.begin, now=now, tz=self.tz),
            tz=self.tz,
            other_tz=other,
            count=self.count,
            language=language,
        )


def _of_expression(expr: str, asked: _Asked, language: Language) -> dict[str, Any]:
    now = SystemClock().now()
    question = asked.question(now, language)
    schedule = schedule_of(expr, now=now, tz=asked.tz)
    return {"expr": expr, **explain(schedule, question).to_json()}


def _of_phrase(
    text: str, asked: _Asked, language: Language | None, refusal: EngineError
) -> dict[str, Any]:
    """Explain words; what is neither a job, an expression nor a phrase is refused as it was."""
    from jobs.spoken import is_spoken, understand

    fields = isinstance(refusal, InvalidSchedule) and not is_phrase(text)
    if fields or not is_spoken(text):
        raise refusal
    now = SystemClock().now()
    try:
        spoken = understand(text, now=now, tz=asked.tz, told_in=language)
    except InvalidSchedule as doubt:
        raise (doubt if is_phrase(text) else refusal) from None
    asked = replace(asked, tz=spoken.tz)
    question = asked.question(now, language or spoken.language)
    schedule = schedule_from_json(spoken.schedule, default_tz=asked.tz, job_id=None, now=now)
    told = explain(schedule, question).to_json()
    assumed = [{"code": "assumed", "text": words} for words in spoken.assumed]
    notes = [*assumed, *told["notes"]]
    return {"expr": text, "schedule": spoken.schedule, **told, "notes": notes}


def is_phrase(text: str) -> bool:
    """Whether somebody who writes this means words about when, not a job's name."""
    words = text.casefold().split()
    return bool(words) and (words[0] in (*_KEYWORDS, "each") or words[0].startswith(_CHINESE))


# -- in words ------------------------------------------------------------------------------------


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Say an explanation, line by line."""
    language = Language(told["lang"])
    if "name" in told:
        yield f"{told['name']} ({told['jobId']})"
    yield told["sentence"]
    if told["fields"]:
        yield ""
        yield from _columns(
            ["", field["name"], field["text"], field["means"]] for field in told["fields"]
        )
    yield ""
    if told["occurrences"]:
        yield from _slots(told, language)
    else:
        yield label("nothing", language)
    yield from _figures(told, language)
    if told["notes"]:
        yield ""
        yield f"{label('notes', language)}:"
        yield from (f"  - {note['text']}" for note in told["notes"])


def _slots(told: Mapping[str, Any], language: Language) -> Iterator[str]:
    days = SPEECHES[language].DAYS
    head = [label("next", language), told["tz"], told["otherTz"], ""]
    rows = [
        [
            "",
            _local(slot["local"], slot["offset"], days),
            _local(slot["other"], slot["otherOffset"], days),
            f"({slot['note']})" if slot.get("note") else "",
        ]
        for slot in told["occurrences"]
    ]
    if told["tz"] == told["otherTz"]:
        head, rows = [head[0], head[1], ""], [[row[0], row[1], row[3]] for row in rows]
    yield from _columns([head, *rows])


def _local(wall: str, offset: str, days: Any) -> str:
    name = days[datetime.fromisoformat(wall).weekday()]
    return f"{name[:3] if name.isascii() else name} {wall.replace('T', ' ')} {offset}"


def _columns(rows: Any) -> Iterator[str]:
    found = [list(row) for row in rows]
    widths = [max(map(cells, column)) for column in zip(*found, strict=True)]
    for row in found:
        yield "  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _figures(told: Mapping[str, Any], language: Language) -> Iterator[str]:
    rate, cost = told["runsPerDay"], told["cost"]
    if rate is not None:
        yield ""
        yield label("rate", language, mean=_figure(rate["mean"]), most=rate["max"])
    if cost is not None and cost["usdPerDay"] is not None:
        day, month, one = (_figure(cost[key]) for key in ("usdPerDay", "usdPerMonth", "usdPerRun"))
        yield label("cost", language, day=day, month=month, one=one, runs=cost["runs"])
    elif cost is not None:
        day, one = _figure(cost["tokensPerDay"]), _figure(cost["tokensPerRun"])
        yield label("tokens", language, day=day, one=one, runs=cost["runs"])


def _figure(value: float) -> str:
    """Say a number as people do: whole ones whole, small ones with what matters."""
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 10 else f"{value:.3g}"


# -- `engine cron next` of a job -----------------------------------------------------------------


def coming(
    line: Line,
    ref: str,
    *,
    begin: str | None,
    until: str | None,
    count: str | None,
    tz: str | None,
) -> None:
    """Print the coming slots of a job, as `engine cron next` prints those of an expression."""
    from engine.cli.at_rest import looked

    if tz is not None:
        raise UsageError(
            f"--tz {tz} was refused", why="a job has its zone", fix=f"engine cron explain {ref}"
        )
    asked = COUNT if until is None else MOST
    if count is not None:
        asked = int(count) if count.isdecimal() else 0
        if not 1 <= asked <= MOST:
            raise UsageError(
                f"--count {count} was refused",
                why=f"it must be from 1 to {MOST}",
                fix="engine cron next --help",
            )
    params: dict[str, Any] = {"id": ref, "count": asked}
    if begin is not None:
        params["from"] = begin
    told = looked(line, "cron.explain", params)
    slots = told["occurrences"]
    if until is not None:
        last = parse_at(until, now=SystemClock().now(), tz=told["tz"])
        slots = [slot for slot in slots if at(slot["atMs"]) <= last]
    line.show({"slots": [slot["utc"] for slot in slots]}, lambda _: "\n".join(map(_line, slots)))
    if not slots:
        sys.stderr.write("No slot in that time.\n")


def _line(slot: Mapping[str, Any]) -> str:
    local = datetime.fromisoformat(slot["local"])
    note = f"  ({slot['note']})" if slot.get("note") else ""
    wall = slot["local"].replace("T", " ")
    return f"{wall} {slot['offset']} {local:%a}  {slot['utc']}{note}"
