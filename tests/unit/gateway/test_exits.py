"""How a gateway ended, kept for whoever asks (operations.md §7.3, §16 L2)."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.log.files import Place
from engine.log.reading import last_error
from engine.testing.clock import ManualClock
from gateway import exits
from gateway.exits import Ending, LastExit, Reason
from gateway.lock import FILE, Lock, Owner
from jobs.errors import (
    ConfigInvalid,
    EngineError,
    OwnershipRefused,
    StoreTooNew,
    StoreUnavailable,
    StoreUnusable,
)

STARTED = datetime(2026, 3, 1, 9, 29, 2, tzinfo=UTC)
LATER = STARTED + timedelta(hours=3, minutes=12)
UTC_ZONE = ZoneInfo("UTC")


def owner(pid: int = 4242) -> Owner:
    started = round(STARTED.timestamp() * 1000)
    return Owner(pid=pid, started_at_ms=started, boot_id="b1", version="0.1.0")


def ending(home: Path, clock: ManualClock) -> Ending:
    return Ending(
        home=home,
        logs=Place(folder=home / "logs"),
        clock=clock,
        boot_id="b2",
        version="0.1.0",
        began=clock.now(),
    )


def killed(home: Path) -> None:
    """Leave a home as a process leaves it that was killed: its words, and nobody behind them."""
    with Lock(home, owner()):
        words = (home / FILE).read_bytes()
    (home / FILE).write_bytes(words)
    for sign in ("state.db",):
        (home / sign).touch()
        os.utime(home / sign, (LATER.timestamp(), LATER.timestamp()))


REASONS = [
    (ConfigInvalid("engine.json", why="bad"), Reason.CONFIG_INVALID),
    (ConfigInvalid("engine.json", issues=[{"code": "secret"}]), Reason.SECRET_UNRESOLVED),
    (ConfigInvalid("engine.json", issues=[{"code": "secret"}, {}]), Reason.CONFIG_INVALID),
    (OwnershipRefused("port 18789 is in use", port=18789), Reason.PORT_BUSY),
    (OwnershipRefused("failed to bind", why="no such address"), Reason.BIND_REFUSED),
    (StoreTooNew("state.db"), Reason.OLDER_BINARY),
    (StoreUnavailable("state.db", why="disk full"), Reason.STORE),
    (StoreUnusable("state.db", why="no database"), Reason.STORE),
    (EngineError("something", why="else"), Reason.CRASH),
    (RuntimeError("boom"), Reason.CRASH),
]


@pytest.mark.parametrize(("error", "reason"), REASONS)
def test_every_error_that_ends_it_has_a_reason_and_its_cause(
    error: Exception, reason: Reason, tmp_path: Path
) -> None:
    clock = ManualClock(STARTED)
    one = ending(tmp_path, clock)
    clock.move_to(STARTED + timedelta(seconds=2))
    with pytest.raises(type(error)), exits.told(one):
        raise error
    found = exits.read(tmp_path)
    assert found is not None
    assert found.reason is reason
    assert found.code == (error.exit_status if isinstance(error, EngineError) else 1)
    assert str(error.args[0]).split(":")[0] in found.sentence
    assert found.uptime == timedelta(seconds=2)


def test_every_reason_has_a_sentence_of_its_own() -> None:
    assert set(exits.SENTENCES) == set(Reason)
    assert len(set(exits.SENTENCES.values())) == len(Reason)


def test_a_killed_process_is_told_from_what_it_left(tmp_path: Path) -> None:
    killed(tmp_path)
    found = exits.read(tmp_path)
    assert found is not None
    assert (found.reason, found.pid, found.boot_id, found.code) == (
        Reason.HOST_SHUTDOWN,  # this machine started after that process did
        4242,
        "b1",
        None,
    )
    assert found.at == LATER, "its last sign of life"
    assert "3h12m" in found.sentence


def test_a_machine_that_ran_all_the_time_did_not_take_it_down() -> None:
    found = exits.killed(owner(), seen_at=LATER, booted_at=STARTED - timedelta(days=1))
    assert found.reason is Reason.UNCLEAN
    assert exits.killed(owner(), seen_at=LATER, booted_at=None).reason is Reason.UNCLEAN


def test_the_next_start_keeps_what_the_lock_file_is_about_to_lose(tmp_path: Path) -> None:
    killed(tmp_path)
    exits.settle(tmp_path)
    with Lock(tmp_path, owner(pid=1)):
        found = exits.read(tmp_path)
    assert found is not None
    assert found.boot_id == "b1"
    assert found == exits.read(tmp_path), "and it is still so when that lock is given up"


def test_a_home_another_process_holds_keeps_its_last_word(tmp_path: Path) -> None:
    told = LastExit(at=STARTED, reason=Reason.SIGTERM, code=0)
    exits.write(tmp_path, told)
    with (
        Lock(tmp_path, owner()),
        pytest.raises(OwnershipRefused),
        exits.told(ending(tmp_path, ManualClock(LATER))),
    ):
        raise OwnershipRefused("another gateway instance is already listening")
    assert exits.read(tmp_path) == told


def test_a_stop_is_told_with_its_signal_and_the_last_error_of_that_life(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    lines = [
        {"ts": "2026-03-01T08:00:00.000Z", "level": "error", "msg": "of an earlier life"},
        {"ts": "2026-03-01T09:30:00.000Z", "level": "error", "msg": "the bot was refused"},
        {"ts": "2026-03-01T09:31:00.000Z", "level": "info", "msg": "fine"},
    ]
    text = "half a li\n" + "\n".join(json.dumps(line) for line in lines)
    (logs / "engine-2026-03-01.log").write_text(text)
    clock = ManualClock(STARTED)
    one = ending(tmp_path, clock)
    clock.move_to(LATER)
    one.tell(exits.of_signal("sigterm"), code=0, signal="SIGTERM")
    found = exits.read(tmp_path)
    assert found is not None
    assert found.last_error == "the bot was refused"
    assert found.at_local(UTC_ZONE, LATER) == (
        "12:41:02 — stopped by SIGTERM (a supervisor, or kill) (uptime 3h12m)"
    )
    assert found.at_local(UTC_ZONE, LATER + timedelta(days=1)).startswith("2026-03-01 12:41:02")
    assert last_error(Place(folder=logs), LATER) is None, (
        "an error of an earlier life is not this one's"
    )


def test_no_secret_is_kept(tmp_path: Path) -> None:
    one = ending(tmp_path, ManualClock(STARTED))
    one.hide = lambda text: text.replace("hunter2hunter2", "hidden")
    with pytest.raises(RuntimeError), exits.told(one):
        raise RuntimeError("could not log in with hunter2hunter2")
    assert "hunter2" not in (tmp_path / exits.FILE).read_text()
    assert (tmp_path / exits.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ts": "x"}', '{"ts": 1, "reason": "odd"}'])
def test_a_file_that_is_something_else_tells_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / exits.FILE).write_text(text)
    assert exits.read(tmp_path) is None


def test_what_is_kept_is_what_is_read(tmp_path: Path) -> None:
    told = LastExit(
        at=LATER,
        reason=Reason.CRASH,
        code=1,
        pid=1,
        boot_id="b",
        version="0.1.0",
        detail="RuntimeError: boom",
        last_error="boom",
        uptime=timedelta(seconds=5),
    )
    exits.write(tmp_path, told)
    assert exits.read(tmp_path) == told


def test_what_ended_it_is_told_even_if_the_disk_takes_no_word(tmp_path: Path) -> None:
    (tmp_path / f".{exits.FILE}.part").mkdir()  # nothing can be written there
    killed(tmp_path)
    with (
        pytest.raises(StoreUnavailable, match="disk full"),
        exits.told(ending(tmp_path, ManualClock(STARTED))),
    ):
        raise StoreUnavailable("state.db", why="disk full", fix="free some room")


def test_who_announced_the_stop_is_named_and_forgotten(tmp_path: Path) -> None:
    exits.request_stop(tmp_path, "engine gateway stop")
    assert exits.stop_requested(tmp_path) == "engine gateway stop"
    assert exits.stop_requested(tmp_path) == ""
    assert exits.of_stop("sigterm", "engine gateway stop") is Reason.STOP_COMMAND
    assert exits.of_stop("sigterm", "systemd") is Reason.SIGTERM
    ended = LastExit(at=STARTED, reason=Reason.STOP_COMMAND, requested_by="engine gateway stop")
    assert ended.sentence == "stopped by engine gateway stop"
    assert LastExit.from_json(ended.to_json()) == ended


def test_a_kill_for_want_of_memory_is_suspected_where_the_kernel_counted_one(
    tmp_path: Path,
) -> None:
    group = tmp_path / "sys/fs/cgroup/user.slice"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user.slice\n")
    assert exits.oom_kills(tmp_path) == 0
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert exits.oom_kills(tmp_path) == 1
    for counted, reason in ((1, Reason.OOM_SUSPECTED), (0, Reason.UNCLEAN)):
        gone = exits.killed(owner(), seen_at=LATER, booted_at=None, oom_kills=counted)
        assert gone.reason is reason
