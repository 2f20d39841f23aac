"""A new job, judged at home: where no gateway answers, a bad one is refused as bad (§16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.cli import at_rest
from engine.cli.ask import Line
from engine.clock import SystemClock
from jobs.errors import EngineError

if TYPE_CHECKING:
    from jobs.edit import Rules


def refuse_bad(line: Line, job: Mapping[str, Any]) -> None:
    """Raise what the gateway of this home would say against a job; nothing if it may be added."""
    if (rules := _rules(line)) is None:
        return
    from jobs import edit

    edit.create(job, rules, job_id="new")


def zone_of(line: Line) -> str:
    """Return the zone jobs have there that name none."""
    rules = _rules(line)
    return line.place.zone if rules is None else rules.default_tz


def _rules(line: Line) -> Rules | None:
    """What the config of this home asks of jobs; None of another's, or if it cannot be read."""
    if not line.at_home:
        return None
    from engine.config.jobs import rules_of

    try:
        config = at_rest.loaded(line.place).config
    except EngineError:
        return None
    return rules_of(config, SystemClock().now(), line.place.zone)
