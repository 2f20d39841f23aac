"""What a job may ask of its scheduler: from what people write to the normal form. Pure.

Short forms, durations in words and bare names become the keys of `jobs.policies`; whatever
makes no sense is refused by name (cron.md §1, §22).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from jobs import checks, policies
from jobs.duration import format_duration
from jobs.errors import EngineError
from jobs.normal import object_of, refuse, text_or_none, unknown_key
from jobs.policies import LONGEST_GAP, OVERLAPS
from jobs.retry import TRANSIENT
from jobs.schedule import At, Every, Schedule
from jobs.wallclock import EPOCH
from jobs.written import parse_at, span_ms

ON_EXCLUDED: Final = ("skip", "next-allowed", "previous-allowed")
HOURS: Final = ("skip", "defer")
_MOST: Final = 10**12
_LATEST: Final = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
_YEAR_MS: Final = timedelta(days=366) // timedelta(milliseconds=1)


def normal(
    given: Mapping[str, Any],
    *,
    now: datetime,
    tz: str,
    calendars: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the policies among what was given, in their normal form; null stays null.

    ``calendars`` are the configured names; None: any. Raises `InvalidJob`.
    """
    made: dict[str, Any] = {}
    for key in policies.KEYS & given.keys():
        value = given[key]
        if value is None:
            made[key] = None
        elif key == "until":
            made[key] = _until(value, now, tz)
        elif key == "calendars":
            made[key] = _calendars(value, calendars)
        else:
            made[key] = _READ[key](value)
    return made


def fitting(made: policies.Policies, schedule: Schedule, *, is_command: bool) -> None:
    """Refuse policies that do not fit the job's schedule or payload."""
    period = schedule.period if isinstance(schedule, Every) else None
    if period is not None and made.jitter >= period:
        raise refuse("jitterMs was refused", why="it is not shorter than the interval")
    if isinstance(schedule, At):
        for name, set_ in (("jitterMs", made.jitter), ("expectWithin", made.expect_within)):
            if set_:
                raise refuse(f"{name} is only valid for recurring jobs")
    if made.refire_gap is not None and not is_command:
        raise refuse(
            "minRefireGapMs is only valid for command jobs",
            fix="leave it out; cron.minRefireGapMs is the gap of all jobs",
        )
    if made.budget is not None and is_command:
        raise refuse("budget was refused", why="a command spends no tokens")


# -- key by key ----------------------------------------------------------------------------------


def _overlap(value: Any) -> dict[str, Any]:
    given = {"policy": value} if isinstance(value, str) else object_of(value, "overlap")
    _known(given, ("policy", "max"), "overlap")
    made = {"policy": _one_of(given.get("policy", "skip"), OVERLAPS, "overlap")}
    return made | {"max": _count(given.get("max", policies.Overlap().most), "overlap.max")}


def _calendars(value: Any, known: Sequence[str] | None) -> dict[str, Any]:
    if isinstance(value, str):
        value = [value]
    given = {"names": value} if isinstance(value, list | tuple) else object_of(value, "calendars")
    _known(given, ("names", "onExcluded"), "calendars")
    names = _texts(given.get("names"), "calendars")
    for name in names:
        if known is not None and name not in known:
            near = get_close_matches(name, known, n=1)
            raise refuse(
                f"calendar {name!r} is not configured",
                why=f"did you mean {near[0]!r}?" if near else "",
                fix=f"add it to cron.calendars, or use one of: {', '.join(sorted(known)) or '-'}",
            )
    on_excluded = _one_of(given.get("onExcluded", "skip"), ON_EXCLUDED, "calendars.onExcluded")
    return {"names": names, "onExcluded": on_excluded}


