"""The command that lets somebody in does, whatever the list holds already."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from engine.config.edit import set_text, value_of
from engine.config.effective import telegram_accounts
from engine.config.load import load
from engine.messages.unheard import FACTS, Unheard, let_in, way_in


@pytest.mark.parametrize(
    ("telegram", "account", "listed"),
    [
        ('{ botToken: "1:a" }', "default", ("666",)),
        ('{ botToken: "1:a", allowFrom: [] }', "default", ("666",)),
        ('{ botToken: "1:a", allowFrom: ["42"] }', "default", ("42", "666")),
        (
            '{ defaultAccount: "b", accounts: { b: { botToken: "1:a", allowFrom: ["42"] } } }',
            "b",
            ("42", "666"),
        ),
    ],
)
def test_the_command_adds_to_the_list(
    tmp_path: Path, telegram: str, account: str, listed: tuple[str, ...]
) -> None:
    *_, path, value = shlex.split(let_in("telegram", account, "666"))
    text = set_text(f"{{ channels: {{ telegram: {telegram} }} }}", path, value_of(value))
    config = load(tmp_path / "engine.json", {}, raw=text.encode()).config
    assert telegram_accounts(config)[account].allow_from == listed


@pytest.mark.parametrize("group", ["-1001234", "group:ABCD", "channel:7001"])
@pytest.mark.parametrize("groups", ["", ', groups: { "-5": {} }'])
def test_the_command_makes_a_group_heard(tmp_path: Path, group: str, groups: str) -> None:
    line = way_in(Unheard.GROUP_NOT_ALLOWED, "telegram", "default", "42", group=group)
    *_, path, value = shlex.split(line)
    text = f'{{ channels: {{ telegram: {{ botToken: "1:a"{groups} }} }} }}'
    raw = set_text(text, path, value_of(value)).encode()
    config = load(tmp_path / "engine.json", {}, raw=raw).config
    heard = set(telegram_accounts(config)["default"].groups or {})
    assert heard == {group, "-5"} if groups else {group}


def test_every_reason_has_words() -> None:
    assert set(FACTS) == set(Unheard)
    assert all(one.sentence and one.fix for one in Unheard)


def test_the_line_that_lets_somebody_in_takes_any_id_as_data() -> None:
    """A sender is called as their platform says: nothing of it is run by who pastes the line."""
    sender = "x\"' ; reboot #"
    *_, key, value = shlex.split(let_in("irc", "a b", sender))
    assert key == "channels.irc.accounts.a b.allowFrom[]"
    assert json.loads(value) == sender
