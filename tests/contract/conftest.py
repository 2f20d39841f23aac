"""Stores under test: in memory, in a real file, and on a PostgreSQL server if one is named.

ENGINE_TEST_POSTGRES_URL=postgresql://user@host/an_empty_database joins the third; whatever
that database holds is dropped.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.store.db import Database

POSTGRES = os.environ.get("ENGINE_TEST_POSTGRES_URL", "")
STORES = ["memory", "sqlite", *(["postgres"] if POSTGRES else [])]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty store of each kind."""
    if request.param == "memory":
        database = await Database.memory()
    elif request.param == "sqlite":
        database = await Database.open(tmp_path / "state.db")
    else:
        await _emptied(POSTGRES)
        database = await Database.open(POSTGRES)
    yield database
    await database.close()


async def _emptied(url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
