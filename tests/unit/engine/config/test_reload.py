"""What a running gateway does about a changed config: the table, row by row."""

from __future__ import annotations

import pytest

from engine.config.docs import keys
from engine.config.reload import TABLE, UNKNOWN, Action, Class, classify, diff, plan

ROWS = [
    ("channels.telegram.accounts.work.botToken", "hot", "restart-account"),
    ("channels.telegram.accounts.default.botToken", "hot", "restart-channel"),
    ("channels.telegram.dmPolicy", "hot", "restart-channel"),
    ("channels.defaults.groupPolicy", "hot", "restart-channel"),
    ("cron.jobs.brief.schedule", "hot", "re-arm-cron"),
    ("agents.defaults.heartbeat.every", "hot", "recompute-heartbeats"),
    ("agents.ops.heartbeat.every", "hot", "recompute-heartbeats"),
    ("agents.list", "hot", "recompute-heartbeats"),
    ("agents.defaults.model.primary", "hot", "swap-snapshot"),
    ("models.providers.x.baseUrl", "hot", "swap-snapshot"),
    ("bindings", "hot", "swap-snapshot"),
    ("messages.responsePrefix", "hot", "swap-snapshot"),
    ("session.dmScope", "hot", "swap-snapshot"),
    ("tools.deny", "hot", "swap-snapshot"),
    ("accessGroups.family.members", "hot", "swap-snapshot"),
    ("skills.load", "hot", "swap-snapshot"),
    ("hooks.token", "hot", "swap-snapshot"),
    ("commands.restart", "hot", "swap-snapshot"),
    ("logging.level", "hot", "swap-snapshot"),
    ("identity.name", "hot", "swap-snapshot"),
    ("ui.prefs", "hot", "swap-snapshot"),
    ("env.vars.A", "hot", "swap-snapshot"),
    ("secrets.providers.v.path", "hot", "resolve-secrets"),
    ("security.audit.suppressions", "none", "nothing"),
    ("gateway.reload.mode", "none", "nothing"),
    ("gateway.remote.url", "none", "nothing"),
    ("meta.lastTouchedAt", "none", "nothing"),
    ("$schema", "none", "nothing"),
    ("gateway.auth.token", "hot", "swap-auth"),
    ("gateway.auth.password", "hot", "swap-auth"),
    ("gateway.auth.rateLimit.windowMs", "hot", "swap-snapshot"),
    ("gateway.channelHealthCheckMinutes", "hot", "swap-snapshot"),
    ("gateway.channelStaleEventThresholdMinutes", "hot", "swap-snapshot"),
    ("gateway.channelMaxRestartsPerHour", "hot", "swap-snapshot"),
    ("gateway.http.endpoints.responses.enabled", "hot", "swap-snapshot"),
    ("gateway.controlPlane.writeLimit.max", "hot", "swap-snapshot"),
    ("gateway.port", "restart", "restart-gateway"),
    ("gateway.auth.mode", "restart", "restart-gateway"),
    ("discovery.mdns.mode", "restart", "restart-gateway"),
    ("canvasHost.port", "restart", "restart-gateway"),
    ("plugins.allow", "restart", "restart-gateway"),
    ("store.url", "restart", "restart-gateway"),
    ("somethingNew", "restart", "restart-gateway"),
]


@pytest.mark.parametrize(("path", "kind", "action"), ROWS)
def test_the_longest_prefix_decides(path: str, kind: str, action: str) -> None:
    row = classify(tuple(path.split(".")))
    assert (row.kind, row.action) == (kind, action)


def test_every_row_of_the_table_is_tried() -> None:
    tried = {classify(tuple(path.split("."))) for path, _, _ in ROWS}
    assert tried == {*TABLE, UNKNOWN}


def test_only_the_store_is_left_to_the_row_for_unknown_keys() -> None:
    roots = {path.split(".")[0].removesuffix("[]") for path, *_ in keys()}
    assert {root for root in roots if classify((root,)) == UNKNOWN} == {"store"}


def test_a_diff_names_leaves_and_takes_lists_whole() -> None:
    old = {"a": {"b": 1, "c": [1]}, "d": 1}
    new = {"a": {"b": 2, "c": [2]}, "e": {"f": {"g": 1}}}
    assert list(diff(old, new)) == [("a", "b"), ("a", "c"), ("d",), ("e", "f", "g")]


def test_a_new_account_restarts_only_itself() -> None:
    old = {"channels": {"telegram": {"accounts": {"a": {"botToken": "1"}}}}}
    new = {"channels": {"telegram": {"accounts": {"a": {"botToken": "1"}, "b": {"name": "B"}}}}}
    assert plan(old, new).actions == ((Action.ACCOUNT, "telegram/b"),)


def test_a_channel_restart_covers_its_accounts() -> None:
    old = {"channels": {"telegram": {"accounts": {"a": {"name": "x"}}}}}
    new = {"channels": {"telegram": {"dmPolicy": "open", "accounts": {"a": {"name": "y"}}}}}
    assert plan(old, new).actions == ((Action.CHANNEL, "telegram"),)


HOT = ({"cron": {"enabled": True}}, {"cron": {"enabled": False}})
COLD = ({"gateway": {"port": 1}}, {"gateway": {"port": 2}})


@pytest.mark.parametrize(
    ("mode", "hot", "cold"),
    [
        ("off", "Takes effect when the gateway starts.", "Takes effect when the gateway starts."),
        ("hot", "Applied live.", "Restart pending: gateway.port."),
        ("restart", "Restarting gateway.", "Restarting gateway."),
        ("hybrid", "Applied live.", "Restarting gateway."),
    ],
)
def test_the_mode_decides_what_a_change_does(mode: str, hot: str, cold: str) -> None:
    assert plan(*HOT, mode=mode).sentence == hot
    assert plan(*COLD, mode=mode).sentence == cold


def test_a_change_of_class_none_restarts_nothing_in_any_mode() -> None:
    for mode in ("off", "hot", "restart", "hybrid"):
        found = plan({"meta": {"x": 1}}, {"meta": {"x": 2}}, mode=mode)
        assert not found.restart
        assert found.changes[0].kind is Class.NONE
