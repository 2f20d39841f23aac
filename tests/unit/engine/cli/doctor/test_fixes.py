"""`engine doctor --fix` mends a broken home of each kind, and finds it mended (§10)."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.cli.doctor.finding import Act, Finding, Repair, Severity
from engine.cli.doctor.fixes import mend
from engine.cli.place import place
from gateway.lock import Lock, Owner
from jobs.store import migrate
from jobs.store.db import Database
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine
from tests.unit.engine.cli.test_at_rest import _lived

GOOD = (
    "{ gateway: { mode: 'local', port: 1 }, agents: { defaults: { heartbeat: { every: '30m' } } } }"
)


@pytest.fixture
def well(home: Path) -> Path:
    """A home with nothing to mend."""
    state = home / ".engine"
    state.chmod(0o700)
    for name, text in (("engine.json", GOOD), ("gateway.token", "a-token-of-some-length\n")):
        (state / name).write_text(text)
        (state / name).chmod(0o600)
    (state / "workspace").mkdir()
    (state / "workspace" / "HEARTBEAT.md").write_text("- look at the build\n")
    return state


def opened(state: Path) -> None:
    (state / "engine.json").chmod(0o644)


def widened(state: Path) -> None:
    state.chmod(0o755)


def emptied(state: Path) -> None:
    for path in sorted(state.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    state.rmdir()


def spoilt(state: Path) -> None:
    (state / "engine.json.bak").write_text(GOOD)
    (state / "engine.json").write_text("{ gateway: { mod: 1 } }")


def no_mode(state: Path) -> None:
    text = "{\n  // mine\n  gateway: { port: 1 },\n  agents: { defaults: { heartbeat: {} } } }"
    (state / "engine.json").write_text(text)


def no_token(state: Path) -> None:
    (state / "gateway.token").unlink()


def no_checklist(state: Path) -> None:
    (state / "workspace" / "HEARTBEAT.md").unlink()


def no_cron(state: Path) -> None:
    (state / "engine.json").write_text(GOOD.replace("agents:", "cron: { enabled: false }, agents:"))


def no_beats(state: Path) -> None:
    (state / "engine.json").write_text(GOOD.replace("every: '30m'", "every: '0m'"))


def orphaned(state: Path) -> None:
    asyncio.run(_lived(state))
    with closing(sqlite3.connect(state / "state.db")) as db:
        db.execute(
            "UPDATE runs SET status = 'running', boot_id = 'gone', ended_at = NULL"
            " WHERE id = (SELECT id FROM runs LIMIT 1)"
        )
        db.commit()


def older(state: Path) -> None:
    text = GOOD.replace("agents: { defaults: {", "agent: {").replace("'30m' } } }", "'30m' } }")
    (state / "engine.json").write_text(text)


HOMES: dict[str, Callable[[Path], None]] = {
    "config.perms": opened,
    "state.perms": widened,
    "state.missing": emptied,
    "config.invalid": spoilt,
    "config.legacy": older,
    "gateway.mode_missing": no_mode,
    "gateway.token_missing": no_token,
    "heartbeat.file_missing": no_checklist,
    "scheduler.disabled": no_cron,
    "heartbeat.none_enabled": no_beats,
    "state.orphan_runs": orphaned,
}


def ids(engine: Engine, *words: str) -> set[str]:
    told = json.loads(engine("doctor", "--json", *words).out)
    return {one["id"] for one in told["findings"]}


@pytest.mark.parametrize("ident", HOMES)
@pytest.mark.usefixtures("nobody")
def test_a_broken_home_of_each_kind_is_mended(engine: Engine, well: Path, ident: str) -> None:
    HOMES[ident](well)
    only = ("--only", ident.partition(".")[0], "--json")
    assert ident in ids(engine, *only)
    told = json.loads(engine("doctor", "--fix", *only).out)
    assert [one for one in told["fixed"] if not one["ok"]] == []
    assert ident in {one["id"] for one in told["fixed"]}
    assert ident not in {one["id"] for one in told["findings"]}
    again = json.loads(engine("doctor", "--fix", *only).out)
    assert again["fixed"] == []


@pytest.mark.usefixtures("nobody")
def test_nothing_is_changed_unless_it_is_asked_for(engine: Engine, well: Path) -> None:
    no_mode(well)
    opened(well)
    before = {path: path.stat().st_mtime_ns for path in well.rglob("*") if path.is_file()}
    assert engine("doctor").status == 1
    assert {path: path.stat().st_mtime_ns for path in well.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("nobody")
def test_a_change_of_the_config_keeps_its_comments_and_a_copy(engine: Engine, well: Path) -> None:
    no_mode(well)
    told = engine("doctor", "--fix").out
    assert "fixed  gateway.mode_missing  set gateway.mode to 'local'" in told
    assert "// mine" in (well / "engine.json").read_text()
    assert "mode" not in (well / "engine.json.bak").read_text()


@pytest.mark.usefixtures("nobody")
def test_a_broken_config_is_kept_beside_the_copy_that_takes_its_place(
    engine: Engine, well: Path
) -> None:
    spoilt(well)
    assert "gateway.mod" in engine("doctor").out
    engine("doctor", "--fix")
    (aside,) = well.glob("engine.json.clobbered.*")
    assert "mod: 1" in aside.read_text()
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600


@pytest.mark.usefixtures("nobody")
def test_what_only_waits_for_a_variable_is_never_thrown_away(engine: Engine, well: Path) -> None:
    spoilt(well)  # there is a copy that loads
    waiting = "{ gateway: { mode: 'local' }, channels: { telegram: { botToken: '${GONE}' } } }"
    (well / "engine.json").write_text(waiting)
    told = engine("doctor", "--fix").out
    assert (well / "engine.json").read_text() == waiting
    assert f'Fix: "${{EDITOR:-vi}}" {_shown(well)}/.env' in told
    assert "doctor --fix" not in engine("config", "validate").err


def _shown(state: Path) -> str:
    return f"~/{state.name}"


@pytest.mark.usefixtures("nobody")
def test_a_database_of_an_older_engine_is_migrated_and_a_copy_kept(
    engine: Engine, well: Path
) -> None:
    older = sa.create_engine(f"sqlite:///{well / 'state.db'}")
    with older.begin() as tx:
        migrate.bring_up(tx, migrate.Steps("0003"))
        tx.exec_driver_sql(
            "INSERT INTO jobs (id, kind, name, source, definition, revision, enabled)"
            " VALUES ('a', 'cron', 'a', 'runtime', '{}', 'r', 1)"
        )
    older.dispose()
    assert schema(well / "state.db") == ("0003", ["a"])
    assert "state.db_schema" in ids(engine)
    told = json.loads(engine("doctor", "--fix", "--only", "state", "--json").out)
    assert [one["id"] for one in told["fixed"] if one["ok"]] == ["state.db_schema"]
    assert "state.db_schema" not in {one["id"] for one in told["findings"]}
    assert schema(well / "state.db") == (migrate.OURS.head, ["a"])
    (kept,) = well.glob("state.db.before-*")
    assert schema(kept) == ("0003", ["a"])


def schema(file: Path) -> tuple[str, list[str]]:
    """The revision of a database, and the jobs in it."""
    with closing(sqlite3.connect(file)) as db:
        revision = db.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        return revision, [row[0] for row in db.execute("SELECT id FROM jobs")]


@pytest.mark.usefixtures("nobody")
def test_a_database_of_a_newer_engine_is_told_and_not_touched(engine: Engine, well: Path) -> None:
    asyncio.run(_lived(well))
    with closing(sqlite3.connect(well / "state.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "state.db_schema" in ids(engine, "--fix")
    assert schema(well / "state.db")[0] == "9999"


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("activeHours: { start: '08:00', end: '22:00' }", True),
        ("activeHours: { start: '08:00', end: '22:00', timezone: 'user' } /* timezone */", True),
        ("activeHours: { start: '08:00', end: '22:00', timezone: 'local' }", False),
        ("every: '30m' // timezone", False),
    ],
)
def test_hours_without_a_zone_are_told_by_their_value_and_no_comment(
    engine: Engine, well: Path, monkeypatch: pytest.MonkeyPatch, more: str, told: bool
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    beats = f"agents: {{ defaults: {{ heartbeat: {{ {more}\n }} }} }}"
    text = f"{{ gateway: {{ mode: 'local' }}, {beats} }}"
    (well / "engine.json").write_text(text + " // timezone")
    assert ("heartbeat.window_tz" in ids(engine, "--only", "heartbeat")) is told


@pytest.mark.usefixtures("nobody")
def test_a_damaged_database_is_told_and_not_touched(engine: Engine, well: Path) -> None:
    (well / "state.db").write_bytes(os.urandom(8192))
    before = (well / "state.db").read_bytes()
    assert "state.db_integrity" in ids(engine, "--fix")
    assert (well / "state.db").read_bytes() == before


@pytest.mark.usefixtures("nobody")
def test_a_token_is_generated_once_and_never_over_a_reference(engine: Engine, well: Path) -> None:
    no_token(well)
    assert "wrote a token to" in engine("doctor", "--generate-gateway-token").out
    made = (well / "gateway.token").read_text()
    assert len(made.strip()) == 48
    assert "nothing was changed" in engine("doctor", "--generate-gateway-token").out
    assert (well / "gateway.token").read_text() == made
    (well / "engine.json").write_text("{ gateway: { auth: { token: '${MINE}' } } }")
    refused = engine("doctor", "--generate-gateway-token")
    assert refused.status != 0
    assert "a secret kept elsewhere" in refused.err


def test_a_database_a_gateway_uses_is_not_touched(home: Path) -> None:
    owner = Owner(pid=os.getpid(), started_at_ms=1, boot_id="b", version="1", port=1)
    orphan = Finding(
        severity=Severity.WARN,
        id="state.orphan_runs",
        what="",
        fix="",
        repair=Repair(act=Act.INTERRUPT_RUNS),
    )
    with Lock(home / ".engine", owner):
        (one,) = mend(place(), [orphan], services=lambda _: True)
    assert not one.ok
    assert "a gateway uses it" in one.what


def test_services_are_not_touched_without_a_yes(home: Path) -> None:
    asked = list[str]()

    def no(finding: Finding) -> bool:
        asked.append(finding.id)
        return False

    linger = Finding(
        severity=Severity.ERROR,
        id="service.linger",
        what="",
        fix="",
        repair=Repair(act=Act.ENABLE_LINGER),
    )
    assert mend(place(), [linger], services=no) == []
    assert asked == ["service.linger"]


def test_lint_minds_what_it_is_told_to(engine: Engine, gateway: Port, well: Path) -> None:
    (well / "gateway.token").write_text("correct-horse-battery\n")
    (well / "engine.json").write_text("{ gateway: { mode: 'local' } }")
    widened(well)
    only = ("--only", "state", "--only", "completion")
    assert engine("doctor", *only).status == 0  # a warning is advice
    assert engine("doctor", "--lint", *only).status == 1
    assert engine("doctor", "--lint", "--severity-min", "error", *only).status == 0
    assert engine("doctor", "--lint", "--skip", "state.perms", *only).status == 0
    told = engine("doctor", *only).out.splitlines()
    assert told[-1] == "0 errors, 1 warning, 0 fixed"


async def test_a_database_opens_after_it_was_looked_at(tmp_path: Path) -> None:
    """The doctor looks at a file without holding it."""
    from engine.cli.offline import condition

    database = await Database.open(tmp_path / "state.db")
    seen = condition(tmp_path / "state.db")
    assert (seen.damaged, seen.open_runs) == (None, 0)
    assert seen.schema is not None
    await database.close()
