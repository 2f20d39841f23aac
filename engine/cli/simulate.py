"""`engine simulate`: what would happen in the coming days, and why. Nothing is sent or run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import NOTHING, one_line, show_table
from engine.clock import SystemClock
from jobs.errors import UsageError
from jobs.wallclock import zone
from jobs.written import parse_at

if TYPE_CHECKING:
    from engine.testing import Report

FIRST: Final = 12  # lines of the timeline shown
LONGEST: Final = 366
NOT_AS_EXPECTED: Final = 1


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
    command is run. Checklists are read from the agents' workspaces.
    """
    place = here(ctx)
    wanted = [_expectation(text) for text in expect]
    begin = SystemClock().now()
    if start is not None:
        begin = parse_at(start, now=begin, tz=place.zone)
    report = asyncio.run(_simulated(place, config, begin, timedelta(days=days)))
    wrong = _wrong(report, wanted)
    if as_json:
        sys.stdout.write(f"{dumped(_told(report, wrong))}\n")
    else:
        _show(report)
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return NOT_AS_EXPECTED if wrong else 0


async def _simulated(place: Place, config: str | None, start: datetime, span: timedelta) -> Report:
    from engine.testing import Simulation

    own = config is None
    async with Simulation(
        config or place.paths.config,
        start=start,
        zone=None,
        environ=place.environ,
        paths=place.paths if own else None,
    ) as sim:
        return await sim.until(start + span, on_step=_progress(start, span))


def _progress(start: datetime, span: timedelta) -> Callable[[datetime], None] | None:
    """Tell a person at a terminal how far it is; nobody else."""
    if not sys.stderr.isatty() or not span:
        return None
    told = -1

    def step(at: datetime) -> None:
        nonlocal told
        share = int(100 * (at - start) / span)
        if share != told:
            told = share
            sys.stderr.write(f"\r{at:%Y-%m-%d} {share:3d} %" if share < 99 else "\r\x1b[K")
            sys.stderr.flush()

    return step


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
    show_table(
        ["job", "result", "count", "first", "why"],
        [
            [
                row["job"],
                _result(row),
                str(row["count"]),
                _minute(datetime.fromisoformat(row["first"])),
                row["because"] or NOTHING,
            ]
            for row in report.summary()
        ],
    )
    sys.stdout.write(f"\nFirst of {_many(len(report.rows), 'row')} (all of them: --json):\n\n")
    show_table(
        ["when", "job", "result", "what"],
        [
            [
                _minute(row.local_at),
                row.job,
                f"{row.status} ({row.reason})" if row.reason else row.outcome or row.status,
                row.text or row.because or NOTHING,
            ]
            for row in report.rows[:FIRST]
        ],
    )


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


def _result(row: dict[str, Any]) -> str:
    return f"{row['result']} ({row['reason']})" if row["reason"] else str(row["result"])


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
        ran = len(report.runs(job))
        if ran != count:
            skipped = len(report.skips(job))
            also = f", {skipped} slots came to nothing" if skipped else ""
            known = (
                "" if ran or skipped else f" (jobs with rows: {one_line(', '.join(report.jobs))})"
            )
            wrong.append(f"{job}: expected {_many(count, 'run')}, there are {ran}{also}{known}")
    return wrong
