from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner

from engine.cli.cron import policies as cron_policies
from engine.cli.cron.policies import asked
from jobs.edit import Rules, create
from jobs.errors import UsageError
from jobs.policies import KEYS, to_json

RULES = Rules(now=datetime(2026, 5, 5, 12, tzinfo=UTC))
JOB = {"name": "brief", "schedule": {"kind": "cron", "expr": "0 7 * * *"}, "message": "Sum up"}
WORDS = [
    "--misfire", "run-all", "--misfire-grace", "2h", "--overlap", "buffer-one", "--jitter", "5m",
    "--calendar", "holidays", "--calendar", "cn-trading", "--on-excluded", "next-allowed",
    "--until", "2026-12-01", "--max-runs", "9", "--max-runs-per-day", "2",
    "--active-hours", "defer",
    "--gate", "test -s inbox", "--gate-on-change", "--after", "backup", "--after-within", "90m",
    "--context-from", "disk", "--budget-tokens", "10000", "--budget-cost", "0.5",
    "--budget-model", "local/qwen3", "--must-finish-by", "08:30", "--expect-within", "26h",
    "--tag", "night", "--tag", "ops", "--failure-alert-after", "3", "--failure-alert-to", "42",
    "--failure-alert-channel", "telegram", "--failure-alert-cooldown", "2h",
    "--failure-alert-include-skipped",
]  # fmt: skip


def parsed(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def command(**given: Any) -> None:
        found.update(asked(given))

    for flag in (*cron_policies.FLAGS, *cron_policies.EDIT_FLAGS):
        command = flag(command)
    result = CliRunner().invoke(click.command()(command), words)
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return found


def test_every_flag_becomes_a_key_that_the_gateway_understands() -> None:
    job = create({**JOB, **parsed(*WORDS)}, RULES, job_id="j1")
    assert job.misfire.policy == "run-all"
    told = to_json(job.policies)
    assert KEYS - told.keys() == {"retry", "minRefireGapMs"}  # for the config and RPC
    assert told["gate"] == {
        "command": ["sh", "-lc", "test -s inbox"], "on": "change", "timeoutSeconds": 30.0,
    }  # fmt: skip
    assert told["failureAlert"]["cooldownMs"] == 7_200_000
    assert told["calendars"] == {"names": ["holidays", "cn-trading"], "onExcluded": "next-allowed"}


def test_nothing_asked_is_nothing_said() -> None:
    assert parsed() == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--failure-alert"], {"failureAlert": True}),
        (["--no-failure-alert"], {"failureAlert": False}),
        (["--clear-policy", "maxRuns", "--clear-policy", "gate"], {"maxRuns": None, "gate": None}),
    ],
)
def test_alerts_and_policies_are_switched_off_by_name(
    words: list[str], told: dict[str, Any]
) -> None:
    assert parsed(*words) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--clear-policy", "maxRun"], "--clear-policy maxRun was not understood"),
        (["--gate", "echo 'a"], "--gate was not understood"),
        (["--no-failure-alert", "--failure-alert-after", "2"], "not both"),
    ],
)
def test_flags_that_make_no_sense_are_refused(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parsed(*words)
