"""`engine heartbeat last`, from the store: what the last beat was, in words (heartbeat.md §9).

It answers in a tenth of a second with the gateway up or down, so it imports neither click,
pydantic, SQLAlchemy, asyncio nor rich; a test keeps it so.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.clock import SystemClock
from engine.config import fast
from engine.config.paths import Paths, host_zone, resolve
from engine.config.variables import expand
from engine.explain import record_words, sentence
from engine.outbox import Delivery, State
from engine.store.routes import route_of
from gateway import lock
from jobs.errors import EngineError, NotFound, StoreUnavailable
from jobs.ledger import Run, RunStatus
from jobs.store.rows import RUN_COLUMNS, at, instant, run_of

_FINAL: Final = "('ok', 'failed', 'skipped', 'missed')"
_RUN: Final = ", ".join(RUN_COLUMNS)
_SENT: Final = (
    "key, state, kind, route, text, created_at, expires_at, reason, attempts, next_attempt_at,"
    " last_error,"
    " (SELECT message_id FROM receipts WHERE delivery_key = key ORDER BY chunk DESC LIMIT 1)"
)
# One step of the index per agent, however many rows there are.
_AGENTS: Final = """
    WITH RECURSIVE a(id) AS (
        SELECT min(agent_id) FROM runs WHERE kind = 'heartbeat'
        UNION ALL
        SELECT (SELECT min(agent_id) FROM runs WHERE kind = 'heartbeat' AND agent_id > a.id)
        FROM a WHERE a.id IS NOT NULL
    ) SELECT id FROM a WHERE id IS NOT NULL
