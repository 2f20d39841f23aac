"""`engine logs`: the newest lines, those that come, or only some (operations.md §11)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event as Pause
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.logs.source import Source
from engine.cli.render import plain
from engine.clock import SystemClock
from engine.log.levels import LEVELS
from engine.log.lines import painted
from engine.log.reading import BYTES, LINES, Sieve, record, sifted
from jobs.duration import parse_duration
from jobs.errors import EngineError, UsageError
from jobs.wallclock import zone

_HEAD: Final = ("ts", "level", "subsystem", "msg", "err", "bootId")


@click.command(epilog="Example: engine logs --follow --level warn")
@click.option("--follow", is_flag=True, help="Go on printing what comes; Ctrl-C ends it.")
@click.option("--limit", type=click.IntRange(1, LINES), default=200, show_default=True)
@click.option("--max-bytes", type=click.IntRange(1, BYTES), default=250_000, show_default=True)
@click.option(
    "--interval", type=click.IntRange(100, 60_000), default=1000, show_default=True, metavar="MS"
)
@click.option("--plain", "no_colour", is_flag=True, help="No colour on a terminal either.")
@click.option("--local-time", is_flag=True, help="Times of this machine's clock, to the second.")
@click.option("--level", type=click.Choice(tuple(LEVELS)), help="At least as loud as this.")
@click.option("--grep", metavar="REGEX", help="Only lines in which this is found; case ignored.")
@click.option("--subsystem", metavar="NAME", help="Only this part, such as channels or sender.")
@click.option("--job", metavar="ID", help="Only this job.")
@click.option("--agent", metavar="ID", help="Only this agent.")
@click.option("--since", metavar="SPAN", help="Only the last 30m, 2h, 1d, or since a time.")
@click.option("--service", is_flag=True, help="What the service manager kept of its output.")
@gateway_options()
def command(line: Line, /, **given: Any) -> int:
    """What the gateway wrote down; with the gateway down or refusing, from its file.

    With --json each line is a record as it was written, between lines {"type": "meta"}.
    """
    if given["service"]:
        from engine.cli.logs.journal import show

        return show(line, limit=given["limit"], follow=given["follow"])
    wanted = _sieve(line, given)
    interval = timedelta(milliseconds=given["interval"])
    reader = Reader(
        Source(line, interval),
        Paper(line, no_colour=given["no_colour"], local_time=given["local_time"]),
        wanted,
        limit=given["limit"],
        most=given["max_bytes"],
    )
    reader.begin()
    while given["follow"]:
        Pause().wait(interval.total_seconds())
        reader.step()
    reader.source.close()
    return 0


def _sieve(line: Line, given: dict[str, Any]) -> Sieve:
    try:
        grep = re.compile(given["grep"], re.IGNORECASE) if given["grep"] else None
    except re.error as error:
        raise UsageError("--grep was not understood", why=str(error), fix="--grep AUTH_") from error
    return Sieve(
        level=given["level"],
        grep=grep,
        subsystem=given["subsystem"],
        job=given["job"],
        agent=given["agent"],
        since=_moment(given["since"], zone(line.place.zone)) if given["since"] else None,
    )


def _moment(text: str, where: ZoneInfo) -> datetime:
    """`30m` ago, or an ISO time (of this machine unless it names its offset)."""
    try:
        return SystemClock().now() - parse_duration(text)
    except EngineError:
        pass
    try:
        said = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError("--since was not understood", why=text, fix="--since 30m") from error
    return said if said.tzinfo else said.replace(tzinfo=where)


@dataclass(slots=True)
class Reader:
    """Takes portions from the source, keeps its place, hands on what was asked for."""

    source: Source
    paper: Paper
    sieve: Sieve
    limit: int
    most: int
    cursor: int | None = None
    mark: int | None = None

    def begin(self) -> None:
        """The newest lines that are wanted."""
        # What is sifted is looked for in as much as one answer holds.
        limit, most = (self.limit, self.most) if self.sieve.idle else (LINES, BYTES)
        answer = self._take(limit, most)
        self.paper.meta(answer, self.source.said_by)
        self.paper.print(sifted(answer["lines"], self.sieve, self.limit))

    def step(self) -> None:
        """What came since; several portions if it was much."""
        while True:
            answer = self._take(LINES, self.most)
            if answer.get("reset") or answer.get("skippedBytes"):
                self.paper.meta(answer, self.source.said_by)
            self.paper.print(sifted(answer["lines"], self.sieve, LINES))
            if not answer["lines"]:
                return

    def _take(self, limit: int, most: int) -> dict[str, Any]:
        answer = self.source.tail(self.cursor, self.mark, limit=limit, most=most)
        self.cursor, self.mark = answer.get("cursor"), answer.get("mark")
        return answer


class Paper:
    """Prints lines as they were asked for."""

    def __init__(self, line: Line, *, no_colour: bool, local_time: bool) -> None:
        self._json = line.as_json
        self._zone = zone(line.place.zone) if local_time else None
        shy = "NO_COLOR" in line.place.environ or line.place.environ.get("TERM") == "dumb"
        self._colour = not (no_colour or shy) and sys.stdout.isatty()

    def meta(self, answer: dict[str, Any], by: str) -> None:
        """Say what the lines that follow are."""
        if self._json:
            about = {key: value for key, value in answer.items() if key != "lines"}
            click.echo(json.dumps({"type": "meta", "source": by, **about}, ensure_ascii=False))
        elif answer.get("reset"):
            sys.stderr.write("The log began anew.\n")
        elif answer.get("skippedBytes"):
            sys.stderr.write(f"{answer['skippedBytes']} bytes were left out.\n")

    def print(self, lines: Iterable[str]) -> None:
        """Print them, at once."""
        for line in lines:
            click.echo(line if self._json else self._words(line))
        sys.stdout.flush()

    def _words(self, line: str) -> str:
        said = record(line)
        if said is None:
            return plain(line)
        room = ".".join(str(said.get("subsystem", "")).split(".")[-2:])
        more = "".join(f" {key}={value}" for key, value in said.items() if key not in _HEAD)
        level = painted(str(said.get("level", "")), colour=self._colour)
        words = plain(f"{said.get('msg', '')}{more}")
        text = f"{self._time(said.get('ts'))} {level} [{room}] {words}"
        return f"{text}\n{said['err']}" if said.get("err") else text

    def _time(self, ts: object) -> str:
        if self._zone is None:
            return str(ts)
        try:
            return f"{datetime.fromisoformat(str(ts)).astimezone(self._zone):%m-%d %H:%M:%S}"
        except ValueError:
            return str(ts)
