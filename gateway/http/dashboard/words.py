"""From answers to what stands on the page: rows of words, the verdict first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.http.dashboard.facts import Facts
from gateway.protocol.handshake import Phase
from jobs.duration import format_duration
from jobs.wallclock import EPOCH, MILLISECOND

_LONG: Final = 240  # characters of a message that are shown
_DAYS: Final = timedelta(days=2)
_NOT_READY: Final = {
    Phase.STARTING: "the gateway is starting",
    Phase.DRAINING: "the gateway is stopping; nothing new begins",
}
_GOOD: Final = frozenset({"ok", "sent", "ok-token", "ok-empty", "delivered", "connected"})
_BAD: Final = frozenset({"failed", "error", "unknown", "expired", "off", "blocked", "stopped"})
_UNREAD: Final = "unread"


@dataclass(frozen=True, slots=True)
class When:
    """An instant as it is told: from now, on the person's clock, and for machines."""

    ago: str
    clock: str
    iso: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first thing that stands in the way, and what mends it."""

    level: str  # good | warn | bad
    words: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """On which clock, and when, the page is read."""

    now: datetime
    zone: ZoneInfo

    def when(self, value: object) -> When | None:
        """An instant in epoch milliseconds."""
        if not isinstance(value, int):
            return None
        at = EPOCH + value * MILLISECOND
        there = at.astimezone(self.zone)
        near = abs(at - self.now) < _DAYS
        return When(
            ago=_apart(at - self.now),
            clock=f"{there:%a %H:%M:%S}" if near else f"{there:%Y-%m-%d %H:%M}",
            iso=at.isoformat(timespec="seconds"),
        )


def page(facts: Facts, phase: Phase, reader: Reader) -> dict[str, Any]:
    """Everything the template shows."""
    return {
        "verdict": verdict(facts, phase),
        "now": reader.when((reader.now - EPOCH) // MILLISECOND),
        "zone": reader.zone.key,
        "version": (facts.health.get("gateway") or {}).get("version", ""),
        "amiss": sorted(facts.amiss.items()),
        "agents": list(agents(facts, reader)),
        "cron": facts.status,
        "jobs": [job(one, reader) for one in facts.jobs.get("jobs") or ()],
        "channels": list(channels(facts, reader)),
        "outbox": [message(one, reader) for one in facts.outbox.get("entries") or ()],
        "depth": [f"{count} {state}" for state, count in _counted(facts.outbox.get("depth"))],
        "kept": [kept(one, reader) for one in facts.kept.get("entries") or ()],
        "unread": facts.kept.get("unread") or 0,
        "local": [local(one, reader) for one in facts.inbox.get("messages") or ()],
        "decisions": decisions(facts, reader),
    }


def verdict(facts: Facts, phase: Phase) -> Verdict:
    """What is wrong first of all, or that nothing is."""
    if (waits := _NOT_READY.get(phase)) is not None:
        return Verdict("warn", waits)
    failing = facts.health.get("failing") or {}
    for part, told in failing.items():
        why, _, fix = str(told).partition(" Fix: ")
        return Verdict("bad", f"{part} does not work: {why.removesuffix('.')}", fix)
    for part, why in sorted(facts.amiss.items()):
        return Verdict("bad", f"{part} cannot be told: {why}", "engine doctor")
    for one in facts.health.get("troubles") or ():
        return Verdict("warn", str(one.get("message")), str(one.get("fix") or ""))
    for told in facts.silence.values():
        if told.get("cause"):
            return Verdict("warn", str(told.get("sentence")), str(told.get("fix") or ""))
    return Verdict("good", "healthy")


def agents(facts: Facts, reader: Reader) -> Iterator[dict[str, Any]]:
    """A row per agent: when it beats, where it speaks, what came of it, why it is silent."""
    for beat in facts.agents:
        last, why = beat.get("last") or {}, facts.silence.get(str(beat["agentId"]), {})
        silent = bool(why.get("cause"))
        yield {
            "id": beat["agentId"],
            "beats": _cadence(beat),
            "target": _target(beat),
            "route": _route(beat),
            "next": reader.when(beat.get("nextDueAtMs")),
            "status": last.get("status", "nothing yet"),
            "tone": tone(str(last.get("status", ""))),
            "at": reader.when(last.get("ts")),
            "said": _short(last.get("preview")),
            "because": _short(last.get("because") or last.get("skipReason")),
            "arrived": reader.when(beat.get("lastArrivedAtMs")),
            "silent": str(why.get("sentence") or "") if silent else "",
            "fix": str(why.get("fix") or "") if silent else "",
        }


def job(told: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """A row per job."""
    state = told.get("state") or {}
    status = str(state.get("lastStatus") or "")
    return {
        "id": told.get("id"),
        "name": told.get("name") or told.get("id"),
        "schedule": schedule(told.get("schedule") or {}, reader),
        "enabled": bool(told.get("enabled", True)),
        "paused": bool(state.get("paused") or told.get("paused")),
        "next": reader.when(told.get("nextRunAtMs") or state.get("nextRunAtMs")),
        "last": reader.when(state.get("lastRunAtMs")),
        "status": status or "nothing yet",
        "tone": tone(status),
        "error": _short(state.get("lastError")),
    }


def channels(facts: Facts, reader: Reader) -> Iterator[dict[str, Any]]:
    """A row per account that is configured."""
    told = facts.channels
    for name in told.get("channelOrder") or ():
        for account in (told.get("channelAccounts") or {}).get(name) or ():
            runtime = str(account.get("runtime") or "off")
            yield {
                "name": name,
                "account": account.get("accountId"),
                "runtime": runtime,
                "tone": tone(runtime) or "warn",
                "error": _short(account.get("lastError")),
                "in": reader.when(account.get("lastInboundAt")),
                "out": reader.when(account.get("lastOutboundAt")),
                "queued": account.get("queued") or 0,
            }


def message(told: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """A row per message on its way."""
    state, error = str(told.get("state") or ""), told.get("lastError") or {}
    why = error.get("message") if isinstance(error, Mapping) else error
    return {
        "to": told.get("to") or told.get("channel") or "",
        "state": state,
        "tone": tone(state) or "warn",
        "text": _short(told.get("text") or told.get("preview")),
        "at": reader.when(told.get("createdAtMs") or told.get("atMs")),
        "why": _short(why or told.get("reason")),
    }


def kept(told: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """A row per words that reached nobody."""
    return {
        "id": told.get("id"),
        "number": told.get("number"),
        "open": told.get("state") == _UNREAD,
        "text": _short(told.get("text")),
        "why": _short(told.get("because") or told.get("reason")),
        "times": told.get("times") or 1,
        "at": reader.when(told.get("atMs")),
        "of": told.get("jobId") or told.get("agentId") or told.get("kind"),
    }


def local(told: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """A row per message to the inbox on this machine."""
    return {
        "text": _short(told.get("text")),
        "of": told.get("agentId") or told.get("from") or "",
        "at": reader.when(told.get("atMs") or told.get("ts") or told.get("createdAtMs")),
        "seen": bool(told.get("seen") or told.get("seenAtMs")),
    }


def decisions(facts: Facts, reader: Reader) -> list[dict[str, Any]]:
    """Beats and runs together, newest first, each with its reason."""
    rows = [
        (one.get("ts") or 0, f"beat of {one.get('agentId')}", one, one.get("explain"))
        for one in facts.beats.get("entries") or ()
    ] + [
        (one.get("ts") or 0, f"job {one.get('jobName') or one.get('jobId')}", one, None)
        for one in facts.runs.get("entries") or ()
    ]
    rows.sort(key=lambda row: -row[0])
    told: list[dict[str, Any]] = []
    for at, who, one, sentence in rows:
        row = {
            "who": who,
            "status": str(one.get("status") or one.get("action") or ""),
            "tone": tone(str(one.get("status") or "")),
            "why": _short(one.get("because") or one.get("error") or one.get("skipReason")),
            "said": _short(one.get("preview") or one.get("summary")),
        }
        before = told[-1] if told else {}
        if row.items() <= before.items():  # identical neighbours are folded when shown
            before |= {"times": before["times"] + 1, "since": reader.when(at)}
        else:
            more = {"at": reader.when(at), "times": 1, "since": None, "whole": sentence or ""}
            told.append(row | more)
    return told


def schedule(told: Mapping[str, Any], reader: Reader) -> str:
    """A schedule in a few words."""
    zone = f" ({told['tz']})" if told.get("tz") and not told.get("tzIsDefault") else ""
    match told.get("kind"):
        case "every":
            return f"every {_length(told.get('everyMs'))}"
        case "cron":
            return f"{told.get('expr')}{zone}"
        case "at":
            once = reader.when(told.get("atMs"))
            return f"once, {once.clock if once else told.get('at')}{zone}"
        case other:
            return str(other or "")


def tone(word: str) -> str:
    """How a state is coloured; its word stands beside it."""
    return "good" if word in _GOOD else "bad" if word in _BAD else "warn" if word else ""


def _cadence(beat: Mapping[str, Any]) -> str:
    if beat.get("paused"):
        return "paused"
    if not (beat.get("enabled") and beat.get("switchedOn", True)):
        return f"off: {beat['because']}" if beat.get("because") else "off"
    return str(beat.get("cadence") or f"every {_length(beat.get('everyMs'))}")


def _target(beat: Mapping[str, Any]) -> str:
    route, target = beat.get("route") or {}, str(beat.get("target") or "none")
    to = route.get("to")
    if not to:
        return target
    place = f"{route.get('channel')}:{to}"
    return place if target in (place, route.get("channel")) else f"{target}: {place}"


def _route(beat: Mapping[str, Any]) -> str:
    """Why a target leads nowhere, or what is known of the way."""
    for told in (beat.get("route") or {}, beat.get("routeHealth") or {}):
        if told.get("because"):
            return str(told["because"])
    return ""


def _apart(gap: timedelta) -> str:
    span = abs(gap)
    for unit in (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)):
        if span >= unit:
            words = format_duration((span // unit) * unit)
            return f"in {words}" if gap > timedelta() else f"{words} ago"
    return "now"


def _length(value: object) -> str:
    return format_duration(value * MILLISECOND) if isinstance(value, int) else "?"


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _counted(value: object) -> list[tuple[str, int]]:
    return sorted(value.items()) if isinstance(value, Mapping) else []
