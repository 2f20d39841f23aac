"""`engine heartbeat simulate`: the beats to come, and what another config would change (§25-3).

The simulation is that of `engine simulate`; both configs go on from a copy of this home's store.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import table
from engine.cli.simulate import LONGEST, Wish, begin_of, simulated
from engine.clock import SystemClock
from jobs.errors import UsageError

if TYPE_CHECKING:
    from engine.testing.difference import Difference, Side
    from jobs.ledger import MeanCost


@click.command("simulate", epilog="Example: engine heartbeat simulate --config other.json --days 7")
@click.option("--config", metavar="FILE", help="Another config, to be compared with this home's.")
@click.option("--days", type=click.FloatRange(0, LONGEST), help="How long; 7 if not given.")
@click.option("--from", "start", metavar="WHEN", help="From this instant on; now if not given.")
@click.option("--until", "--to", "until", metavar="WHEN", help="Up to this instant.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent; without it all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    days: float | None,
    start: str | None,
    until: str | None,
    agent_id: str | None,
    as_json: bool,
) -> None:
    """The beats of the coming days by the real engine, and what another config would change.

    Slots gained and lost, gates that decide differently, messages, expected cost. Nothing is
    sent and no model is asked: agents answer by the offline rules.
    """
    place = here(ctx)
    if config is not None and not Path(config).is_file():
        raise UsageError(
            f"{config} is no file", fix=shlex.join(("cp", str(place.paths.config), config))
        )
    begin, end = _span(place, start, until, days)
    logging.getLogger().addHandler(logging.NullHandler())  # the report tells it, not the log
    wish = Wish(config=None, start=begin, anew=start is not None, span=end - begin)
    told, zone = asyncio.run(_compared(place, wish, config))
    chosen = [one for one in told if agent_id in (None, one.agent_id)]
    if agent_id is not None and not chosen:
        names = ", ".join(one.agent_id for one in told) or "none"
        raise UsageError(
            f"agent {agent_id} has no beats in that time",
            why=f"those are: {names}",
            fix="--agent, one of them",
        )
    costs = _means(place, [one.agent_id for one in chosen])
    if as_json:
        answer = {"from": begin.isoformat(), "until": end.isoformat(), "config": config}
        rows = [_told(one, costs, compared=config is not None) for one in chosen]
        sys.stdout.write(f"{dumped({**answer, 'zone': zone.key, 'agents': rows})}\n")
        return
    head = f"{begin.astimezone(zone):%a %Y-%m-%d %H:%M} to {end.astimezone(zone):%a %Y-%m-%d %H:%M}"
    against = f": this config → {config}" if config is not None else ""
    sys.stdout.write(f"{head}, {zone.key}{against}.\n")
    sys.stdout.write("\n".join(lines(chosen, costs, zone, compared=config is not None)) + "\n")


def _span(
    place: Place, start: str | None, until: str | None, days: float | None
) -> tuple[datetime, datetime]:
    now = SystemClock().now()
    begin = now if start is None else begin_of(start, now, place)
    if until is None:
        return begin, begin + timedelta(days=7 if days is None else days)
    if days is not None:
        raise UsageError("two ends were given", fix="give --days or --until")
    end = begin_of(until, now, place)
    if end <= begin:
        raise UsageError(
            "nothing was simulated", why="the end lies before the beginning", fix="--days 7"
        )
    return begin, end


async def _compared(
    place: Place, wish: Wish, config: str | None
) -> tuple[list[Difference], ZoneInfo]:
    from engine.testing.difference import difference

    before, origin = await simulated(place, wish)
    sys.stderr.write(f"{origin}\n")
    if config is None:
        return difference(before, before), before.zone
    after, _ = await simulated(place, replace(wish, config=config, at_home=True))
    return difference(before, after), before.zone


def _means(place: Place, agents: list[str]) -> Mapping[str, MeanCost]:
    """What one beat of each agent cost lately, by this home's own record."""
    from engine.cli.at_rest import read
    from engine.decisions.heartbeat import job_id
    from jobs.store import slots

    if not place.paths.database.exists():
        return {}
    return read(place, lambda tx, _: {one: slots.spent(tx, job_id(one)) for one in agents})


# -- told ----------------------------------------------------------------------------------------


def _told(one: Difference, costs: Mapping[str, MeanCost], *, compared: bool) -> dict[str, Any]:
    told = one.to_json()
    for name, side in (("before", one.before), ("after", one.after)):
        told[name]["cost"] = _cost(side, costs.get(one.agent_id))
    return told if compared else {"agentId": one.agent_id, **told["before"]}


def _cost(side: Side, mean: MeanCost | None) -> dict[str, Any] | None:
    from engine.roster.spending import forecast

    found = None if mean is None else forecast(mean, side.ran)
    return None if found is None else {"tokens": found.tokens, "usd": found.usd}


def lines(
    found: list[Difference], costs: Mapping[str, MeanCost], zone: ZoneInfo, *, compared: bool
) -> Iterator[str]:
    """Say what the beats come to, and what changes."""
    if not found:
        yield "No beats in that time. Next: engine heartbeat list"
        return
    rows = [_row(one, costs.get(one.agent_id), compared=compared) for one in found]
    yield table(("AGENT", "SLOTS", "TURNS", "MESSAGES", "COST"), rows, keep=1)
    for one in found:
        if not compared:
            gates = ", ".join(f"{count} {word}" for word, count in one.before.gates.items())
            yield f"{one.agent_id}: {gates}."
            continue
        yield from _changes(one, zone)


def _row(one: Difference, mean: MeanCost | None, *, compared: bool) -> tuple[str, ...]:
    pairs = [
        (str(one.before.ran), str(one.after.ran)),
        (str(one.before.messages), str(one.after.messages)),
        (_money(one.before, mean), _money(one.after, mean)),
    ]
    pairs.insert(0, (str(len(one.before.slots)), str(len(one.after.slots))))
    return (one.agent_id, *(_pair(was, now, compared=compared) for was, now in pairs))


def _pair(was: str, now: str, *, compared: bool) -> str:
    return f"{was} → {now}" if compared and was != now else was


def _money(side: Side, mean: MeanCost | None) -> str:
    cost = _cost(side, mean)
    if cost is None:
        return "-"
    return f"{cost['tokens']:.0f} tokens" if cost["usd"] is None else f"${cost['usd']:.4f}"


def _changes(one: Difference, zone: ZoneInfo) -> Iterator[str]:
    told = False
    for what, slots in (("more", one.gained), ("fewer", one.lost)):
        if slots:
            told = True
            first = slots[0].astimezone(zone)
            some = f"{len(slots)} slot{'' if len(slots) == 1 else 's'}"
            yield f"{one.agent_id}: {some} {what}, the first at {first:%a %Y-%m-%d %H:%M}."
    for (was, now), count in one.changed.items():
        told = True
        yield f"{one.agent_id}: {count} of the slots in both: {was} → {now}."
    if not told:
        yield f"{one.agent_id}: nothing changes."
