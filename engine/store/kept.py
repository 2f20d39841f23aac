"""The inbox's other half at rest: what was said and reached nobody (heartbeat.md §25 row 11).

The same table as what arrived here: a row with a reason did not arrive. Written in the
transaction that ends a run or a message; the same words again are the same row, counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.messages.kept import MUTED_AFTER, QUIET, Kept, Stage
from engine.store.routes import route_of, route_text
from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms

_COLUMNS: Final = (
    "id, box, kind, text, at, agent_id, run_id, reason, because, job_id, route, delivery_key,"
    " print, first_at"
)
_READ: Final = (
    "seq, id, kind, text, at, agent_id, run_id, reason, because, job_id, route, delivery_key,"
    " times, first_at, seen_at, until, snoozes, muted_at, resent_key"
)
_ADD: Final = (
    f"INSERT INTO inbox ({_COLUMNS}) VALUES ({', '.join('?' for _ in _COLUMNS.split(','))})"
    " ON CONFLICT (id) DO NOTHING"
)
# An open row of the same words: it is counted up, and not joined by another.
_AGAIN: Final = (
    "UPDATE inbox SET times = times + 1, at = ?, run_id = ?, because = ?, delivery_key = ?"
    " WHERE seq = (SELECT max(seq) FROM inbox WHERE print = ? AND reason = ? AND text = ?"
    " AND seen_at IS NULL AND muted_at IS NULL AND resent_key IS NULL)"
)
_QUIET: Final = ", ".join(f"'{word}'" for word in QUIET)
_STAGES: Final = {
    Stage.MUTED: "muted_at IS NOT NULL",
    Stage.SNOOZED: "muted_at IS NULL AND until > :now",
    Stage.RESENT: "muted_at IS NULL AND coalesce(until, 0) <= :now AND resent_key IS NOT NULL",
    Stage.READ: "muted_at IS NULL AND coalesce(until, 0) <= :now AND resent_key IS NULL"
    " AND seen_at IS NOT NULL",
    Stage.NOTED: "muted_at IS NULL AND coalesce(until, 0) <= :now AND resent_key IS NULL"
    f" AND seen_at IS NULL AND reason IN ({_QUIET})",
    Stage.UNREAD: "muted_at IS NULL AND coalesce(until, 0) <= :now AND resent_key IS NULL"
    f" AND seen_at IS NULL AND reason NOT IN ({_QUIET})",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptQuery:
    """Which kept words are asked for; newest first."""

    agent_id: str | None = None
    stages: tuple[Stage, ...] = ()  # none: all
    reason: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: int = 50
    offset: int = 0


def keep(tx: Tx, kept: Kept) -> None:
    """Keep words; those that somebody put off or muted, or that are unread, are counted there."""
    if _reopened(tx, kept) or _counted_on_hold(tx, kept):
        return
    again = (ms(kept.at), kept.run_id, kept.because, kept.delivery_key)
    if tx.exec_driver_sql(_AGAIN, (*again, kept.print, kept.reason, kept.text)).rowcount:
        return
    put(tx, kept)


def put(tx: Tx, kept: Kept) -> None:
    """Keep words in a row of their own, once per id."""
    tx.exec_driver_sql(
        _ADD,
        (
            kept.id,
            "kept",
            kept.kind,
            kept.text,
            ms(kept.at),
            kept.agent_id,
            kept.run_id,
            kept.reason,
            kept.because,
            kept.job_id,
            None if kept.route is None else route_text(kept.route),
            kept.delivery_key,
            kept.print,
            ms(kept.at),
        ),
    )


def _counted_on_hold(tx: Tx, kept: Kept) -> int:
    """Count words that came again on the row that holds them back."""
    return tx.exec_driver_sql(
        "UPDATE inbox SET times = times + 1, at = ?, run_id = ? WHERE seq ="
        " (SELECT max(seq) FROM inbox WHERE print = ? AND (muted_at IS NOT NULL OR until > ?))",
        (ms(kept.at), kept.run_id, kept.print, ms(kept.at)),
    ).rowcount


def _reopened(tx: Tx, kept: Kept) -> int:
    """Words that were sent once more and did not arrive either are unread again."""
    if kept.delivery_key is None:
        return 0
    return tx.exec_driver_sql(
        "UPDATE inbox SET resent_key = NULL, seen_at = NULL, reason = ?, because = ?,"
        " delivery_key = ? WHERE resent_key = ? AND reason IS NOT NULL",
        (kept.reason, kept.because, kept.delivery_key, kept.delivery_key),
    ).rowcount


def find(tx: Tx, ref: str) -> Kept | None:
    """Return kept words by their number, their id, or the run or message they come from."""
    if ref.isdigit() and len(ref) < 10:
        where, given = "seq = ?", (int(ref),)
        rows = tx.exec_driver_sql(
            f"SELECT {_READ} FROM inbox WHERE reason IS NOT NULL AND {where}", given
        )
    else:
        rows = tx.exec_driver_sql(
            f"SELECT {_READ} FROM inbox WHERE reason IS NOT NULL"
            " AND (id = ? OR id = ? OR run_id = ? OR delivery_key = ?) ORDER BY seq DESC LIMIT 1",
            (ref, f"run:{ref}", ref, ref),
        )
    row = rows.first()
    return None if row is None else _kept(row)


def latest(tx: Tx, words: Kept) -> Kept | None:
    """Return the newest row of the same words that did arrive: what was asked before counts."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM inbox WHERE print = ? AND reason = ? ORDER BY seq DESC LIMIT 1",
        (words.print, words.reason),
    ).first()
    return None if row is None else _kept(row)


