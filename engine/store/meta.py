"""Single facts of one home: its identity and its switches."""

from __future__ import annotations

from jobs.store.db import Tx


def get(tx: Tx, key: str) -> str | None:
    """Return a fact."""
    row = tx.exec_driver_sql("SELECT value FROM meta WHERE key = ?", (key,)).first()
    return None if row is None else str(row[0])


def put(tx: Tx, key: str, value: str) -> None:
    """Set a fact."""
    tx.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def change(tx: Tx, key: str, was: str, to: str) -> bool:
    """Change a fact that is still what it was; False if somebody was faster."""
    done = tx.exec_driver_sql(
        "UPDATE meta SET value = ? WHERE key = ? AND value = ?", (to, key, was)
    )
    return done.rowcount > 0


def below(tx: Tx, prefix: str) -> dict[str, str]:
    """Return the facts whose keys begin with ``prefix``, by what follows it."""
    rows = tx.exec_driver_sql(
        "SELECT key, value FROM meta WHERE key >= ? AND key < ? ORDER BY key",
        (prefix, prefix + "\U0010ffff"),
    )
    return {str(key)[len(prefix) :]: str(value) for key, value in rows}


def keep(tx: Tx, key: str, value: str) -> str:
    """Set a fact unless it is set, and return what it is."""
    tx.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (key, value)
    )
    found = get(tx, key)
    return value if found is None else found


def drop(tx: Tx, key: str) -> None:
    """Forget a fact."""
    tx.exec_driver_sql("DELETE FROM meta WHERE key = ?", (key,))


def keys(tx: Tx, name: str) -> list[str]:
    """Return the keys of a fact: its own, and those with something behind a colon."""
    rows = tx.exec_driver_sql(
        "SELECT key FROM meta WHERE key = ? OR substr(key, 1, ?) = ? ORDER BY key",
        (name, len(name) + 1, f"{name}:"),
    )
    return [row[0] for row in rows]
