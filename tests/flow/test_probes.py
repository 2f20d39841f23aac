"""Two-stage polls and adaptive cadence in a whole engine (heartbeat.md §25-15, §25-16)."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import FailureClass
from engine.beats.look import read_now
from engine.decisions.probes import Mailbox, MailCount
from engine.inquiry.replay import replayed
from engine.process import Ended
from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent

LOOK = "- look at the builds\n"
HALF_HOUR = timedelta(minutes=30)
HOUR = 2 * HALF_HOUR
DAY = 24 * HOUR
START = "2026-06-01 00:00"


def beating(**heartbeat: Any) -> dict[str, Any]:
    return {"agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"} | heartbeat}}}


CHECKED = beating(checks=[{"command": ["git", "status"], "name": "work tree"}])


async def test_the_model_is_asked_only_if_a_probe_saw_a_change(engine_sim: EngineSim) -> None:
    said = ["clean"]
    agent = ScriptedAgent()
    sim = engine_sim(
        CHECKED, start=START, zone="UTC", agent=agent, checklist=LOOK, commands=lambda _: said[0]
    )
    report = await sim.advance(2 * HOUR)
    assert [row.reason for row in report.beats.rows] == [None, *["nothing-changed"] * 3]
    assert report.beats.rows[1].because == "nothing changed: work tree"
    assert replayed(report.beats.rows[1].row).same
    said[0] = "dirty"
    rows = (await sim.advance(HOUR)).beats.rows
    assert rows[4].row.facts["probes"]["tripped"] == {"work tree": "changed"}
    assert (rows[4].status, rows[5].reason) == ("ok", "nothing-changed")
    assert len(agent.requests) == 2
    told = await sim.engine.history.page({"limit": 2})
    assert "work tree: changed" in told["entries"][1]["explain"]


async def test_a_change_the_agent_could_not_look_at_is_still_one(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent(FailureClass.NETWORK, then="HEARTBEAT_OK")
    sim = engine_sim(
        CHECKED, start=START, zone="UTC", agent=agent, checklist=LOOK, commands=lambda _: "same"
    )
    rows = (await sim.advance(3 * HOUR)).beats.rows
    assert [row.status for row in rows if row.ran] == ["failed", "ok"]


async def test_a_large_file_changed_behind_its_beginning_is_a_change(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    config = beating(checks=[{"file": str(tmp_path / "big")}])
    big = tmp_path / "big"
    big.write_bytes(b"a" * 1_100_000)
    os.utime(big, ns=(1, 1))
    sim = engine_sim(config, start=START, zone="UTC", checklist=LOOK)
    await sim.advance(HOUR)
    big.write_bytes(b"a" * 1_050_000 + b"b" * 50_000)
    rows = (await sim.advance(HOUR)).beats.rows
    assert [row.reason for row in rows] == [None, "nothing-changed", None, "nothing-changed"]


async def test_a_pipe_is_not_waited_for(engine_sim: EngineSim, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "HEARTBEAT.md")
    assert read_now(tmp_path) == (None, f"{tmp_path / 'HEARTBEAT.md'} is no file")
    pipe = {"file": str(tmp_path / "HEARTBEAT.md"), "name": "pipe", "onFailure": "skip"}
    config = beating(checks=[pipe])
    sim = engine_sim(config, start=START, zone="UTC", checklist=LOOK)
    rows = (await sim.advance(HOUR)).beats.rows
    assert rows[0].because == "nothing changed: no probe; pipe failed: HEARTBEAT.md is no file"


def test_a_checklist_nobody_can_have_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "HEARTBEAT.md").touch()
    os.truncate(tmp_path / "HEARTBEAT.md", 2**32)
    assert read_now(tmp_path) == (None, f"{tmp_path / 'HEARTBEAT.md'} is larger than 1 MiB")


@pytest.mark.parametrize(("choice", "ran"), [("run", 4), ("skip", 0)])
async def test_a_probe_that_fails_does_what_was_chosen_and_is_on_record(
    engine_sim: EngineSim, choice: str, ran: int
) -> None:
    config = beating(checks=[{"command": "check-mail", "onFailure": choice}])
    sim = engine_sim(
        config, start=START, zone="UTC", checklist=LOOK,
        commands=lambda _: Ended(code=7, out=b"", err=b"no such host\n"),
    )  # fmt: skip
    rows = (await sim.advance(2 * HOUR)).beats.rows
    assert sum(row.ran for row in rows) == ran
    assert rows[-1].row.facts["probes"]["failed"] == {"check-mail": "exit status 7: no such host"}


async def test_events_and_tasks_are_not_asked_whether_anything_changed(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(
        CHECKED, start=START, zone="UTC", agent=agent,
        commands=lambda _: Ended(code=1, out=b"", err=b""),
        checklist="tasks:\n- name: a\n  interval: 1h\n  prompt: A\n",
    )  # fmt: skip
    await sim.event("hello")
    report = await sim.advance(3 * HOUR)
    assert len(agent.requests) == 3
    assert report.beats.skipped.keys() == {"no-tasks-due"}


async def test_a_file_is_watched(engine_sim: EngineSim, tmp_path: Path) -> None:
    config = beating(checks=[{"file": "notes.md"}])
    config["agents"]["defaults"]["workspace"] = str(tmp_path)
    agent = ScriptedAgent()
    sim = engine_sim(config, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(2 * HOUR)
    (tmp_path / "notes.md").write_text("new", encoding="utf-8")
    await sim.advance(2 * HOUR)
    assert len(agent.requests) == 2


async def test_mail_that_came_is_a_change_and_the_record_says_how_much(
    engine_sim: EngineSim,
) -> None:
    mail = {"host": "imap.example.org", "user": "ann", "password": "hush-hush"}
    counts = [MailCount(unseen=0, next_uid=1, validity=7)]

    async def count(box: Mailbox) -> MailCount:
        assert (box.port, box.security, box.password) == (993, "tls", "hush-hush")
        return counts[0]

    async def fetch(_: str) -> bytes:
        raise OSError("nothing here")

    sim = engine_sim(beating(checks=[{"mail": mail}]), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    sim.engine.beats.probing.use(fetch, count)
    rows = (await sim.advance(HALF_HOUR)).beats.rows
    assert rows[0].because == "nothing changed: INBOX at imap.example.org (0 unseen)"
    counts[0] = MailCount(unseen=2, next_uid=3, validity=7)
    rows = (await sim.advance(HOUR)).beats.rows
    assert rows[1].row.facts["probes"]["tripped"] == {
        "INBOX at imap.example.org": "first look (2 unseen)"
    }
    assert rows[2].because == "nothing changed: INBOX at imap.example.org (2 unseen)"
    counts[0] = MailCount(unseen=2, next_uid=5, validity=7)  # two were read, two came
    rows = (await sim.advance(HALF_HOUR)).beats.rows
    assert rows[3].row.facts["probes"]["tripped"] == {
        "INBOX at imap.example.org": "changed (2 unseen)"
    }
    assert "hush-hush" not in "".join(str(row.row) for row in rows)


async def test_a_mailbox_that_cannot_be_counted_is_on_record_without_its_password(
    engine_sim: EngineSim,
) -> None:
    mail = {"host": "imap.example.org", "user": "ann", "password": "hush-hush"}

    async def count(_: Mailbox) -> MailCount:
        raise OSError("LOGIN ann hush-hush failed")

    async def fetch(_: str) -> bytes:
        raise OSError("nothing here")

    config = beating(checks=[{"mail": mail, "name": "mail", "onFailure": "skip"}])
    sim = engine_sim(config, start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    sim.engine.beats.probing.use(fetch, count)
    rows = (await sim.advance(HALF_HOUR)).beats.rows
    assert rows[0].because == "nothing changed: no probe; mail failed: LOGIN ann *** failed"


# -- adaptive cadence ----------------------------------------------------------------------------

SLOW = beating(adaptive={"max": "4h", "after": 6})


async def test_polls_that_find_nothing_come_more_seldom_and_every_slot_has_its_row(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(SLOW, start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(DAY)
    assert len(report.beats.rows) == 48
    assert Counter(row.reason for row in report.beats.rows) == {None: 6 + 5, "resting": 37}
    slots = [row.at for row in report.beats.rows if row.ran][5:]
    assert {later - sooner for sooner, later in pairwise(slots)} == {4 * HOUR}
    resting = next(row for row in report.beats.rows if row.reason == "resting")
    assert resting.because.startswith("6 polls in a row found nothing; it looks again after 0")
    due = resting.row.next_due_at
    assert due is not None
    assert due - slots[0] == 4 * HOUR
    (told,) = await sim.engine.beat_jobs.listing()
    assert told["adaptive"]["quietPolls"] == 6
    assert told["nextDueAtMs"] == told["adaptive"]["restsUntilMs"]
    told = await sim.engine.coming.next({"count": 20}, sim.now())
    words = [slot.get("gate") for slot in told["agents"][0]["slots"]]
    assert words.count(None) in (2, 3)
    assert words.count("resting") == 20 - words.count(None)


@pytest.mark.parametrize("what", ["event", "alert", "message"])
async def test_activity_brings_the_usual_pace_back(engine_sim: EngineSim, what: str) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(SLOW, start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(5 * HOUR)
    match what:
        case "event":
            await sim.event("hello")
        case "message":
            await sim.say("hello")
        case _:
            while len(agent.requests) < 6:
                await sim.advance(HALF_HOUR)
            agent._then = "red"
            await sim.advance(4 * HOUR)
            agent._then = "HEARTBEAT_OK"
    agent.requests.clear()
    await sim.advance(2 * HOUR)
    assert len(agent.requests) == 4


async def test_a_task_that_is_due_is_asked_for_during_a_lull(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(
        SLOW, start=START, zone="UTC", agent=agent,
        checklist="tasks:\n- name: a\n  interval: 1h\n  prompt: A\n",
    )  # fmt: skip
    await sim.advance(DAY)
    assert len(agent.requests) == 24
