"""`engine cron audit`: whether every slot has its row, from the store alone (cron.md §22-1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import click

from engine.cli import complete
from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.progress import Progress
from engine.clock import SystemClock
from jobs.audit import Audit, Bound, Hole, JobAudit, Window
from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule, UsageError
from jobs.wallclock import zone
from jobs.written import parse_at

if TYPE_CHECKING:
    from engine.config.load import Loaded
    from jobs.store.db import Tx

HOLE: Final = 1  # exit status
_FIRST: Final = 10  # of what is told one by one
_WHY: Final = {
    Bound.ACTIVATED: "when its schedule began to count",
    Bound.KEPT: "as far back as its rows are kept",
}


@click.command("audit", epilog="Example: engine cron audit --since 30d")
@click.argument("job", required=False, shell_complete=complete.jobs)
@click.option(
    "--since", metavar="WHEN", default="7d", show_default=True, help="An instant, or how long ago."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, job: str | None, since: str, as_json: bool) -> int:
    """Prove that no slot is missing: what should have happened, against what is on record.

    Reads the store of this home, whether the gateway runs or not. Status 1: there is a hole, or
    a job that cannot be read, of which nothing is proved.
    """
    from engine.cli.at_rest import read, tell_down

    place = here(ctx)
    now = SystemClock().now()
    window = Window(since=_since(since, now, place.zone), until=now)
    found = read(place, lambda tx, config: _audited(tx, config, window, job))
    running = place.owner is not None
    if as_json:
        click.echo(dumped({**found.to_json(), "gateway": {"running": running}}))
    else:
        if not running:
            tell_down(place)
        click.echo("\n".join(lines(found, zone(place.zone))))
    return 0 if found.ok else HOLE


def _since(text: str, now: datetime, tz: str) -> datetime:
    """Return the instant; status 1 is for holes, so what cannot be read is a usage error."""
    begin: datetime | None
    try:
        begin = now - parse_duration(text)
    except InvalidSchedule:
        begin = _instant(text, now, tz)
    if begin is None or begin >= now:
        raise UsageError(
            f"--since {text} was refused",
            why="it is no length of time and no instant before now",
            fix="engine cron audit --since 7d, or --since 2026-11-01T00:00",
        )
    return begin


def _instant(text: str, now: datetime, tz: str) -> datetime | None:
    try:
        return parse_at(text, now=now, tz=tz)
    except InvalidSchedule:
        return None


def _audited(tx: Tx, config: Loaded, window: Window, job: str | None) -> Audit:
    with _Told() as told:
        return audited(tx, config, window, job=job, on_job=told.step)


def audited(
    tx: Tx,
    config: Loaded,
    window: Window,
    *,
    job: str | None = None,
    on_job: Callable[[int, int], None] = lambda _done, _total: None,
) -> Audit:
    """Audit the store of a home by its config."""
    from engine.scheduling import outlook
    from engine.upkeep.housekeeping import KEEP_BEATS

    log = config.config.cron.run_log
    kept = outlook.Keeping(beats=KEEP_BEATS, jobs=log.kept_for, per_job=log.kept_per_job)
    return outlook.audited(tx, window, kept, ref=job, on_job=on_job)


class _Told:
    """Progress that begins when it is known how much there is to do."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)

    @property
    def step(self) -> Callable[[int, int], None]:
        """Take how many jobs of how many are done."""

        def step(done: int, total: int) -> None:
            if self._progress is None:
                self._progress = Progress("auditing jobs", total=total).__enter__()
            self._progress.at(done)

        return step


# -- in words ------------------------------------------------------------------------------------


def lines(found: Audit, where: ZoneInfo) -> Iterator[str]:
    """Say what an audit found: the verdict first."""
    jobs = [job for job in found.jobs if job.kind == "cron"]
    beats = len(found.jobs) - len(jobs)
    expected = sum(job.expected for job in found.jobs)
    whole = (
        f"{_many(expected, 'slot')} of {_many(len(jobs), 'job')} and {_many(beats, 'heartbeat')}"
    )
    verdict = "every one is on record" if found.ok else "not every one is on record"
    if found.unreadable and not (found.missing or any(job.duplicates for job in found.jobs)):
        verdict = f"on record, but {_many(len(found.unreadable), 'job')} cannot be read"
    yield f"{whole} since {_stamp(found.window.since, where)} ({where.key}): {verdict}."
    for job in found.jobs:
        yield from _told(job, where)
    yield from _limits(found, where)


def _told(job: JobAudit, where: ZoneInfo) -> Iterator[str]:
    for hole in job.holes[:_FIRST]:
        yield f"  HOLE       {job.title}: no row for {_hole(hole, where)}"
    if len(job.holes) > _FIRST:
        yield f"  HOLE       {job.title}: {len(job.holes) - _FIRST} more (all of them: --json)"
    if job.duplicates:
        at = _stamp(job.doubled[0], where)
        yield f"  TWICE      {job.title}: {_many(job.duplicates, 'row')} too many, first at {at}"
    if job.strays:
        at = _stamp(job.strayed[0], where)
        yield (
            f"  ASTRAY     {job.title}: {_many(job.strays, 'row')} for times its schedule does not"
            f" name, first at {at}"
        )
    if job.moved:
        moved = _many(job.moved, "slot")
        yield f"  moved      {job.title}: {moved} that a calendar brought forward"
    if job.unfinished:
        yield f"  unfinished {job.title}: {_many(job.unfinished, 'row')} without an end"
    if job.waiting:
        yield (
            f"  waiting    {job.title}: {_many(job.waiting, 'slot')} that nothing has looked at yet"
            " (the gateway is down, or the job is paused)"
        )


def _hole(hole: Hole, where: ZoneInfo) -> str:
    if hole.count == 1:
        return _stamp(hole.first, where)
    first, last = _stamp(hole.first, where), _stamp(hole.last, where)
    return f"{_many(hole.count, 'slot')} from {first} to {last}"


def _limits(found: Audit, where: ZoneInfo) -> Iterator[str]:
    """Say what was not looked at."""
    yield f"Rows are kept since {_stamp(found.kept_since, where)}; of a job that runs often, fewer."
    partly = [job for job in found.jobs if job.stretch and job.stretch.bound in _WHY]
    for job in partly[:_FIRST]:
        if job.stretch is not None:
            begin = _stamp(job.stretch.first, where)
            yield f"  {job.title}: audited from {begin}, {_WHY[job.stretch.bound]}"
    if len(partly) > _FIRST:
        yield f"  and {len(partly) - _FIRST} more jobs from later on (all of them: --json)"
    for job_id in found.unreadable:
        yield f"  {job_id}: not audited, its definition cannot be read: engine cron doctor"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _stamp(at: datetime, where: ZoneInfo) -> str:
    local = at.astimezone(where)
    return f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"
