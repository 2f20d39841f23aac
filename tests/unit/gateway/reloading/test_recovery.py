"""A start with a broken file: the last good one, or a refusal; a valid file is never replaced.

operations.md §4.2.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.config.load import Loaded
from engine.config.paths import Paths
from gateway import settings
from gateway.reloading import recovery
from gateway.reloading.force import Recovered
from gateway.settings import RunOptions
from jobs.errors import ConfigInvalid

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = """{ // the good one
  gateway: { mode: "local", port: 20001 }, meta: { lastTouchedVersion: "0.1.0" } }
"""


class Home:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "engine.json"
        paths = Paths(os_home=folder, profile="default", state=folder, config=self.file)
        self.options = RunOptions(paths=paths)
        self.write(GOOD)
        self.worked()

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def worked(self) -> None:
        """A gateway was healthy with the file as it is."""
        _, loaded, _ = self.start()
        recovery.keep(loaded)

    def start(self) -> tuple[RunOptions, Loaded, Recovered | None]:
        return recovery.at_start(self.options, {}, NOW)

    def edited_badly(self) -> ConfigInvalid:
        with pytest.raises(ConfigInvalid) as refusal:
            settings.load_config(self.options.paths, {})
        return refusal.value


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        "{ gateway: { mode: 'local', prot: 1 } }",
        "{ gateway: {",
        "",
        "\x00",
        "{ gateway: '${GONE}' }",
    ],
)
def test_a_broken_file_gives_way_to_the_last_good_one(home: Home, broken: str) -> None:
    home.write(broken)
    _, loaded, recovered = home.start()
    assert recovered is not None
    assert home.file.read_text() == GOOD
    assert loaded.config.gateway.port == 20001
    (kept,) = recovered.clobbered
    assert kept.name == "engine.json.clobbered.20260102T030405Z"
    assert kept.read_text() == broken
    assert recovered.warning.startswith("Config recovery warning: ")
    assert "Config auto-restored from last-known-good" in recovered.warning


@pytest.mark.parametrize(
    "valid",
    [
        "{ gateway: { mode: 'local' } }",  # no stamp, and a lot smaller
        "{ gateway: { mode: 'local', bind: 'loopback' } }",
        "{}",
    ],
)
def test_a_valid_file_is_never_replaced(home: Home, valid: str) -> None:
    home.write(valid)
    _, _, recovered = home.start()
    assert recovered is None
    assert home.file.read_text() == valid


def test_without_a_good_one_or_where_it_is_not_wanted_the_start_is_refused(home: Home) -> None:
    home.write("{ gateway: { configRecovery: { onStart: 'refuse' }, prot: 1 } }")
    with pytest.raises(ConfigInvalid, match="prot"):
        home.start()
    home.file.with_name("engine.json.last-good").unlink()
    home.write("{ gateway: { prot: 1 } }")
    with pytest.raises(ConfigInvalid, match="prot"):
        home.start()


def test_what_was_wanted_when_it_worked_counts_where_the_broken_file_says_nothing(
    home: Home,
) -> None:
    home.write("{ gateway: { mode: 'local', configRecovery: { onStart: 'refuse' } } }")
    home.worked()
    home.write("{ oops")
    with pytest.raises(ConfigInvalid):
        home.start()


def test_a_good_one_that_does_not_load_any_more_is_left_where_it_is(home: Home) -> None:
    home.file.with_name("engine.json.last-good").write_text("{ broken, too")
    home.write("{ oops")
    with pytest.raises(ConfigInvalid):
        home.start()
    assert home.file.read_text() == "{ oops"


def test_what_comes_back_is_not_heard_further_than_the_broken_file_asked_for(home: Home) -> None:
    home.write("{ gateway: { mode: 'local', bind: 'lan' } }")
    home.worked()
    home.write("{ gateway: { mode: 'local', bind: 'loopback', prot: 1 } }")
    options, _, recovered = home.start()
    assert options.bind == "loopback"
    assert recovered is not None
    assert "listens on loopback only" in recovered.warning
    home.write("{ gateway: { mode: 'local', bind: 'lan', prot: 1 } }")
    assert home.start()[0].bind is None


def test_a_broken_included_file_comes_back_too(home: Home) -> None:
    part = home.file.with_name("agents.json5")
    part.write_text("{ defaults: { heartbeat: { every: '30m' } } }")
    home.write("{ gateway: { mode: 'local' }, agents: { $include: './agents.json5' } }")
    home.worked()
    whole = home.file.read_text()
    part.write_text("{ defaults: ")
    _, _, recovered = home.start()
    assert recovered is not None
    assert home.file.read_text() == whole
    assert "30m" in part.read_text()


# -- while running -------------------------------------------------------------------------------


def test_a_bad_edit_gives_way_unless_it_is_to_be_kept(home: Home) -> None:
    home.write("{ gateway: { configRecovery: { onReload: 'keep' }, prot: 1 } }")
    refusal = home.edited_badly()
    assert recovery.while_running(home.options.paths, {}, refusal, NOW) is None
    home.write("{ gateway: { prot: 1 } }")
    refusal = home.edited_badly()
    recovered = recovery.while_running(home.options.paths, {}, refusal, NOW)
    assert recovered is not None
    assert "engine.json:1:14 gateway.prot" in recovered.warning
    assert home.file.read_text() == GOOD


def test_an_edit_whose_variable_is_not_set_yet_is_kept(home: Home) -> None:
    """`engine setup --channel telegram` beside a gateway that runs: `.env` is written next."""
    waiting = "{ gateway: { mode: 'local' }, channels: { telegram: { botToken: '${GONE}' } } }"
    home.write(waiting)
    assert recovery.while_running(home.options.paths, {}, home.edited_badly(), NOW) is None
    assert home.file.read_text() == waiting


def test_a_bad_edit_that_narrows_is_kept(home: Home) -> None:
    home.write("{ gateway: { mode: 'local', bind: 'lan' } }")
    home.worked()
    narrower = "{ gateway: { bind: 'loopback', prot: 1 } }"
    home.write(narrower)
    assert recovery.while_running(home.options.paths, {}, home.edited_badly(), NOW) is None
    assert home.file.read_text() == narrower


def test_a_file_that_was_mended_since_it_was_refused_is_nobodys_to_replace(home: Home) -> None:
    """Between the refusal and the way back lie seconds in which a person goes on typing."""
    home.write("{ gateway: { prot: 1 } }")
    refusal = home.edited_badly()
    mended = "{ gateway: { mode: 'local', port: 20002 } }"
    home.write(mended)
    assert recovery.while_running(home.options.paths, {}, refusal, NOW) is None
    assert home.file.read_text() == mended
