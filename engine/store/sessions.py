"""Conversations, what was said in them, and the routes they taught (channels.md §4, §5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from engine.messages.address import ChatType, Route
from engine.messages.target import LastRoute
from engine.sessions import Message
from jobs.ids import new_id
from jobs.store.db import Tx
from jobs.values import swift
from jobs.wallclock import at, instant, ms

SEEN_FOR: Final = timedelta(hours=24)
SEEN_MOST: Final = 50_000
EXTERNAL: Final = "external"
LOCAL: Final = "local"
_SINCE: Final = "@"  # between the reason a place refuses us and when it did first
_BEGUN: Final = "!"  # before the text of a turn that has begun
_RUN_KEY: Final = re.compile(r"agent:[^:]+:cron:.+:run:[^:]+")
_RESPONSES_KEY: Final = re.compile(r"agent:[^:]+:responses:[0-9a-f]{32}")
_SESSION: Final = (
    "key, agent_id, session_id, created_at, updated_at, model, input_tokens, output_tokens"
)
_ROUTE_COLUMNS: Final = (
    "agent_id",
    "session_key",
    "channel",
    "account_id",
    "peer",
    "thread_id",
    "chat_type",
    "peer_label",
    "set_at",
    "set_by",
    "unusable",
)
_ROUTE: Final = ", ".join(_ROUTE_COLUMNS)
_SET_ROUTE: Final = (
    f"INSERT INTO routes (kind, {_ROUTE}) VALUES (?, {', '.join('?' for _ in _ROUTE_COLUMNS)})"
    " ON CONFLICT (session_key, kind) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _ROUTE_COLUMNS if name != "session_key")
)


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One conversation."""

    key: str
    agent_id: str
    session_id: str
    created_at: datetime
    updated_at: datetime
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


def ensure(tx: Tx, key: str, agent_id: str, now: datetime) -> Session:
    """Return a session, created if nobody spoke in it yet."""
    if (known := get(tx, key)) is not None:
        return known
    session = Session(
        key=key, agent_id=agent_id, session_id=new_id(now), created_at=now, updated_at=now
    )
    tx.exec_driver_sql(
        "INSERT INTO sessions (key, agent_id, session_id, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (key, agent_id, session.session_id, ms(now), ms(now)),
    )
    return session


def get(tx: Tx, key: str) -> Session | None:
    """Return one session."""
    row = tx.exec_driver_sql(f"SELECT {_SESSION} FROM sessions WHERE key = ?", (key,)).first()
    return None if row is None else _session(row)


def recent(
    tx: Tx, *, agent_id: str | None = None, limit: int = 100, offset: int = 0
) -> tuple[list[Session], int]:
    """Return sessions, newest activity first, and how many there are."""
    where, values = ("WHERE agent_id = ?", (agent_id,)) if agent_id else ("", ())
    total = tx.exec_driver_sql(f"SELECT count(*) FROM sessions {where}", values).scalar_one()
    rows = tx.exec_driver_sql(
        f"SELECT {_SESSION} FROM sessions {where} ORDER BY updated_at DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [_session(row) for row in rows], int(total)


def append(
    tx: Tx,
    key: str,
    *,
    agent_id: str,
    messages: Sequence[Message],
    now: datetime,
    hidden: bool = False,
    run_id: str | None = None,
) -> None:
    """Add lines to a session. Hidden ones are not shown to the agent and are no sign of life."""
    session = ensure(tx, key, agent_id, now)
    tx.exec_driver_sql(
        "INSERT INTO messages (session_key, session_id, role, text, at, run_id, hidden)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (key, session.session_id, line.role, line.text, ms(line.at or now), run_id, int(hidden))
            for line in messages
        ],
    )
    if not hidden and session.updated_at != now:
        tx.exec_driver_sql("UPDATE sessions SET updated_at = ? WHERE key = ?", (ms(now), key))


def history(tx: Tx, key: str, limit: int = 50, *, with_hidden: bool = False) -> tuple[Message, ...]:
    """Return the last lines of a session, oldest first."""
    rows = tx.exec_driver_sql(
        "SELECT role, text, at FROM messages WHERE session_key = ? AND hidden <= ?"
        " ORDER BY id DESC LIMIT ?",
        (key, int(with_hidden), limit),
    ).all()
    return tuple(Message(role=row[0], text=row[1], at=at(row[2])) for row in reversed(rows))


def numbered(tx: Tx, key: str, limit: int) -> list[tuple[int, Message]]:
    """Return the same with the number of each line, for who shows them."""
    rows = tx.exec_driver_sql(
        "SELECT id, role, text, at FROM messages WHERE session_key = ? AND hidden = 0"
        " ORDER BY id DESC LIMIT ?",
        (key, limit),
    ).all()
    return [(row[0], Message(role=row[1], text=row[2], at=at(row[3]))) for row in reversed(rows)]