def occurred(tx: Tx, words: Kept, seq: int) -> Kept | None:
    """Note on a row that its words were said once more, by another run."""
    tx.exec_driver_sql(
        "UPDATE inbox SET run_id = ?, at = ?, delivery_key = ?, times = times + 1 WHERE seq = ?",
        (words.run_id, ms(words.at), words.delivery_key, seq),
    )
    return find(tx, str(seq))


def undigested(tx: Tx, agents: Sequence[str]) -> int:
    """Make unread what no digest will ever send: only these agents have one."""
    marks = ", ".join("?" for _ in agents)
    others = f"AND (agent_id IS NULL OR agent_id NOT IN ({marks}))" if agents else ""
    return tx.exec_driver_sql(
        "UPDATE inbox SET reason = 'undigested' WHERE reason = 'digest' AND seen_at IS NULL"
        f" AND resent_key IS NULL {others}",
        tuple(agents),
    ).rowcount


def held(tx: Tx, prints: str, now: datetime) -> Kept | None:
    """Return the row that holds these words back now: muted, or snoozed."""
    row = tx.exec_driver_sql(
        f"SELECT {_READ} FROM inbox WHERE print = ? AND (muted_at IS NOT NULL OR until > ?)"
        " ORDER BY seq DESC LIMIT 1",
        (prints, ms(now)),
    ).first()
    return None if row is None else _kept(row)


def page(tx: Tx, query: KeptQuery, now: datetime) -> tuple[list[Kept], int]:
    """Return kept words, newest first, and how many there are."""
    where, given = _where(query, now)
    total = tx.exec_driver_sql(f"SELECT count(*) FROM inbox WHERE {where}", given).scalar_one()
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM inbox WHERE {where} ORDER BY at DESC, seq DESC LIMIT ? OFFSET ?",
        (*given, query.limit, query.offset),
    )
    return [_kept(row) for row in rows], int(total)


def _where(query: KeptQuery, now: datetime) -> tuple[str, tuple[Any, ...]]:
    parts, given = ["reason IS NOT NULL"], list[Any]()
    asked = (
        ("agent_id = ?", query.agent_id),
        ("reason = ?", query.reason),
        ("at >= ?", ms(query.since)),
        ("at < ?", ms(query.before)),
    )
    for part, value in asked:
        if value is not None:
            parts.append(part)
            given.append(value)
    if query.stages:
        told = " OR ".join(f"({_STAGES[stage]})" for stage in query.stages)
        parts.append(f"({told.replace(':now', '?')})")
        given += [ms(now)] * told.count(":now")
    return " AND ".join(parts), tuple(given)


def count_unread(tx: Tx, now: datetime) -> int:
    """Return how many words wait for somebody to look."""
    where, given = _where(KeptQuery(stages=(Stage.UNREAD,)), now)
    return int(tx.exec_driver_sql(f"SELECT count(*) FROM inbox WHERE {where}", given).scalar_one())


def acknowledge(tx: Tx, seq: int, now: datetime) -> None:
    """Note that somebody knows: it asks no more."""
    tx.exec_driver_sql(
        "UPDATE inbox SET seen_at = coalesce(seen_at, ?), until = NULL, escalate_at = NULL"
        " WHERE seq = ?",
        (ms(now), seq),
    )


def snooze(tx: Tx, kept: Kept, until: datetime, now: datetime) -> Kept | None:
    """Put words off until an instant; those put off too often are muted (row 13)."""
    snoozes = kept.snoozes + 1
    muted = ms(now) if snoozes >= MUTED_AFTER else None
    tx.exec_driver_sql(
        "UPDATE inbox SET until = ?, snoozes = ?, muted_at = ?, seen_at = NULL,"
        " escalate_at = NULL WHERE seq = ?",
        (ms(until), snoozes, muted, kept.number),
    )
    return find(tx, str(kept.number))


def mute(tx: Tx, seq: int, now: datetime | None) -> None:
    """Send these words no more; None: send them again, and begin to count snoozes anew."""
    if now is None:
        tx.exec_driver_sql(
            "UPDATE inbox SET muted_at = NULL, until = NULL, snoozes = 0 WHERE seq = ?", (seq,)
        )
    else:
        tx.exec_driver_sql(
            "UPDATE inbox SET muted_at = ?, escalate_at = NULL WHERE seq = ?", (ms(now), seq)
        )


def resent(tx: Tx, key: str, numbers: Sequence[int], now: datetime) -> None:
    """Note which message carries these words once more."""
    for seq in numbers:
        tx.exec_driver_sql(
            "UPDATE inbox SET resent_key = ?, seen_at = ?, until = NULL WHERE seq = ?",
            (key, ms(now), seq),
        )


def remove(tx: Tx, query: KeptQuery, now: datetime) -> int:
    """Delete kept words for good; returns how many."""
    where, given = _where(query, now)
    return tx.exec_driver_sql(f"DELETE FROM inbox WHERE {where}", given).rowcount


def prune(tx: Tx, before: datetime, now: datetime) -> int:
    """Delete what is old: but what holds words back stays, or they would come again unasked."""
    stages = tuple(stage for stage in Stage if stage not in (Stage.MUTED, Stage.SNOOZED))
    return remove(tx, KeptQuery(stages=stages, before=before), now)


def _kept(row: Sequence[Any]) -> Kept:
    return Kept(
        number=row[0],
        id=row[1],
        kind=row[2],
        text=row[3],
        at=at(row[4]),
        agent_id=row[5],
        run_id=row[6],
        reason=row[7],
        because=row[8] or "",
        job_id=row[9],
        route=None if row[10] is None else route_of(row[10]),
        delivery_key=row[11],
        times=row[12],
        first_at=instant(row[13]),
        seen_at=instant(row[14]),
        until=instant(row[15]),
        snoozes=row[16],
        muted_at=instant(row[17]),
        resent_key=row[18],
    )
