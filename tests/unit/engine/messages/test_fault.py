"""What a person is told to do about a fault: a line for the very account, where it is known."""

from __future__ import annotations

import pytest

from engine.messages.fault import remedy


@pytest.mark.parametrize(
    ("kind", "channel", "account", "said"),
    [
        ("account-mismatch", "qqbot", "one", "engine channels routes --channel qqbot"),
        (
            "address-refused",
            "webhook",
            "mine",
            "engine config set channels.webhook.accounts.mine.allowPrivate true",
        ),
        (
            "address-refused",
            "webhook",
            "jobs",
            "engine config set cron.webhookSsrfPolicy.allowedHostnames '[\"HOST\"]'",
        ),
        ("not-found", "apprise", "phone", "engine channels status"),
        ("not-found", "telegram", "", "in the chat: write to the bot once"),
        ("auth", "qqbot", "two", "engine config set channels.qqbot.accounts.two.clientSecret NEW"),
    ],
)
def test_what_mends_it_is_named_for_the_channel_and_account(
    kind: str, channel: str, account: str, said: str
) -> None:
    assert remedy(kind, channel, account).startswith(said)