def last_word(tx: Tx, agent_id: str) -> datetime | None:
    """Return when a person last wrote to an agent; what its beats and jobs were told is no word."""
    row = tx.exec_driver_sql(
        "SELECT at FROM messages WHERE role = 'user' AND hidden = 0"
        " AND EXISTS (SELECT 1 FROM sessions WHERE key = session_key AND agent_id = ?)"
        " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = messages.run_id)"
        " ORDER BY id DESC LIMIT 1",
        (agent_id,),
    ).first()
    return None if row is None else at(row[0])


def set_route(tx: Tx, route: LastRoute) -> None:
    """Keep the newest route of a session; the local channel's stands apart (channels.md §4)."""
    kind = LOCAL if route.channel == LOCAL else EXTERNAL
    tx.exec_driver_sql(
        _SET_ROUTE,
        (
            kind,
            route.agent_id,
            route.session_key,
            route.channel,
            route.account_id,
            route.to,
            route.thread_id,
            route.chat_type.value,
            route.peer_label,
            ms(route.set_at),
            route.set_by,
            None,  # somebody has just written from there: it can be used again
        ),
    )


def route(tx: Tx, session_key: str, *, kind: str = EXTERNAL) -> LastRoute | None:
    """Return the route a session has learnt."""
    row = tx.exec_driver_sql(
        f"SELECT {_ROUTE} FROM routes WHERE session_key = ? AND kind = ?",
        (session_key, kind),
    ).first()
    return None if row is None else _route(row)


def routes(tx: Tx, *, agent_id: str | None = None) -> list[LastRoute]:
    """Return learnt routes, newest first."""
    where, values = ("WHERE agent_id = ?", (agent_id,)) if agent_id else ("", ())
    rows = tx.exec_driver_sql(
        f"SELECT {_ROUTE} FROM routes {where} ORDER BY set_at DESC",
        values,
    )
    return [_route(row) for row in rows]


def heard_by(tx: Tx) -> dict[tuple[str, str], datetime]:
    """Return by channel and account when somebody who was let in last wrote."""
    newest: dict[tuple[str, str], datetime] = {}
    for one in routes(tx):
        newest.setdefault((one.channel, one.account_id), one.set_at)
    return newest


def last_route(tx: Tx, agent_id: str, session_key: str) -> LastRoute | None:
    """Return where `last` leads: the session's own route, else the newest usable direct one.

    channels.md §4: per-peer sessions would otherwise leave `last` empty for ever.
    """
    own = route(tx, session_key)
    if own is not None and own.unusable is None:
        return own
    known = [one for one in routes(tx, agent_id=agent_id) if one.channel != LOCAL]
    usable = (one for one in known if one.unusable is None and one.chat_type is ChatType.DIRECT)
    return next(usable, own)


def last_contact(tx: Tx, channel: str, account_id: str, peer: str) -> datetime | None:
    """Return when somebody wrote from a chat last."""
    row = tx.exec_driver_sql(
        "SELECT max(set_at) FROM routes WHERE channel = ? AND account_id = ? AND peer = ?",
        (channel, account_id, peer),
    ).first()
    return None if row is None else instant(row[0])


def mark_unusable(tx: Tx, route: Route, reason: str, now: datetime) -> None:
    """Note that a place refuses us for good, until somebody writes from it again."""
    tx.exec_driver_sql(
        "UPDATE routes SET unusable = ? WHERE channel = ? AND account_id = ? AND peer = ?"
        " AND set_at <= ?",
        (f"{reason}{_SINCE}{ms(now)}", route.channel, route.account_id, route.to, ms(now)),
    )


def move_peer(tx: Tx, route: Route, to: str) -> None:
    """A group became a supergroup: what was learnt about it holds under its new id (§4)."""
    tx.exec_driver_sql(
        "UPDATE routes SET peer = ? WHERE channel = ? AND account_id = ? AND peer = ?",
        (to, route.channel, route.account_id, route.to),
    )


def first_seen(tx: Tx, key: str, now: datetime) -> bool:
    """Note an inbound message; False if it was noted within a day (channels.md §5)."""
    tx.exec_driver_sql("DELETE FROM inbound_seen WHERE at < ?", (ms(now - SEEN_FOR),))
    return (
        tx.exec_driver_sql(
            "INSERT INTO inbound_seen (key, at) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
            (key, ms(now)),
        ).rowcount
        > 0
    )


def prune_seen(tx: Tx, *, most: int = SEEN_MOST) -> int:
    """Keep the newest inbound keys only; `first_seen` forgets by age, this by number."""
    return tx.exec_driver_sql(
        "DELETE FROM inbound_seen WHERE at < (SELECT at FROM inbound_seen ORDER BY at DESC"
        " LIMIT 1 OFFSET ?)",
        (most - 1,),
    ).rowcount


def delete(tx: Tx, key: str) -> bool:
    """Remove a session and what was said in it; its route stays (channels.md §4)."""
    tx.exec_driver_sql("DELETE FROM messages WHERE session_key = ?", (key,))
    return tx.exec_driver_sql("DELETE FROM sessions WHERE key = ?", (key,)).rowcount > 0


