"""`engine status` and `engine health`: the verdict first (operations.md §9.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import click

from engine.cli import at_rest, offline
from engine.cli.ask import Line, gateway_options
from engine.cli.channels import down as channels_down
from engine.cli.channels.commands import account_rows, broken
from engine.cli.ending import dumped
from engine.cli.heartbeat.commands import every_words, next_beat, state_words
from engine.cli.place import Place, shown
from engine.cli.record import record_sentence
from engine.cli.render import duration, facts, relative
from engine.clock import SystemClock
from engine.ledger.explain import sentence
from engine.messages.media import size_words
from gateway.client import Client
from jobs.errors import EngineError, GatewayDown
from jobs.wallclock import ms, zone

if TYPE_CHECKING:
    from jobs.store.db import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was learnt for one status."""

    place: Place
    now: datetime
    down: EngineError | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    invalid: EngineError | None = None

    @property
    def where(self) -> ZoneInfo:
        """The zone in which times are told."""
        return zone(self.place.zone)


_HELD: Final[Mapping[str, str]] = {"paused": "Fix: engine heartbeat resume"}
_LONG: Final = 2  # intervals without a word
_ASKED: Final[Mapping[str, str]] = {
    "health": "health",  # measured now: a snapshot may be a minute old
    "cron": "cron.status",
    "heartbeats": "heartbeat.list",
    "channels": "channels.status",
    "last": "last-heartbeat",
}


@click.command(epilog="Example: engine status")
@gateway_options(timeout_ms=5_000)
def status(line: Line) -> int:
    """The whole engine at a glance; tells what it can with the gateway down (exit 3)."""
    view = _look(line)
    click.echo(dumped(_status_json(view)) if line.as_json else _status_words(view, line))
    if view.down is not None:
        return view.down.exit_status
    return 1 if view.invalid is not None or failing_parts(view) or troubles(view) else 0


def _look(line: Line) -> View:
    now, invalid = SystemClock().now(), at_rest.config_fault(line.place)
    answers: dict[str, Any] = {}
    try:
        with line.open() as client:
            for name, method in _ASKED.items():
                answers[name] = _asked(client, method)
    except EngineError as error:
        return View(place=line.place, now=now, down=error, invalid=invalid)
    return View(place=line.place, now=now, answers=answers, invalid=invalid)


def _asked(client: Client, method: str) -> Any:
    """One part; a part that fails is told as such and never ends the report."""
    try:
        return client.call(method, {"probe": True} if method == "health" else None)
    except GatewayDown:
        raise
    except EngineError as error:
        return {"error": str(error)}


def verdict(
    down: EngineError | None,
    invalid: EngineError | None,
    failing: Mapping[str, str],
    troubles: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, str, str]:
    """Code, sentence and command: the first thing that stands in the way."""
    if invalid is not None:
        return "config.invalid", "the config file cannot be used", "engine config validate"
    if isinstance(down, GatewayDown):
        return "gateway.stopped", down.what, down.fix
    if down is not None:
        return f"gateway.{down.code}", f"{down.what}: {down.why}", down.fix
    for part, told in failing.items():
        why, _, fix = told.partition(" Fix: ")
        return f"{part}.failing", f"{part} does not work: {why.removesuffix('.')}", fix
    for one in troubles:
        return str(one.get("code")), str(one.get("message")), str(one.get("fix") or "")
    return "ok", "healthy", ""


def _status_words(view: View, line: Line) -> str:
    failing = failing_parts(view)
    code, said, fix = verdict(view.down, view.invalid, failing, troubles(view))
    if code == "ok" and (held := _paused(view)):
        said = f"healthy; {held}"
    rows: dict[str, object] = {"Verdict": f"{said}. Fix: {fix}" if fix else said}
    rows["Config"] = shown(view.place.paths.config, view.place.paths) + (
        "" if view.place.paths.config.is_file() else " (not there yet: engine setup)"
    )
    rows["Gateway"] = _gateway_words(view, line)
    if failing:
        rows["Failing"] = "; ".join(f"{part}: {why}" for part, why in failing.items())
    parts: list[tuple[str, Callable[[View], str]]] = [
        ("Agents", _agents_words),
        ("Channels", _channels_words),
        ("Cron", _cron_words),
        ("Outbox", _outbox_words),
        ("Inbox", _inbox_words),
        ("Last beat", _beat_words),
    ]
    for label, words in parts:
        rows[label] = words(view)
    if files := _files_words(view):
        rows["Files"] = files
    lines = [facts(rows)]
    told = [one for one in troubles(view) if (one.get("code"), one.get("message")) != (code, said)]
    lines += [f"  also: {one.get('message')}. Fix: {one.get('fix')}" for one in told]
    lines += [f"  warning: {one}" for one in _part(view, "channels").get("warnings") or ()]
    beats = _part(view, "heartbeats").get("heartbeats") or ()
    lines += [_heartbeat_words(beat, view.now) for beat in beats]
    if silent := list(_silent(beats, view.now)):
        lines.append(f"Nothing has come of {', '.join(silent)}. Why: {view.place.program} why")
    return "\n".join(lines)


def failing_parts(view: View) -> Mapping[str, str]:
    """The parts of the gateway that do not work now, or did not answer, each with its reason."""
    refused = {
        name: str(answer["error"])
        for name, answer in view.answers.items()
        if isinstance(answer, Mapping) and set(answer) == {"error"}
    }
    accounts = broken(_part(view, "channels"))
    return {**(_part(view, "health").get("failing") or {}), **accounts, **refused}


