"""What the config makes of channels and accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.config.schema import Config
from engine.events import Bus
from engine.messages.address import Route
from engine.testing.clock import ManualClock
from gateway.channels import accounts, configured
from gateway.channels.attempts import refusal
from jobs.errors import ConfigInvalid
from jobs.store.db import Database


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
    assert not accounts.telegram_account("default", off, {}).token


def test_the_key_of_the_very_account_is_named(tmp_path: Path) -> None:
    telegram = config(tokenFile=str(tmp_path / "gone")).channels.telegram
    assert telegram is not None
    with pytest.raises(ConfigInvalid) as refusal:
        accounts.telegram_account("second", telegram, {})
    assert "channels.telegram.accounts.second.tokenFile" in str(refusal.value.fix)


def test_a_credential_file_is_a_regular_file_and_no_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("1:abc\n")
    link = tmp_path / "bot.token"
    link.symlink_to(tmp_path / "real")
    for path in (link, tmp_path):
        telegram = config(tokenFile=str(path)).channels.telegram
        assert telegram is not None
        with pytest.raises(ConfigInvalid, match="it is no regular file"):
            accounts.telegram_account("default", telegram, {})
    telegram = config(tokenFile=str(tmp_path / "real")).channels.telegram
    assert telegram is not None
    bot = accounts.telegram_account("default", telegram, {})
    assert (bot.token, bot.token_source) == ("1:abc", "file")


async def test_accounts_without_credentials_are_listed_and_not_started() -> None:
    found = Config.model_validate({"channels": {"telegram": {}, "qqbot": {"appId": "7"}}})
    clock, database = ManualClock(datetime(2026, 11, 20, tzinfo=UTC)), await Database.memory()
    made = configured.channels(found, database, {}, clock=clock, bus=Bus())
    for name in ("telegram", "qqbot"):
        channel = made[name]
        await channel.start(_nobody)
        (status,) = channel.status()
        assert (status.account_id, status.configured) == ("default", False)
        assert (status.runtime, status.token_source) == ("stopped", None)
        assert not channel.ready("default")
        assert (await channel.probe("default"))["ok"] is False
        route = Route(channel=name, account_id="default", to="42")
        assert refusal(route, channel) == "channel-not-ready"
        await channel.stop()
    await database.close()


async def _nobody(message: object) -> None:
    raise AssertionError(f"nobody wrote {message!r}")


@pytest.mark.parametrize(
    ("keys", "environ", "source"),
    [
        ({}, {"TELEGRAM_BOT_TOKEN": "1:env"}, "env"),
        ({"botToken": "1:config"}, {"TELEGRAM_BOT_TOKEN": "1:env"}, "config"),
    ],
)
def test_the_environment_speaks_for_the_default_account_where_the_config_is_silent(
    keys: dict[str, Any], environ: dict[str, str], source: str
) -> None:
    telegram = config(**keys).channels.telegram
    assert telegram is not None
    bot = accounts.telegram_account("default", telegram, environ)
    assert (bot.token, bot.token_source) == (f"1:{source}", source)
    other = telegram.model_copy(update={"bot_token": None})
    assert not accounts.telegram_account("work", other, environ).token


def test_a_qq_bot_may_be_named_by_the_environment_alone() -> None:
    qqbot = Config.model_validate({"channels": {"qqbot": {}}}).channels.qqbot
    assert qqbot is not None
    environ = {"QQBOT_APP_ID": "7", "QQBOT_CLIENT_SECRET": "s"}
    bot = accounts.qq_account("default", qqbot, environ)
    assert (bot.app_id, bot.client_secret, bot.token_source) == ("7", "s", "env")
    assert not accounts.qq_account("work", qqbot, environ).configured


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
