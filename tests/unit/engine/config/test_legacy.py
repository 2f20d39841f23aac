"""Configs of the first templates load once their keys stand where they belong (§2.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.keeping.legacy import migrated
from engine.config.load import load
from engine.config.schema.gateway import BIND_ALIASES
from jobs.errors import ConfigInvalid

TEMPLATES = {
    "minimal": """{
  agent: { workspace: "~/clawd" },
  routing: { allowFrom: ["+15555550123"] },
}
""",
    "starter": """{
  // who it is
  identity: { name: "Clawd", theme: "helpful assistant", emoji: "🦞" },
  agent: {
    workspace: "~/clawd",
    model: { primary: "anthropic/claude-sonnet-4-5" },
    heartbeat: { every: "30m" },
  },
  channels: {
    whatsapp: { allowFrom: ["+15555550123"], groups: { "*": { requireMention: true } } },
  },
  routing: { groupChat: { mentionPatterns: ["@clawd"], historyLimit: 50, requireMention: true } },
}
""",
    "expanded": """{
  identity: { name: "Samantha", emoji: "🦥" },
  logging: { level: "info" }, // keep
  agent: { workspace: "~/x", model: "offline", userTimezone: "UTC", maxConcurrent: 3,
    heartbeatMinutes: 15 },
  telegram: { botToken: "123:abc", allowFrom: ["42"] },
  gateway: { mode: "local", port: 18789, token: "very-secret-token" },
  routing: {
    allowFrom: ["42"],
    agents: { home: { workspace: "~/home" }, work: {} },
    defaultAgentId: "home",
    bindings: [{ agentId: "work", match: { channel: "telegram" } }],
    queue: { mode: "collect" },
    agentToAgent: { enabled: false },
  },
}
""",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_refused_by_name_and_loads_once_migrated(name: str, tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    text = TEMPLATES[name]
    with pytest.raises(ConfigInvalid) as refused:
        load(path, {}, raw=text.encode())
    issues = refused.value.detail["issues"]
    assert isinstance(issues, list)
    assert {issue["code"] for issue in issues} == {"legacy"}
    new, moved = migrated(text)
    assert moved
    load(path, {}, raw=new.encode())
    assert migrated(new) == (new, ())


def test_what_was_said_is_still_said(tmp_path: Path) -> None:
    text, _ = migrated(TEMPLATES["expanded"])
    config = load(tmp_path / "engine.json", {}, raw=text.encode()).config
    agents = [(one.id, one.default) for one in config.agents.list]
    assert agents == [("home", True), ("work", False)]
    identity = config.agents.list[0].identity
    assert identity is not None
    assert identity.name == "Samantha"
    assert config.channels.telegram is not None
    assert config.channels.telegram.allow_from == ("42",)
    assert config.agents.defaults.heartbeat is not None
    assert str(config.agents.defaults.heartbeat.every) == "0:15:00"
    assert config.gateway.auth.token is not None
    assert config.bindings[0].agent_id == "work"
    assert "// keep" in text


def test_what_stands_there_already_is_not_overwritten() -> None:
    text = "{ gateway: { token: 'old', auth: { token: 'new' } } }"
    new, moved = migrated(text)
    assert "'new'" in new
    assert "old" not in new
    assert moved[0].to == ""


def test_a_file_without_older_keys_keeps_every_byte() -> None:
    text = "{ // mine\n gateway: { mode: 'local', auth: { token: 'x' } } }"
    assert migrated(text) == (text, ())


@pytest.mark.parametrize(("written", "mode"), BIND_ALIASES.items())
def test_an_address_where_a_mode_belongs_is_refused_with_the_mode_and_mended(
    written: str, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "engine.json"
    text = f'{{ gateway: {{ mode: "local", bind: "{written}" /* the office */ }} }}'
    with pytest.raises(ConfigInvalid) as refused:
        load(path, {}, raw=text.encode())
    assert f'write "{mode}"' in str(refused.value.detail["issues"])
    new, moved = migrated(text)
    assert [(one.old, one.to) for one in moved] == [("gateway.bind", f'"{mode}"')]
    assert "/* the office */" in new
    assert load(path, {}, raw=new.encode()).config.gateway.bind == mode