def troubles(view: View) -> Sequence[Mapping[str, Any]]:
    """What the record of the last turns, runs and messages says does not work."""
    return list(_part(view, "health").get("troubles") or ())


def _part(view: View, name: str) -> Mapping[str, Any]:
    found = view.answers.get(name)
    return found if isinstance(found, Mapping) else {}


def _gateway_words(view: View, line: Line) -> str:
    if view.down is not None:
        cut = "not reachable" if isinstance(view.down, GatewayDown) else "refused this command"
        return f"{cut} at {line.address.url} ({line.address.source})"
    owner = view.place.owner
    pid = f", pid {owner.pid}" if owner is not None else ""
    return f"running at {line.address.url}{pid}"


def _unknown(view: View) -> str:
    """Nothing was told: no gateway runs, or one runs and did not answer this command."""
    return "unknown (gateway down)" if isinstance(view.down, GatewayDown) else "unknown (refused)"


def _agents_words(view: View) -> str:
    agents = _part(view, "health").get("agents") or ()
    if not agents:
        return _unknown(view) if view.down else "none"
    names = ", ".join(str(agent.get("agentId")) for agent in agents)
    port = view.place.owner.port if view.place.owner else view.place.port()[0]
    many = f"{len(agents)} agents share" if len(agents) > 1 else "1 agent on"
    return f"{many} one gateway on port {port}: {names}"


def _channels_words(view: View) -> str:
    if view.down is not None:
        named = {name: word for name, _, word in channels_down.accounts(view.place)}
        how = channels_down.DOWN if isinstance(view.down, GatewayDown) else "(refused)"
        return ", ".join(f"{name} {word} {how}" for name, word in named.items())
    rows = [*account_rows(_part(view, "channels"), view.now)]
    told = [f"{row[0]}{'' if row[1] == '-' else '/' + row[1]} {row[2]}" for row in rows]
    return ", ".join(told) or "none"


def _cron_words(view: View) -> str:
    cron = _part(view, "cron")
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
    health = _part(view, "health")
    depth = sum(int(count) for count in (health.get("outbox") or {}).values())
    amiss = health.get("outboxAmiss") or {}
    told = [words.format(amiss[name]) for name, words in _AMISS.items() if amiss.get(name)]
    return f"{depth} on their way" + (f"; {', '.join(told)}: engine outbox list" if told else "")


def _inbox_words(view: View) -> str:
    """What waits for a person: arrived here and unseen, or said and not delivered."""
    counted = _stored_letters(view) if view.down else _part(view, "health").get("inbox") or {}
    if counted is None:
        return _unknown(view)
    lost, unseen = int(counted.get("undelivered") or 0), int(counted.get("unseen") or 0)
    told = [f"{lost} unread that reached nobody: engine inbox list"] if lost else []
    told += [f"{unseen} unseen on this machine: engine inbox --unseen"] if unseen else []
    return "; ".join(told) or "nothing unread"


def _files_words(view: View) -> str:
    """What files of messages take on the disk; nothing where there are none."""
    held = _part(view, "health").get("media") or {}
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
    return "unknown (it did not answer)" if "error" in _part(view, "last") else "none yet"


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
    return f"  heartbeat {beat.get('agentId')}: every {every_words(beat)}, {due}"


def _paused(view: View) -> str:
    beats = _part(view, "heartbeats").get("heartbeats") or ()
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


def _status_json(view: View) -> dict[str, Any]:
    code, said, fix = verdict(view.down, view.invalid, failing_parts(view), troubles(view))
    paths = view.place.paths
    answer: dict[str, Any] = {
        "schema": 1,
        "ok": code == "ok",
        "verdict": {"code": code, "message": said, "fix": fix},
        "config": {"path": str(paths.config), "valid": view.invalid is None},
        "stateDir": str(paths.state),
        **view.answers,
    }
    if view.down is not None:
        error = {"code": view.down.code, "message": str(view.down)}
        answer |= {"error": error, "gateway": view.down.detail.get("gateway")}
    return answer


@click.command(epilog="Example: engine health --json")
@click.option("--verbose", is_flag=True, help="Measure now instead of taking the last snapshot.")
@gateway_options(timeout_ms=10_000)
def health(line: Line, verbose: bool) -> int:
    """The gateway's own health; exit status 3 when it is down."""
    answer = line.call("health", {"probe": True} if verbose else {})
    line.show(answer, _health_words)
    return 0 if answer.get("ok", True) else 1


def _health_words(answer: Mapping[str, Any]) -> str:
    gateway, scheduler = answer.get("gateway") or {}, answer.get("scheduler") or {}
    now = SystemClock().now()
    failing = answer.get("failing") or {}
    word = "not well" if failing else "ok"
    rows: dict[str, object] = {
        "Gateway": f"{word}, {gateway.get('version') or answer.get('version') or 'running'}",
        **{f"Failing {part}": why for part, why in failing.items()},
        "Agents": ", ".join(str(a.get("agentId")) for a in answer.get("agents") or ()) or "none",
        "Channels": ", ".join(answer.get("channels") or ()) or "none",
    }
    if gateway.get("uptimeMs") is not None:
        rows["Up for"] = duration(gateway["uptimeMs"])
    if scheduler:
        armed = "armed" if scheduler.get("armed") else "not armed"
        rows["Scheduler"] = f"{armed}, next wake {relative(scheduler.get('nextWakeAt'), now)}"
    return facts(rows)
