"""Thirty jobs that do everything a job can ask for, every second or so (cron.md §22)."""

from __future__ import annotations

import json
from typing import Any, Final

from engine.testing.telegram import TelegramStandIn
from jobs.policies import OVERLAPS

INBOX: Final = "local:inbox"
CHAT: Final = 42
COOLDOWN_MS: Final = 4000
ALARMED: Final = "failing"
WATCHED: Final = "watched"


def config(telegram: TelegramStandIn) -> str:
    """Return the config file: every kind of schedule, policy, payload and delivery."""
    return json.dumps(
        {
            "gateway": {"mode": "local"},
            "agents": {"defaults": {"heartbeat": {"every": "5s", "target": "last"}}},
            "channels": {
                "telegram": {
                    "botToken": telegram.token,
                    "apiRoot": telegram.root,
                    "allowFrom": [str(CHAT)],
                }
            },
            "cron": {"maxConcurrentRuns": 16, "jobs": jobs()},
        }
    )


def jobs() -> dict[str, dict[str, Any]]:
    """Return the jobs by their keys."""
    return {
        **_plain(),
        **_overlapping(),
        **_gated(),
        **_late(),
        **_troubled(),
        **_turns(),
    }


def _said(word: str) -> list[str]:
    """Return a command whose output is never the same twice."""
    return ["sh", "-c", f"echo {word} $(date +%s%N)"]


def _plain() -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {
        f"echo-{n}": {"schedule": f"every {n}s", "command": _said(f"echo-{n}"), "deliver": INBOX}
        for n in (1, 2, 3)
    }
    made["chat"] = {
        "schedule": "every 2s",
        "command": _said("chat"),
        "deliver": f"telegram:{CHAT}",
    }
    made["fields"] = {"schedule": "*/2 * * * * *", "command": ["true"], "tz": "Europe/Berlin"}
    made["wrapped"] = {"schedule": "5-50/3 * * * * *", "command": ["true"], "tz": "Asia/Kolkata"}
    made["minutely"] = {"schedule": "* * * * *", "command": _said("minute"), "deliver": INBOX}
    made["limited"] = {"schedule": "every 1s", "command": ["true"], "maxRuns": 12}
    made["daily-most"] = {"schedule": "every 1s", "command": ["true"], "maxRunsPerDay": 15}
    return made


def _overlapping() -> dict[str, dict[str, Any]]:
    return {
        f"over-{policy}": {
            "schedule": "every 1s",
            "command": ["sleep", "1.6"],
            "overlap": {"policy": policy, "max": 3},
        }
        for policy in OVERLAPS
    }


def _gated() -> dict[str, dict[str, Any]]:
    open_gate = {"command": ["true"]}
    return {
        "gate-open": {"schedule": "every 1s", "command": ["true"], "gate": open_gate},
        "gate-shut": {"schedule": "every 1s", "command": ["true"], "gate": {"command": ["false"]}},
        "gate-slow": {
            "schedule": "every 2s",
            "command": _said("slow-gate"),
            "gate": {"command": ["sleep", "0.7"]},
            "deliver": INBOX,
        },
        "gate-change": {
            "schedule": "every 1s",
            "command": _said("changed"),
            "gate": {"command": ["sh", "-c", "expr $(date +%s) / 5"], "on": "change"},
            "deliver": INBOX,
        },
    }


def _late() -> dict[str, dict[str, Any]]:
    return {
        "jitter": {"schedule": "every 3s", "command": ["true"], "jitterMs": 1500},
        "jitter-said": {
            "schedule": "every 2s",
            "command": _said("jitter"),
            "jitterMs": 900,
            "deliver": INBOX,
        },
        "after": {
            "schedule": "every 3s",
            "command": _said("after"),
            "after": {"job": "echo-2", "within": "6s"},
            "deliver": INBOX,
        },
        "after-never": {
            "schedule": "every 4s",
            "command": ["true"],
            "after": {"job": "gate-shut", "within": "3s"},
        },
        "all-missed": {
            "schedule": "every 1s",
            "command": ["true"],
            "misfire": {"policy": "run-all", "maxCatchUp": 5},
        },
        "none-missed": {
            "schedule": "every 1s",
            "command": ["true"],
            "misfire": {"policy": "skip"},
        },
    }


def _troubled() -> dict[str, dict[str, Any]]:
    alert = {"after": 2, "cooldownMs": COOLDOWN_MS, "channel": "local", "to": "inbox"}
    return {
        ALARMED: {
            "schedule": "every 1s",
            "command": ["false"],
            "failureAlert": alert,
            "retry": {"maxAttempts": 1, "backoffMs": [1000]},
        },
        "flapping": {
            "schedule": "every 1s",
            "command": ["sh", "-c", "test $(expr $(date +%s) / 6 % 2) = 0"],
            "failureAlert": {**alert, "after": 1},
            "retry": {"backoffMs": [1000]},
        },
        WATCHED: {
            "schedule": "every 1s",
            "command": ["true"],
            "gate": {"command": ["sh", "-c", "exit $(expr $(date +%s) / 10 % 2)"]},
            "expectWithin": "5s",
            "failureAlert": alert,
        },
    }


def _turns() -> dict[str, dict[str, Any]]:
    return {
        "turn": {"schedule": "every 2s", "message": "Say how it is.", "deliver": INBOX},
        "handed": {
            "schedule": "every 3s",
            "message": "What was said at {{scheduledFor}}?",
            "contextFrom": ["echo-1"],
            "deliver": INBOX,
        },
        "event": {"schedule": "every 4s", "systemEvent": "the kettle boils"},
    }
