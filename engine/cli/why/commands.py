"""`engine why`: from the process to the receipt, and where the way is broken (operations.md §10.1).

Config, process and log-out are looked at from here; the rest the gateway tells, and where none
answers, the config and the store of this home. Of another instant than now the record tells.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import click

from engine.cli import at_rest
from engine.cli.ask import GREETING_MS, Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import stamp
from engine.cli.why.links import outer
from engine.clock import SystemClock
from engine.why import (
    Link,
    Standing,
    When,
    acts,
    answered,
    cause,
    is_act,
    read,
    told_of_nothing,
)
from jobs.errors import (
    ConfigInvalid,
    Conflict,
    EngineError,
    InvalidInput,
    NotFound,
    StoreTooNew,
    StoreUnavailable,
    UsageError,
)
from jobs.moment import parse_moment
from jobs.wallclock import ms, zone

_SIGNS: Final = {
    Standing.OK: ("✓", "ok"),
    Standing.BROKEN: ("✗", "NO"),
    Standing.WARN: ("!", "! "),
    Standing.WAITING: ("·", ".."),
    Standing.UNKNOWN: ("?", "? "),
}
_SHOWN_FIX: Final = (Standing.BROKEN, Standing.WARN)
_THEIR_FAULT: Final = (NotFound, Conflict, InvalidInput)  # of who asks: no store knows better


@click.command(epilog='Example: engine why --agent main --at "yesterday 09:00"')
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--at", "moment", metavar="WHEN", help='Another instant: -2h, "yesterday 09:00" …')
@gateway_options(greeting_ms=GREETING_MS)
def command(line: Line, agent_id: str | None, moment: str | None) -> int:
    """Why no message of an agent came: the first thing in the way, and all others.

    Looks at the whole way, from the config to the receipt; works with the gateway down and with
    a broken config. With --at: why one came or did not come then (an instant that is past is
    told from the record), or what will hold back the first beat from then on. Exit 1 if
    something is broken.
    """
    return explain(line, agent_id, moment)


def explain(line: Line, agent_id: str | None, moment: str | None = None) -> int:
    """Print the answer; 1 if a link is broken."""
    return show(line, silence(line, agent_id, _instant(line.place, moment)))


def explain_run(line: Line, ref: str) -> int:
    """Print why a run of a job ended as it did; 1 if a link is broken."""
    try:
        told = dict(line.call("cron.explain", {"runId": ref}))
    except _THEIR_FAULT:
        raise
    except EngineError:
        if not line.at_home or not line.place.paths.database.exists():
            raise
        try:
            told = dict(at_rest.Store(line.place).call("cron.explain", {"runId": ref}))
        except ConfigInvalid:
            told = at_rest.run_without_config(line.place, ref)
    return show(line, _pasteable(line.place, answered(told)))


def show(line: Line, answer: Mapping[str, Any]) -> int:
    """Print an answer; 1 if a link is broken."""
    click.echo(dumped(answer) if line.as_json else _words(answer, line.place))
    return 0 if answer["cause"] is None else 1


def silence(line: Line, agent_id: str | None, at: datetime | None = None) -> dict[str, Any]:
    """Return the answer: what this command sees, and what the gateway or the store tells."""
    place, invalid, down = line.place, at_rest.config_fault(line.place), None
    params = {"agentId": agent_id, "atMs": ms(at)}
    params = {key: value for key, value in params.items() if value is not None}
    try:
        told = dict(line.call("heartbeat.explain", params))
    except _THEIR_FAULT:
        raise
    except EngineError as error:
        if not line.at_home:
            raise
        down = error
        try:
            invalid, told = _from_store(place, params, invalid, at)
        except (StoreUnavailable, StoreTooNew) as gone:
            what = f"{gone.what}: {gone.why}" if gone.why else gone.what
            told = told_of_nothing(agent_id or "main", what, gone.fix)
    past = told.get("when") == When.PAST
    first = () if past else tuple(outer(place, invalid, down))
    return _pasteable(place, answered(told, first))


def _instant(place: Place, moment: str | None) -> datetime | None:
    if moment is None or moment.strip().lower() == "now":
        return None
    try:
        return parse_moment(moment, now=SystemClock().now(), tz=place.zone)
    except InvalidInput as error:
        raise UsageError(f"--at {moment} was refused", why=error.why, fix=error.fix) from error


def _from_store(
    place: Place, params: Mapping[str, Any], invalid: EngineError | None, at: datetime | None
) -> tuple[EngineError | None, dict[str, Any]]:
    """What the home tells, and what is wrong with its config: perhaps only a secret is missing."""
    if invalid is None:
        try:
            told = dict(at_rest.Store(place).call("heartbeat.explain", params))
            return at_rest.secrets_fault(place), told
        except ConfigInvalid as error:
            invalid = error
    return invalid, at_rest.told_without_config(place, params.get("agentId"), at=at)


def _pasteable(place: Place, answer: dict[str, Any]) -> dict[str, Any]:
    """Name the home in every command: pasted, it must not meet another one."""
    if place.program == "engine":
        return answer

    def named(fix: str) -> str:
        ours = fix.startswith("engine ")
        return fix.replace("engine ", f"{place.program} ", 1) if ours else fix

    chain = [replace(link, fix=named(link.fix)) for link in map(read, answer["links"])]
    fix = " && ".join(named(one) for one in (answer["fix"] or "").split(" && "))
    return {**answer, "links": [link.to_json() for link in chain], "fix": fix or None}


def _remedy(fix: str) -> str:
    if is_act(fix):
        return f"Fix: {fix}"
    _, _, why = fix.partition(": ")
    return f"Nothing to do: {why}" if why else "Nothing to do"


def _words(answer: Mapping[str, Any], place: Place) -> str:
    fancy = (sys.stdout.encoding or "ascii").lower().startswith("utf")
    chain: Sequence[Link] = [*map(read, answer["links"])]
    width = max(len(link.code) for link in chain)
    lines = [str(answer["sentence"])]
    if note := answer.get("note"):
        lines.append(str(note))
    for number, link in enumerate(chain, 1):
        sign = _SIGNS[link.state][0 if fancy else 1]
        lines.append(f"  {sign} {number:2} {link.code:{width}}  {link.what}")
        if link.fix and link.state in _SHOWN_FIX:
            lines.append(f"       {'':{width}}  {_remedy(link.fix)}")
    if following := answer.get("followingMs"):
        now, where = SystemClock().now(), zone(place.zone)
        lines.append(f"After it: {', '.join(stamp(slot, where, now) for slot in following)}")
    if answer["fix"] and cause(chain) is not None:
        lines.append(f"Fix all: {answer['fix']}")
        lines += [f"And: {by_hand}" for by_hand in acts(chain)]
    return "\n".join(lines)
