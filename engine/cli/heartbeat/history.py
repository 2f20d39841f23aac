"""`engine heartbeat history`: beats of the past, one by one or summed and drawn (heartbeat.md §20).

With the gateway down both are read from the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.heartbeat import strip as heartbeat_strip
from engine.cli.heartbeat.strip import Signs
from engine.cli.record import record_sentence
from engine.cli.render import duration, stamp, width
from engine.clock import SystemClock
from engine.config import fast
from jobs.duration import parse_duration
from jobs.errors import EngineError, InvalidSchedule, NotFound, UsageError
from jobs.wallclock import at, ms, zone
from jobs.written import parse_at

_HOLES: Final = 5  # told one by one


@click.command(epilog="Example: engine heartbeat history --since 24h --summary")
@click.option("--since", metavar="WHEN", help="A duration back (24h) or an instant.")
@click.option("--until", metavar="WHEN", help="Up to this instant; now if not given.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent.")
@click.option("--status", metavar="WORD", help="sent, ok-token, ok-empty, skipped or failed.")
@click.option("--reason", metavar="WORD", help="One skip reason, e.g. quiet-hours.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--summary", is_flag=True, help="Counts by reason, and the day drawn; of 24 hours.")
@click.option("--ascii", "plain", is_flag=True, help="Draw with ASCII signs only.")
@gateway_options()
def history(line: Line, *, summary: bool, plain: bool, **wish: Any) -> None:
    """Beats, newest first; the same skip again and again is one line.

    With --summary what they came to: how many for which reason, expected against recorded,
    what they cost, and a strip of the day with a sign for each quarter of an hour.
    """
    now = SystemClock().now()
    where = person_zone(line)
    params = asked_for(wish, now, where.key)
    if summary:
        _refuse_status(wish)
        told = recorded(line, {**params, "summary": True})
        room, signs = width(), heartbeat_strip.signs(plain=plain)
        line.show(told, lambda one: "\n".join(summary_lines(one, where, signs, room)))
        return
    params["limit"] = wish["limit"]
    told = recorded(line, params)
    if not told.get("entries") and line.at_home:
        refuse_stranger(line, wish["agent_id"])
    line.show(told, lambda answer: _history_words(answer, where, now))


@click.command(epilog="Example: engine heartbeat slo --since 7d")
@click.option("--since", metavar="WHEN", help="A duration back or an instant; 24h if not given.")
@click.option("--until", metavar="WHEN", help="Up to this instant; now if not given.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent.")
@gateway_options()
def slo(line: Line, **wish: Any) -> int:
    """How well beats keep their promise: how late, how many of those expected, words arrived.

    Exit 1 if less than 95 % of the beats were done or of the alerts arrived.
    """
    now = SystemClock().now()
    where = person_zone(line)
    params = asked_for(wish, now, where.key)
    answer = recorded(line, {**params, "summary": True})
    told = {
        **{key: answer[key] for key in ("sinceMs", "untilMs")},
        **answer["slo"],
        "agents": [{"agentId": one["agentId"], **one["slo"]} for one in answer["agents"]],
    }
    line.show(told, lambda found: "\n".join(slo_lines(found, where)))
    return 0 if told["ok"] else 1


def refuse_stranger(line: Line, agent_id: str | None) -> None:
    """Refuse an agent that neither the record nor the config knows, as `heartbeat last` does."""
    if agent_id is None:
        return
    try:
        config = at_rest.loaded(line.place).config
    except EngineError:
        return
    from engine.config import effective

    known = [agent.id for agent in effective.agents(config)]
    if agent_id.lower() not in (one.lower() for one in known):
        raise NotFound(
            f'agent "{agent_id}" has no heartbeat on record',
            why=f"the config knows {', '.join(known)}",
            fix="engine heartbeat list",
        )


def person_zone(line: Line) -> ZoneInfo:
    """Return the zone in which instants are read and told: the person's, else the host's."""
    name = fast.get(fast.read(line.place.paths.config), "agents.defaults.userTimezone")
    with suppress(InvalidSchedule):  # config validate names it
        if isinstance(name, str) and line.at_home:
            return zone(name)
    return zone(line.place.zone)


def recorded(line: Line, params: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the gateway, or the store while it is down, for what is on record."""
    with at_rest.reading(line) as asked:
        return dict(asked.call("heartbeat.history", params, timeout=line.timeout))


