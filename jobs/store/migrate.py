"""Brings a database to this engine's schema: backup first, one transaction, rows counted after.

Alembic is imported only when there is something to do: an up-to-date database opens at once.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from jobs.errors import StoreTooNew, StoreUnavailable, StoreUnusable


@dataclass(frozen=True, slots=True)
class Steps:
    """A line of migrations and the revision it ends at."""

    head: str
    place: str = "jobs.store:migrations"  # as alembic's script_location


OURS: Final = Steps("0011")


def version(tx: sa.Connection) -> str | None:
    """Return the revision of the schema in this database; None if it has none."""
    if not sa.inspect(tx).has_table("alembic_version"):
        return None
    row = tx.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def examine(engine: sa.Engine, path: Path | None, steps: Steps = OURS) -> str | None:
    """Return the revision of a database that ``steps`` may be run on; refuse any other.

    Changes nothing.
    """
    with engine.connect() as tx:
        return _found(tx, path, steps)


def check(engine: sa.Engine, path: Path | None, steps: Steps = OURS) -> None:
    """Refuse a schema that is not exactly this engine's. Changes nothing."""
    found = examine(engine, path, steps)
    if found != steps.head:
        raise StoreUnavailable(
            f"{_named(path)} cannot be read yet",
            why=f"its schema is {found or 'missing'}, this engine's is {steps.head}",
            fix="engine gateway",
        )


def upgrade(engine: sa.Engine, path: Path | None, steps: Steps = OURS) -> None:
    """Migrate to the head of ``steps``; all of it or nothing."""
    found = examine(engine, path, steps)
    if found == steps.head:
        return
    backup = _back_up(path, steps) if path is not None and found is not None else None
    with engine.begin() as tx:
        bring_up(tx, steps, path=path, backup=backup)


def bring_up(
    tx: sa.Connection,
    steps: Steps = OURS,
    *,
    path: Path | None = None,
    backup: Path | None = None,
) -> None:
    """Run the missing steps in the open transaction; refuse if rows were lost."""
    if _found(tx, path, steps) == steps.head:
        return  # somebody else was faster
    before = _counts(tx)
    _run(tx, steps)
    _refuse_losses(before, _counts(tx), backup)


def _found(tx: sa.Connection, path: Path | None, steps: Steps) -> str | None:
    """Return the revision of a database that ``steps`` may be run on."""
    found = version(tx)
    _refuse_newer(found, path, steps)
    if found is None:
        _refuse_foreign(tx, path)
    return found


def create_all(engine: sa.Engine) -> None:
    """Build the schema in an empty in-memory database."""
    with engine.connect() as tx:
        raw: Any = tx.connection.driver_connection
        raw.deserialize(_template())


@cache
def _template() -> bytes:
    """The empty schema as SQLite bytes: the steps run once in a process."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as tx:
        _run(tx, OURS)
        raw: Any = tx.connection.driver_connection
        raw.commit()
        image: bytes = raw.serialize()
    engine.dispose()
    return image


def _run(tx: sa.Connection, steps: Steps) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", steps.place.replace("%", "%%"))
    config.attributes["connection"] = tx
    command.upgrade(config, steps.head)


def _refuse_newer(found: str | None, path: Path | None, steps: Steps) -> None:
    if found is not None and found > steps.head:
        raise StoreTooNew(
            f"{_named(path)} was not opened",
            why=f"its schema is {found}, written by a newer engine; this one knows {steps.head}",
            fix="elsewhere: start the newer engine again, or restore the backup beside the file",
        )


def _refuse_foreign(tx: sa.Connection, path: Path | None) -> None:
    """A database with tables and without our revision belongs to somebody else."""
    if tables := sa.inspect(tx).get_table_names():
        raise StoreUnusable(
            f"{_named(path)} was not opened",
            why=f"it holds tables that are not this engine's: {', '.join(sorted(tables)[:5])}",
            fix="elsewhere: move the file away, or set store.url to the right one",
        )


def _named(path: Path | None) -> str:
    return f"the state database {path}" if path else "the state database"


def _back_up(path: Path, steps: Steps) -> Path:
    """Copy the database as it stands; an older copy of the same name is kept."""
    copy = path.with_name(f"{path.name}.before-{steps.head}")
    number = 1
    while copy.exists():
        number += 1
        copy = path.with_name(f"{path.name}.before-{steps.head}.{number}")
    copy.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _counts(tx: sa.Connection) -> dict[str, int]:
    return {
        table: tx.exec_driver_sql(f'SELECT count(*) FROM "{table}"').scalar_one()
        for table in sa.inspect(tx).get_table_names()
    }


def _refuse_losses(before: dict[str, int], after: dict[str, int], backup: Path | None) -> None:
    lost = {name: count for name, count in before.items() if after.get(name, 0) < count}
    if lost:
        raise StoreUnavailable(
            "the migration of the state database was taken back",
            why=f"rows would have been lost in {', '.join(sorted(lost))}",
            fix=f"start the engine that wrote it, and report this; a copy is {backup}",
        )