def _until(value: Any, now: datetime, tz: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        until = value
    else:
        until = (parse_at(str(value), now=now, tz=tz) - EPOCH) // timedelta(milliseconds=1)
    # An instant at the very end of the calendar has no local time and no day after it.
    if not 0 <= until < _LATEST:
        raise refuse(
            "until was refused",
            why="it lies outside the years 1970 to 9998",
            fix="leave it out: a job without it goes on for ever",
        )
    return until


def _hours(value: Any) -> str | None:
    if value is False:
        return None
    return _one_of("skip" if value is True else value, HOURS, "respectActiveHours")


def _gate(value: Any) -> dict[str, Any]:
    given = (
        {"command": value} if isinstance(value, str | list | tuple) else object_of(value, "gate")
    )
    _known(given, ("command", "on", "timeoutSeconds"), "gate")
    command = given.get("command")
    argv = ["sh", "-lc", command] if isinstance(command, str) else _texts(command, "gate.command")
    if not argv or not argv[0].strip() or not argv[-1].strip():
        raise refuse("gate.command must name a program")
    if any("\0" in text for text in argv):
        raise refuse("gate.command was refused", why="no program can be given a NUL character")
    seconds = _number(given.get("timeoutSeconds", 30), "gate.timeoutSeconds")
    if not 0 < seconds <= 600:
        raise refuse("gate.timeoutSeconds must be more than 0 and at most 600")
    on = _one_of(given.get("on", "exit"), ("exit", "change"), "gate.on")
    return {"command": argv, "on": on, "timeoutSeconds": seconds}


def _after(value: Any) -> dict[str, Any]:
    given = {"job": value} if isinstance(value, str) else object_of(value, "after")
    _known(given, ("job", "within"), "after")
    job = text_or_none(given.get("job"), "after.job")
    if job is None:
        raise refuse("after must name a job")
    within = given.get("within")
    return {"job": job} | ({} if within is None else {"within": _span(within, "after.within")})


def _context(value: Any) -> list[str]:
    jobs = _texts([value] if isinstance(value, str) else value, "contextFrom")
    if len(jobs) > 10:
        raise refuse("contextFrom was refused", why=f"{len(jobs)} jobs; 10 at most")
    return jobs


def _budget(value: Any) -> dict[str, Any]:
    given = object_of(value, "budget")
    limits = ("tokensPerDay", "runsPerDay", "costPerDay")
    _known(given, (*limits, "onExceed", "fallbackModel"), "budget")
    made: dict[str, Any] = {}
    for key in limits[:2]:
        if given.get(key) is not None:
            made[key] = _count(given[key], f"budget.{key}")
    if given.get("costPerDay") is not None:
        made["costPerDay"] = _number(given["costPerDay"], "budget.costPerDay")
    if not made:
        raise refuse("budget was refused", fix=f"give one of {', '.join(limits)}")
    if given.get("onExceed") is not None:
        made["onExceed"] = _one_of(given["onExceed"], ("skip", "warn"), "budget.onExceed")
    if given.get("fallbackModel") is not None:
        made["fallbackModel"] = text_or_none(given["fallbackModel"], "budget.fallbackModel")
    return made


def _deadline(value: Any) -> str:
    try:
        read = policies.deadline(str(value).strip())
    except (EngineError, ValueError):
        raise refuse(
            f"mustFinishBy {value!r} was refused", fix="use a time like 08:30 or a span like 45m"
        ) from None
    if read == timedelta():
        raise refuse("mustFinishBy must be longer than nothing")
    return str(policies.to_json(policies.Policies(must_finish_by=read))["mustFinishBy"])


def _span(value: Any, what: str) -> str:
    ms = span_ms(value, what)
    if not 0 < ms <= _YEAR_MS:
        raise refuse(f"{what} must be more than nothing and at most a year", why=f"got {value!r}")
    return format_duration(timedelta(milliseconds=ms))


def _tags(value: Any) -> list[str]:
    tags = _texts([value] if isinstance(value, str) else value, "tags")
    if len(tags) > 20 or any(len(tag) > 64 for tag in tags):
        raise refuse("tags was refused", why="20 tags of 64 characters at most")
    return sorted(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))