"""
# The newest beat that is over. Ids grow with time, so the index gives it without sorting.
_NEWEST: Final = (
    f"SELECT {_RUN} FROM runs WHERE kind = 'heartbeat' AND agent_id = ?"  # noqa: S608 - constant columns
    f" AND status IN {_FINAL} ORDER BY id DESC LIMIT 1"
)

# Those that are not over: few, and in an index of their own.
_OPEN: Final = (
    f"SELECT {_RUN} FROM runs WHERE status IN ('claimed', 'running', 'deferred')"  # noqa: S608 - constant columns
    " AND kind = 'heartbeat' ORDER BY id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A finished beat and what became of its words."""

    run: Run
    delivery: Delivery | None

    @property
    def at(self) -> datetime:
        """When it ended."""
        return self.run.ended_at or self.run.started_at or self.run.claimed_at or at(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked."""

    agent_id: str | None = None
    as_json: bool = False


def run(argv: Sequence[str], *, profile: str | None = None) -> int:
    """Answer from the words after `heartbeat last`; the exit status.

    Options of the gateway calls (`--url` …) take the long way: they ask that gateway. So does
    a home whose store is on a server.
    """
    wish = understood(argv)
    try:
        paths = resolve(os.environ, profile=profile)
        file = database(paths)
        if wish is None or file is None or os.environ.get("ENGINE_GATEWAY_URL", "").strip():
            return _long_way(["heartbeat", "last", *argv], profile)
        return answer(paths, file, wish)
    except EngineError as error:
        return _refused(error, as_json="--json" in argv)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _long_way(words: list[str], profile: str | None) -> int:
    from engine.cli.app import run as long_way

    return long_way(words if profile is None else ["--profile", profile, *words])


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
    now = SystemClock().now()
    values = fast.read(paths.config)
    beats = newest(file, wish.agent_id)
    unfinished = under_way(file, wish.agent_id)
    owner = lock.read(paths.state)
    if not beats and wish.agent_id is not None and wish.agent_id not in known_agents(file):
        raise NotFound(
            f'agent "{wish.agent_id}" has no heartbeat on record',
            why=f"{file} knows {', '.join(known_agents(file)) or 'no agent'}",
            fix="engine heartbeat list",
        )
    if wish.as_json:
        _print_json(beats, unfinished, owner, values, now)
        return 0
    lines = _lines(beats, values, now, alone=wish.agent_id is not None)
    begun = [_begun(run, values, now, running=owner is not None) for run in unfinished]
    if begun and not beats:
        lines = ["No heartbeat has ended yet."]
    sys.stdout.write("\n".join([*lines, *begun, _source(owner, file)]) + "\n")
    return 0


def database(paths: Paths) -> Path | None:
    """The file of the state database; None where a server keeps it: then the gateway is asked."""
    url = fast.get(fast.read(paths.config), "store.url")
    if not isinstance(url, str) or not url.strip():
        return paths.database
    text = expand(url.strip(), os.environ)
    if not text.startswith("sqlite"):
        return None
    return Path(text.partition(":///")[2].partition("?")[0])


def newest(file: Path, agent_id: str | None = None) -> list[Beat]:
    """The newest finished beat of every agent (or of one), newest first."""
    if not file.is_file():
        return []
    with closing(_opened(file)) as db:
        try:
            agents = [agent_id] if agent_id else [row[0] for row in db.execute(_AGENTS)]
            rows = [db.execute(_NEWEST, (agent,)).fetchone() for agent in agents]
            runs = [run_of(row) for row in rows if row is not None]
            beats = [Beat(run=run, delivery=_delivery(db, run)) for run in runs]
        except sqlite3.DatabaseError as error:
            raise _unreadable(file, error) from error
    return sorted(beats, key=lambda beat: beat.at, reverse=True)


def under_way(file: Path, agent_id: str | None = None) -> list[Run]:
    """Beats that have begun and not ended, oldest first."""
    if not file.is_file():
        return []
    with closing(_opened(file)) as db:
        try:
            runs = [run_of(row) for row in db.execute(_OPEN)]
        except sqlite3.DatabaseError as error:
            raise _unreadable(file, error) from error
    return [run for run in runs if agent_id in (None, run.agent_id)]


def known_agents(file: Path) -> list[str]:
    """Agents with a heartbeat in the store, whether it has run or not."""
    if not file.is_file():
        return []
    with closing(_opened(file)) as db:
        try:
            rows = db.execute("SELECT agent_id FROM jobs WHERE kind = 'heartbeat' ORDER BY 1")
            return [str(row[0]) for row in rows]
        except sqlite3.DatabaseError as error:
            raise _unreadable(file, error) from error


def _opened(file: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)
    except sqlite3.DatabaseError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: sqlite3.DatabaseError) -> StoreUnavailable:
    fix = "engine gateway, which mends or migrates it"
    if "no such column" in str(error):
        return StoreUnavailable(
            f"{file} was not read", why="another version of engine wrote it", fix=fix
        )
    return StoreUnavailable(f"{file} was not read", why=str(error), fix=fix)


def _delivery(db: sqlite3.Connection, run: Run) -> Delivery | None:
    """The message of a beat, with what its record tells of it."""
    if run.delivery_key is None:
        return None
    found = db.execute(
        f"SELECT {_SENT} FROM outbox WHERE key = ?",  # noqa: S608 - constant columns
        (run.delivery_key,),
    ).fetchone()
    if found is None:
        return None
    key, state, kind, route, text, created, expires, reason, attempts, again, error, receipt = found
    return Delivery(
        key=key,
        state=State(state),
        kind=kind,
        route=route_of(route),
        text=text,
        created_at=at(created),
        expires_at=at(expires),
        reason=reason,
        attempts=attempts,
        next_attempt_at=instant(again),
        last_error=json.loads(error) if error else None,
        message_ids=(receipt,) if receipt else (),
    )


def _lines(
    beats: Sequence[Beat], values: Mapping[str, Any], now: datetime, *, alone: bool
) -> list[str]:
    if not beats:
        return ["No heartbeat has run yet. Next: engine heartbeat list"]
    lines = [_told(beat, values, now) for beat in beats]
    if alone or len(beats) == 1:
        return lines[:1]
    which = f"Agents: {len(beats)}; the line above is the one that ended last."
    return [lines[0], "", which, *(f"  {line}" for line in lines)]


def _begun(run: Run, values: Mapping[str, Any], now: datetime, *, running: bool) -> str:
    """What is under way; with the gateway gone, what became of it and what the next start does."""
    told = _sentence(run, None, values, now)
    if running:
        return f"Under way: {told}"
    if run.status is RunStatus.DEFERRED:
        return f"Waiting for the gateway: {told}"
    again = ", and its event is asked again" if run.wake.get("eventIds") else ""
    return (
        f"Cut off when the gateway ended: {told} The next start records it as interrupted{again}."
    )


def _told(beat: Beat, values: Mapping[str, Any], now: datetime) -> str:
    return _sentence(beat.run, beat.delivery, values, now)


def _sentence(run: Run, delivery: Delivery | None, values: Mapping[str, Any], now: datetime) -> str:
    """The sentence of a beat in its person's time: the zone of its agent, else the host's."""
    places = (f"agents.list[id={run.agent_id}].userTimezone", "agents.defaults.userTimezone")
    zone = ZoneInfo(host_zone(os.environ))
    for place in places:
        name = fast.get(values, place)
        if isinstance(name, str) and name.strip():
            with suppress(KeyError, ValueError, OSError):  # config validate names it
                zone = ZoneInfo(name.strip())
                break
    return sentence(run, delivery, zone=zone, now=now)


def _source(owner: lock.Owner | None, file: Path) -> str:
    if owner is None:
        return f"The gateway is not running; answered from the store ({file})."
    return f"The gateway is running (pid {owner.pid})."


def _print_json(
    beats: Sequence[Beat],
    unfinished: Sequence[Run],
    owner: lock.Owner | None,
    values: Mapping[str, Any],
    now: datetime,
) -> None:
    """The newest record: the seed's keys and ours; null when nothing has run (§9.1)."""
    record: dict[str, Any] | None = None
    if beats:
        first = beats[0]
        record = record_words(first.run, first.delivery)
        record["explain"] = _told(first, values, now)
        record["gateway"] = {"running": owner is not None}
        if len(beats) > 1:
            record["agents"] = [_shortly(beat.run, beat.delivery) for beat in beats]
        if unfinished:
            record["underWay"] = [_shortly(run, None) for run in unfinished]
    sys.stdout.write(json.dumps(record, ensure_ascii=False, indent=2) + "\n")


def _shortly(run: Run, delivery: Delivery | None) -> dict[str, Any]:
    words = record_words(run, delivery)
    kept = ("agentId", "ts", "status", "reason", "skipReason", "delivered", "nextDueAt")
    return {key: words[key] for key in kept if key in words}


def _refused(error: EngineError, *, as_json: bool) -> int:
    text = f"{error.what}: {error.why}" if error.why else error.what
    sys.stderr.write(f"{text}\nFix: {error.fix}\n")
    if as_json:
        kind = {"type": type(error).__name__, "code": error.code, "message": text}
        told = {"ok": False, "error": {**kind, "fix": error.fix}}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    return error.exit_status
