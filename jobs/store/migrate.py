"""Brings a database to this engine's schema: backup first, one transaction, rows counted after.

Alembic is imported only when there is something to do: an up-to-date database opens at once.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from jobs.errors import StoreTooNew, StoreUnavailable

HEAD: Final = "0001"
_PLACE: Final = "jobs.store:migrations"


def version(tx: sa.Connection) -> str | None:
    """Return the revision of the schema in this database; None for an empty one."""
    if not sa.inspect(tx).has_table("alembic_version"):
        return None
    row = tx.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def check(engine: sa.Engine, path: Path | None) -> None:
    """Refuse a schema this engine does not know. Changes nothing."""
    with engine.connect() as tx:
        _refuse_newer(version(tx), path)


def upgrade(engine: sa.Engine, path: Path | None) -> None:
    """Migrate to `HEAD`; all of it or nothing."""
    with engine.connect() as tx:
        found = version(tx)
    _refuse_newer(found, path)
    if found == HEAD:
        return
    if path is not None and found is not None:
        _back_up(path)
    with engine.begin() as tx:
        before = _counts(tx)
        _run(tx)
        _refuse_losses(before, _counts(tx), path)


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
        _run(tx)
        raw: Any = tx.connection.driver_connection
        raw.commit()
        image: bytes = raw.serialize()
    engine.dispose()
    return image


def _run(tx: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _PLACE)
    config.attributes["connection"] = tx
    command.upgrade(config, HEAD)


def _refuse_newer(found: str | None, path: Path | None) -> None:
    if found is not None and found > HEAD:
        raise StoreTooNew(
            f"the state database {path or ''} was not opened".replace("  ", " "),
            why=f"its schema is {found}, written by a newer engine; this one knows {HEAD}",
            fix="start the newer engine again, or restore the backup beside the file",
        )


def _back_up(path: Path) -> None:
    copy = path.with_name(f"{path.name}.before-{HEAD}")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.chmod(0o600)


def _counts(tx: sa.Connection) -> dict[str, int]:
    return {
        table: tx.exec_driver_sql(f'SELECT count(*) FROM "{table}"').scalar_one()
        for table in sa.inspect(tx).get_table_names()
        if table in ("jobs", "outbox", "messages")
    }


def _refuse_losses(before: dict[str, int], after: dict[str, int], path: Path | None) -> None:
    lost = {name: count for name, count in before.items() if after.get(name, 0) < count}
    if lost:
        raise StoreUnavailable(
            f"the migration of {path} was taken back",
            why=f"rows would have been lost in {', '.join(sorted(lost))}",
            fix=f"keep {path}.before-{HEAD} and report this",
        )
