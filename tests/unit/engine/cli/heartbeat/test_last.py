from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.cli.heartbeat import last as heartbeat_last
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.store import meta, outbox
from gateway.lock import Lock, Owner
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.store import runs
from jobs.store.db import Database, Tx
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)  # not today: then the date is told too
BANNED = {"click", "pydantic", "pydantic_core", "sqlalchemy", "asyncio", "rich", "pydantic_ai"}
ROUTE = Route(channel="telegram", account_id="default", to="42")


def beat(number: int, agent_id: str = "main", **changes: object) -> Run:
    run = Run(
        id=f"{number:024d}",
        job_id=f"heartbeat:{agent_id}",
        kind="heartbeat",
        agent_id=agent_id,
        trigger=Trigger.SCHEDULE,
        status=RunStatus.SKIPPED,
        reason=SkipReason.QUIET_HOURS,
        because="12:00 is outside 20:00-22:00 (UTC)",
        ended_at=NOW + timedelta(minutes=number),
        next_due_at=NOW + timedelta(minutes=number + 30),
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def alert(number: int) -> tuple[Run, Delivery]:
    run = beat(
        number,
        status=RunStatus.OK,
        reason=None,
        because="",
        outcome=Outcome.ALERT,
        target={"channel": "telegram", "accountId": "default", "to": "42"},
        reply={"preview": "the build is red"},
        delivery_key="d-1",
    )
    sent = Delivery(
        key="d-1",
        route=ROUTE,
        text="the build is red",
        kind="heartbeat",
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
        state=State.DELIVERED,
        message_ids=("901",),
    )
    return run, sent


async def stored(home: Path, rows: Sequence[Run], *deliveries: Delivery) -> None:
    def work(tx: Tx) -> None:
        runs.insert(tx, rows)
        for delivery in deliveries:
            outbox.add(tx, delivery)

    database = await Database.open(home / ".engine" / "state.db")
    await database.write(work)
    await database.close()


def last(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    status = heartbeat_last.run(argv)
    return status, capsys.readouterr().out


async def test_it_answers_from_the_store_while_the_gateway_is_down(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [beat(1), beat(2)])
    status, told = last(capsys)
    assert status == 0
    assert "12:02:00 main: skipped (quiet-hours). 12:00 is outside 20:00-22:00 (UTC)." in told
    assert "The next was due at 2025-06-01 12:32 (UTC) and is not on record." in told
    assert "The gateway is not running; answered from the store" in told


async def test_it_says_that_the_gateway_is_running(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [beat(1)])
    owner = Owner(pid=os.getpid(), started_at_ms=1, boot_id="b", version="1", port=1)
    with Lock(home / ".engine", owner):
        assert f"The gateway is running (pid {os.getpid()})." in last(capsys)[1]


async def test_an_alert_is_told_with_its_receipt(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, sent = alert(1)
    await stored(home, [run], sent)
    _, told = last(capsys)
    assert 'It said "the build is red": delivered to telegram → 42, receipt 901.' in told


async def test_an_alert_that_was_refused_is_told_with_what_the_platform_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, sent = alert(1)
    error = {"class": "blocked", "code": "403", "detail": "bot was blocked by the user"}
    failed = replace(sent, state=State.FAILED, reason="blocked", last_error=error, message_ids=())
    await stored(home, [run], failed)
    told = last(capsys)[1]
    assert "failed (blocked: 403 bot was blocked by the user)." in told
    assert "Fix: in the chat: unblock or start the bot\n" in told


async def test_json_has_the_keys_of_the_older_product_and_ours(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, sent = alert(1)
    await stored(home, [run], sent)
    _, told = last(capsys, "--json")
    record = json.loads(told)
    assert record["status"] == "sent"
    assert record["to"] == "42"
    assert record["preview"] == "the build is red"
    assert record["delivered"] is True
    assert record["messageId"] == "901"
    assert "delivered to telegram" in record["explain"]
    assert record["gateway"] == {"running": False}


async def test_without_an_agent_there_is_one_line_for_each(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [beat(1), beat(2, "ops"), beat(3, "ops")])
    _, told = last(capsys)
    assert told.startswith("2025-06-01 12:03:00 ops: skipped")
    assert "Agents: 2; the line above is the one that ended last." in told
    assert "  2025-06-01 12:01:00 main: skipped" in told
    assert "ops" not in last(capsys, "--agent", "main")[1]
    record = json.loads(last(capsys, "--json")[1])
    assert [each["agentId"] for each in record["agents"]] == ["ops", "main"]


async def test_the_story_is_told_in_the_zone_of_its_agent(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zones = {"defaults": {"userTimezone": "Asia/Shanghai"}, "list": [{"id": "ops"}]}
    (home / ".engine" / "engine.json").write_text(json.dumps({"agents": zones}))
    await stored(home, [beat(1)])
    assert last(capsys)[1].startswith("2025-06-01 20:01:00 main:")
    zones["list"] = [{"id": "main", "userTimezone": "America/New_York"}]
    (home / ".engine" / "engine.json").write_text(json.dumps({"agents": zones}))
    assert last(capsys)[1].startswith("2025-06-01 08:01:00 main:")


async def test_a_beat_that_is_still_running_is_not_the_last_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = beat(2, status=RunStatus.RUNNING, reason=None, ended_at=None)
    await stored(home, [beat(1), running])
    told = last(capsys)[1]
    assert told.startswith("2025-06-01 12:01:00 main: skipped")
    assert json.loads(last(capsys, "--json")[1])["status"] == "skipped"


def begun(number: int, agent_id: str = "main", **changes: object) -> Run:
    at = NOW + timedelta(minutes=number)
    run = beat(number, agent_id, status=RunStatus.RUNNING, reason=None, because="")
    return replace(run, claimed_at=at, ended_at=None, next_due_at=None, **changes)  # type: ignore[arg-type]


async def test_a_beat_that_was_cut_off_is_told_before_the_next_start_records_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [begun(2, wake={"by": "rpc:cli", "eventIds": ["e1"]})])
    told = last(capsys)[1].splitlines()
    assert told[0] == "No heartbeat has ended yet."
    assert told[1] == (
        "Cut off when the gateway ended: 2025-06-01 12:02:00 main: running (asked by: rpc:cli)."
        " The next start records it as interrupted, and its event is asked again."
    )


async def test_a_beat_under_way_stands_beside_the_last_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [beat(1), begun(2), begun(3, agent_id="ops")])
    owner = Owner(pid=os.getpid(), started_at_ms=1, boot_id="b", version="1", port=1)
    with Lock(home / ".engine", owner):
        told = last(capsys)[1]
        assert "Under way: 2025-06-01 12:02:00 main: running." in told
        assert "Under way: 2025-06-01 12:03:00 ops: running." in told
        assert "ops" not in last(capsys, "--agent", "main")[1]
        (one, _) = json.loads(last(capsys, "--json")[1])["underWay"]
        assert (one["agentId"], one["status"]) == ("main", "running")


async def test_a_beat_that_waits_is_told_with_its_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    why = {"reason": SkipReason.QUIET_HOURS, "because": "it is night"}
    await stored(home, [begun(2, status=RunStatus.DEFERRED, **why)])
    told = last(capsys)[1]
    assert "Waiting for the gateway: 2025-06-01 12:02:00 main: waiting (quiet-hours)." in told


def test_before_the_first_beat_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert last(capsys)[1].startswith("No heartbeat has run yet.")
    assert json.loads(last(capsys, "--json")[1]) is None


async def test_an_unknown_agent_is_not_found(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [beat(1)])
    assert last(capsys, "--agent", "nobody")[0] == 6


def test_a_file_that_is_no_database_is_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".engine" / "state.db").write_text("not a database at all, but long enough" * 50)
    status = heartbeat_last.run([])
    assert status == 1
    assert "state.db was not read" in capsys.readouterr().err


@pytest.fixture
def elsewhere(home: Path) -> None:
    """A server keeps the store of this home."""
    (home / ".engine" / "engine.json").write_text("{ store: { url: 'postgresql://x/y' } }")


def test_where_a_server_keeps_the_store_the_gateway_is_asked(
    elsewhere: None, gateway: Port, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.core.heartbeats.record = {"status": "skipped", "explain": "it is night"}
    assert (heartbeat_last.run([]), capsys.readouterr().out) == (0, "it is night\n")
    assert engine("system", "heartbeat", "last").out == "it is night\n"


def test_where_a_server_keeps_the_store_nobody_can_tell_without_the_gateway(
    elsewhere: None, nobody: None, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heartbeat_last.run([]) == 3
    assert "engine gateway" in capsys.readouterr().err
    assert "a server keeps the store" in engine("status").out


async def test_click_and_the_quick_way_say_the_same(
    home: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    await stored(home, [beat(1)])
    quick = last(capsys)[1]
    assert engine("heartbeat", "last").out == quick
    assert engine("system", "heartbeat", "last").out == quick


@pytest.mark.parametrize(
    "words", [("heartbeat", "last"), ("system", "heartbeat", "last"), ("cron", "next", "@hourly")]
)
def test_the_quick_commands_import_nothing_heavy(home: Path, words: tuple[str, ...]) -> None:
    run, sent = alert(1)
    asyncio.run(stored(home, [run], sent))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "engine", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[5],
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "engine.cli.main" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in BANNED}
    assert done.stdout


@pytest.mark.parametrize("key", ["heartbeat.enabled", "heartbeat.enabled:main"])
async def test_no_next_beat_is_told_while_they_are_switched_off(
    home: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    await stored(home, [beat(1)])
    database = await Database.open(home / ".engine" / "state.db")
    await database.write(lambda tx: meta.put(tx, key, "off"))
    await database.close()
    told = last(capsys)[1]
    assert "switched off. Fix: engine heartbeat enable" in told
    assert told.count("Fix:") == 1  # of the row's own remedies none makes them beat again
    assert "next was due" not in told
    assert "nextDueAt" not in json.loads(last(capsys, "--json")[1])


async def test_of_rows_of_one_instant_the_last_that_was_written_is_the_newest(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slots that passed while nothing ran are written at one instant, with ids in no order."""
    older, newer = replace(beat(1), id="b"), replace(beat(2), id="a")
    await stored(home, [older, newer])
    assert last(capsys)[1].startswith("2025-06-01 12:02:00 main")


async def test_a_replay_without_a_run_means_the_newest_beat(engine: Engine, home: Path) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    await stored(home, [beat(1), beat(2)])
    told = await asyncio.to_thread(engine, "heartbeat", "replay", "--json")
    assert json.loads(told.out)["runId"] == beat(2).id
