"""`engine heartbeat last`, from the store: what the last beat was, in words (heartbeat.md §9).

It answers in a tenth of a second with the gateway up or down, so it imports neither click,
pydantic, SQLAlchemy, asyncio nor rich; a test keeps it so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.cli.ending import dumped, guarded, refuse
from engine.cli.offline import Beat, database, known_agents, newest, switched_off, under_way
from engine.cli.words import joined
from engine.clock import SystemClock
from engine.config import fast
from engine.config.paths import Paths, host_zone, refuse_no_folder, resolve
from engine.ledger.explain import record_words, sentence
from engine.messages.delivery import Delivery
from gateway import lock
from jobs.errors import EngineError, NotFound
from jobs.ledger import Run, RunStatus

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked."""

    agent_id: str | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What holds for every beat that is told."""

    values: Mapping[str, Any]  # of the config
    now: datetime
    off: frozenset[str]  # agents whose beats were switched off; ``*`` for all
    down: bool  # no gateway runs: what comes is what the record knew

    def why_none(self, agent_id: str | None) -> str | None:
        """Say that no beat comes next, if they were switched off."""
        if "*" in self.off:
            return "Beats are switched off. Fix: engine heartbeat enable"
        if agent_id is not None and agent_id.lower() in self.off:
            return f"Its beats are switched off. Fix: engine heartbeat enable {agent_id}"
        return None


def run(argv: Sequence[str], options: Mapping[str, str] = _NO_OPTIONS) -> int:
    """Answer from the words after `heartbeat last`; the exit status.

    Options of the gateway calls (`--url` …) take the long way: they ask that gateway. So does
    a home whose store is on a server.
    """
    return guarded(lambda: _run(argv, options))


def _run(argv: Sequence[str], options: Mapping[str, str]) -> int:
    wish = understood(argv)
    try:
        paths = resolve(os.environ, profile=options.get("profile"), dev="dev" in options)
        refuse_no_folder(paths)
        file = database(paths)
        if wish is None or file is None or os.environ.get("ENGINE_GATEWAY_URL", "").strip():
            from engine.cli.app import run as long_way

            return long_way(joined(options, ["heartbeat", "last", *argv]))
        return answer(paths, file, wish)
    except EngineError as error:
        return refuse(error, as_json="--json" in argv)


def understood(argv: Sequence[str]) -> Wish | None:
    """What was asked; None when only click can tell."""
    agent_id, as_json = None, False
    pending = iter(argv)
    for word in pending:
        if word == "--json":
            as_json = True
        elif word == "--agent":
            agent_id = next(pending, None)
            if agent_id is None:
                return None
        elif word.startswith("--agent="):
            agent_id = word.partition("=")[2]
        else:
            return None
    return Wish(agent_id=agent_id, as_json=as_json)


def answer(paths: Paths, file: Path, wish: Wish) -> int:
    """Print the last beat: a sentence first, then who else beats, then where this is from."""
    owner = lock.read(paths.state)
    seen = _Seen(
        values=fast.read(paths.config),
        now=SystemClock().now(),
        off=switched_off(file),
        down=owner is None,
    )
    beats = newest(file, seen.now, wish.agent_id)
    unfinished = under_way(file, wish.agent_id)
    if not beats and wish.agent_id is not None and wish.agent_id not in known_agents(file):
        raise NotFound(
            f'agent "{wish.agent_id}" has no heartbeat on record',
            why=f"{file} knows {', '.join(known_agents(file)) or 'no agent'}",
            fix="engine heartbeat list",
        )
    if wish.as_json:
        _print_json(beats, unfinished, owner, seen)
        return 0
    lines = _lines(beats, seen, alone=wish.agent_id is not None)
    begun = [_begun(run, seen, running=owner is not None) for run in unfinished]
    if begun and not beats:
        lines = ["No heartbeat has ended yet."]
    sys.stdout.write("\n".join([*lines, *begun, _source(owner, file)]) + "\n")
    return 0


def _lines(beats: Sequence[Beat], seen: _Seen, *, alone: bool) -> list[str]:
    if not beats:
        return ["No heartbeat has run yet. Next: engine heartbeat list"]
    lines = [_told(beat, seen) for beat in beats]
    if alone or len(beats) == 1:
        return lines[:1]
    which = f"Agents: {len(beats)}; the line above is the one that ended last."
    return [lines[0], "", which, *(f"  {line}" for line in lines)]


def _begun(run: Run, seen: _Seen, *, running: bool) -> str:
    """What is under way; with the gateway gone, what became of it and what the next start does."""
    told = _sentence(run, None, seen)
    if running:
        return f"Under way: {told}"
    if run.status is RunStatus.DEFERRED:
        return f"Waiting for the gateway: {told}"
    again = ", and its event is asked again" if run.wake.get("eventIds") else ""
    return (
        f"Cut off when the gateway ended: {told} The next start records it as interrupted{again}."
    )


def _told(beat: Beat, seen: _Seen) -> str:
    return _sentence(beat.run, beat.delivery, seen)


def _sentence(run: Run, delivery: Delivery | None, seen: _Seen) -> str:
    """The sentence of a beat in its person's time: the zone of its agent, else the host's."""
    places = (f"agents.list[id={run.agent_id}].userTimezone", "agents.defaults.userTimezone")
    zone = ZoneInfo(host_zone(os.environ))
    for place in places:
        name = fast.get(seen.values, place)
        if isinstance(name, str) and name.strip():
            with suppress(KeyError, ValueError, OSError):  # config validate names it
                zone = ZoneInfo(name.strip())
                break
    off = seen.why_none(run.agent_id)
    return sentence(run, delivery, zone=zone, now=seen.now, off=off, down=seen.down)


def _source(owner: lock.Owner | None, file: Path) -> str:
    if owner is None:
        if not file.exists():
            return f"The gateway is not running, and there is no store yet ({file})."
        return f"The gateway is not running; answered from the store ({file})."
    return f"The gateway is running (pid {owner.pid})."


def _print_json(
    beats: Sequence[Beat],
    unfinished: Sequence[Run],
    owner: lock.Owner | None,
    seen: _Seen,
) -> None:
    """The newest record: the seed's keys and ours; null when nothing has run (§9.1)."""
    record: dict[str, Any] | None = None
    if beats:
        first = beats[0]
        record = record_words(first.run, first.delivery)
        if seen.why_none(first.run.agent_id):
            record.pop("nextDueAt", None)
        record["explain"] = _told(first, seen)
        if "message" in record:
            record["message"] = record["explain"]
        record["gateway"] = {"running": owner is not None}
        if len(beats) > 1:
            record["agents"] = [_shortly(beat.run, beat.delivery) for beat in beats]
        if unfinished:
            record["underWay"] = [_shortly(run, None) for run in unfinished]
    sys.stdout.write(f"{dumped(record)}\n")


def _shortly(run: Run, delivery: Delivery | None) -> dict[str, Any]:
    words = record_words(run, delivery)
    kept = ("agentId", "ts", "status", "reason", "skipReason", "delivered", "nextDueAt")
    return {key: words[key] for key in kept if key in words}
