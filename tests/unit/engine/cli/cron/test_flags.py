from __future__ import annotations

from typing import Any

import pytest

from engine.cli.cron.flags import new_job, patch
from jobs.errors import UsageError


def test_a_schedule_and_a_message_by_position_make_a_job() -> None:
    job = new_job({}, "0 7 * * *", "Good morning")
    assert job["schedule"] == {"kind": "cron", "expr": "0 7 * * *"}
    assert job["payload"] == {"kind": "agentTurn", "message": "Good morning"}


def test_flags_become_the_fields_of_a_job() -> None:
    job = new_job(
        {
            "every": "10m",
            "command_argv": '["df", "-h"]',
            "command_env": ("A=1", "B=x=y"),
            "timeout_seconds": 5.0,
            "agent_id": "ops",
            "channel": "telegram",
            "to": "42",
            "thread_id": "7",
            "announce": True,
            "disabled": True,
            "delete_after_run": True,
        },
        None,
        None,
    )
    assert job == {
        "agentId": "ops",
        "deleteAfterRun": True,
        "enabled": False,
        "schedule": {"kind": "every", "everyMs": "10m"},
        "payload": {
            "kind": "command",
            "argv": ["df", "-h"],
            "env": {"A": "1", "B": "x=y"},
            "timeoutSeconds": 5.0,
        },
        "delivery": {"mode": "announce", "channel": "telegram", "to": "42", "threadId": "7"},
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"at": "20m", "every": "1h", "message": "x"}, "Choose exactly one schedule"),
        ({"message": "x"}, "Choose exactly one schedule"),
        ({"every": "1h"}, "Choose exactly one payload"),
        ({"every": "1h", "message": "x", "command": "y"}, "Choose exactly one payload"),
        ({"every": "1h", "message": "x", "stagger": "5m", "exact": True}, "Use --stagger or"),
        ({"every": "1h", "tz": "UTC", "message": "x"}, "--tz is only valid with"),
        ({"every": "1h", "message": "x", "webhook": "http://a", "channel": "b"}, "--webhook"),
        ({"every": "1h", "message": "x", "webhook": "http://a", "to": "b"}, "--webhook"),
        ({"every": "30", "message": "x"}, r"Invalid --every\. Use a duration like 10m, 1h, or 1d"),
        ({"every": "1h", "system_event": "x", "timeout_seconds": 1.0}, "--timeout-seconds"),
        ({"every": "1h", "message": "x", "on_exit": "make"}, "--on-exit: .* not supported yet"),
        ({"every": "1h", "message": "x", "trigger_script": "1"}, "not supported yet"),
        ({"every": "1h", "message": "x", "deliver": True, "no_deliver": True}, "--deliver or"),
        ({"every": "1h", "command_argv": "df -h"}, "--command-argv was not understood"),
        ({"every": "1h", "command": "x", "command_env": ("A",)}, "write NAME=VALUE"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        new_job(given, None, None)


def test_a_patch_says_only_what_was_said_and_clears_with_null() -> None:
    given = {"clear_model": True, "clear_agent": True, "to": "42", "enable": True}
    assert patch(given) == {
        "agentId": None,
        "enabled": True,
        "payload": {"model": None},
        "delivery": {"to": "42"},
    }


def test_the_flags_of_newer_clients_are_kept_and_the_older_word_for_announce_is_understood() -> (
    None
):
    job = new_job({"every": "1h", "message": "x", "pacing_min": "5m", "deliver": True}, None, None)
    assert (job["pacing"], job["delivery"]) == ({"min": "5m"}, {"mode": "announce"})
    assert patch({"clear_pacing": True}) == {"pacing": None}


def test_an_empty_patch_and_a_set_with_its_clear_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing to change"):
        patch({})
    with pytest.raises(UsageError, match="Use --model or --clear-model, not both"):
        patch({"model": "a/b", "clear_model": True})
