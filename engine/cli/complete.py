"""What tab completion offers besides commands: jobs and config keys of this home. Quick."""

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


def config_keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's promise
    """The keys of the config's schema."""
    from engine.config.docs import keys

    return [path for path, *_ in keys() if path.startswith(incomplete)]
