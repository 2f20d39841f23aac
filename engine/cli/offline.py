"""What the store tells without a gateway: the newest beats, read-only and fast (heartbeat.md §9).

The one place outside a store that speaks SQL: the store's own rooms import SQLAlchemy, which
the quick commands cannot wait for. Imports neither pydantic, asyncio nor click.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from engine.config import fast
from engine.config.paths import Paths
from engine.config.variables import expand
from engine.decisions.replanned import replanned
from engine.messages.delivery import Delivery, State
from engine.store.routes import route_of
from jobs.errors import StoreUnavailable
from jobs.ledger import Run
from jobs.store.rows import RUN_COLUMNS, run_of
from jobs.wallclock import at, instant

_FINAL: Final = "('ok', 'failed', 'skipped', 'missed')"
_WORD: Final = re.compile(r"[\w.:@+-]+")  # what a shell takes as it stands
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
    f" AND status IN {_FINAL} ORDER BY seq DESC LIMIT 1"
)
# When each agent beats next, by the plan as it stands (`engine.store.coming`).
_PLANS: Final = "SELECT key, value FROM meta WHERE key LIKE 'heartbeat.next:%'"

# Those that are not over: few, and in an index of their own.
_OPEN: Final = (
    f"SELECT {_RUN} FROM runs WHERE (status = 'claimed' OR status = 'running'"  # noqa: S608 - constant columns
    " OR status = 'deferred')"
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


def database(paths: Paths) -> Path | None:
    """The file of the state database; None where a server keeps it: then the gateway is asked."""
    url = fast.get(fast.read(paths.config), "store.url")
    if not isinstance(url, str) or not url.strip():
        return paths.database
    text = expand(url.strip(), os.environ)
    if not text.startswith("sqlite"):
        return None
    return Path(text.partition(":///")[2].partition("?")[0])


def installation(paths: Paths) -> str | None:
    """The id of this installation, the seed of every phase (§4); None while there is none."""
    file = database(paths)
    if file is None or not file.is_file():
        return None
    with closing(_opened(file)) as db:
        try:
            row = db.execute("SELECT value FROM meta WHERE key = 'installation.id'").fetchone()
        except sqlite3.DatabaseError:  # of an older engine, or no store at all
            return None
    return None if row is None else str(row[0])


def newest(file: Path, now: datetime, agent_id: str | None = None) -> list[Beat]:
    """The newest finished beat of every agent (or of one), newest first."""
    if not file.is_file():
        return []
    with closing(_opened(file)) as db:
        try:
            agents = [agent_id] if agent_id else [row[0] for row in db.execute(_AGENTS)]
            rows = [db.execute(_NEWEST, (agent,)).fetchone() for agent in agents]
            runs = [run_of(row) for row in rows if row is not None]
            plans = dict(db.execute(_PLANS).fetchall())
            told = [
                replanned(run, plans.get(f"heartbeat.next:{run.agent_id}"), now) for run in runs
            ]
            beats = [Beat(run=run, delivery=_delivery(db, run)) for run in told]
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


def job_names(file: Path) -> list[str]:
    """What cron jobs can be called by unquoted: a name of their own, in one word, else the id."""
    if not file.is_file():
        return []
    with closing(_opened(file)) as db:
        try:
            rows = db.execute(
                "SELECT name, group_concat(id, char(10)), count(*)"
                " FROM jobs WHERE kind = 'cron' GROUP BY name ORDER BY name"
            )
            found = [
                [name] if many == 1 and _WORD.fullmatch(name) else ids.split("\n")
                for name, ids, many in rows
            ]
            return [one for names in found for one in names]
        except sqlite3.DatabaseError as error:
            raise _unreadable(file, error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a database stands, for whoever looks after it."""

    damaged: str | None = None
    schema: str | None = None
    newest_ms: int | None = None  # of its runs: when one was claimed last
    open_runs: int = 0


def condition(file: Path) -> Condition:
    """Return how a database stands; never raises, as what is wrong with it is the answer."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
            found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found != "ok":
                return Condition(damaged=found.partition("\n")[0])
            schema = db.execute("SELECT version_num FROM alembic_version").fetchone()
            newest = db.execute("SELECT max(claimed_at) FROM runs").fetchone()
            many = db.execute("SELECT count(*) FROM runs WHERE status = 'running'").fetchone()
    except sqlite3.DatabaseError as error:
        foreign = "no such" in str(error)  # a table or a column: not damaged, only not ours
        return Condition(damaged=None if foreign else str(error))
    return Condition(
        schema=None if schema is None else str(schema[0]),
        newest_ms=None if newest[0] is None else int(newest[0]),
        open_runs=int(many[0]),
    )


def all_acknowledged(file: Path, agent_id: str, count: int) -> bool:
    """Whether so many beats of an agent, the newest, ended with nothing to report."""
    with closing(_opened(file)) as db:
        try:
            rows = db.execute(
                "SELECT outcome FROM runs WHERE kind = 'heartbeat' AND agent_id = ?"
                " AND status = 'ok' ORDER BY seq DESC LIMIT ?",
                (agent_id, count),
            ).fetchall()
        except sqlite3.DatabaseError as error:
            raise _unreadable(file, error) from error
    return len(rows) == count and all(row[0] == "acknowledged" for row in rows)


def switched_off(file: Path) -> frozenset[str]:
    """Whose beats were switched off: agents, and ``*`` for all of them (`engine.store.holds`)."""
    if not file.is_file():
        return frozenset()
    with closing(_opened(file)) as db:
        try:
            rows = db.execute(
                "SELECT key FROM meta WHERE key LIKE 'heartbeat.enabled%' AND value = 'off'"
            )
            return frozenset(str(row[0]).partition(":")[2] or "*" for row in rows)
        except sqlite3.DatabaseError as error:
            raise _unreadable(file, error) from error


def _opened(file: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)
    except sqlite3.DatabaseError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: sqlite3.DatabaseError) -> StoreUnavailable:
    fix = "engine gateway"
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
