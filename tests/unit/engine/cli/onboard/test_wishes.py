"""What is wished for, as edits of the config, lines of `.env`, and what beats come to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.cli.onboard.files import all_or_nothing
from engine.cli.onboard.wishes import (
    BeatWish,
    ChannelWish,
    ModelWish,
    Wishes,
    applied,
    cost,
    owner_of,
    secret,
)
from engine.config import json5
from jobs.errors import UsageError


def values(text: str) -> object:
    return json5.parse(text).root.plain()


def test_what_is_wished_stands_in_the_config_and_comments_stay() -> None:
    text = '{\n  // mine\n  gateway: { mode: "local" },\n}\n'
    wishes = Wishes(
        model=ModelWish(
            provider="openai", model="m", base_url="https://x/v1", key=secret("k", "K", plain=False)
        ),
        channel=ChannelWish(name="telegram", fields={"allowFrom": ["7"]}, owner="7"),
        beat=BeatWish(every="1h", hours=("08:00", "22:00")),
    )
    made = applied(wishes, text, {"gateway": {"mode": "local"}})
    assert "// mine" in made
    assert values(made) == {
        "gateway": {"mode": "local"},
        "models": {"providers": {"openai": {"baseUrl": "https://x/v1", "apiKey": "${K}"}}},
        "agents": {
            "defaults": {
                "model": {"primary": "openai/m"},
                "heartbeat": {
                    "every": "1h",
                    "target": "last",
                    "activeHours": {"start": "08:00", "end": "22:00"},
                },
            }
        },
        "channels": {"telegram": {"allowFrom": ["7"]}},
    }
    assert applied(wishes, made, {"gateway": {"mode": "local"}}) == made  # twice is once


def test_an_agent_of_another_name_is_the_one_that_answers() -> None:
    made = applied(Wishes(agent="ops"), "{}", {})
    assert values(made) == {
        "gateway": {"mode": "local"},
        "agents": {"list": [{"id": "ops", "default": True}]},
    }


@pytest.mark.parametrize(
    ("answer", "plain", "written", "env"),
    [
        ("sk-1", False, "${KEY}", {"KEY": "sk-1"}),
        ("sk-1", True, "sk-1", {}),
        ("env:MINE", False, "${MINE}", {}),
        (
            "ref:file:vault:/a/b",
            False,
            {"source": "file", "provider": "vault", "id": "/a/b"},
            {},
        ),
    ],
)
def test_a_secret_stands_where_it_was_wished(
    answer: str, plain: bool, written: object, env: dict[str, str]
) -> None:
    kept = secret(answer, "KEY", plain=plain)
    assert (kept.written, kept.env) == (written, env)
    assert "sk-1" not in repr(kept)


@pytest.mark.parametrize("answer", ["ref:keyring:a:b", "ref:env::X", "ref:env"])
def test_a_reference_that_is_none_is_refused(answer: str) -> None:
    with pytest.raises(UsageError, match="no reference"):
        secret(answer, "KEY", plain=False)


@pytest.mark.parametrize(
    ("agents", "minutes", "hours", "calls"),
    [
        (1, 30, None, 48),
        (7, 30, None, 336),
        (1, 60, (480, 1320), 14),
        (1, 60, (1320, 360), 8),
        (2, 0, None, 0),
        (1, 2880, None, 1),
    ],
)
def test_what_beats_come_to_in_a_day(
    agents: int, minutes: int, hours: tuple[int, int] | None, calls: int
) -> None:
    assert cost(agents, timedelta(minutes=minutes), hours, free=False).calls == calls


def test_the_owner_is_the_first_who_is_let_in_by_name() -> None:
    channels = {"telegram": {"allowFrom": ["*"]}, "qqbot": {"allowFrom": ["AB12"]}}
    assert owner_of({"channels": channels}) == "qqbot:c2c:AB12"
    assert owner_of({}) is None


def test_who_is_interrupted_while_files_are_written_has_the_old_ones(tmp_path: Path) -> None:
    old, new = tmp_path / ".env", tmp_path / "engine.json"
    old.write_text("A=1\n")

    def interrupted() -> None:
        with all_or_nothing(old, new):
            old.write_text("A=2\n")
            new.write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert old.read_text() == "A=1\n"
    assert not new.exists()
