"""Timers of systemd with the services they start, as jobs (cron.md §22-11, systemd.timer(5))."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from jobs.errors import InvalidSchedule, UnreadableSource
from jobs.importing import oncalendar
from jobs.importing.exec_line import payload_of
from jobs.importing.report import (
    Entry,
    Notes,
    Report,
    Weight,
    job_id,
    key_of,
)
from jobs.importing.units import Unit, parsed, span

KIND: Final = "systemd"
_MS: Final = timedelta(milliseconds=1)
_ONCE: Final = ("OnActiveSec", "OnBootSec", "OnStartupSec")
_AGAIN: Final = ("OnUnitActiveSec", "OnUnitInactiveSec")
_ACCURACY: Final = timedelta(minutes=1)  # what systemd takes unasked


def read(units: Mapping[str, Sequence[str]], *, zone: str, home: str | None = None) -> Report:
    """Return the jobs of every timer among ``units``: file name to its texts, drop-ins last.

    A timer with several calendar events becomes as many jobs. A unit that cannot be read is a
    remark; if none can be, `UnreadableSource` is raised.
    """
    notes = Notes()
    timers = [name for name in units if name.endswith(".timer")]
    if not timers:
        raise UnreadableSource(
            "no timer was found",
            why=f"there is {', '.join(units) or 'nothing'}",
            fix="name a .timer file, or pipe: systemctl cat backup.timer backup.service",
        )
    entries: list[Entry] = []
    refusals: list[UnreadableSource] = []
    for name in timers:
        try:
            timer = parsed(name, units[name])
            entries += _jobs(timer, units, zone, home, notes)
        except UnreadableSource as error:
            refusals.append(error)
            notes.add(Weight.LEFT_OUT, name, error.why, error.fix)
    if len(refusals) == len(timers):
        raise refusals[0]
    return Report(kind=KIND, entries=tuple(entries), remarks=notes.all)


def _jobs(
    timer: Unit, units: Mapping[str, Sequence[str]], zone: str, home: str | None, notes: Notes
) -> Iterator[Entry]:
    stem = timer.name.removesuffix(".timer")
    service = _service(timer, stem, units, notes)
    made = None if service is None else payload_of(service, home, notes)
    if service is None or made is None:
        return
    payload, more, held = made
    name = timer.last("Unit", "Description") or service.last("Unit", "Description") or stem
    common = {
        "name": name,
        "payload": payload,
        "delivery": {"mode": "none"},
        "misfire": {"policy": "run-once", "graceMs": None}
        if timer.on("Timer", "Persistent")
        else {"policy": "skip"},
        **more,
        **({"enabled": False} if held else {}),
    }
    for nth, schedule in enumerate(_schedules(timer, zone, notes), 1):
        ident = stem if nth == 1 else f"{stem}:{nth}"
        job = {"id": job_id(KIND, ident), **common, "schedule": schedule}
        if nth > 1:
            job["name"] = f"{name} ({nth})"
        delay = _delay(timer, schedule, notes)
        yield Entry(key=key_of(KIND, ident), where=timer.name, job=job | delay)
    _told(timer, notes)


def _service(
    timer: Unit, stem: str, units: Mapping[str, Sequence[str]], notes: Notes
) -> Unit | None:
    name = timer.last("Timer", "Unit") or f"{stem}.service"
    prefix, at, _ = name.partition("@")
    for candidate in (name, f"{prefix}@.service") if at else (name,):
        if candidate in units:
            return parsed(name, units[candidate])
    if not name.endswith(".service"):
        why = f"it starts {name}, which is no service"
    else:
        why = f"its service {name} is not there"
    fix = f"put {name} beside it, or add a job that runs: systemctl start {name}"
    notes.add(Weight.LEFT_OUT, timer.name, why, fix)
    return None


# -- when ----------------------------------------------------------------------------------------


def _schedules(timer: Unit, zone: str, notes: Notes) -> Iterator[dict[str, Any]]:
    found = 0
    for text in timer.all("Timer", "OnCalendar"):
        found += 1
        try:
            calendar = oncalendar.read(text)
        except InvalidSchedule as error:
            why = f"{error.what}: {error.why}" if error.why else error.what
            notes.add(Weight.LEFT_OUT, timer.name, why, error.fix, f"OnCalendar={text}")
            continue
        if calendar.at is not None:
            yield {"kind": "at", "at": calendar.at}
            continue
        made = {"kind": "cron", "expr": calendar.expr, "tz": calendar.tz or zone, "staggerMs": 0}
        yield made | ({"dayMatch": "and"} if calendar.both_days else {})
    for key in _AGAIN:
        for text in timer.all("Timer", key):
            found += 1
            every = _every(timer, key, text, notes)
            if every is not None:
                yield every
    once = [key for key in _ONCE if timer.all("Timer", key)]
    if once and not found:
        why = f"{', '.join(once)}: a schedule that fires after a start is not supported yet"
        notes.add(Weight.LEFT_OUT, timer.name, why, "leave this timer to systemd")
    elif not found:
        why = "it has neither OnCalendar nor OnUnitActiveSec"
        notes.add(Weight.LEFT_OUT, timer.name, why, "leave this timer to systemd")
    elif once:
        why = f"{', '.join(once)} is not taken over: the first run comes one period from now"
        notes.add(
            Weight.CHANGED, timer.name, why, "engine cron run, with the job's id, runs it now"
        )


def _every(timer: Unit, key: str, text: str, notes: Notes) -> dict[str, Any] | None:
    try:
        period = span(text)
    except InvalidSchedule as error:
        notes.add(Weight.LEFT_OUT, timer.name, error.what, error.fix, f"{key}={text}")
        return None
    if not period:
        why = f"{key}={text} is no period"
        notes.add(Weight.LEFT_OUT, timer.name, why, "correct the timer", f"{key}={text}")
        return None
    since = "start" if key == "OnUnitActiveSec" else "end"
    why = f"{key} counts from the last {since} of the service; here it is a fixed grid of {text}"
    notes.add(Weight.CHANGED, timer.name, why)
    return {"kind": "every", "everyMs": period // _MS}


def _delay(timer: Unit, schedule: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return the job's jitter; a fixed random delay is a stagger of its schedule."""
    text = timer.last("Timer", "RandomizedDelaySec")
    if not text:
        return {}
    try:
        delay = span(text) or timedelta()
    except InvalidSchedule as error:
        notes.add(Weight.CHANGED, timer.name, error.what, error.fix, f"RandomizedDelaySec={text}")
        return {}
    kind = schedule["kind"]
    if not delay or kind == "at":
        return {}
    if timer.on("Timer", "FixedRandomDelay") and kind == "cron" and delay <= timedelta(days=1):
        schedule["staggerMs"] = delay // _MS
        return {}
    if kind == "every" and delay // _MS >= schedule["everyMs"]:
        why = f"a delay of up to {text} is not shorter than the period: left out"
        notes.add(Weight.CHANGED, timer.name, why, "", f"RandomizedDelaySec={text}")
        return {}
    return {"jitterMs": delay // _MS}


def _told(timer: Unit, notes: Notes) -> None:
    accuracy = timer.last("Timer", "AccuracySec")
    try:
        coarse = bool(accuracy) and (span(accuracy) or _ACCURACY) > _ACCURACY
    except InvalidSchedule:
        coarse = False
    if coarse:
        why = f"AccuracySec={accuracy} let systemd run it late; here it runs to the second"
        notes.add(Weight.NOTE, timer.name, why, "jitterMs spreads it")
    for key, why in _REMARKABLE.items():
        if timer.on("Timer", key):
            notes.add(Weight.CHANGED, timer.name, f"{key}: {why}")


_REMARKABLE: Final = {
    "WakeSystem": "nothing here wakes a sleeping machine; the slot is then missed",
    "OnClockChange": "a change of the clock starts no job",
    "OnTimezoneChange": "a change of the zone starts no job",
}
