"""`engine simulate`: what would happen in the coming days, and why. Nothing is sent or run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli import offline
from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.cli.progress import Progress
from engine.cli.render import noted, one_line, width
from engine.clock import SystemClock
from jobs.errors import InvalidSchedule, UsageError
from jobs.wallclock import zone
from jobs.written import parse_at

if TYPE_CHECKING:
    from engine.testing import Report
    from engine.testing.home import Copied

FIRST: Final = 12  # lines of the timeline shown
LONGEST: Final = 366
NOT_AS_EXPECTED: Final = 1
_HOUR: Final = timedelta(hours=1)


@click.command(name="simulate", epilog="Example: engine simulate --days 7 --expect brief=7")
@click.option("--config", "config", metavar="FILE", help="Another config than this home's.")
@click.option("--days", type=click.FloatRange(0, LONGEST), default=7, show_default=True)
@click.option("--from", "start", metavar="WHEN", help="From this instant on; now if not given.")
@click.option(
    "--agent",
    type=click.Choice(["offline"]),
    default="offline",
    show_default=True,
    help="Who answers: the built-in agent that follows rules.",
)
@click.option("--expect", multiple=True, metavar="JOB=N", help="Fail unless JOB runs N times.")
@click.option("--json", "as_json", is_flag=True, help="Every row, with its reason.")
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    days: float,
    start: str | None,
    agent: str,  # noqa: ARG001 - one choice so far
    expect: tuple[str, ...],
    as_json: bool,
) -> int:
    """What would happen in the coming days, and why.

    The real engine on a clock that runs ahead: nothing is sent, no model is asked, no
    command is run. Checklists are read from the agents' workspaces. It goes on from a copy of
    this home's store: its routes, its jobs, its pauses; with another config from nothing.
    """
    place = here(ctx)
    wanted = [_expectation(text) for text in expect]
    begin = SystemClock().now()
    if start is not None:
        begin = begin_of(start, begin, place)
    if config is not None and Path(config).resolve() == place.paths.config.resolve():
        config = None
    logging.getLogger().addHandler(logging.NullHandler())  # the report tells it, not the log
    wish = Wish(config=config, start=begin, anew=start is not None, span=timedelta(days=days))
    from gateway.runtime import run, settle

    settle()  # as a gateway does
    report, origin = run(simulated(place, wish))
    sys.stderr.write(f"{origin}\n")
    wrong = _wrong(report, wanted)
    if as_json:
        sys.stdout.write(f"{dumped({**_told(report, wrong), 'startsFrom': origin})}\n")
    else:
        _show(report)
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return NOT_AS_EXPECTED if wrong else 0


def begin_of(text: str, now: datetime, place: Place) -> datetime:
    """Return the instant of `--from`."""
    try:
        return parse_at(text, now=now, tz=place.zone)
    except InvalidSchedule as error:
        raise UsageError(
            f"--from {text} cannot be read", why="it is an instant", fix="--from 2026-03-28T09:00"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What shall be simulated."""

    config: str | None
    start: datetime
    anew: bool  # at another time than now
    span: timedelta
    at_home: bool = False  # another config, on what this home knows


