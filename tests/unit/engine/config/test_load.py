"""From files to a Config, or to a refusal that names every line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.config.load import Loaded, environment, load
from jobs.errors import ConfigInvalid


def loaded(tmp_path: Path, text: str, **env: str) -> Loaded:
    path = tmp_path / "engine.json"
    path.write_text(text)
    return load(path, env, home=tmp_path)


def issues(tmp_path: Path, text: str, **env: str) -> list[dict[str, Any]]:
    with pytest.raises(ConfigInvalid) as caught:
        loaded(tmp_path, text, **env)
    found = caught.value.detail["issues"]
    assert isinstance(found, list)
    return found


def only(tmp_path: Path, text: str, **env: str) -> dict[str, Any]:
    found = issues(tmp_path, text, **env)
    assert len(found) == 1, found
    return found[0]


def test_a_missing_file_is_the_defaults(tmp_path: Path) -> None:
    found = load(tmp_path / "engine.json", {})
    assert not found.exists
    assert found.config.gateway.bind == "loopback"
    assert found.config.agents.defaults.max_concurrent == 4


def test_the_refusal_is_the_block_of_the_specification(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        loaded(
            tmp_path,
            "{\n  // comment\n    prot: 1,\n  agents: { defaults: {\n"
            '    heartbeat: { every: "30x" } } },\n}',
        )
    assert str(caught.value) == (
        "engine config is invalid: ~/engine.json\n"
        '  × engine.json:3:5    unknown key "prot"\n'
        '  × engine.json:5:25   agents.defaults.heartbeat.every: invalid duration "30x"'
        " (use 500ms, 30s, 30m, 2h, 1d, or a sum such as 1h30m)\n"
        "Nothing was changed. Fix the lines above, or run: engine doctor --fix"
    )
    assert caught.value.exit_status == 78


TWO_BELLS = (
    '{channels: {telegram: {botToken: "1:a", webhookUrl: "https://x/", webhookSecret: "a",'
    ' accounts: {b: {botToken: "2:b", webhookUrl: "https://y/", webhookSecret: "b"}}}}}'
)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("runs", 'unknown key "runs" — did you mean "runsPerDay"?'),
        ("hard", 'unknown key "hard" (known here: tokensPerDay, costPerDay, runsPerDay, '),
    ],
)
def test_an_unknown_key_far_from_any_is_told_with_those_there_are(
    tmp_path: Path, key: str, told: str
) -> None:
    row = only(tmp_path, f"{{agents: {{defaults: {{heartbeat: {{budget: {{{key}: 1}}}}}}}}}}")
    assert row["message"].startswith(told)


def test_an_unknown_key_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    row = only(tmp_path, "{\n  gateway: { prot: 1 } }")
    assert row == {
        "path": "gateway.prot",
        "message": 'unknown key "prot" — did you mean "port"?',
        "code": "unknown-key",
        "file": "engine.json",
        "line": 2,
        "column": 14,
        "suggestion": "port",
    }


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ('{gateway: {port: "x"}}', "gateway.port", 'expected a whole number, got "x"'),
        ("{gateway: {port: 70000}}", "gateway.port", "65535"),
        ('{gateway: {bind: "0.0.0.0"}}', "gateway.bind", 'write "lan"'),
        (
            "{cron: {retry: {backoffMs: [1000000000000000000]}}}",
            "cron.retry.backoffMs[0]",
            "3162240000000",
        ),
        ("{cron: {retry: {maxAttempts: 11}}}", "cron.retry.maxAttempts", "10"),
        (
            "{cron: {retry: {backoffMs: []}}}",
            "cron.retry.backoffMs",
            "expected 1 to 10 entries, got 0",
        ),
        ("{cron: {minRefireGapMs: 1000000000000000000}}", "cron.minRefireGapMs", "3162240000000"),
        ("{cron: {enabled: 1}}", "cron.enabled", "expected true or false, got 1"),
        ("{agents: {list: {}}}", "agents.list", "expected a list, got an object"),
        ("{agents: {list: [{}]}}", "agents.list[0]", 'required key "id" is missing'),
        ('{agents: {list: [{id: "a b"}]}}', "agents.list[0].id", "is not an id"),
        ('{agents: {list: [{id: "a"}, {id: "A"}]}}', "agents.list[1].id", "used twice"),
        ('{gateway: {token: "x"}}', "gateway.token", "moved to gateway.auth.token"),
        ('{gateway: {auth: {token: "***"}}}', "gateway.auth.token", "not a secret"),
        ('{gateway: {bind: "custom"}}', "gateway.bind", "customBindHost"),
        ('{cron: {tz: "Asia/Beijing"}}', "cron.tz", 'unknown time zone "Asia/Beijing"'),
        ('{bindings: [{agentId: "x", match: {channel: "tg"}}]}', "bindings[0].agentId", "no agent"),
        ("{hooks: {enabled: true}}", "hooks.enabled", "hooks.token"),
        ('{hooks: {path: "/"}}', "hooks.path", "/hooks"),
        ("{channels: {telegran: {}}}", "channels.telegran", 'did you mean "telegram"'),
        ('{channels: {telegram: {dmPolicy: "open"}}}', "channels.telegram.dmPolicy", '"*"'),
        (
            '{channels: {telegram: {dmPolicy: "allowlist", allowFrom: [""]}}}',
            "channels.telegram.dmPolicy",
            "at least one",
        ),
        (
            '{channels: {telegram: {allowFrom: ["@ann"]}}}',
            "channels.telegram.allowFrom[0]",
            "numeric",
        ),
        (
            '{channels: {telegram: {apiRoot: "https://x/bot12:ab"}}}',
            "channels.telegram.apiRoot",
            "/bot<token>",
        ),
        (
            '{channels: {telegram: {webhookUrl: "https://x/"}}}',
            "channels.telegram.webhookSecret",
            "required together",
        ),
        (
            '{channels: {telegram: {webhookSecret: "abc"}}}',
            "channels.telegram.webhookUrl",
            "required together",
        ),
        (
            '{channels: {telegram: {webhookUrl: "x.org", webhookSecret: "abc"}}}',
            "channels.telegram.webhookUrl",
            "no http(s) address",
        ),
        (
            '{channels: {telegram: {webhookUrl: "https://x/", webhookSecret: "a b"}}}',
            "channels.telegram.webhookSecret",
            "1 to 256 characters",
        ),
        (
            '{channels: {telegram: {webhookPath: "hook"}}}',
            "channels.telegram.webhookPath",
            'begins with "/"',
        ),
        (
            TWO_BELLS,
            "channels.telegram.accounts.b.webhookPath",
            '"default" listens at /telegram-webhook of port 8787 already',
        ),
        (
            "{channels: {telegram: {pollingStallThresholdMs: 1000}}}",
            "channels.telegram.pollingStallThresholdMs",
            "30000",
        ),
        ('{gateway: {mode: "local",}, meta: 3}', "meta", "expected an object, got 3"),
        ('{gateway: {auth: "hunter2-hunter2"}}', "gateway.auth", "expected an object, got a text"),
        ('{channels: {telegram: "1:AAA"}}', "channels.telegram", "expected an object, got a text"),
        ('{tools: {allow: "hunter2"}}', "tools.allow", "expected a list, got a text"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(
    tmp_path: Path, text: str, path: str, part: str
) -> None:
    row = only(tmp_path, text)
    assert row["path"] == path
    assert part in row["message"]


def beat(inner: str) -> str:
    return f"{{agents: {{defaults: {{heartbeat: {{{inner}}}}}}}}}"


@pytest.mark.parametrize(
    ("inner", "part"),
    [
        ('activeHours: {start: "24:00", end: "08:00"}', "start cannot be 24:00"),
        ('activeHours: {start: "08:00", end: "24:01"}', "24:00 is the only allowed 24:xx value"),
        ('activeHours: {start: "8:00", end: "20:00"}', 'use "HH:MM" 24h format'),
        ('activeHours: {start: "08:00", end: "08:00"}', "never opens"),
        ('activeHours: {start: "08:00"}', "only one bound"),
        ('activeHours: [{start: "08:00", end: "08:00"}]', "never opens"),
        ('activeHours: [{days: "mon-fry"}]', "is no weekday"),
        ('activeHours: [{days: ["sat"], dayz: 1}]', 'did you mean "days"'),
        ('activeHours: [{except: ["2026-02-30"]}]', "does not exist"),
        ('activeHours: [{only: ["feast.ics"]}]', "name it under cron.calendars"),
        ('activeHours: [{start: "08:00", end: "20:00", every: "0m"}]', "without beats"),
        ('checks: [{command: "x", file: "y"}]', "one of command, url, file and mail"),
        ('checks: [{mail: {host: "h", user: "a\\nb", password: "p"}}]', "nobody can see"),
        ('checks: [{url: "http://h/a"}, {url: "http://h/b"}]', "second check"),
        ('checks: [{url: "ftp://x"}]', "must begin with http"),
        ('checks: [{file: "a"}, {file: "a"}]', 'a second check named "a"'),
        ('dayparts: [{start: "08:00", end: "20:00"}]', "it has no every"),
        (
            'activeHours: {start: "08:00", end: "20:00", timezone: "Mars/Base"}',
            "unknown time zone",
        ),
        ('target: "telegarm"', 'did you mean "telegram"'),
        ('phase: "25:00"', "invalid phase"),
    ],
)
def test_a_heartbeat_block_is_judged_even_without_every(
    tmp_path: Path, inner: str, part: str
) -> None:
    assert part in only(tmp_path, beat(inner))["message"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"30m"', timedelta(minutes=30)),
        ("45", timedelta(minutes=45)),
        ('"1h30m"', timedelta(minutes=90)),
        ('"0m"', timedelta(0)),
        ('"off"', timedelta(0)),
        ("false", timedelta(0)),
    ],
)
def test_every_is_read_in_all_its_forms(tmp_path: Path, text: str, expected: timedelta) -> None:
    block = loaded(tmp_path, beat(f"every: {text}")).config.agents.defaults.heartbeat
    assert block is not None
    assert block.every == expected


def test_a_list_inside_an_object_that_may_be_one_word_is_a_list(tmp_path: Path) -> None:
    model = '{ primary: "openai/large", fallbacks: ["local/small", "offline"] }'
    found = loaded(tmp_path, f"{{ agents: {{ defaults: {{ model: {model} }} }} }}")
    assert found.config.agents.defaults.model.fallbacks == ("local/small", "offline")


def test_duplicate_keys_are_refused_with_both_lines(tmp_path: Path) -> None:
    row = only(tmp_path, "{gateway: {port: 1,\n port: 2}}")
    assert row["message"] == 'duplicate key "port" (lines 1 and 2): keep one of them'


def test_what_only_the_reference_knows_is_a_note(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "{skills: {any: 1}, channels: {discord: {token: 1}, telegram: {linkPreview: true}},"
        " plugins: {entries: {x: {enabled: true}}}}",
    )
    assert [(n.code, n.path) for n in found.notes] == [
        ("config.inert_section", "skills"),
        ("config.inert_section", "channels.discord"),
        ("config.inert_key", "channels.telegram.linkPreview"),
        ("config.inert_key", "plugins.entries"),
    ]


def test_several_accounts_without_a_default_are_warned_about(tmp_path: Path) -> None:
    found = loaded(tmp_path, '{channels: {qqbot: {accounts: {liuyi: {appId: "1"}, b: {}}}}}')
    (note,) = [one for one in found.notes if one.code == "channels.default_account_missing"]
    assert note.message.startswith(
        "channels.qqbot: multiple accounts are configured but no explicit default is set."
        " Set channels.qqbot.defaultAccount or add channels.qqbot.accounts.default"
        " to avoid fallback routing."
    )
    assert '"liuyi"' in note.message


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ('defaultAccount: "b"', False),
        ('accounts: {default: {appId: "3"}, liuyi: {appId: "1"}, b: {appId: "2"}}', False),
        ("enabled: true", True),
    ],
)
@pytest.mark.parametrize("bound", [0, 1, 2])
def test_an_account_is_guessed_only_where_nobody_said_which(
    tmp_path: Path, more: str, warned: bool, bound: int
) -> None:
    accounts = (
        '"accounts": {liuyi: {appId: "1"}, b: {appId: "2"}}, ' if "accounts" not in more else ""
    )
    agents = [("main", "liuyi"), ("ops", "b")]
    bindings = ", ".join(
        f'{{agentId: "{agent}", match: {{channel: "qqbot", accountId: "{account}"}}}}'
        for agent, account in agents[:bound]
    )
    found = loaded(
        tmp_path,
        f'{{agents: {{list: [{{id: "main"}}, {{id: "ops"}}]}}, bindings: [{bindings}],'
        f" channels: {{qqbot: {{{accounts}{more}}}}}}}",
    )
    codes = [note.code for note in found.notes]
    assert ("channels.default_account_missing" in codes) is (warned and bound < 2)


def test_agents_that_lose_their_heartbeat_are_named(tmp_path: Path) -> None:
    text = "{agents: {defaults: {heartbeat: {}}, list: [{id: 'main'}, {id: 'ops', heartbeat: {}}]}}"
    (note,) = loaded(tmp_path, text).notes
    assert note.code == "heartbeat.shadowed_agents"
    assert "no heartbeat for main" in note.message


def test_a_block_that_is_switched_off_shadows_nobody(tmp_path: Path) -> None:
    text = "{agents: {list: [{id: 'main'}, {id: 'ops', heartbeat: {every: '0m'}}]}}"
    assert loaded(tmp_path, text).notes == ()


def test_variables_are_filled_in_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    text = "{messages: {responsePrefix: '${A}-$${A}-${A}'}}"
    assert loaded(tmp_path, text, A="x").config.messages.response_prefix == "x-${A}-x"
    row = only(tmp_path, text)
    assert row["code"] == "missing-variable"
    assert row["path"] == "messages.responsePrefix"


def test_variables_of_jobs_stay_as_written(tmp_path: Path) -> None:
    text = "{cron: {jobs: {a: {schedule: '0 7 * * *', message: '${KEY}'}}}}"
    assert loaded(tmp_path, text, KEY="s").config.cron.jobs["a"]["message"] == "${KEY}"


def test_the_environment_has_an_order_and_says_where_a_value_came_from(tmp_path: Path) -> None:
    state, cwd = tmp_path / "state", tmp_path / "cwd"
    state.mkdir()
    cwd.mkdir()
    (cwd / ".env").write_text("B=cwd\nC=cwd\nENGINE_GATEWAY_TOKEN=stolen\n")
    (state / ".env").write_text("export C='state'\nD=state # note\nA=state\n")
    env, origins = environment({"A": "process"}, state=state, cwd=cwd, block={"D": "x", "E": "e"})
    assert env == {"A": "process", "B": "cwd", "C": "cwd", "D": "state", "E": "e"}
    assert origins["D"] == str(state / ".env")


def test_includes_merge_and_errors_point_into_them(tmp_path: Path) -> None:
    (tmp_path / "gw.json5").write_text('{port: 1,\n bind: "x"}')
    row = only(tmp_path, "{gateway: {$include: './gw.json5', port: 2}}")
    assert (row["file"], row["line"], row["column"]) == ("gw.json5", 2, 8)
    (tmp_path / "gw.json5").write_text('{port: 1, bind: "lan"}')
    found = loaded(tmp_path, "{gateway: {$include: './gw.json5', port: 2}}")
    assert (found.config.gateway.port, found.config.gateway.bind) == (2, "lan")
    assert [f.name for f in found.files] == ["engine.json", "gw.json5"]


def test_an_include_cycle_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{$include: './b.json'}")
    (tmp_path / "b.json").write_text("{$include: './a.json'}")
    row = only(tmp_path, "{gateway: {$include: 'a.json'}}")
    assert row["message"] == "include cycle: engine.json -> a.json -> b.json -> a.json"


def test_an_include_outside_the_directory_is_refused(tmp_path: Path) -> None:
    row = only(tmp_path, "{gateway: {$include: '/etc/passwd'}}")
    assert "ENGINE_INCLUDE_ROOTS" in row["message"]


@pytest.mark.parametrize(
    ("raw", "part"),
    [(b"{}" + b" " * 1_048_576, "1 MiB"), (b"{\n'\xff'}", "not UTF-8"), (b"[]", "one object")],
)
def test_a_file_that_cannot_be_ours_is_refused(tmp_path: Path, raw: bytes, part: str) -> None:
    with pytest.raises(ConfigInvalid, match=part):
        load(tmp_path / "engine.json", {}, raw=raw)


def test_secret_references_are_resolved_on_request(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{gateway: {auth: {token: {source: 'env', id: 'TOK'}}}}")
    found = load(path, {"TOK": "s3cret"}, resolve_secrets=True)
    assert found.config.gateway.auth.token is not None
    assert found.config.gateway.auth.token.reveal() == "s3cret"
    assert found.secrets == ("s3cret",)
    with pytest.raises(ConfigInvalid, match="variable TOK is not set"):
        load(path, {}, resolve_secrets=True)


def test_a_secret_never_prints(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{gateway: {auth: {token: 'hush-hush'}}}")
    assert "hush-hush" not in repr(found.config) + str(found.config.model_dump())


def test_a_key_knows_its_line_for_later_messages(tmp_path: Path) -> None:
    found = loaded(tmp_path, "{cron: {jobs: {\n  brief: {schedule: '0 7 * * *', message: 'x'}}}}")
    place = found.place("cron", "jobs", "brief")
    assert place is not None
    assert (place.file, place.line, place.column) == ("engine.json", 2, 3)


def test_findings_about_jobs_come_from_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{cron: {jobs: {a: {\n schedule: 'x'}}}}")
    with pytest.raises(ConfigInvalid) as caught:
        load(path, {}, jobs_check=lambda _: [(("cron", "jobs", "a", "schedule"), "bad")])
    assert "engine.json:2:12   cron.jobs.a.schedule: bad" in str(caught.value)


def test_a_wrong_type_elsewhere_does_not_hide_a_wrong_window(tmp_path: Path) -> None:
    text = (
        "{gateway: {port: 'x'}, bindings: [{agentId: 'a', match: {channel: 'tg'}}],"
        " agents: {list: [{}], defaults: {heartbeat: {activeHours: {start: '08:00'}}}}}"
    )
    assert [row["path"] for row in issues(tmp_path, text)] == [
        "gateway.port",
        "agents.list[0]",
        "agents.defaults.heartbeat.activeHours",
    ]


def test_a_reference_of_something_switched_off_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text(
        "{channels: {telegram: {enabled: false, botToken: {source: 'env', id: 'NONE'}}}}"
    )
    (note,) = load(path, {}, resolve_secrets=True).notes
    assert note.code == "SECRETS_REF_IGNORED_INACTIVE_SURFACE"
    assert note.path == "channels.telegram.botToken"