def renew(tx: Tx, key: str, now: datetime) -> Session | None:
    """Begin a session anew: what was said in it is gone, its id is another one."""
    tx.exec_driver_sql("DELETE FROM messages WHERE session_key = ?", (key,))
    tx.exec_driver_sql(
        "UPDATE sessions SET session_id = ?, updated_at = ?, input_tokens = 0, output_tokens = 0"
        " WHERE key = ?",
        (new_id(now), ms(now), key),
    )
    return get(tx, key)


def set_model(tx: Tx, key: str, model: str | None) -> Session | None:
    """Let the turns of a session be answered by this model; None: by its agent's."""
    tx.exec_driver_sql("UPDATE sessions SET model = ? WHERE key = ?", (model, key))
    return get(tx, key)


def shorten(tx: Tx, key: str, keep: int) -> int:
    """Take out all but the newest lines; how many went."""
    return tx.exec_driver_sql(
        "DELETE FROM messages WHERE session_key = ? AND id <= (SELECT id FROM messages"
        " WHERE session_key = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (key, key, keep),
    ).rowcount


def reap(tx: Tx, before: datetime) -> list[str]:
    """Remove sessions of single cron runs that rest since before an instant (cron.md §11.5)."""
    return _gone(tx, before, "agent:%:cron:%:run:%", _RUN_KEY)


def reap_responses(tx: Tx, before: datetime) -> list[str]:
    """Remove conversations nobody named: each request to `/v1/responses` may begin one."""
    return _gone(tx, before, "agent:%:responses:%", _RESPONSES_KEY)


def _gone(tx: Tx, before: datetime, like: str, exactly: re.Pattern[str]) -> list[str]:
    rows = tx.exec_driver_sql(
        "SELECT key FROM sessions WHERE updated_at < ? AND key LIKE ?", (ms(before), like)
    )
    keys = [row[0] for row in rows if exactly.fullmatch(row[0])]
    for key in keys:
        delete(tx, key)
    return keys


def owe_turn(tx: Tx, run_id: str, turn: str, now: datetime) -> None:
    """Note that an admitted message waits for its answer; ``turn`` is the caller's own text."""
    tx.exec_driver_sql(
        "INSERT INTO inbound_turns (run_id, turn, at) VALUES (?, ?, ?)"
        " ON CONFLICT (run_id) DO NOTHING",
        (run_id, turn, ms(now)),
    )


def turn_taken(tx: Tx, run_id: str) -> None:
    """The message has had its turn, however it ended."""
    tx.exec_driver_sql("DELETE FROM inbound_turns WHERE run_id = ?", (run_id,))


def turn_begun(tx: Tx, run_id: str) -> None:
    """The message is being answered: whoever finds it owed later finds an answer half made."""
    tx.exec_driver_sql(
        "UPDATE inbound_turns SET turn = ? || turn WHERE run_id = ? AND substr(turn, 1, 1) <> ?",
        (_BEGUN, run_id, _BEGUN),
    )


@dataclass(frozen=True, slots=True)
class OwedTurn:
    """A message that was admitted and not answered, and whether somebody was at it."""

    turn: str
    begun: bool


def owed_turns(tx: Tx) -> list[OwedTurn]:
    """Return the turns of messages an earlier process admitted and did not answer, oldest first."""
    texts = [row[0] for row in tx.exec_driver_sql("SELECT turn FROM inbound_turns ORDER BY seq")]
    return [OwedTurn(one.removeprefix(_BEGUN), one.startswith(_BEGUN)) for one in texts]


def cursor(tx: Tx, channel: str, account_id: str) -> str | None:
    """Return where the platform's stream was left."""
    row = tx.exec_driver_sql(
        "SELECT value FROM cursors WHERE channel = ? AND account_id = ?", (channel, account_id)
    ).first()
    return None if row is None else str(row[0])


def set_cursor(tx: Tx, channel: str, account_id: str, value: str, now: datetime) -> None:
    """Move the cursor of the platform's stream."""
    tx.exec_driver_sql(
        "INSERT INTO cursors (channel, account_id, value, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (channel, account_id) DO UPDATE SET value = excluded.value, at = excluded.at",
        (channel, account_id, value, ms(now)),
    )


def _session(row: Sequence[Any]) -> Session:
    return Session(
        key=row[0],
        agent_id=row[1],
        session_id=row[2],
        created_at=at(row[3]),
        updated_at=at(row[4]),
        model=row[5],
        input_tokens=row[6],
        output_tokens=row[7],
    )


def _route(row: Sequence[Any]) -> LastRoute:
    v = dict(zip(_ROUTE_COLUMNS, row, strict=True))
    reason, _, since = (v["unusable"] or "").partition(_SINCE)
    return LastRoute(
        agent_id=v["agent_id"],
        session_key=v["session_key"],
        channel=v["channel"],
        account_id=v["account_id"],
        to=v["peer"],
        thread_id=v["thread_id"],
        chat_type=ChatType(v["chat_type"]),
        peer_label=v["peer_label"],
        set_at=at(v["set_at"]),
        set_by=v["set_by"],
        unusable=reason or None,
        unusable_at=at(int(since)) if since else None,
    )
