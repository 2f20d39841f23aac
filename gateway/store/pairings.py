"""Who asked to talk to an account, and who was let in (channels.md §3.2).

Every account has its own people: nobody of one is known to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms

LIFE: Final = timedelta(minutes=60)
MOST_PENDING: Final = 3  # of one account; whoever comes then is not answered until one lapses
_READ: Final = "channel, account_id, peer, code, label, created_at, last_seen_at, approved_at"
_ACCOUNT: Final = "channel = ? AND account_id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """One person at one account."""

    channel: str
    account_id: str
    peer: str
    code: str
    label: str | None
    created_at: datetime
    last_seen_at: datetime
    approved_at: datetime | None = None

    @property
    def expires_at(self) -> datetime:
        """When the code is no use any more."""
        return self.created_at + LIFE


def ask(
    tx: Tx, channel: str, account_id: str, peer: str, *, label: str | None, code: str, now: datetime
) -> bool:
    """Note a request under a new code; False if there is one already, or too many wait."""
    forget_expired(tx, now)
    here = (channel, account_id)
    seen = tx.exec_driver_sql(
        f"UPDATE pairings SET last_seen_at = ? WHERE {_ACCOUNT} AND peer = ?",
        (ms(now), *here, peer),
    )
    if seen.rowcount:
        return False
    waiting = tx.exec_driver_sql(
        f"SELECT count(*) FROM pairings WHERE {_ACCOUNT} AND approved_at IS NULL", here
    ).scalar_one()
    if waiting >= MOST_PENDING:
        return False
    tx.exec_driver_sql(
        f"INSERT INTO pairings ({_READ}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (*here, peer, code, label, ms(now), ms(now)),
    )
    return True


def pending(tx: Tx, now: datetime) -> list[Pairing]:
    """Return requests whose code still works, oldest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM pairings WHERE approved_at IS NULL AND created_at > ?"
        " ORDER BY created_at",
        (ms(now - LIFE),),
    )
    return [_pairing(row) for row in rows]


def find(tx: Tx, channel: str, code: str, now: datetime) -> Pairing | None:
    """Return the request of a code, approved ones included; an expired one is none."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM pairings WHERE channel = ? AND code = ? ORDER BY created_at DESC",
        (channel, code),
    )
    found = [_pairing(row) for row in rows]
    return next((one for one in found if one.approved_at or now < one.expires_at), None)


def taken(tx: Tx, code: str) -> bool:
    """Whether somebody waits under this code."""
    row = tx.exec_driver_sql(
        "SELECT 1 FROM pairings WHERE code = ? AND approved_at IS NULL", (code,)
    ).first()
    return row is not None


def approve(tx: Tx, found: Pairing, now: datetime) -> bool:
    """Let somebody in; False if somebody else did before."""
    done = tx.exec_driver_sql(
        f"UPDATE pairings SET approved_at = ? WHERE {_ACCOUNT} AND peer = ?"
        " AND approved_at IS NULL",
        (ms(now), found.channel, found.account_id, found.peer),
    )
    return done.rowcount > 0


def remove(tx: Tx, found: Pairing) -> bool:
    """Forget a request, or somebody who was let in."""
    done = tx.exec_driver_sql(
        f"DELETE FROM pairings WHERE {_ACCOUNT} AND peer = ?",
        (found.channel, found.account_id, found.peer),
    )
    return done.rowcount > 0


def let_in(tx: Tx, channel: str, account_id: str) -> tuple[str, ...]:
    """Return who was let in to one account."""
    rows = tx.exec_driver_sql(
        f"SELECT peer FROM pairings WHERE {_ACCOUNT} AND approved_at IS NOT NULL",
        (channel, account_id),
    )
    return tuple(row[0] for row in rows)


def approved(tx: Tx) -> list[Pairing]:
    """Return everybody who was let in, oldest first."""
    rows = tx.exec_driver_sql(
        f"SELECT {_READ} FROM pairings WHERE approved_at IS NOT NULL ORDER BY approved_at"
    )
    return [_pairing(row) for row in rows]


def forget_expired(tx: Tx, now: datetime) -> None:
    """Drop requests whose code is dead."""
    tx.exec_driver_sql(
        "DELETE FROM pairings WHERE approved_at IS NULL AND created_at <= ?", (ms(now - LIFE),)
    )


def _pairing(row: Sequence[Any]) -> Pairing:
    return Pairing(
        channel=row[0],
        account_id=row[1],
        peer=row[2],
        code=row[3] or "",
        label=row[4],
        created_at=at(row[5]),
        last_seen_at=at(row[6]),
        approved_at=instant(row[7]),
    )
