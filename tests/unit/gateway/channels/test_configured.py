"""What the config makes of channels and accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.address import Route
from engine.config.schema import Config
from gateway.channels import accounts, configured
from jobs.errors import ConfigInvalid


def config(**telegram: Any) -> Config:
    return Config.model_validate({"channels": {"telegram": telegram}})


def test_a_bot_whose_token_file_is_gone_stops_the_start_in_words(tmp_path: Path) -> None:
    gone = tmp_path / "bot.token"
    config = Config.model_validate({"channels": {"telegram": {"tokenFile": str(gone)}}})
    telegram = config.channels.telegram
    assert telegram is not None
    with pytest.raises(ConfigInvalid, match=rf"tokenFile {gone} cannot be read: No such file"):
        accounts.telegram_account("default", telegram, {})
    off = telegram.model_copy(update={"enabled": False})
    assert accounts.telegram_account("default", off, {}) is None


@pytest.mark.parametrize(
    ("keys", "again"),
    [
        ({"onUnknown": "resend"}, True),
        ({"accounts": {"work": {"onUnknown": "resend"}}}, True),
        ({"onUnknown": "resend", "accounts": {"work": {"onUnknown": "keep"}}}, False),
        ({"onUnknown": "resend", "accounts": {"work": {}}}, True),
        ({"accounts": {"work": {}}}, False),
    ],
)
def test_an_account_says_itself_whether_the_unknown_is_sent_again(
    keys: dict[str, Any], again: bool
) -> None:
    name = "work" if "accounts" in keys else "default"
    route = Route(channel="telegram", account_id=name, to="42")
    assert configured.resends(config(botToken="1:a", **keys), route) is again


def test_nobody_talks_through_an_account_nobody_configured() -> None:
    found = config(botToken="1:a", dmPolicy="open", allowFrom=["*"])
    assert configured.talk_policy(found, "telegram", "default").dm == "open"
    assert configured.talk_policy(found, "telegram", "other").dm == "disabled"
    assert configured.talk_policy(found, "local", "default").dm == "disabled"


def test_the_default_of_all_channels_holds_where_a_channel_says_nothing_about_groups() -> None:
    def group(**telegram: Any) -> str:
        found = Config.model_validate(
            {"channels": {"defaults": {"groupPolicy": "open"}, "telegram": telegram}}
        )
        return configured.talk_policy(found, "telegram", "default").group

    assert group() == "open"
    assert group(groupPolicy="disabled") == "disabled"
    assert configured.talk_policy(config(), "telegram", "default").group == "allowlist"