def asked_for(wish: Mapping[str, Any], now: datetime, zone_name: str) -> dict[str, Any]:
    """Return what was asked for as params: whose, which, from when, until when."""
    names = {"agent_id": "agentId", "status": "status", "reason": "reason"}
    params = {names[key]: value for key, value in wish.items() if key in names and value}
    for option, key in (("since", "sinceMs"), ("until", "untilMs")):
        if wish.get(option) is not None:
            params[key] = instant_ms(f"--{option}", wish[option], now, zone_name)
    if params.get("sinceMs", 0) > params.get("untilMs", ms(now)):
        raise UsageError(
            "nothing was looked up", why="--since lies after --until", fix="--since 24h"
        )
    return params


def _refuse_status(wish: Mapping[str, Any]) -> None:
    if wish.get("status"):
        raise UsageError(
            f"--status {wish['status']} was refused",
            why="a summary counts every status",
            fix="leave one of the two out",
        )


def instant_ms(option: str, text: str, now: datetime, zone_name: str) -> int:
    """`24h` back from now, or an instant, as milliseconds."""
    try:
        if text[:1].isdigit() and text[-1:].isalpha() and "T" not in text.upper():
            begin = now - parse_duration(text)
        else:
            begin = parse_at(text, now=now, tz=zone_name)
    except InvalidSchedule as error:
        raise UsageError(
            f"{option} {text} cannot be read",
            why="it is a duration back from now, or an instant",
            fix=f"{option} 24h, or {option} 2026-03-28T09:00",
        ) from error
    return ms(begin)


# -- summed ------------------------------------------------------------------------------------


def summary_lines(
    told: Mapping[str, Any], where: ZoneInfo, signs: Signs, room: int
) -> Iterator[str]:
    """Say what beats came to, then each agent with its strip, then what the signs mean."""
    agents: Sequence[Mapping[str, Any]] = told["agents"]
    drawn = [one for one in agents if one.get("cells")]
    yield f"{_span(told, where)}."
    if feedback := told.get("feedback"):
        words = [f"{feedback[word]} {word}" for word in ("useful", "noise") if feedback.get(word)]
        yield f"Alerts were called: {', '.join(words)}."
    if len(agents) != 1:
        yield _stopped(told["sentence"])
        yield from _figures(told)
    for one in agents:
        yield ""
        yield f"{one['agentId']}: {_stopped(one['sentence'])}"
        yield from _figures(one) if len(agents) == 1 else ()
        yield from _holes(one, where)
        if one in drawn:
            yield from heartbeat_strip.lines(told, one, where, signs, room)
    if drawn:
        yield ""
        yield heartbeat_strip.legend(drawn, heartbeat_strip.minutes_of(room), signs)
    elif told["cellMs"] is None:
        yield ""
        yield "(a strip is drawn of up to 35 days)"


def _span(told: Mapping[str, Any], where: ZoneInfo) -> str:
    begin, end = (at(told[key]).astimezone(where) for key in ("sinceMs", "untilMs"))
    until = f"{end:%H:%M}" if begin.date() == end.date() else f"{end:%a %Y-%m-%d %H:%M}"
    return f"{begin:%a %Y-%m-%d %H:%M} to {until}, {where.key}"


def _figures(told: Mapping[str, Any]) -> Iterator[str]:
    """Expected against recorded, cost, alerts, how late: each where there is anything to say."""
    if told["expected"] or told["recorded"]:
        hole = f", {told['missing']} without a row" if told["missing"] else ""
        yield f"Expected {told['expected']} slots, recorded {told['recorded']}{hole}."
    if told["waiting"]:
        yield f"{told['waiting']} more were due that no gateway has looked at."
    cost = told["cost"]
    if cost["runs"]:
        yield f"{_many(cost['runs'], 'turn')}, {cost['tokens']} tokens, ${cost['usd']:.4f}."
    yield from _kept(told["slo"])


