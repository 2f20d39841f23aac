"""`engine status` for people: the verdict first (operations.md §9.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from engine.cli import at_rest, offline
from engine.cli.ask import Line
from engine.cli.channels import down as channels_down
from engine.cli.channels.commands import account_rows
from engine.cli.gateway.report.verdict import verdict
from engine.cli.gateway.report.words import linger_words, service_words
from engine.cli.heartbeat.commands import every_words, next_beat, state_words, target_words
from engine.cli.place import shown
from engine.cli.record import record_sentence
from engine.cli.render import facts, relative
from engine.cli.status.view import View, failing_parts, part, troubles
from engine.config import fast
from engine.ledger.explain import sentence
from engine.messages.media import size_words
from jobs.errors import EngineError, GatewayDown, Suspended
from jobs.wallclock import ms

if TYPE_CHECKING:
    from jobs.store.db import Tx

_HELD: Final[Mapping[str, str]] = {"paused": "Fix: engine heartbeat resume"}
_LONG: Final = 2  # intervals without a word
MOST_WARNINGS: Final = 5


def told(view: View, line: Line) -> str:
    """Return the whole glance: overview, heartbeats, warnings, one next step."""
    failing = failing_parts(view)
    code, said, fix = verdict(view.down, view.invalid, failing, troubles(view))
    if code == "ok" and (held := _paused(view)):
        said = f"healthy; {held}"
    lines = [facts(dict(_overview(view, line, f"{said}. Fix: {fix}" if fix else said)))]
    beats = part(view, "heartbeats").get("heartbeats") or ()
    lines += [_heartbeat_words(beat, view.now) for beat in beats]
    lines += list(_usage_words(view))
    lines += list(_warnings(view, (code, said)))
    if silent := list(_silent(beats, view.now)):
        lines.append(f"Nothing has come of {', '.join(silent)}. Why: {view.place.program} why")
    elif code != "ok":
        lines.append(f"Next: {view.place.program} doctor")
    return "\n".join(lines)


def _overview(view: View, line: Line, verdict_words: str) -> Iterator[tuple[str, object]]:
    place, failing = view.place, failing_parts(view)
    yield "Verdict", verdict_words
    there = "" if place.paths.config.is_file() else " (not there yet: engine setup)"
    yield "Config", shown(place.paths.config, place.paths) + there
    yield "Gateway", _gateway_words(view, line)
    if waits := (part(view, "health").get("config") or {}).get("pendingRestart"):
        yield "Restart pending", f"{', '.join(waits)}. Fix: {place.program} gateway restart"
    if view.service:
        yield "Service", service_words(view.service)
        if view.service["installed"] and view.service["manager"] != "systemd system":
            yield "Survives logout", linger_words(view.lingers)
    if failing:
        yield "Failing", "; ".join(f"{name}: {why}" for name, why in failing.items())
    parts: list[tuple[str, Callable[[View], str]]] = [
        ("Agents", _agents_words),
        ("Channels", _channels_words),
        ("Cron", _cron_words),
        ("Outbox", _outbox_words),
        ("Inbox", _inbox_words),
        ("Last beat", _beat_words),
    ]
    for label, words in parts:
        yield label, words(view)
    if files := _files_words(view):
        yield "Files", files
    if view.security:
        many = f"{view.security} warning{'s' * (view.security != 1)}"
        yield "Security", f"{many}: {place.program} security audit"


def _warnings(view: View, first: tuple[str, str]) -> Iterator[str]:
    """What else is wrong, the first five; the doctor tells of all."""
    also = [one for one in troubles(view) if (one.get("code"), one.get("message")) != first]
    told = [f"  also: {one.get('message')}. Fix: {one.get('fix')}" for one in also]
    told += [f"  warning: {one}" for one in part(view, "channels").get("warnings") or ()]
    yield from told[:MOST_WARNINGS]
    if len(told) > MOST_WARNINGS:
        yield f"  and {len(told) - MOST_WARNINGS} more: {view.place.program} doctor"


def _usage_words(view: View) -> Iterator[str]:
    """Tokens and cost of scheduled runs, agent by agent (`--usage`)."""
    for row in part(view, "usage").get("rows") or ():
        priced = f", {row['costUsd']:.4f} USD" if row.get("costUsd") else ""
        who = row.get("key") or row.get("agentId") or row.get("agent")
        yield f"  usage {who}: {row['runs']} runs, {row['tokens']} tokens{priced}"


def _gateway_words(view: View, line: Line) -> str:
    if view.down is not None:
        if isinstance(view.down, Suspended):
            return f"suspended at {line.address.url}"
        cut = "not reachable" if isinstance(view.down, GatewayDown) else "refused this command"
        return f"{cut} at {line.address.url} ({line.address.source})"
    owner = view.place.owner
    pid = f", pid {owner.pid}" if owner is not None else ""
    return f"running at {line.address.url}{pid}"


def _unknown(view: View) -> str:
    """Nothing was told: no gateway runs, or one runs and did not answer this command."""
    return "unknown (gateway down)" if isinstance(view.down, GatewayDown) else "unknown (refused)"


def _agents_words(view: View) -> str:
    agents = part(view, "health").get("agents") or ()
    ids = [str(agent.get("agentId")) for agent in agents] or _written_agents(view)
    if not ids:
        return _unknown(view) if view.down else "none"
    port = view.place.owner.port if view.place.owner else view.place.port()[0]
    many = f"{len(ids)} agents share" if len(ids) > 1 else "1 agent on"
    down = " (gateway down)" if isinstance(view.down, GatewayDown) else ""
    return f"{many} one gateway on port {port}{down}: {', '.join(ids)}"


def _written_agents(view: View) -> list[str]:
    """The agents of the config, where no gateway tells of them (operations.md §16 L18)."""
    found = fast.get(view.place.values, "agents.list") if isinstance(view.down, GatewayDown) else ()
    listed = found if isinstance(found, list) else []
    return [str(one["id"]) for one in listed if isinstance(one, Mapping) and one.get("id")]


def _channels_words(view: View) -> str:
    if view.down is not None:
        named = {name: word for name, _, word in channels_down.accounts(view.place)}
        how = channels_down.DOWN if isinstance(view.down, GatewayDown) else "(refused)"
        return ", ".join(f"{name} {word} {how}" for name, word in named.items())
    rows = [*account_rows(part(view, "channels"), view.now)]
    told = [f"{row[0]}{'' if row[1] == '-' else '/' + row[1]} {row[2]}" for row in rows]
    return ", ".join(told) or "none"


def _cron_words(view: View) -> str:
    cron = part(view, "cron")
    if view.down is not None:
        return _unknown(view)
    if "error" in cron:
        return "unknown (it did not answer)"
    if cron.get("enabled") is False:
        return "switched off (cron.enabled)"
    count = cron.get("jobs", 0)
    told = f"{count} job{'' if count == 1 else 's'}"
    if following := _next(cron):
        told = f"{told}, next {relative(following, view.now)}"
    aside = len(cron.get("quarantined") or ())
    return f"{told}; {aside} set aside, not readable: engine cron status" if aside else told


def _next(cron: Mapping[str, Any]) -> int | None:
    found = cron.get("nextRunAtMs")  # not nextWakeAtMs: the engine wakes for beats too
    return int(found) if found else None


_AMISS: Final[Mapping[str, str]] = {
    "waiting": "{} waiting for more than 5 min",
    "failed": "{} failed in 24 h",
    "unknown": "{} that may have arrived, in 24 h",
}


def _outbox_words(view: View) -> str:
    """Messages on their way, and those that are not as they should be (channels.md §11)."""
    if view.down is not None:
        return f"{_unknown(view)}: engine outbox list"
    health = part(view, "health")
    depth = sum(int(count) for count in (health.get("outbox") or {}).values())
    amiss = health.get("outboxAmiss") or {}
    told = [words.format(amiss[name]) for name, words in _AMISS.items() if amiss.get(name)]
    return f"{depth} on their way" + (f"; {', '.join(told)}: engine outbox list" if told else "")


def _inbox_words(view: View) -> str:
    """What waits for a person: arrived here and unseen, or said and not delivered."""
    counted = _stored_letters(view) if view.down else part(view, "health").get("inbox") or {}
    if counted is None:
        return _unknown(view)
    lost, unseen = int(counted.get("undelivered") or 0), int(counted.get("unseen") or 0)
    told = [f"{lost} unread that reached nobody: engine inbox list"] if lost else []
    told += [f"{unseen} unseen on this machine: engine inbox --unseen"] if unseen else []
    return "; ".join(told) or "nothing unread"


def _files_words(view: View) -> str:
    """What files of messages take on the disk; nothing where there are none."""
    held = part(view, "health").get("media") or {}
    count, size = int(held.get("files") or 0), size_words(int(held.get("bytes") or 0))
    return f"{count} of messages, {size}" if count else ""


def _stored_letters(view: View) -> Mapping[str, int] | None:
    """What is unread by the store of this home; None where there is none to look into."""
    if view.invalid is not None or not view.place.paths.database.is_file():
        return None

    def work(tx: Tx, _config: object) -> dict[str, int]:
        from engine.store import inbox, kept

        unread = kept.count_unread(tx, view.now)
        return {"undelivered": unread, "unseen": inbox.count_unseen(tx)}

    try:
        return at_rest.read(view.place, work)
    except EngineError:
        return None


def _beat_words(view: View) -> str:
    record = view.answers.get("last")
    if isinstance(record, Mapping) and "status" in record:
        return record_sentence(record, zone=view.where, now=view.now)
    if view.down is not None:
        return _stored_beat(view)
    return "unknown (it did not answer)" if "error" in part(view, "last") else "none yet"


def _stored_beat(view: View) -> str:
    try:
        file = offline.database(view.place.paths)
        beats = [] if file is None else offline.newest(file, view.now)
    except EngineError as error:
        return str(error)
    if file is None:
        return "unknown (gateway down, and a server keeps the store)"
    if not beats:
        return "none yet"
    told = sentence(beats[0].run, beats[0].delivery, zone=view.where, now=view.now, down=True)
    return f"{told} (from the store)"


def _heartbeat_words(beat: Mapping[str, Any], now: datetime) -> str:
    if not beat.get("enabled"):
        why = f" ({beat['because']})" if beat.get("because") else ""
        return f"  heartbeat {beat.get('agentId')}: off{why}"
    due = f"next {relative(next_beat(beat), now)}"
    if (state := state_words(beat, now)) != "on":  # the next slot comes, and no beat with it
        due = f"{state}. {_HELD.get(state.partition(',')[0], 'Why: engine why')}"
    where = f", {target_words(beat, now)}" if beat.get("target") else ""
    ended = beat.get("last") or {}
    last = f"; last: {ended['status']}" if ended.get("status") else ""
    return f"  heartbeat {beat.get('agentId')}: every {every_words(beat)}, {due}{where}{last}"


def _paused(view: View) -> str:
    beats = part(view, "heartbeats").get("heartbeats") or ()
    held = [str(one.get("agentId")) for one in beats if one.get("enabled") and one.get("paused")]
    return f"{', '.join(held)} paused" if held else ""


def _silent(beats: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    """Yield whose words arrived last longer ago than two beats (operations.md §16 L20)."""
    for beat in beats:
        every, arrived = beat.get("everyMs"), beat.get("lastArrivedAtMs")
        if not beat.get("enabled") or not every or beat.get("last") is None:
            continue
        if arrived is None:
            yield f"{beat.get('agentId')} yet"
        elif ms(now) - int(arrived) > _LONG * int(every):
            span = relative(int(arrived), now).removesuffix(" ago")
            yield f"{beat.get('agentId')} for {span}"