def _alert(value: Any) -> Any:
    if isinstance(value, bool):
        return {"after": policies.FailureAlert().after} if value else False
    given = object_of(value, "failureAlert")
    known = ("after", "cooldownMs", "cooldown", "includeSkipped", "mode", "channel", "to")
    _known(given, (*known, "accountId"), "failureAlert")
    named = ("mode", "channel", "to", "accountId")
    where = {key: given[key] for key in named if given.get(key) is not None}
    made = checks.place(where, "failureAlert")
    made["after"] = _count(given.get("after", policies.FailureAlert().after), "failureAlert.after")
    if (cooldown := given.get("cooldown", given.get("cooldownMs"))) is not None:
        made["cooldownMs"] = span_ms(cooldown, "failureAlert.cooldown")
    if not isinstance(given.get("includeSkipped", False), bool):
        raise refuse("failureAlert.includeSkipped must be true or false")
    return made | ({"includeSkipped": True} if given.get("includeSkipped") else {})


def _gap(value: Any) -> int:
    ms = span_ms(value, "minRefireGapMs")
    if ms > LONGEST_GAP // timedelta(milliseconds=1):
        raise refuse("minRefireGapMs is too long", why=f"{format_duration(LONGEST_GAP)} at most")
    return ms


def _retry(value: Any) -> dict[str, Any]:
    given = object_of(value, "retry")
    _known(given, ("maxAttempts", "backoffMs", "retryOn"), "retry")
    made: dict[str, Any] = {}
    if given.get("maxAttempts") is not None:
        made["maxAttempts"] = _count(given["maxAttempts"], "retry.maxAttempts", least=0, most=10)
    if given.get("backoffMs") is not None:
        spans = given["backoffMs"]
        spans = spans if isinstance(spans, list | tuple) else [spans]
        if not 1 <= len(spans) <= 10:
            raise refuse("retry.backoffMs must have 1 to 10 entries")
        made["backoffMs"] = [span_ms(span, "retry.backoffMs") for span in spans]
    if given.get("retryOn") is not None:
        classes = _texts(given["retryOn"], "retry.retryOn")
        made["retryOn"] = [_one_of(one, sorted(TRANSIENT), "retry.retryOn") for one in classes]
    return made


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "overlap": _overlap,
    "jitterMs": lambda value: span_ms(value, "jitterMs"),
    "maxRuns": lambda value: _count(value, "maxRuns"),
    "maxRunsPerDay": lambda value: _count(value, "maxRunsPerDay"),
    "respectActiveHours": _hours,
    "gate": _gate,
    "after": _after,
    "contextFrom": _context,
    "budget": _budget,
    "mustFinishBy": _deadline,
    "expectWithin": lambda value: _span(value, "expectWithin"),
    "tags": _tags,
    "failureAlert": _alert,
    "retry": _retry,
    "minRefireGapMs": _gap,
}


# -- values --------------------------------------------------------------------------------------


def _known(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise unknown_key(key, what, known)


def _one_of(value: Any, words: Sequence[str], what: str) -> str:
    text = value.strip().lower() if isinstance(value, str) else value
    if text not in words:
        raise refuse(f"{what} {value!r} was refused", fix=f"use {', '.join(words)}")
    return str(text)


def _count(value: Any, what: str, *, least: int = 1, most: int = _MOST) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        ends = f"{least} to {most}" if most < _MOST else f"at least {least}"
        raise refuse(f"{what} must be a whole number, {ends}", why=f"got {value!r}")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        raise refuse(f"{what} must be a number of at least 0", why=f"got {value!r}")
    return value


def _texts(value: Any, what: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise refuse(f"{what} must be a list of texts", why=f"got {value!r}")
    if not value:
        raise refuse(f"{what} must not be empty")
    return list(value)
