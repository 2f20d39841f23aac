"""Conditions on status and state spelt out: half of what writing a run cost SQLite.

It makes a table of its own out of ``IN`` with more than two words, each time a row is written:
for the condition of a column, and for that of an index.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_LIST = re.compile(r"\b(status|state) IN\s*\(([^)]*)\)")


def upgrade() -> None:
    """Rebuild the two tables that have such conditions; a server compares with a list at once."""
    tx = op.get_bind()
    if tx.dialect.name != "sqlite":
        return
    _rebuild(tx, "runs")
    # Receipts go with their message, and dropping a table deletes its rows.
    op.execute("CREATE TABLE receipts_kept AS SELECT * FROM receipts")
    _rebuild(tx, "outbox")
    op.execute("DELETE FROM receipts")
    op.execute("INSERT INTO receipts SELECT * FROM receipts_kept")
    op.execute("DROP TABLE receipts_kept")


def _rebuild(tx: sa.Connection, table: str) -> None:
    asked = sa.text(
        "SELECT type, sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL"
    )
    found = [(kind, spelt_out(sql)) for kind, sql in tx.execute(asked, {"name": table})]
    made = next(sql for kind, sql in found if kind == "table")
    name = re.compile(rf'CREATE TABLE "?{table}"?')
    tx.exec_driver_sql(name.sub(f"CREATE TABLE {table}_new", made, count=1))
    op.execute(f"INSERT INTO {table}_new SELECT * FROM {table}")
    op.execute(f"DROP TABLE {table}")
    op.execute(f"ALTER TABLE {table}_new RENAME TO {table}")
    for kind, sql in found:
        if kind == "index":
            tx.exec_driver_sql(sql)


def spelt_out(sql: str) -> str:
    """Return SQL with each list of words as so many comparisons."""
    return _LIST.sub(
        lambda found: (
            "(" + " OR ".join(f"{found[1]} = {one.strip()}" for one in found[2].split(",")) + ")"
        ),
        sql,
    )
