"""`engine cron plan`, `adopt`, `eject`: jobs of the config, before they are applied and after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli import complete
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import show_table, stamp
from engine.clock import SystemClock
from jobs.wallclock import zone

if TYPE_CHECKING:
    from engine.config.load import Loaded
    from jobs.store.db import Tx

_SIGNS: Final = {"add": "+", "update": "~", "revive": "+", "disable": "-", "delete": "-"}


@click.command(epilog="Example: engine cron plan --config new.json --check")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Instead of the home's.")
@click.option("--check", is_flag=True, help="Status 1 if anything would change.")
@gateway_options()
def plan(line: Line, file: Path | None, check: bool) -> int:
    """What the config would change about the stored jobs, and when they would run.

    Nothing is changed; no gateway is needed.
    """
    from engine.cli.at_rest import read

    now = SystemClock().now()
    other = _other(line, file)
    told = read(line.place, lambda tx, config: _planned(tx, other or config, line, now))
    line.show(told, lambda answer: _words(answer, line))
    return 1 if check and told["changes"] else 0


def _other(line: Line, file: Path | None) -> Loaded | None:
    if file is None:
        return None
    from engine.config.load import load

    return load(file, line.place.environ, state=line.place.paths.state)


def _planned(tx: Tx, config: Loaded, line: Line, now: datetime) -> dict[str, Any]:
    from engine.scheduling.planning import planned

    told = planned(tx, config.config, now=now, host_zone=line.place.zone)
    return {"file": str(config.path), **told}


def _words(told: Mapping[str, Any], line: Line) -> str:
    changes = told["changes"]
    for key in told["adopted"]:
        click.echo(f"note: cron.jobs.{key} was adopted at run time; remove it", err=True)
    for one in told["remarks"]:
        click.echo(f"warning: cron.jobs.{one['key']}: {one['text']}", err=True)
    if not changes:
        return f"No changes; {told['unchanged']} jobs stay as they are."
    where = zone(line.place.zone)
    rows = [
        [
            f"{_SIGNS[change['act']]} {change['act']}",
            change["key"],
            ", ".join(stamp(at, where) for at in change["next"]) or "-",
        ]
        for change in changes
    ]
    show_table(("CHANGE", "JOB", f"NEXT ({where.key})"), rows, keep=1)
    return f"{len(changes)} changes; {told['unchanged']} jobs stay as they are."


@click.command(epilog="Example: engine cron adopt morning")
@click.argument("key")
@gateway_options()
def adopt(line: Line, key: str) -> None:
    """Take a job of the config over at run time, with its history; then it can be edited."""
    answer = line.call("cron.adopt", {"id": key})
    line.show(answer, lambda told: f"Adopted {told['name']}. Now remove it from the config.")


@click.command(epilog="Example: engine cron eject report >> jobs.json5")
@click.argument("job", shell_complete=complete.jobs)
@gateway_options()
def eject(line: Line, job: str) -> None:
    """Print a job as the entry that declares it in the config."""
    from engine.config import json5
    from jobs.exporting import config

    stored = line.call("cron.get", {"id": job, "reveal": True})
    entry = {"cron": {"jobs": config.entries([stored])}}
    click.echo(dumped(entry) if line.as_json else json5.render(entry))


COMMANDS: Final = (plan, adopt, eject)
