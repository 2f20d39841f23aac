"""`engine cron import` and `export`, as a user would: with and without a gateway."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.lock import Lock, Owner
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Answer, Engine

FILES = Path(__file__).parents[4] / "fixtures" / "import"
CRONTAB = "# Backup\n30 2 * * * backup\n@daily report\n"


@pytest.fixture
def crontab(tmp_path: Path) -> Path:
    file = tmp_path / "mine.crontab"
    file.write_text(CRONTAB)
    return file


@pytest.fixture
def openclaw(tmp_path: Path) -> Path:
    """Its home, with a database that is in use: something stands in the log only."""
    file = tmp_path / "openclaw" / "state" / "openclaw.sqlite"
    file.parent.mkdir(parents=True)
    with closing(sqlite3.connect(file)) as database:
        database.executescript((FILES / "openclaw" / "state.sql").read_text("utf-8"))
    return file


def told(answer: Answer) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(answer.out)
    return made


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


# -- without a gateway ---------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    engine: Engine, nobody: None, home: Path, crontab: Path
) -> None:
    answer = engine("cron", "import", crontab, "--from", "crontab", "--dry-run")
    assert answer.status == 0
    assert answer.out.startswith("Dry run: 2 jobs from crontab: 2 added.\n")
    assert "note: all jobs: cron starts a command again" in answer.err
    assert not (home / ".engine" / "state.db").exists()


def test_jobs_are_written_while_no_gateway_runs_and_again_is_no_change(
    engine: Engine, nobody: None, crontab: Path
) -> None:
    answer = engine("cron", "import", crontab, "--from", "crontab", "--json")
    assert answer.status == 0
    assert told(answer)["counts"]["add"] == 2
    assert engine("cron", "import", crontab, "--from", "crontab").out.startswith(
        "2 jobs from crontab: 2 unchanged.\n"
    )
    crontab.write_text(CRONTAB.replace("30 2", "45 3"))
    assert told(engine("cron", "import", crontab, "--from", "crontab", "--json"))["counts"] == {
        "add": 0,
        "update": 1,
        "unchanged": 1,
        "refused": 0,
        "runs": 0,
    }


def test_a_gateway_that_holds_the_home_and_does_not_answer_is_not_written_past(
    engine: Engine, nobody: None, home: Path, crontab: Path
) -> None:
    owner = Owner(pid=1, started_at_ms=1, boot_id="b", version="1")
    with Lock(home / ".engine", owner):
        answer = engine("cron", "import", crontab, "--from", "crontab")
    assert answer.status == 78
    assert "another gateway instance holds" in answer.err


def test_a_gateway_elsewhere_is_never_replaced_by_this_home(
    engine: Engine, home: Path, crontab: Path
) -> None:
    answer = engine("cron", "import", crontab, "--from", "crontab", "--url", "ws://127.0.0.1:1")
    assert answer.status == 3
    assert not (home / ".engine" / "state.db").exists()


def test_what_was_not_brought_over_is_told_in_the_status(
    engine: Engine, nobody: None, crontab: Path
) -> None:
    crontab.write_text("@reboot x\n0 1 * * * y\n")
    answer = engine("cron", "import", crontab, "--from", "crontab")
    assert answer.status == 1
    assert "left-out: line 1:" in answer.err
    assert "(@reboot x)" in answer.err


# -- with one ------------------------------------------------------------------------------------


def test_a_running_gateway_writes_the_jobs(engine: Engine, gateway: Port, crontab: Path) -> None:
    answer = engine("cron", "import", crontab, "--from", "crontab", "--json")
    assert answer.status == 0
    (call,) = gateway.core.said.of("bring_in")
    assert call["kind"] == "crontab"
    assert call["dryRun"] is False
    assert [entry["job"]["name"] for entry in call["entries"]] == ["Backup", "report"]


def test_a_long_history_follows_the_jobs_in_parts(
    engine: Engine, gateway: Port, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    job = {"id": "a", "schedule": "0 1 * * *", "payload": {"kind": "agentTurn", "message": "m"}}
    (tmp_path / "jobs.json").write_text(json.dumps({"version": 1, "jobs": [job]}))
    runs = [
        {"ts": 1_772_000_000_000 + n, "jobId": "a", "status": "ok", "summary": "x" * 15_000}
        for n in range(1100)
    ]
    (tmp_path / "runs" / "a.jsonl").write_text("\n".join(map(json.dumps, runs)))
    assert engine("cron", "import", tmp_path, "--from", "openclaw").status == 0
    first, *later = gateway.core.said.of("bring_in")
    assert len(later) == 2
    assert first["entries"][0]["job"]["id"] == "a"
    assert first["entries"][0]["state"]["runCount"] == 1100
    assert all("job" not in call["entries"][0] for call in later)
    sent = [run for call in (first, *later) for run in call["entries"][0]["runs"]]
    assert sent == runs


def test_all_pages_of_the_list_are_exported(engine: Engine, gateway: Port) -> None:
    made = json.loads(engine("cron", "add", "0 7 * * *", "Good morning", "--name", "m").out)
    document = told(engine("cron", "export"))
    assert document["format"] == "engine-cron"
    assert [job["id"] for job in document["jobs"]] == [made["id"]]


# -- sources -------------------------------------------------------------------------------------


def test_a_database_in_use_is_read_and_left_as_it_is(
    engine: Engine, nobody: None, openclaw: Path
) -> None:
    with closing(sqlite3.connect(openclaw)) as user:
        user.execute("PRAGMA journal_mode=WAL")
        user.execute("UPDATE cron_jobs SET enabled = 1 WHERE job_id = 'brief'")
        user.commit()
        before = files_of(openclaw.parent)
        assert any(name.endswith("-wal") for name in before)
        home = openclaw.parent.parent
        answer = told(engine("cron", "import", home, "--from", "openclaw", "--json"))
        assert files_of(openclaw.parent) == before
    brief = next(one for one in answer["results"] if one["id"] == "brief")
    assert brief["enabled"] is True
    assert brief["runs"] == 2


def test_a_database_nobody_uses_gets_no_files_beside_it(
    engine: Engine, nobody: None, openclaw: Path
) -> None:
    openclaw.parent.chmod(0o500)
    before = files_of(openclaw.parent)
    assert told(engine("cron", "import", openclaw, "--from", "openclaw", "--json"))["counts"]["add"]
    assert files_of(openclaw.parent) == before
    openclaw.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("openclaw", {"Morning brief", "Hourly look again"}),
        ("nanobot", {"Stand-up", "Fresh"}),
        ("systemd", {"Back up the home directories", "poll"}),
        ("crontab", {"run-parts", "fstrim -a"}),
    ],
)
def test_a_directory_is_looked_through(
    engine: Engine, nobody: None, tmp_path: Path, kind: str, names: set[str]
) -> None:
    folder = FILES / kind
    if kind == "crontab":
        folder = tmp_path / "cron.d"
        folder.mkdir()
        (folder / "hourly").write_text("# run-parts\n17 * * * * root run-parts\n")
        (folder / "trim").write_text("@weekly root fstrim -a\n")
        (folder / "trim.dpkg-old").write_text("@weekly root never\n")
    before = files_of(folder)
    answer = told(engine("cron", "import", folder, "--from", kind, "--json"))
    assert names <= {one["name"] for one in answer["results"]}
    assert "never" not in json.dumps(answer["results"])
    assert files_of(folder) == before


def test_json5_is_read_where_people_edited_the_file(
    engine: Engine, nobody: None, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(
        "{version: 1, jobs: [ // mine\n"
        "{id: 'a', schedule: '0 1 * * *', payload: {kind: 'systemEvent', text: 'x'}},]}"
    )
    answer = told(engine("cron", "import", file, "--from", "openclaw", "--json"))
    assert answer["counts"]["add"] == 1


def test_text_of_an_old_encoding_is_still_text(engine: Engine, nobody: None, crontab: Path) -> None:
    crontab.write_bytes("# Übersicht\n0 1 * * * x\n".encode("latin-1"))
    answer = told(engine("cron", "import", crontab, "--from", "crontab", "--json"))
    assert answer["results"][0]["name"] == "Übersicht"


@pytest.mark.parametrize(
    ("kind", "content", "why"),
    [
        ("crontab", b"0 1 * * * x\0y\n", "it has NUL bytes"),
        ("openclaw", b'{"version":1,"jobs":[{"id":"a"', "nothing of it was taken"),
        ("openclaw", b"", "nothing of it was taken"),
        ("openclaw", b"SQLite format 3\0" + b"\0" * 200, "file is not a database"),
        ("nanobot", b"[" * 50_000, "nested too deeply"),
        ("nanobot", b'{"jobs": 7}', "it has no list of jobs"),
        ("systemd", b"\x7fELF\0", "it has NUL bytes"),
        ("systemd", b"[Service]\nExecStart=/x\n", "no timer was found"),
        ("engine", b'{"version": 1, "jobs": []}', "no export of this engine"),
    ],
)
def test_what_is_not_what_it_was_said_to_be_is_refused(
    engine: Engine, nobody: None, home: Path, tmp_path: Path, kind: str, content: bytes, why: str
) -> None:
    file = tmp_path / "source"
    file.write_bytes(content)
    answer = engine("cron", "import", file, "--from", kind, "--json")
    assert answer.status == 1
    assert told(answer)["error"]["code"] == "unreadable-source"
    assert why in answer.err
    assert file.read_bytes() == content
    assert not (home / ".engine" / "state.db").exists()


def test_a_source_larger_than_any_schedule_is_refused(
    engine: Engine, nobody: None, tmp_path: Path
) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(65 * 1024 * 1024)
    assert "larger than 64 MiB" in engine("cron", "import", file, "--from", "crontab").err


def test_a_source_nobody_may_read_is_told_with_its_path(
    engine: Engine, nobody: None, tmp_path: Path
) -> None:
    (tmp_path / "jobs.json").mkdir()
    answer = engine("cron", "import", tmp_path / "jobs.json", "--from", "openclaw", "--json")
    assert told(answer)["error"]["code"] == "unreadable-source"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert engine("cron", "import", loop, "--from", "crontab").status == 2


def test_without_a_word_only_our_own_export_is_recognised(
    engine: Engine, nobody: None, crontab: Path
) -> None:
    answer = engine("cron", "import", crontab)
    assert answer.status == 2
    assert f"engine cron import {crontab} --from crontab" in answer.err
    assert engine("cron", "import", crontab.parent / "nothing").status == 2


# -- export --------------------------------------------------------------------------------------


@pytest.fixture
def full(engine: Engine, nobody: None, crontab: Path) -> Engine:
    engine("cron", "import", crontab, "--from", "crontab")
    engine("cron", "import", FILES / "openclaw", "--from", "openclaw")
    return engine


def test_an_export_makes_the_same_jobs_in_another_home(
    full: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = full("cron", "export").out
    (tmp_path / "jobs.json").write_text(first)
    monkeypatch.setenv("ENGINE_STATE_DIR", str(tmp_path / "other"))
    answer = full("cron", "import", tmp_path / "jobs.json", "--json")
    assert answer.status == 0
    assert told(answer)["kind"] == "engine"
    assert full("cron", "export").out == first


def test_an_export_for_cron_says_what_it_cannot_say(full: Engine) -> None:
    answer = full("cron", "export", "--format", "crontab")
    assert answer.status == 1
    assert "# Backup\n30 2 * * * " in answer.out
    assert "left-out: Morning brief" in answer.err
    whole = told(full("cron", "export", "--format", "crontab", "--json"))
    assert "30 2 * * *" in whole["crontab"]
    assert whole["remarks"]


def test_an_export_for_the_config_is_one(full: Engine, home: Path) -> None:
    answer = full("cron", "export", "--format", "config")
    assert answer.status == 0
    provider = 'models: { providers: { openai: { baseUrl: "http://127.0.0.1:1/v1" } } },'
    whole = answer.out.replace("{", f"{{ {provider}", 1)  # the jobs name a model of theirs
    (home / ".engine" / "engine.json").write_text(whole)
    assert full("config", "validate").status == 0, full("config", "validate").err
    assert (
        "morning-brief"
        in told(full("cron", "export", "--format", "config", "--json"))["cron"]["jobs"]
    )


def test_an_empty_home_exports_no_jobs(engine: Engine, nobody: None, home: Path) -> None:
    assert told(engine("cron", "export"))["jobs"] == []
    assert not (home / ".engine" / "state.db").exists()


def test_a_folder_of_timers_is_told_how_it_is_read(
    engine: Engine, nobody: None, tmp_path: Path
) -> None:
    (tmp_path / "a.timer").write_text("[Timer]\nOnCalendar=daily\n")
    (tmp_path / "a.service").write_text("[Service]\nExecStart=/bin/true\n")
    refused = engine("cron", "import", tmp_path)
    assert f"engine cron import {tmp_path} --from systemd" in refused.err
