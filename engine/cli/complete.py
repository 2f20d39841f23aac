"""What tab completion offers besides commands: jobs, calendars, zones, config keys. Quick."""

from __future__ import annotations

import click

from engine.cli import offline
from engine.cli.app import here
from jobs.errors import EngineError


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's promise
    """Names, and ids where a name fits several; nothing where the store cannot be read."""
    try:
        file = offline.database(here(ctx).paths)
        known = [] if file is None else offline.job_names(file)
    except EngineError:
        return []
    return [one for one in known if one.startswith(incomplete)]


def calendars(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's promise
    """The names of `cron.calendars`."""
    cron = here(ctx).values.get("cron")
    known = cron.get("calendars") if isinstance(cron, dict) else None
    return [one for one in known if one.startswith(incomplete)] if isinstance(known, dict) else []


def zones(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's promise
    """The zones of the tz database, however their letters are written."""
    from zoneinfo import available_timezones

    begun = incomplete.casefold()
    return sorted(one for one in available_timezones() if one.casefold().startswith(begun))


def config_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's promise
    """The keys of the config's schema."""
    from engine.config.docs import keys

    return [path for path, *_ in keys() if path.startswith(incomplete)]