async def simulated(place: Place, wish: Wish) -> tuple[Report, str]:
    """The report, and what the simulation went on from, in words."""
    from engine.testing import Simulation
    from engine.testing.simulation import SEED

    own = wish.config is None or wish.at_home
    state, origin = await _state(place, wish) if own else (None, _foreign(wish, place))
    try:
        async with Simulation(
            wish.config or place.paths.config,
            start=wish.start,
            zone=None,
            environ=place.environ,
            paths=place.paths if own else None,
            database=state.database if state else None,
            seed=(state.seed if state else None) or SEED,
        ) as sim:
            with Progress("simulated hours", total=wish.span // _HOUR) as progress:
                report = await sim.until(
                    wish.start + wish.span,
                    on_step=lambda at: progress.at((at - wish.start) // _HOUR),
                )
            return report, origin
    finally:
        if state is not None:
            await state.database.close()


def _foreign(wish: Wish, place: Place) -> str:
    home = shown(place.paths.state, place.paths)
    return (
        f"Starts from nothing: {wish.config} is not the config of {home}. No last route is known,"
        " no job was added, and when beats come first may differ."
    )


async def _state(place: Place, wish: Wish) -> tuple[Copied | None, str]:
    """A copy of what this home knows; it is never written to."""
    from engine.testing.home import copied

    file = offline.database(place.paths)
    if file is None:
        return None, "Starts from nothing: the store of this home is on a server."
    where = shown(file, place.paths)
    if not file.is_file():
        return None, f"Starts from nothing: {where} does not exist, no gateway has run yet."
    state = await copied(file, anew_from=wish.start if wish.anew else None)
    what = f"{_many(state.jobs, 'job')} added at run time, {_many(state.routes, 'last route')}"
    history = " without what happened so far" if wish.anew else ""
    return state, f"Starts from a copy of {where}{history}: {what}."


# -- what comes out --------------------------------------------------------------------------


def _show(report: Report) -> None:
    where = zone(report.zone.key)
    span = f"{_day(report.start, where)} to {_day(report.until, where)}, {where.key}"
    sent = [one for one in report.deliveries if one.state == "delivered"]
    sys.stdout.write(f"{span}: {_many(len(report.rows), 'row')}, {_many(len(sent), 'message')}.\n")
    if not report.rows:
        sys.stdout.write("Nothing would happen. Next: engine heartbeat list, engine cron list\n")
        return
    sys.stdout.write("\n")
    summary = report.summary()
    _print(
        ["job", "result", "count", "first"],
        [
            [
                row["job"],
                _result(row["result"], row["reason"]),
                str(row["count"]),
                _minute(datetime.fromisoformat(row["first"])),
            ]
            for row in summary
        ],
        [row["because"] or "" for row in summary],
    )
    first = report.rows[:FIRST]
    sys.stdout.write(f"\nFirst of {_many(len(report.rows), 'row')} (all of them: --json):\n\n")
    _print(
        ["when", "job", "result"],
        [[_minute(row.local_at), row.job, _result(row.result, row.reason)] for row in first],
        [row.text or row.because for row in first],
    )


def _print(head: list[str], rows: list[list[str]], notes: list[str]) -> None:
    sys.stdout.write(f"{noted(head, rows, notes, room=width())}\n")


def _told(report: Report, wrong: Sequence[str]) -> dict[str, Any]:
    return {
        "ok": not wrong,
        "from": report.start.isoformat().replace("+00:00", "Z"),
        "until": report.until.isoformat().replace("+00:00", "Z"),
        "zone": report.zone.key,
        "summary": report.summary(),
        "timeline": report.timeline(),
        "deliveries": [
            {
                "at": one.at.isoformat().replace("+00:00", "Z"),
                "channel": one.channel,
                "to": one.to,
                "text": one.text,
                "kind": one.kind,
                "state": one.state,
            }
            for one in report.deliveries
        ],
        **({"unexpected": list(wrong)} if wrong else {}),
    }


def _result(what: str, reason: str | None) -> str:
    return f"{what} ({reason})" if reason else what


def _day(at: datetime, where: Any) -> str:
    return _minute(at.astimezone(where))


def _minute(at: datetime) -> str:
    return f"{at:%a %Y-%m-%d %H:%M}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# -- expectations ----------------------------------------------------------------------------


def _expectation(text: str) -> tuple[str, int]:
    job, equals, count = text.rpartition("=")
    if not equals or not job or not count.isdecimal():
        raise UsageError(
            f"--expect {text} cannot be read",
            why="it is JOB=N: a job's name and how often it shall run",
            fix="engine simulate --expect brief=7",
        )
    return job, int(count)


def _wrong(report: Report, wanted: Sequence[tuple[str, int]]) -> list[str]:
    wrong = []
    for job, count in wanted:
        if not report.knows(job):
            names = one_line(", ".join(report.names)) or "none"
            wrong.append(f"{job}: there is no such job (there is: {names})")
            continue
        ran = len(report.runs(job))
        if ran != count:
            skipped = len(report.skips(job))
            also = f", {skipped} slots came to nothing" if skipped else ""
            wrong.append(f"{job}: expected {_many(count, 'run')}, there are {ran}{also}")
    return wrong
