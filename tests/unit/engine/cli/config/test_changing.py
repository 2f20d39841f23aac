"""`engine config` changes the file it ought to, all at once or not at all (operations.md §3)."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from engine import __version__
from tests.unit.engine.cli.conftest import Engine

TEXT = """{
  // mine
  gateway: { mode: 'local', port: 20001, auth: { token: 'hush-hush-hush' } }, // hush-hush-hush
  agents: { list: [{ id: 'ops' }, { id: 'lab' }] },
}
"""


@pytest.fixture
def file(home: Path) -> Path:
    path = home / ".engine" / "engine.json"
    path.write_text(TEXT)
    return path


def test_a_batch_is_one_write(engine: Engine, file: Path) -> None:
    batch = """[
      { path: 'gateway.port', value: 20002 },
      { path: 'channels.telegram.botToken', ref: { source: 'env', id: 'TG' } },
      { path: 'secrets.providers.v', provider: { source: 'file', path: './s.json' } },
    ]"""
    told = engine("config", "set", "--batch-json", batch)
    assert (told.status, told.err.count("Config overwrite:")) == (0, 1)
    assert [p.name for p in file.parent.glob("*.bak*")] == ["engine.json.bak"]
    assert engine("config", "get", "channels.telegram.botToken.id").out == "TG\n"
    assert "// mine" in file.read_text()


@pytest.mark.parametrize(
    "batch", ["{}", "[]", "[{path: 'a'}]", "[{path: 'a', value: 1, ref: {}}]", "[{value: 1}]"]
)
def test_a_batch_that_is_none_changes_nothing(engine: Engine, file: Path, batch: str) -> None:
    assert engine("config", "set", "--batch-json", batch).status == 2
    assert file.read_text() == TEXT


def test_one_bad_edit_of_a_batch_spoils_all(engine: Engine, file: Path) -> None:
    batch = "[{path: 'gateway.port', value: 1}, {path: 'gateway.prot', value: 1}]"
    assert engine("config", "set", "--batch-json", batch).status == 78
    assert file.read_text() == TEXT


def test_a_batch_may_lie_in_a_file(engine: Engine, file: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json5").write_text("[{path: 'gateway.port', value: 20003}]")
    assert engine("config", "set", "--batch-file", tmp_path / "b.json5").status == 0
    assert engine("config", "get", "gateway.port").out == "20003\n"


def test_a_reference_and_a_provider_are_built_of_flags(engine: Engine, file: Path) -> None:
    ref = ("--ref-source", "env", "--ref-provider", "p", "--ref-id", "TG")
    assert engine("config", "set", "channels.telegram.botToken", *ref).status == 0
    written = json.loads(engine("config", "get", "channels.telegram.botToken").out)
    assert written == {"source": "env", "provider": "p", "id": "TG"}
    kind = ("--provider-source", "exec", "--provider-command", "/bin/x", "--provider-arg", "a")
    flags = ("--provider-env", "A=b", "--provider-timeout-ms", "7", "--provider-text")
    assert engine("config", "set", "secrets.providers.vault", *kind, *flags).status == 0
    written = json.loads(engine("config", "get", "secrets.providers.vault").out)
    assert written["args"] == ["a"]
    assert written["env"] == {"A": "b"}
    assert written["timeoutMs"] == 7


@pytest.mark.parametrize(
    "words",
    [
        ("gateway.port",),
        (),
        ("gateway.port", "1", "--ref-source", "env", "--ref-id", "X"),
        ("gateway.port", "--batch-json", "[]"),
        ("gateway.auth.token", "--ref-source", "env"),
        ("secrets.providers.v", "--provider-path", "x"),
    ],
)
def test_a_wish_that_is_no_wish_or_two_is_refused(
    engine: Engine, file: Path, words: tuple[str, ...]
) -> None:
    assert engine("config", "set", *words).status == 2
    assert file.read_text() == TEXT


def test_a_patch_merges_takes_out_and_replaces_where_told(
    engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("{gateway: {port: null, bind: 'loopback'}}"))
    assert engine("config", "patch", "--stdin").status == 0
    gateway = json.loads(engine("config", "get", "gateway").out)
    assert set(gateway) == {"mode", "auth", "bind"}
    patch = file.with_name("p.json5")
    patch.write_text("{ gateway: { auth: { mode: 'token' } } }")
    assert engine("config", "patch", "--file", patch, "--replace-path", "gateway.auth").status == 0
    assert json.loads(engine("config", "get", "gateway.auth").out) == {"mode": "token"}
    assert engine("config", "patch").status == 2


def test_a_patch_does_not_drop_entries_by_accident(engine: Engine, file: Path) -> None:
    patch = file.with_name("p.json5")
    patch.write_text("{ agents: { list: [{ id: 'lab' }] } }")
    told = engine("config", "patch", "--file", patch)
    assert (told.status, "it would drop ops" in told.err) == (1, True)
    assert engine("config", "patch", "--file", patch, "--replace").status == 0


def test_a_dry_run_shows_the_difference_and_hides_secrets(engine: Engine, file: Path) -> None:
    told = engine("config", "set", "gateway.bind", "lan", "--dry-run")
    assert "+  " in told.out
    assert "lan" in told.out
    assert "hush" not in told.out
    assert file.read_text() == TEXT


def test_a_dry_run_reports_what_its_references_lead_to(
    engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = ("--ref-source", "env", "--ref-id", "TG", "--dry-run", "--json")
    told = engine("config", "set", "channels.telegram.botToken", *ref)
    report = json.loads(told.out)
    assert (told.status, report["ok"], report["operations"]) == (1, False, 1)
    assert report["checks"] == {
        "schema": True,
        "resolvability": False,
        "resolvabilityComplete": True,
    }
    monkeypatch.setenv("TG", "1:x")
    report = json.loads(engine("config", "set", "channels.telegram.botToken", *ref).out)
    assert (report["ok"], report["refsChecked"], report["inputModes"]) == (True, 1, ["builder"])
    by_program = ("--ref-source", "exec", "--ref-id", "TG", "--dry-run", "--json")
    report = json.loads(engine("config", "set", "channels.telegram.botToken", *by_program).out)
    assert (report["refsChecked"], report["skippedExecRefs"]) == (0, 1)
    assert report["checks"]["resolvabilityComplete"] is False


def test_a_dry_run_of_what_does_not_fit_names_it(engine: Engine, file: Path) -> None:
    told = engine("config", "set", "gateway.port", "abc", "--dry-run", "--json")
    assert told.status == 2  # --json is --strict-json, and abc is no JSON5
    told = engine("config", "set", "gateway.port", "'abc'", "--dry-run", "--json")
    report = json.loads(told.out)
    assert (told.status, report["checks"]["schema"]) == (1, False)
    assert report["errors"][0]["path"] == "gateway.port"


def test_agents_are_chosen_by_id_and_appended(engine: Engine, file: Path) -> None:
    assert engine("config", "set", "agents.list[id=lab].heartbeat.every", "10m").status == 0
    assert engine("config", "set", "agents.list[]", "{id: 'new'}").status == 0
    listed = json.loads(engine("config", "get", "agents.list").out)
    assert listed == [{"id": "ops"}, {"id": "lab", "heartbeat": {"every": "10m"}}, {"id": "new"}]
    assert engine("config", "get", "agents.list[1].heartbeat.every").out == "10m\n"


# -- copies --------------------------------------------------------------------------------------


def test_a_copy_is_compared_and_put_back(engine: Engine, file: Path) -> None:
    engine("config", "set", "gateway.port", "20002")
    shown = engine("config", "diff").out
    assert "20001" in shown
    assert "20002" in shown
    assert "hush" not in shown
    told = engine("config", "restore", "bak")
    assert told.status == 0
    assert "Config overwrite:" in told.err
    assert engine("config", "get", "gateway.port").out == "20001\n"
    assert engine("config", "diff", "--against", "nope").status == 6
    assert "there is bak" in engine("config", "restore", "nope").err


def test_a_broken_copy_is_not_put_back(engine: Engine, file: Path) -> None:
    file.with_name("engine.json.bak").write_text("{ gateway: { port: 'x' } }")
    assert engine("config", "restore", "bak").status == 78
    assert file.read_text() == TEXT


def test_a_text_that_cannot_be_read_is_not_shown(engine: Engine, file: Path) -> None:
    file.with_name("engine.json.bak").write_text("{ gateway: { auth: { token: 'hush-hush-hush'")
    shown = engine("config", "diff").out
    assert "cannot be read" in shown
    assert "hush" not in shown


# -- origin and reveal -----------------------------------------------------------------------------


def test_a_value_says_which_layer_it_comes_from(
    engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine("config", "get", "--origin", "gateway.port").out == (
        "20001\nfrom the file (engine.json:3:35)\n"
    )
    monkeypatch.setenv("ENGINE_GATEWAY_PORT", "7")
    told = json.loads(engine("config", "get", "--origin", "gateway.port", "--json").out)
    assert (told["value"], told["layer"]) == (7, "environment")
    told = json.loads(engine("config", "get", "--origin", "gateway.bind", "--json").out)
    assert (told["value"], told["layer"]) == ("loopback", "default")
    assert "hush" not in engine("config", "get", "--origin", "gateway.auth.token").out
    assert engine("config", "get", "--origin", "gateway.prot").status == 1


def test_a_secret_is_revealed_on_record(engine: Engine, file: Path) -> None:
    assert engine("config", "get", "gateway.auth.token", "--reveal").out == "hush-hush-hush\n"
    told = engine("config", "history", "--json").out
    (entry,) = json.loads(told)["entries"]
    assert (entry["action"], entry["subject"]) == ("config.reveal", "gateway.auth.token")
    assert "hush" not in told


# -- includes --------------------------------------------------------------------------------------


def test_a_section_of_another_file_is_changed_there(engine: Engine, file: Path) -> None:
    file.write_text("{ gateway: { mode: 'local' }, agents: { $include: './agents.json5' } }")
    part = file.with_name("agents.json5")
    part.write_text("{ // theirs\n  defaults: { heartbeat: { every: '30m' } },\n}")
    told = engine("config", "set", "agents.defaults.heartbeat.every", "10m")
    assert f"Config overwrite: {part}" in told.err
    assert "// theirs" in part.read_text()
    assert engine("config", "get", "agents.defaults.heartbeat.every").out == "10m\n"
    origin = engine("config", "get", "--origin", "agents.defaults.heartbeat.every").out
    assert "agents.json5:2" in origin
    before = part.read_text()
    assert engine("config", "set", "agents.defaults.heartbeat.every", "'30x'").status == 78
    assert part.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "{ $include: './agents.json5' }",
        "{ agents: { $include: ['./agents.json5', './b.json5'] } }",
        "{ agents: { $include: './agents.json5', list: [] } }",
    ],
)
def test_where_there_is_no_one_place_the_file_to_edit_is_named(
    engine: Engine, file: Path, text: str
) -> None:
    file.write_text(text)
    for name in ("agents.json5", "b.json5"):
        file.with_name(name).write_text("{}")
    told = engine("config", "set", "agents.defaults.heartbeat.every", "10m")
    assert told.status == 1
    assert "Fix: edit ./agents.json5" in told.err
    assert file.read_text() == text


def test_a_write_is_one_file(engine: Engine, file: Path) -> None:
    file.write_text("{ gateway: { mode: 'local' }, agents: { $include: './agents.json5' } }")
    file.with_name("agents.json5").write_text("{}")
    batch = "[{path: 'gateway.port', value: 1}, {path: 'agents.defaults.thinking', value: 'x'}]"
    told = engine("config", "set", "--batch-json", batch)
    assert "touches engine.json and agents.json5" in told.err


# -- what a newer engine wrote ---------------------------------------------------------------------


def test_what_a_newer_engine_wrote_is_read_and_not_written(
    engine: Engine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "{ meta: { lastTouchedVersion: '99.1' }, gateway: { mode: 'local' } }"
    file.write_text(text)
    assert engine("config", "get", "gateway.mode").out == "local\n"
    told = engine("config", "set", "gateway.port", "1")
    assert told.status == 78
    assert f"this binary is {__version__} but the config was last written by 99.1" in told.err
    assert "gateway install --force" in told.err
    assert file.read_text() == text
    monkeypatch.setenv("ENGINE_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS", "1")
    assert engine("config", "set", "gateway.port", "1").status == 0
