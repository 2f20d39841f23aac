"""The desk of a home whose gateway is down, for the few commands that write then (cron.md §11.2).

It holds the gateway's lock while it writes, so that no gateway can start in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.cli import at_rest
from engine.cli.holding import hold
from engine.cli.place import Place
from engine.clock import SystemClock
from engine.config.jobs import rules_of
from engine.config.load import Loaded
from engine.scheduling.importing import Imports
from gateway import settings
from jobs.codec import stored_to_wire
from jobs.errors import Conflict
from jobs.model import Source, StoredJob
from jobs.store import jobs as job_rows
from jobs.store.base import JobQuery
from jobs.store.db import Database


async def bring_in(place: Place, params: Mapping[str, Any]) -> dict[str, Any]:
    """`cron.import` without a gateway; raises `OwnershipRefused` if one holds the home."""
    loaded = at_rest.loaded(place)
    if params.get("dryRun"):
        database = await at_rest.opened(place, loaded)
        return await _closing(place, loaded, database, params)
    with hold(place, SystemClock().now()):
        database = await settings.open_database(loaded.config, place.paths)
        return await _closing(place, loaded, database, params)


async def listing(place: Place) -> tuple[list[dict[str, Any]], list[str]]:
    """Every cron job of the home in its wire shape, and the ids of those nobody can read."""
    database = await at_rest.opened(place, at_rest.loaded(place))
    try:
        query = JobQuery(enabled=None, sort="name")
        page = await database.read(lambda tx: job_rows.select(tx, query))
    finally:
        await database.close()
    return [stored_to_wire(stored) for stored in page.jobs], list(page.unreadable)


async def _closing(
    place: Place, loaded: Loaded, database: Database, params: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return await brought(place, loaded, database, params)
    finally:
        await database.close()


async def brought(
    place: Place, loaded: Loaded, database: Database, params: Mapping[str, Any]
) -> dict[str, Any]:
    """`cron.import` into a store that is open; whoever opened it holds its home."""
    imports = Imports(
        database=database,
        clock=SystemClock(),
        rules=lambda now: rules_of(loaded.config, now, place.zone),
        refuse_owned=_refuse_owned,
        tell=lambda _told: None,  # nobody listens: the next gateway reads it from the store
    )
    return await imports.bring_in(params, by="cli")


def _refuse_owned(stored: StoredJob) -> None:
    if stored.job.source in (Source.CONFIG, Source.SYSTEM):
        raise Conflict(
            f"job {stored.job.id} was not imported",
            why=f"it belongs to the {stored.job.source}",
            fix="change it in the config",
        )
