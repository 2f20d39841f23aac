"""A channel that comes with another package: the one of our own page, found, kept apart, proved."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.config import effective
from engine.config.load import Loaded, load
from engine.events import Bus
from engine.messages import plugged
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.target import place_fault, split_target
from engine.store import outbox
from engine.testing.clock import ManualClock
from gateway.channels import configured
from gateway.channels.contract import Case, ChannelContract
from gateway.sender import Sender
from jobs.errors import ConfigInvalid
from jobs.store.db import Database

PAGE = Path(__file__).parents[2] / "gateway" / "channels" / "WRITE_ONE.md"
BLOCKS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MODULES = ("filebox", "test_filebox", "torn")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place packages are installed in, with two channels: the page's, and a broken one."""
    place = tmp_path / "site"
    info = place / "filebox-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: filebox\nVersion: 1.0\n")
    lines = ["[heartbeat_engine.channels]", "filebox = filebox:PLUGIN", "torn = torn:PLUGIN"]
    (info / "entry_points.txt").write_text("\n".join([*lines, "odd = filebox:Settings", ""]))
    for name, text in BLOCKS.items():
        (place / name).write_text(text, "utf-8")
    (place / "torn.py").write_text("import nothing_of_that_name\n", "utf-8")
    monkeypatch.syspath_prepend(place)
    plugged.installed.cache_clear()
    yield place
    for name in MODULES:
        sys.modules.pop(name, None)
    monkeypatch.undo()
    plugged.installed.cache_clear()


def loaded(tmp_path: Path, **channels: Any) -> Loaded:
    raw = json.dumps({"channels": channels}).encode()
    return load(tmp_path / "engine.json", {}, raw=raw, resolve_secrets=True)


async def nobody(_: object) -> None:
    raise AssertionError("nobody wrote")


class TestThePage(ChannelContract):
    """What the page shows keeps every promise of a channel, by the test it shows."""

    @pytest.fixture
    async def case(self, site: Path, tmp_path: Path) -> Case:
        theirs: Any = importlib.import_module("test_filebox").TestFileBox.case
        shown = getattr(theirs, "__wrapped__", None) or theirs._fixture_function
        found: Case = await anext(shown(self, tmp_path))
        return found


def test_the_page_is_as_long_as_it_says() -> None:
    assert len(BLOCKS["filebox.py"].splitlines()) <= 80


async def sent(config: Loaded, channel: str) -> tuple[dict[str, Any], Delivery | None]:
    """Make the channels of a config and carry one message to one of them."""
    database, clock, bus = await Database.memory(), ManualClock(NOON), Bus()
    channels = configured.channels(config.config, database, {}, clock=clock, bus=bus)
    await channels[channel].start(nobody)
    said = Delivery(
        key="k",
        route=Route(channel=channel, account_id="default", to="anna"),
        text="hello",
        kind="message",
        created_at=NOON,
        expires_at=NOON + timedelta(hours=1),
    )
    await database.write(lambda tx: outbox.add(tx, said))
    sender = Sender(database, channels, clock=clock, bus=bus)
    await sender.tick()
    await sender.stop()
    stored = await database.read(lambda tx: outbox.get(tx, "k"))
    await database.close()
    return dict(channels), stored


@pytest.mark.parametrize(
    ("plugins", "why"),
    [
        ({"deny": ["filebox"]}, "plugins.deny names it"),
        ({"allow": ["torn"]}, "plugins.allow does not name it"),
        ({"enabled": False}, "plugins.enabled is false"),
    ],
)
async def test_one_the_config_bars_is_not_loaded_and_its_messages_say_why(
    tmp_path: Path, site: Path, plugins: dict[str, Any], why: str
) -> None:
    said = {"plugins": plugins, "channels": {"filebox": {"folder": str(tmp_path / "box")}}}
    barred = load(tmp_path / "engine.json", {}, raw=json.dumps(said).encode())
    _, stored = await sent(barred, "filebox")
    assert stored is not None
    assert why in repr(stored)


async def test_its_section_makes_it_and_the_outbox_carries_to_it(
    tmp_path: Path, site: Path
) -> None:
    config = loaded(tmp_path, filebox={"folder": str(tmp_path / "box")})
    assert effective.configured_channels(config.config) == ("local", "filebox")
    assert split_target("filebox:anna") == ("filebox", "anna")
    assert place_fault({"channel": "filebox", "to": "anna"}) == ""
    _, stored = await sent(config, "filebox")
    assert stored is not None
    assert stored.state is State.DELIVERED
    assert [one.read_text("utf-8") for one in (tmp_path / "box").iterdir()] == ["hello"]


async def test_one_that_cannot_be_imported_is_a_sentence_and_harms_nobody(
    tmp_path: Path, site: Path
) -> None:
    config = loaded(tmp_path, torn={"token": "hush-hush"}, odd={"enabled": True})
    told = {note.path: note.message for note in config.notes}
    assert "channel torn is installed and cannot be loaded" in told["channels.torn"]
    assert "nothing_of_that_name" in told["channels.torn"]
    assert "hush-hush" in config.secrets  # and so hidden in every log
    channels, stored = await sent(config, "torn")
    assert set(channels) == {"local", "webhook", "torn", "odd"}
    (status,) = channels["torn"].status()
    assert "nothing_of_that_name" in status.last_error
    assert (await channels["torn"].probe("default"))["ok"] is False
    assert stored is not None
    assert (stored.state, stored.reason) == (State.FAILED, "channel-not-installed")
    assert "nothing_of_that_name" in (stored.last_error or {})["detail"]


def test_a_mistake_in_its_section_is_told_at_its_key(tmp_path: Path, site: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"channels\.filebox\.foldr"):
        loaded(tmp_path, filebox={"foldr": "/tmp/box"})  # noqa: S108 - never made


def test_it_is_not_imported_before_its_section_stands_in_the_config(
    tmp_path: Path, site: Path
) -> None:
    loaded(tmp_path)
    assert "filebox" in plugged.installed()
    assert "filebox" not in sys.modules


def test_what_is_not_installed_is_told_and_ignored(tmp_path: Path) -> None:
    (note,) = loaded(tmp_path, filebox={"folder": "x"}).notes
    assert "no installed channel is called filebox" in note.message
