"""The flags of `cron add` and `cron edit` for what a job asks of its scheduler (cron.md §22)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from engine.cli import complete
from jobs.errors import UsageError
from jobs.policies import KEYS, OVERLAPS

Given = Mapping[str, Any]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_POSITIVE: Final = click.IntRange(min=1)
FLAGS: Final[Sequence[Decorator]] = (
    click.option("--misfire", metavar="POLICY", help="Missed slots: run-once, skip or run-all."),
    click.option("--misfire-grace", metavar="SPAN", help="How late a missed slot may still run."),
    click.option("--overlap", type=click.Choice(OVERLAPS), help="While the run before goes on."),
    click.option("--jitter", metavar="SPAN", help="Start up to this late, by chance."),
    click.option(
        "--calendar",
        "calendars",
        metavar="NAME",
        multiple=True,
        help="Repeat it.",
        shell_complete=complete.calendars,
    ),
    click.option("--on-excluded", type=click.Choice(["skip", "next-allowed", "previous-allowed"])),
    click.option("--until", metavar="WHEN", help="No slot after this."),
    click.option("--max-runs", type=_POSITIVE, help="Over after this many runs."),
    click.option("--max-runs-per-day", type=_POSITIVE),
    click.option("--active-hours", type=click.Choice(["skip", "defer"]), help="The agent's."),
    click.option("--gate", metavar="LINE", help="A shell line: exit 0 runs the job, 1 skips it."),
    click.option("--gate-on-change", is_flag=True, help="Only if the gate prints something new."),
    click.option(
        "--after",
        metavar="JOB",
        help="Only after that job has succeeded.",
        shell_complete=complete.jobs,
    ),
    click.option("--after-within", metavar="SPAN", help="How long before, and how long to wait."),
    click.option(
        "--context-from",
        metavar="JOB",
        multiple=True,
        help="Its output joins the text.",
        shell_complete=complete.jobs,
    ),
    click.option("--budget-tokens", type=_POSITIVE, help="Tokens a day."),
    click.option("--budget-cost", type=click.FloatRange(min=0), help="US dollars a day."),
    click.option("--budget-model", metavar="MODEL", help="Answers when the budget is spent."),
    click.option("--must-finish-by", metavar="WHEN", help="08:30, or 45m after the slot."),
    click.option("--expect-within", metavar="SPAN", help="Alarm without a success for so long."),
    click.option("--tag", "tags", metavar="TAG", multiple=True, help="Repeat it."),
    click.option("--failure-alert/--no-failure-alert", default=None, help="Tell of failures."),
    click.option("--failure-alert-after", type=_POSITIVE, help="Failures in a row before it."),
    click.option("--failure-alert-cooldown", metavar="SPAN", help="Shortest time between two."),
    click.option("--failure-alert-channel", metavar="NAME"),
    click.option("--failure-alert-to", metavar="PEER"),
    click.option("--failure-alert-account-id", metavar="ID"),
    click.option("--failure-alert-mode", type=click.Choice(["announce", "webhook"])),
    click.option(
        "--failure-alert-include-skipped/--failure-alert-exclude-skipped",
        default=None,
        help="Count skips too.",
    ),
)  # fmt: skip
EDIT_FLAGS: Final[Sequence[Decorator]] = (
    click.option(
        "--clear-policy",
        "clear_policies",
        metavar="KEY",
        multiple=True,
        help="Ask no more for: maxRuns, gate, after, tags, …; repeat it.",
    ),
)
_PLAIN: Final = {
    "overlap": "overlap",
    "jitter": "jitter",
    "until": "until",
    "max_runs": "maxRuns",
    "max_runs_per_day": "maxRunsPerDay",
    "active_hours": "respectActiveHours",
    "must_finish_by": "mustFinishBy",
    "expect_within": "expectWithin",
}
_ALERT: Final = {
    "failure_alert_after": "after",
    "failure_alert_cooldown": "cooldown",
    "failure_alert_channel": "channel",
    "failure_alert_to": "to",
    "failure_alert_account_id": "accountId",
    "failure_alert_mode": "mode",
    "failure_alert_include_skipped": "includeSkipped",
}
_GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "misfire": {"misfire": "policy", "misfire_grace": "grace"},
    "after": {"after": "job", "after_within": "within"},
    "budget": {
        "budget_tokens": "tokensPerDay",
        "budget_cost": "costPerDay",
        "budget_model": "fallbackModel",
    },
}


def asked(given: Given) -> dict[str, Any]:
    """Return the policies that the flags describe, in the words of the wire."""
    job: dict[str, Any] = {}
    for key in given.get("clear_policies") or ():
        if key not in KEYS:
            raise UsageError(
                f"--clear-policy {key} was not understood",
                fix=f"name one of: {', '.join(sorted(KEYS))}",
            )
        job[key] = None
    job |= {key: given[flag] for flag, key in _PLAIN.items() if given.get(flag) is not None}
    for group, flags in _GROUPS.items():
        if found := _of(given, flags):
            job[group] = found
    if found := _calendars(given):
        job["calendars"] = found
    for flag, key in (("context_from", "contextFrom"), ("tags", "tags")):
        if given.get(flag):
            job[key] = list(given[flag])
    if found := _gate(given):
        job["gate"] = found
    if (alert := _alert(given)) is not None:
        job["failureAlert"] = alert
    return job


def _of(given: Given, flags: Mapping[str, str]) -> dict[str, Any]:
    return {key: given[flag] for flag, key in flags.items() if given.get(flag) is not None}


def _calendars(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.get("calendars"):
        found["names"] = list(given["calendars"])
    if given.get("on_excluded"):
        found["onExcluded"] = given["on_excluded"]
    return found


def _gate(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.get("gate"):
        line = given["gate"]
        try:
            shlex.split(line)
        except ValueError as error:
            raise UsageError(
                "--gate was not understood", why=str(error), fix="close the quotes"
            ) from error
        found["command"] = ["sh", "-lc", line]
    if given.get("gate_on_change"):
        found["on"] = "change"
    return found


def _alert(given: Given) -> dict[str, Any] | bool | None:
    rule = _of(given, _ALERT)
    if given.get("failure_alert") is False:
        if rule:
            raise UsageError(
                "Use --failure-alert or --no-failure-alert, not both",
                fix="leave one of them out",
            )
        return False
    if rule:
        return rule
    return True if given.get("failure_alert") else None
