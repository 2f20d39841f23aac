"""The words beside an account of `engine channels status` (channels.md §12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.cli.channels.commands import account_rows, show
from engine.cli.channels.notes import notes
from jobs.wallclock import ms

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ({}, ""),
        ({"tokenSource": "env"}, "token:env"),
        ({"tokenSource": "file", "allow": "*"}, "token:file · allow:*"),
        ({"tokenExpiresInMs": 7_140_000, "resumable": True}, "token good for 1h59m · resumable"),
        ({"resumable": False}, ""),
        ({"retryAt": ms(NOON + timedelta(seconds=30))}, "next try in 30s"),
        ({"quota": {"left": 3, "perDay": 20}}, "3 of 20 unasked left today"),
        ({"waiting": 2, "queued": 3}, "2 in line · 3 to send"),
        ({"waiting": 0, "queued": 0}, ""),
        (
            {"lastDrop": {"reason": "blocked", "atMs": ms(NOON - timedelta(minutes=2))}},
            "last drop: blocked 2m ago",
        ),
        (
            {"lastDrop": {"reason": "group-not-allowed", "chat": "-100", "atMs": ms(NOON)}},
            "last drop: group-not-allowed (-100) now",
        ),
        (
            {"restarts": 2, "restartedAt": ms(NOON), "restartsUsedUp": True},
            "restarted 2 times this hour, now, no more this hour",
        ),
        ({"mode": "webhook", "note": "said at start"}, "webhook · said at start"),
    ],
)
def test_what_is_known_is_said_in_a_few_words(account: dict[str, Any], words: str) -> None:
    assert notes(account, NOON) == words


def test_the_account_that_sends_by_default_is_marked_where_there_are_several() -> None:
    def row(ident: str) -> dict[str, Any]:
        return {"accountId": ident, "connected": True, "runtime": "connected"}

    answer = {
        "channelOrder": ["qqbot"],
        "channels": {"qqbot": {"configured": True}},
        "channelAccounts": {"qqbot": [row("a"), row("b")]},
        "channelDefaultAccountId": {"qqbot": "b"},
    }
    told = [row[-1] for row in account_rows(answer, NOON, noted=True)]
    assert told == ["", "default"]
    answer["channelAccounts"] = {"qqbot": [row("b")]}
    assert [row[-1] for row in account_rows(answer, NOON, noted=True)] == [""]


def test_an_account_without_credentials_is_called_so() -> None:
    answer = {
        "channelOrder": ["telegram"],
        "channels": {"telegram": {"configured": False}},
        "channelAccounts": {
            "telegram": [{"accountId": "default", "configured": False, "runtime": "stopped"}]
        },
    }
    (told,) = account_rows(answer, NOON)
    assert told[:3] == ["telegram", "default", "not-configured"]


def test_an_account_that_is_guessed_is_warned_of_below_the_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show({"channels": {}, "warnings": ["channels.qqbot: multiple accounts are configured"]})
    assert capsys.readouterr().out.splitlines()[-1] == (
        "warning: channels.qqbot: multiple accounts are configured"
    )
