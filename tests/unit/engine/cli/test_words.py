"""The options that may stand anywhere."""

from __future__ import annotations

import pytest

from engine.cli.words import joined, split


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        (["--dev", "status"], {"dev": ""}, ["status"]),
        (["cron", "--profile", "night", "list"], {"profile": "night"}, ["cron", "list"]),
        (["status", "--profile=night"], {"profile": "night"}, ["status"]),
        (["cron", "add", "--", "--dev"], {}, ["cron", "add", "--", "--dev"]),
        (["status", "--profile"], {"profile": ""}, ["status"]),
        (["status", "--json"], {}, ["status", "--json"]),
    ],
)
def test_global_options_are_taken_out_wherever_they_stand(
    words: list[str], options: dict[str, str], rest: list[str]
) -> None:
    assert split(words) == (options, rest)


def test_what_was_taken_apart_is_put_together_again() -> None:
    options, rest = split(["heartbeat", "--profile", "night", "--no-color", "last"])
    assert split(joined(options, rest)) == (options, rest)
