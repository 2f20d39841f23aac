"""The local channel's inbox: messages that arrived on this machine (channels.md §13).

Its other half, what arrived nowhere, is `engine.store.kept`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message in the inbox."""

    id: str
    inbox: str
    kind: str
    text: str
    at: datetime
    agent_id: str | None = None
    session_key: str | None = None
    run_id: str | None = None
    seen_at: datetime | None = None


PAGE: Final = 50
_READ = "id, box, kind, text, at, agent_id, session_key, run_id, seen_at"


def add(
    tx: Tx, *, key: str, agent_id: str | None, inbox: str, kind: str, text: str, now: datetime
) -> str:
    """Put a message in, once per key, and return its id."""
    tx.exec_driver_sql(
        "INSERT INTO inbox (id, box, kind, text, at, agent_id) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        (key, inbox, kind, text, ms(now), agent_id),
    )
    return key


def count_unseen(tx: Tx) -> int:
    """Return how many messages nobody has seen."""
    return int(
        tx.exec_driver_sql(
            "SELECT count(*) FROM inbox WHERE seen_at IS NULL AND reason IS NULL"
        ).scalar_one()
    )


def page(
    tx: Tx,
    *,
    limit: int = 50,
    unseen: bool = False,
    agent_id: str | None = None,
    after: str | None = None,
) -> tuple[list[Letter], int]:
    """Return the newest messages, newest first, and how many there are.

    ``agent_id``: of one agent; ``after``: only those that came later than that one.
    """
    where, given = "WHERE reason IS NULL", list[Any]()
    if unseen:
        where += " AND seen_at IS NULL"
    if agent_id is not None:
        where, given = f"{where} AND agent_id = ?", [*given, agent_id]
    if after is not None:
        later = "coalesce((SELECT seq FROM inbox WHERE id = ?), 0)"
        where, given = f"{where} AND seq > {later}", [*given, after]
    total = tx.exec_driver_sql(f"SELECT count(*) FROM inbox {where}", tuple(given)).scalar_one()
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM inbox {where} ORDER BY seq DESC LIMIT ?", (*given, limit)
    )
    return [_letter(row) for row in rows], int(total)


def listing(tx: Tx, params: Mapping[str, Any]) -> dict[str, Any]:
    """`inbox.list`: a page, newest first, and how many nobody has seen."""
    letters, total = page(
        tx,
        limit=int(params.get("limit") or PAGE),
        unseen=bool(params.get("unseen")),
        agent_id=params.get("agentId"),
        after=params.get("after"),
    )
    told = [
        {
            "id": letter.id,
            "inbox": letter.inbox,
            "kind": letter.kind,
            "agentId": letter.agent_id,
            "text": letter.text,
            "atMs": ms(letter.at),
            "seen": letter.seen_at is not None,
        }
        for letter in letters
    ]
    return {"messages": told, "total": total, "unseen": count_unseen(tx)}


def seen_at(tx: Tx, key: str) -> datetime | None:
    """Return when somebody had seen every part of a message; None: not yet, or it is elsewhere."""
    rows = tx.exec_driver_sql(
        "SELECT seen_at FROM inbox WHERE id >= ? AND id < ? AND reason IS NULL",
        (f"{key}#", f"{key}$"),
    ).all()
    seen = [instant(row[0]) for row in rows]
    known = [one for one in seen if one is not None]
    return max(known) if known and len(known) == len(seen) else None


def ack(tx: Tx, ids: Sequence[str] | None, now: datetime) -> int:
    """Mark messages seen, all of them for None; returns how many were not seen before."""
    if ids is None:
        return tx.exec_driver_sql(
            "UPDATE inbox SET seen_at = ? WHERE seen_at IS NULL AND reason IS NULL", (ms(now),)
        ).rowcount
    return sum(
        tx.exec_driver_sql(
            "UPDATE inbox SET seen_at = ? WHERE id = ? AND seen_at IS NULL", (ms(now), one)
        ).rowcount
        for one in ids
    )


def _letter(row: Sequence[Any]) -> Letter:
    return Letter(
        id=row[0],
        inbox=row[1],
        kind=row[2],
        text=row[3],
        at=at(row[4]),
        agent_id=row[5],
        session_key=row[6],
        run_id=row[7],
        seen_at=instant(row[8]),
    )
