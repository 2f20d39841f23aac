"""What is worth knowing after a job was changed: notes and warnings (cron.md §16). No failure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from engine.cli.render import duration
from jobs.errors import EngineError
from jobs.schedule import At, schedule_from_json
from jobs.stagger import offset
from jobs.wallclock import zone
from jobs.written import parse_at

_OFTEN: Final = 288  # runs of a day: one in five minutes
_WITHOUT_PAUSE: Final = 86_400  # runs of a day: one a second
_NAMESAKES: Final = 3  # shown of those that have one name
_SHELL_SIGNS: Final = ("/usr/bin/", "sh -c", "curl ", "&&", "| grep", "rm -")
_OFF: Final = "warning: the scheduler is switched off (cron.enabled): no job will run"
_WALL_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ][\d:.]+)?")  # an instant without offset
_MS: Final = timedelta(milliseconds=1)


def of_payload(payload: Mapping[str, Any]) -> Iterator[str]:
    """Say what looks unlike what was meant, before anything is asked."""
    text = str(payload.get("text") or "")
    if any(sign in text for sign in _SHELL_SIGNS):
        yield (
            "warning: --system-event looks like a shell command; it is text for the agent."
            " To run a program use --command"
        )


def of_job(
    job: Mapping[str, Any], asked: Mapping[str, Any], status: Mapping[str, Any], now: datetime
) -> Iterator[str]:
    """Say what the stored job makes of what was asked; ``status`` is that of the scheduler."""
    yield from _of_schedule(job, asked.get("schedule") or {}, str(status.get("tz") or "UTC"))
    if (asked.get("payload") or {}).get("kind") == "agentTurn" and not job.get("agentId"):
        yield f"note: no --agent: the default agent {job.get('effectiveAgentId', 'main')} runs it"
    runs = _in_a_day(job, now)
    if (job.get("payload") or {}).get("kind") == "agentTurn" and runs > _OFTEN:
        yield f"warning: that is {runs} agent turns a day"
    elif runs > _WITHOUT_PAUSE:
        yield f"warning: that is {runs} runs a day: more than one a second"
    if asked.get("until") and job.get("enabled", True) and not _coming(job):
        yield "warning: it has no slot before --until: it will never run"
    if _inside((asked.get("delivery") or {}).get("to")):
        yield (
            "note: a webhook of this machine or network is called only if"
            " cron.webhookSsrfPolicy allows it"
        )
    nowhere = job.get("deliveryPreview") or {}
    if nowhere.get("fix"):
        yield (
            f"warning: as things stand its words would reach nobody: {nowhere['detail']}."
            f" Fix: {nowhere['fix']}"
        )
    if asked.get("pacing"):
        yield "note: pacing is kept with the job; it has no effect yet"
    yield from of_status(status)


def of_status(status: Mapping[str, Any]) -> Iterator[str]:
    """Say that nothing fires, after whatever was changed."""
    if not status.get("enabled", True):
        yield _OFF


def of_removal(job: Mapping[str, Any]) -> Iterator[str]:
    """Say that a job that came from the config may come back (cron.md §13)."""
    key = str(job.get("id") or "")
    if key.startswith("cfg:"):
        name = key.removeprefix("cfg:")
        yield (
            f"warning: if cron.jobs.{name} still stands in the config, the next reload brings it"
            " back: take it out there too"
        )


def of_name(job: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say that a name does not name one job any more."""
    name = job.get("name")
    same = [str(one["id"]) for one in others if one.get("name") == name and one["id"] != job["id"]]
    if same:
        more = ", …" if len(same) > _NAMESAKES else ""
        told = ", ".join(same[:_NAMESAKES]) + more
        yield f'note: there is another job named "{name}": {told}; name them by id'


def others(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the jobs that what was asked refers to."""
    after = (asked.get("after") or {}).get("job")
    return tuple(dict.fromkeys([*([after] if after else []), *(asked.get("contextFrom") or ())]))


def of_missing(asked: Mapping[str, Any], missing: Iterable[str]) -> Iterator[str]:
    """Say that what a job waits for, or reads from, is not there (cron.md §22 row 17)."""
    gone = set(missing)
    after = (asked.get("after") or {}).get("job")
    if after in gone:
        yield f"warning: there is no job {after!r}: every slot is skipped until there is one"
    for ref in asked.get("contextFrom") or ():
        if ref in gone:
            yield f"warning: there is no job {ref!r}, whose output it asks for"


def _of_schedule(job: Mapping[str, Any], wish: Mapping[str, Any], tz: str) -> Iterator[str]:
    made = job.get("schedule") or {}
    if made.get("kind") == "cron" and wish.get("expr") and not wish.get("tz") and made.get("tz"):
        yield f"note: the times are those of {made['tz']} (--tz chooses another zone)"
    late = spread(job)
    if late and wish:
        yield f"note: it fires {late} after the time of its expression; --exact to disable"
    text = str(wish.get("at") or "").strip()
    if not _WALL_TIME.fullmatch(text):
        return
    if wish.get("tz"):
        yield from _both_passes(text, str(wish["tz"]))
    elif tz != "UTC":
        yield from _both_readings(text, tz)


def _both_passes(text: str, tz: str) -> Iterator[str]:
    """Tell which pass of a wall time that comes twice is meant (§4.2 rule 8)."""
    first = parse_at(text, now=datetime(1970, 1, 1, tzinfo=UTC), tz=tz).astimezone(zone(tz))
    second = first.replace(fold=1)
    if first.utcoffset() != second.utcoffset():
        one, other = (each.isoformat(timespec="minutes") for each in (first, second))
        yield f"note: {text} comes twice in {tz}: {one} is meant; for the second: --at {other}"


def _both_readings(text: str, tz: str) -> Iterator[str]:
    """Tell an instant without offset as it was read, and as it may have been meant (§5)."""
    read = parse_at(text, now=datetime(1970, 1, 1, tzinfo=UTC))
    told = read.astimezone(zone(tz)).isoformat(" ", "minutes")
    yield f"note: {text} was read as UTC, which is {told} in {tz}; for {text} there add --tz {tz}"


def spread(job: Mapping[str, Any]) -> str:
    """Return how late stagger makes a job, or nothing (cron.md §2.1)."""
    window = (job.get("schedule") or {}).get("staggerMs")
    if not isinstance(window, int) or not window:
        return ""
    return duration(offset(str(job.get("id")), window * _MS) / _MS)


def _inside(to: Any) -> bool:
    """Whether an address of a webhook is plainly none of the internet's."""
    if not isinstance(to, str) or not to.startswith(("http://", "https://")):
        return False
    try:
        host = urlsplit(to).hostname or ""
        return host == "localhost" or not ip_address(host).is_global
    except ValueError:  # a name: who it is shows when it is called
        return False


def _coming(job: Mapping[str, Any]) -> bool:
    return (job.get("state") or {}).get("nextRunAtMs") is not None


def _in_a_day(job: Mapping[str, Any], now: datetime) -> int:
    try:
        schedule = schedule_from_json(
            job.get("schedule") or {}, default_tz="UTC", job_id=str(job.get("id")), now=now
        )
    except EngineError:  # of a newer gateway: nothing to warn of
        return 0
    return 0 if isinstance(schedule, At) else schedule.count(now, now + timedelta(days=1))
