"""`engine cron timeline`: the coming hours of all jobs and beats, drawn (cron.md §22-10)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.render import cells, cut, pad, width
from engine.clock import SystemClock
from jobs.wallclock import at, ms, zone

LONGEST: Final = 336
_CELLS: Final = (5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720, 1440)  # minutes
_NAME: Final = 24  # cells of a name at most
_TOTAL: Final = 7
_LEAST: Final = 12  # cells of a strip at least
_FIRST: Final = 5  # hot spots told in words


@dataclass(frozen=True, slots=True)
class Signs:
    """What a strip is drawn with."""

    one: str
    many: str
    quiet: str
    nothing: str
    open: str
    hot: str


UNICODE: Final = Signs(one="•", many="█", quiet="░", nothing="·", open="━", hot="▲")
ASCII: Final = Signs(one="*", many="#", quiet="-", nothing=".", open="=", hot="^")


@click.command("timeline", epilog="Example: engine cron timeline --hours 48")
@click.option("--hours", type=click.IntRange(1, LONGEST), default=24, show_default=True)
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII signs only.")
@gateway_options()
def command(line: Line, hours: int, plain: bool) -> None:
    """The coming hours: a strip per job and beat, active hours, and where too many meet."""
    from engine.cli.at_rest import looked

    where = zone(line.place.zone)
    room = max(width() - _NAME - _TOTAL, _LEAST)
    cell = next((one for one in _CELLS if hours * 60 <= one * room), _CELLS[-1])
    start = _floored(SystemClock().now().astimezone(where), cell)
    params = {"hours": hours, "cellMinutes": cell, "fromMs": ms(start)}
    told = looked(line, "cron.timeline", params)
    signs = ASCII if plain or not _draws() else UNICODE
    line.show(told, lambda answer: "\n".join(lines(answer, where, signs)))


def _floored(local: datetime, minutes: int) -> datetime:
    """Return the last whole cell of the local day; of long cells the last whole hour."""
    past = (local.hour * 60 + local.minute) % min(minutes, 60)
    return local - timedelta(minutes=past, seconds=local.second, microseconds=local.microsecond)


def _draws() -> bool:
    """Whether standard output takes the signs."""
    try:
        "".join((UNICODE.one, UNICODE.many, UNICODE.quiet, UNICODE.open, UNICODE.hot)).encode(
            sys.stdout.encoding or "ascii"
        )
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def lines(told: Mapping[str, Any], where: ZoneInfo, signs: Signs) -> Iterator[str]:
    """Draw a timeline."""
    begin, end = at(told["fromMs"]), at(told["untilMs"])
    minutes = told["cellMs"] // 60_000
    yield (
        f"{begin.astimezone(where):%a %Y-%m-%d %H:%M} to {end.astimezone(where):%a %H:%M},"
        f" {where.key}. A sign is {_span(minutes)}."
    )
    if not told["jobs"]:
        yield "Nothing is switched on. Next: engine cron list --all"
        return
    names = [_name(row) for row in told["jobs"]]
    agents = [f"{agent} is active" for agent in told["activeHours"]]
    room = min(max(map(cells, [*names, *agents])), _NAME)
    size = len(told["jobs"][0]["cells"])
    yield ""
    yield f"{' ' * room}  {_ruler(told, size, where)}".rstrip()
    for name, row in zip(names, told["jobs"], strict=True):
        strip = _strip(row, signs, mark_open=row["agentId"] in told["activeHours"])
        yield f"{pad(cut(name, room), room)}  {strip}  {_total(row)}"
    for agent, windows in told["activeHours"].items():
        name = pad(cut(f"{agent} is active", room), room)
        yield f"{name}  {_windows(told, windows, size, signs)}".rstrip()
    if told["hotSpots"]:
        yield f"{pad('too many', room)}  {_marks(told, size, signs)}".rstrip()
    yield ""
    yield (
        f"{signs.one} one run, 2-9 as many, {signs.many} ten or more, {signs.nothing} none"
        f"{f', {signs.quiet} outside the active hours' if told['activeHours'] else ''}"
    )
    yield from _meetings(told, where)


def _name(row: Mapping[str, Any]) -> str:
    return f"beats of {row['agentId']}" if row["kind"] == "heartbeat" else str(row["name"])


def _span(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{minutes} minutes" if rest else f"{hours} hour{'' if hours == 1 else 's'}"


def _total(row: Mapping[str, Any]) -> str:
    if row["paused"]:
        return "paused"
    return f"{row['total']}{' late' if row['overdue'] else ''}"


def _strip(row: Mapping[str, Any], signs: Signs, *, mark_open: bool) -> str:
    found = []
    for count, quiet in zip(row["cells"], row["quiet"], strict=True):
        if not count:
            found.append(signs.nothing)
        elif mark_open and quiet == count:
            found.append(signs.quiet)
        else:
            found.append(_count(count, signs))
    return "".join(found)


def _count(count: int, signs: Signs) -> str:
    if count == 1:
        return signs.one
    return str(count) if count < 10 else signs.many


def _ruler(told: Mapping[str, Any], size: int, where: ZoneInfo) -> str:
    """Hours above the strips, as many as there is room for; midnight is told by its day."""
    found = [" "] * (size + 3)
    free, hour = 0, None
    for n in range(size):
        local = at(told["fromMs"] + n * told["cellMs"]).astimezone(where)
        if local.hour != hour and n >= free and (local.minute == 0 or told["cellMs"] > 3_600_000):
            words = f"{local:%a}" if local.hour == 0 else f"{local:%H}"
            found[n : n + len(words)] = words
            free = n + len(words) + 1
        hour = local.hour
    return "".join(found).rstrip()


def _windows(
    told: Mapping[str, Any], windows: Sequence[Mapping[str, int]], size: int, signs: Signs
) -> str:
    start, cell = told["fromMs"], told["cellMs"]
    return "".join(
        signs.open
        if any(
            w["fromMs"] < start + (n + 1) * cell and start + n * cell < w["untilMs"]
            for w in windows
        )
        else " "
        for n in range(size)
    )


def _marks(told: Mapping[str, Any], size: int, signs: Signs) -> str:
    hot = {(spot["atMs"] - told["fromMs"]) // told["cellMs"] for spot in told["hotSpots"]}
    return "".join(signs.hot if n in hot else " " for n in range(size))


def _meetings(told: Mapping[str, Any], where: ZoneInfo) -> Iterator[str]:
    for spot in told["hotSpots"][:_FIRST]:
        local = at(spot["atMs"]).astimezone(where)
        names = ", ".join(spot["jobs"][:_FIRST])
        more = f" and {spot['due'] - _FIRST} more" if spot["due"] > _FIRST else ""
        yield (
            f"{local:%a %H:%M}: {spot['due']} jobs are due and {told['maxConcurrentRuns']} may run"
            f" at once: {names}{more}"
        )
    if (more := told["hotMinutes"] - _FIRST) > 0:
        yield f"{more} more minutes in which too many are due (all of them: --json)"
    if told["sharedMinutes"]:
        count = told["sharedMinutes"]
        yield f"{count} minute{'' if count == 1 else 's'} in which more than one job or beat is due"
    for job_id in told.get("unreadable") or ():
        yield f"job {job_id} cannot be read: engine cron show {job_id}"
