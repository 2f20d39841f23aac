"""The config as clients write it: real files, and what is put in force counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.config.keeping.outcome import Outcome
from engine.config.load import Loaded, load
from engine.config.masks import HIDDEN_ON_WIRE
from engine.config.paths import Paths
from engine.testing import ManualClock
from gateway.front.settings import FrontSettings
from gateway.restarts import Wanted
from jobs.errors import ConfigInvalid, Conflict, InvalidInput, NotFound

NOW = datetime(2026, 3, 1, tzinfo=UTC)
START = """{
  // of this machine
  gateway: { mode: "local", auth: { token: "s3cret-value" } },
}
"""


class Desk:
    """The settings of one file, and how often they were put in force."""

    def __init__(self, folder: Path, text: str = START) -> None:
        self.file = folder / "engine.json"
        self.file.write_text(text)
        self.reloads = 0
        self.by = ""
        self.loaded = self.check(None)
        self.settings = FrontSettings(
            Paths(os_home=folder, profile="default", state=folder, config=self.file),
            clock=ManualClock(NOW),
            loaded=lambda: self.loaded,
            check=self.check,
            reload=self._reload,
        )

    def check(self, raw: bytes | None) -> Loaded:
        return load(self.file, {}, raw=raw)

    async def _reload(self, by: str, wanted: Wanted | None) -> Outcome:
        self.reloads += 1
        self.by = by
        self.loaded = self.check(None)
        return Outcome(hash=self.loaded.hash, sentence="Applied live.")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_patch_is_in_the_file_and_in_force(desk: Desk) -> None:
    answer = await desk.settings.patch(
        '{"cron": {"maxConcurrentRuns": 3}}', base_hash=desk.loaded.hash
    )
    assert answer["ok"]
    assert answer["hash"] == desk.loaded.hash
    assert desk.loaded.config.cron.max_concurrent_runs == 3
    assert "// of this machine" in desk.file.read_text()
    assert desk.reloads == 1


async def test_a_file_that_was_shown_masked_may_be_sent_back(desk: Desk) -> None:
    raw = desk.file.read_text().replace("s3cret-value", HIDDEN_ON_WIRE)
    raw = raw.replace('mode: "local"', 'mode: "local", port: 4000')
    await desk.settings.replace(raw, base_hash=desk.loaded.hash)
    assert desk.loaded.config.gateway.port == 4000
    assert desk.loaded.config.gateway.auth.token is not None
    assert desk.loaded.config.gateway.auth.token.reveal() == "s3cret-value"


async def test_what_changes_nothing_says_so(desk: Desk) -> None:
    answer = await desk.settings.replace(desk.file.read_text(), base_hash=desk.loaded.hash)
    assert answer["noop"]
    assert desk.reloads == 0


async def test_a_change_that_would_be_invalid_changes_nothing(desk: Desk) -> None:
    before = desk.file.read_text()
    with pytest.raises(ConfigInvalid, match="portt"):
        await desk.settings.patch('{"gateway": {"portt": 1}}', base_hash=desk.loaded.hash)
    assert desk.file.read_text() == before
    assert desk.reloads == 0


async def test_a_stale_hash_is_refused(desk: Desk) -> None:
    old = desk.loaded.hash
    await desk.settings.patch('{"gateway": {"port": 4000}}', base_hash=old)
    with pytest.raises(Conflict):
        await desk.settings.patch('{"gateway": {"port": 4001}}', base_hash=old)


async def test_an_agent_comes_changes_and_goes(desk: Desk) -> None:
    made = await desk.settings.add_agent({"name": "Night Watch", "emoji": "owl"})
    assert made["agentId"] == "night-watch"
    assert [agent.id for agent in desk.loaded.config.agents.list] == ["main", "night-watch"]
    with pytest.raises(Conflict):
        await desk.settings.add_agent({"name": "night watch"})
    await desk.settings.change_agent("night-watch", {"name": "Watch", "avatar": "a.png"})
    agent = desk.loaded.config.agents.list[1]
    assert agent.name == "Watch"
    assert agent.identity is not None
    assert (agent.identity.emoji, agent.identity.avatar) == ("owl", "a.png")
    await desk.settings.remove_agent("night-watch")
    assert [agent.id for agent in desk.loaded.config.agents.list] == ["main"]


async def test_the_default_agent_stays_and_a_stranger_is_named(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="default agent"):
        await desk.settings.remove_agent("main")
    with pytest.raises(NotFound, match="nobody"):
        await desk.settings.change_agent("nobody", {"name": "x"})


def test_the_schema_is_told_whole_and_by_key(desk: Desk) -> None:
    told = desk.settings.schema()
    assert "gateway" in told["schema"]["properties"]
    assert told["uiHints"]["gateway.auth.token"]["sensitive"]
    json.dumps(told)
    found = desk.settings.lookup("gateway.http")
    assert found is not None
    assert "endpoints" in [child["key"] for child in found["children"]]
    assert desk.settings.lookup("gateway.nothing") is None
    assert desk.settings.lookup("") is None


async def test_a_file_that_is_not_in_force_is_told_with_its_own_hash(desk: Desk) -> None:
    assert desk.settings.file()["valid"]
    desk.file.write_text('{ gateway: { mode: "local", auth: { token: "s3cret-value" } ')
    told = desk.settings.file()
    assert (told["valid"], told["raw"], told["parsed"]) == (False, None, {})
    assert told["issues"]
    assert "s3cret-value" not in json.dumps(told["issues"])
    await desk.settings.replace(START, base_hash=told["hash"])
    assert desk.settings.file()["valid"]
    desk.file.write_text(START.replace('"local"', '"local", port: 4000'))
    told = desk.settings.file()
    assert (told["valid"], told["parsed"]["gateway"]["port"]) == (True, 4000)
    assert told["warnings"] == ["the file is valid, and not in force yet"]