def _kept(slo: Mapping[str, Any]) -> Iterator[str]:
    lag, arrived = slo["lagMs"], slo["delivery"]
    parts = []
    if arrived["alerts"]:
        parts.append(f"{arrived['delivered']} of {arrived['alerts']} alerts arrived")
    if lag["p50"] is not None:
        late = f"{duration(lag['p50'])} (p50) and {duration(lag['p99'])} (p99)"
        parts.append(f"slots were looked at within {late} of their time")
    if parts:
        text = ", ".join(parts)
        yield f"{text[0].upper()}{text[1:]}."
    for miss in slo["misses"]:
        yield f"Below the goal of {slo['goal']:.0%}: {miss}. Next: engine why"


def slo_lines(told: Mapping[str, Any], where: ZoneInfo) -> Iterator[str]:
    """Say how well beats keep their promise, all together and agent by agent."""
    yield f"{_span(told, where)}."
    for name, one in (("All", told), *((a["agentId"], a) for a in told["agents"])):
        if name != "All" and len(told["agents"]) == 1:
            return
        beats = one["beats"]
        rate = "" if beats["rate"] is None else f" ({beats['rate']:.1%})"
        yield f"{name}: {beats['done']} of {beats['expected']} beats done{rate}."
        yield from (f"  {line}" for line in _kept(one))


def _holes(one: Mapping[str, Any], where: ZoneInfo) -> Iterator[str]:
    for hole in one["holes"][:_HOLES]:
        begin, end = (at(hole[key]).astimezone(where) for key in ("fromMs", "toMs"))
        until = "" if hole["fromMs"] == hole["toMs"] else f" to {end:%Y-%m-%d %H:%M}"
        yield f"No row for {_many(hole['count'], 'slot')}: {begin:%Y-%m-%d %H:%M}{until}."
    if (more := len(one["holes"]) - _HOLES) > 0:
        yield f"and {more} more holes: engine cron audit"


def _stopped(sentence: str) -> str:
    return f"{sentence.rstrip('.')}."


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# -- one by one --------------------------------------------------------------------------------


def _history_words(answer: Mapping[str, Any], where: ZoneInfo, now: datetime) -> str:
    entries: Sequence[Mapping[str, Any]] = answer.get("entries") or ()
    if not entries:
        return "No heartbeats on record."
    lines = [_folded(same, where, now) for same in _runs_of_skips(entries)]
    total = int(answer.get("total") or len(entries))
    if total > len(entries):
        lines.append(f"({len(entries)} of {total}; more with --limit)")
    return "\n".join(lines)


def _runs_of_skips(
    entries: Sequence[Mapping[str, Any]],
) -> list[list[Mapping[str, Any]]]:
    """Neighbours that are the same skip of the same agent belong together (heartbeat.md §9.2)."""
    groups: list[list[Mapping[str, Any]]] = []
    for entry in entries:
        if groups and _skip_key(entry) is not None and _skip_key(entry) == _skip_key(groups[-1][0]):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _skip_key(entry: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What two skips have in common; words that were not sent count too: another text is new."""
    if entry.get("status") != "skipped":
        return None
    reason = entry.get("skipReason") or entry.get("reason")
    return entry.get("agentId"), reason, entry.get("preview")


def _when(entry: Mapping[str, Any]) -> Any:
    """When it was; of a missed slot, the slot: its row was written when that was found."""
    missed = str(entry.get("skipReason") or "").startswith("missed-")
    return (entry.get("slotMs") if missed else None) or entry.get("ts")


def _folded(same: Sequence[Mapping[str, Any]], where: ZoneInfo, now: datetime) -> str:
    told = record_sentence(same[0], zone=where, now=now)
    if len(same) == 1:
        return told
    return f"{told} ({len(same)} times since {stamp(_when(same[-1]), where, now)})"
