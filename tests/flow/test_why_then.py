"""Why a message came, did not come, or will come, at another moment than now (issue 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine import why
from engine.agents.base import AgentFailure, FailureClass, TurnRequest
from engine.inquiry import Inquiry, told_of_run
from engine.process import Ended
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import Conflict, NotFound
from jobs.wallclock import ms, zone

UTC = zone("UTC")
HALF_HOUR = timedelta(minutes=30)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LOOK = "- look at the builds\n"
NEWS = ScriptedAgent(then=lambda request: f"news at {request.run_id}")
HOURS = {"start": "08:00", "end": "22:00"}


def config(jobs: dict[str, Any] | None = None, **beat: Any) -> dict[str, Any]:
    return {
        "agents": {
            "defaults": {
                "heartbeat": {"every": "30m", "target": "last", **beat},
                "model": {"primary": "offline"},
            }
        },
        "channels": {"telegram": {"botToken": "1:a", "allowFrom": ["42"]}},
        "cron": {"tz": "UTC", "jobs": jobs or {}},
    }


async def asked(sim: Simulation, at: datetime, *, live: bool = True) -> dict[str, Any]:
    engine = sim.engine
    inquiry = Inquiry(
        database=engine.database,
        lookout=engine.lookout,
        roster=engine.roster,
        config=engine.config,
    )
    account = why.Account(name="telegram", connected=True)
    told = await inquiry.told(
        None, sim.now(), at=at, account_of=(lambda *_: account) if live else None
    )
    return why.answered(told)


async def of_run(sim: Simulation, ref: str) -> dict[str, Any]:
    told = await sim.database.read(lambda tx: told_of_run(tx, ref, zone_of=lambda _: UTC))
    return why.answered(told)


def simulated(given: dict[str, Any], **how: Any) -> Simulation:
    how = {"start": "2026-06-01 12:00", "agent": NEWS, "checklist": LOOK, **how}
    return Simulation(given, zone="UTC", **how)


# -- the past --------------------------------------------------------------------------------


async def test_the_beat_nearest_to_a_past_instant_is_told_with_its_own_facts() -> None:
    async with simulated(config(activeHours=HOURS), start="2026-06-01 20:00") as sim:
        await sim.contact("telegram", "42")
        await sim.advance(12 * HOUR)
        night = await asked(sim, datetime(2026, 6, 2, 3, 0, tzinfo=UTC))
        evening = await asked(sim, datetime(2026, 6, 1, 21, 0, tzinfo=UTC))
    assert (night["cause"], night["reason"]) == ("window.quiet-hours", "quiet-hours")
    assert night["sentence"].startswith("No message came of the beat of main at 2026-06-02 0")
    assert "active 08:00-22:00" in night["sentence"]
    assert evening["cause"] is None
    assert evening["sentence"].startswith("A message came of the beat of main at 2026-06-01 2")
    assert "reached telegram → 42 (receipt " in evening["sentence"]
    for answer in (night, evening):
        slot = datetime.fromtimestamp(answer["slotMs"] / 1000, UTC)
        then = datetime.fromtimestamp(answer["atMs"] / 1000, UTC)
        assert abs(slot - then) <= HALF_HOUR / 2


async def test_what_was_so_then_is_told_and_not_what_is_so_now() -> None:
    async with simulated(config(target="none")) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(HOUR)
        then = sim.now() - HALF_HOUR
        await sim.apply(config(target="last"))
        await sim.advance(HOUR)
        told = await asked(sim, then)
        assert (told["cause"], told["fix"]) == ("target.none", None)
        (link,) = [one for one in told["links"] if one["code"] == "target.none"]
        assert link["fix"] == "nothing: it is no longer so"
        assert (await asked(sim, sim.now()))["cause"] is None


async def test_slots_nobody_served_are_told_with_when_the_gateway_was_back() -> None:
    async with simulated(config(), start="2026-06-01 12:00") as sim:
        await sim.advance(HOUR)
        await sim.restart(down_for=6 * HOUR)
        await sim.advance(HALF_HOUR)
        answer = await asked(sim, datetime(2026, 6, 1, 15, 0, tzinfo=UTC))
    assert answer["cause"] == "gateway.missed-downtime"
    assert "its last sign of life is of 2026-06-01 12:" in answer["sentence"]
    assert "and it began again at 2026-06-01 19:00:00 (UTC)" in answer["sentence"]


async def test_an_outage_is_named_also_if_the_cadence_was_changed_before_the_next_start() -> None:
    async with simulated(config(), start="2026-06-01 12:00") as sim:
        await sim.advance(HOUR)
        await sim.restart(config=config(every="6h"), down_for=6 * HOUR)
        await sim.advance(12 * HOUR)
        answer = await asked(sim, datetime(2026, 6, 1, 17, 0, tzinfo=UTC))
    assert answer["cause"] == "gateway.missed-downtime"
    assert answer["subject"] == "main at 2026-06-01 17:00:00 (UTC)"  # and not the beat of 12:39
    assert "the gateway was down: its last sign of life is of 2026-06-01 12:" in answer["sentence"]
    assert "it began again at 2026-06-01 19:00:00 (UTC)" in answer["sentence"]


async def test_an_outage_is_named_however_short_the_cadence_was() -> None:
    async with simulated(config(every="20s"), start="2026-06-01 12:00") as sim:
        await sim.advance(HALF_HOUR)
        await sim.restart(config=config(every="30s"), down_for=timedelta(minutes=4))
        await sim.advance(HALF_HOUR)
        answer = await asked(sim, sim.start + HALF_HOUR + timedelta(minutes=2))
    assert answer["cause"] == "gateway.missed-downtime"
    assert (
        "the gateway was down: its last sign of life is of 2026-06-01 12:29" in answer["sentence"]
    )


async def test_between_two_beats_nothing_was_expected_and_the_nearest_is_told() -> None:
    async with simulated(config(every="6h")) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(DAY)
        slot = next(row.row.slot for row in (await sim.report()).beats.rows if row.row.slot)
        before = await asked(sim, slot - timedelta(minutes=40))
        after = await asked(sim, slot + timedelta(minutes=90))
        then = await asked(sim, slot)
    assert before["slotMs"] == after["slotMs"] == then["slotMs"] == ms(slot)
    assert before["note"].startswith("Nothing was expected at ")
    assert before["note"].endswith(": the beat nearest to it came 40m after.")
    assert after["note"].endswith(": the beat nearest to it came 1h30m before.")
    assert "note" not in then


async def test_beats_that_cannot_be_read_leave_the_record_as_it_is() -> None:
    async with simulated(config()) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(3 * HOUR)
        torn = "UPDATE jobs SET definition = '{' WHERE id = 'heartbeat:main'"
        await sim.database.write(lambda tx: tx.exec_driver_sql(torn))
        past = await asked(sim, sim.now() - 2 * HOUR)
        lull = await asked(sim, sim.now())
        coming = await asked(sim, sim.now() + HOUR)
    assert past["sentence"].startswith("A message came of the beat of main at 2026-06-01 1")
    assert lull["when"] == "past"
    assert coming["cause"] == "scheduler.not-armed"


async def test_what_is_still_so_is_mended_where_the_config_says_it() -> None:
    given = config()
    own = {"id": "ops", "heartbeat": {"target": "none", "every": "30m"}}
    given["agents"]["list"] = [{"id": "main", "default": True}, own]
    async with simulated(given) as sim:
        await sim.advance(HOUR)
        engine = sim.engine
        inquiry = Inquiry(
            database=engine.database,
            lookout=engine.lookout,
            roster=engine.roster,
            config=engine.config,
        )
        fix = "engine config set 'agents.list[id=ops].heartbeat.target' last"
        for at in (None, sim.now() - HALF_HOUR, sim.now() + HALF_HOUR):
            told = why.answered(await inquiry.told("ops", sim.now(), at=at))
            (link,) = [one for one in told["links"] if one["code"] == "target.none"]
            assert link["fix"] == fix, at


async def test_a_slot_without_a_row_is_explained_while_the_gateway_is_still_down() -> None:
    async with simulated(config()) as sim:
        await sim.advance(HOUR)
        await sim.engine.stop(timedelta())
        sim.clock.move_to(sim.now() + 6 * HOUR)
        answer = await asked(sim, sim.now() - HOUR, live=False)
        assert answer["cause"] == "gateway.stopped"
        assert answer["fix"] == "engine gateway"
        assert "the beat before it was at 2026-06-01 1" in answer["sentence"]
        assert {link["state"] for link in answer["links"][1:]} == {"unknown"}


@pytest.mark.parametrize(
    ("before", "cause", "said"),
    [
        (HOUR, "scheduler.not-armed", "no beat was planned before 2026-06-01 12:00:00"),
        (100 * DAY, None, "rows of beats are kept from 2026-03-03"),
    ],
)
async def test_an_instant_before_all_beats_is_told_so(
    before: timedelta, cause: str | None, said: str
) -> None:
    async with simulated(config()) as sim:
        await sim.advance(HOUR)
        answer = await asked(sim, sim.start - before)
    assert answer["cause"] == cause
    assert said in answer["sentence"]


async def test_a_backoff_is_told_as_what_the_model_did() -> None:
    def down(_: TurnRequest) -> str:
        raise AgentFailure(FailureClass.AUTH, "401: bad key. Fix: correct the key")

    async with simulated(config(), agent=ScriptedAgent(then=down)) as sim:
        await sim.contact("telegram", "42")
        report = await sim.advance(6 * HOUR)
        held = [row for row in report.rows if row.reason in ("backoff", "suspended")]
        assert held
        answer = await asked(sim, held[0].at)
    assert (answer["cause"], answer["fix"]) == ("model.auth", "correct the key")


async def test_a_clock_set_back_and_one_put_forward_leave_no_moment_unexplained() -> None:
    async with simulated(config()) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(3 * HOUR)
        sim.clock.step(-2 * HOUR)
        await sim.advance(4 * HOUR)
        for minutes in range(10, 290, 20):
            answer = await asked(sim, sim.start + timedelta(minutes=minutes))
            assert answer["cause"] is None, answer["sentence"]
        sim.clock.step(5 * HOUR)
        await sim.advance(HOUR)
        leapt = await asked(sim, sim.now() - 3 * HOUR)
        assert leapt["cause"] == "gateway.missed-downtime"
        assert "or its clock was put forward" in leapt["sentence"]
        assert (await asked(sim, sim.now()))["cause"] is None


# -- what is to come -------------------------------------------------------------------------


async def test_the_first_slot_from_a_coming_instant_on_is_told_with_what_will_hold_it_back() -> (
    None
):
    async with simulated(config(activeHours=HOURS)) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(HOUR)
        night = await asked(sim, datetime(2026, 6, 3, 3, 0, tzinfo=UTC))
        noon = await asked(sim, datetime(2026, 6, 3, 12, 0, tzinfo=UTC))
        report = await sim.until("2026-06-03 13:00")
    slots = {ms(row.row.slot): row.reason for row in report.rows if row.row.slot}
    assert night["cause"] == "window.quiet-hours"
    assert slots[night["slotMs"]] == "quiet-hours"
    assert noon["cause"] is None
    assert slots[noon["slotMs"]] is None
    assert noon["sentence"].startswith("Nothing known now will stand in the way of the beat of")
    assert set(noon["followingMs"][:1]) <= slots.keys()
    assert len(noon["followingMs"]) == 5


async def test_which_tasks_will_be_due_is_what_the_days_until_then_bring() -> None:
    tasks = "tasks:\n- name: mail\n  interval: 24h\n  prompt: look at the mail\n"
    async with simulated(config(), checklist=tasks) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(HOUR)
        coming = [await asked(sim, sim.now() + n * HALF_HOUR) for n in range(60)]
        report = await sim.advance(31 * HOUR)
    recorded = {ms(row.row.slot): row.reason for row in report.rows if row.row.slot}
    for answer in coming:
        (link,) = [link for link in answer["links"] if link["code"].startswith("checklist")]
        waits = recorded[answer["slotMs"]] == "no-tasks-due"
        assert (link["state"] == "waiting") is waits, answer["sentence"]


async def test_what_somebody_switched_off_will_not_come() -> None:
    async with simulated(config()) as sim:
        await sim.advance(HOUR)
        await sim.engine.beat_jobs.set_enabled(False, by="ops")
        answer = await asked(sim, sim.now() + DAY)
    assert answer["cause"] == "heartbeat.disabled"
    assert answer["fix"] == "engine heartbeat enable"
    assert answer["sentence"].startswith("No message will come of the beat of main at 2026-06-02")


# -- runs of jobs ----------------------------------------------------------------------------

BRIEF = {"schedule": "0 * * * *", "message": "go", "deliver": "telegram:42"}


def fails(_: TurnRequest) -> str:
    raise AgentFailure(FailureClass.AUTH, "401: bad key. Fix: correct the key")


RUNS: dict[str, tuple[dict[str, Any], str | Callable[[TurnRequest], str], str | None, str]] = {
    "delivered": (BRIEF, "red", None, "reached telegram → 42 (receipt "),
    "nothing to say": (BRIEF, "HEARTBEAT_OK", "reply.ok-token", "the agent answered HEARTBEAT_OK"),
    "kept": ({**BRIEF, "deliver": "none"}, "red", "target.none", "the job's delivery is none"),
    "no route": (
        {**BRIEF, "deliver": "last"},
        "red",
        "target.no-route",
        "has had no conversation on a channel yet",
    ),
    "failed": (BRIEF, fails, "model.auth", "401: bad key"),
    "gate closed": (
        {**BRIEF, "gate": ["look-for-mail"]},
        "red",
        "gate.gate-closed",
        "the gate said no: nothing new",
    ),
}


@pytest.mark.parametrize("name", RUNS)
async def test_a_run_of_a_job_is_walked_as_a_beat_is(name: str) -> None:
    job, says, cause, said = RUNS[name]
    given = config({"brief": job})

    def no(_: Sequence[str]) -> Ended:
        return Ended(code=1, out=b"nothing new", err=b"")

    async with simulated(given, agent=ScriptedAgent(then=says), commands=no) as sim:
        await sim.advance(HOUR + HALF_HOUR)
        answer = await of_run(sim, "brief")
        again = await of_run(sim, answer["runId"])
    assert again == answer
    assert answer["cause"] == cause, answer["links"]
    assert said in answer["sentence"]
    assert answer["jobId"] == "cfg:brief"
    codes = [link["code"].partition(".")[0] for link in answer["links"]]
    assert codes == [code.value for code in why.Code if code.value not in ("config", "logout")]


async def test_a_text_that_a_job_handed_on_is_followed_into_the_beat_that_read_it() -> None:
    job = {"schedule": "0 * * * *", "systemEvent": "look at the build"}
    async with simulated(config({"nudge": job})) as sim:
        await sim.contact("telegram", "42")
        await sim.advance(HOUR + HALF_HOUR)
        answer = await of_run(sim, "nudge")
    assert answer["cause"] is None
    assert "reached telegram → 42" in answer["sentence"]


async def test_the_start_of_an_id_is_enough_if_one_run_begins_so() -> None:
    async with simulated(config({"brief": BRIEF})) as sim:
        await sim.advance(3 * HOUR + HALF_HOUR)
        newest = await of_run(sim, "brief")
        ids = {row.row.id for row in (await sim.report()).rows}
        shared = next(
            newest["runId"][:n]
            for n in range(24, 0, -1)
            if sum(one.startswith(newest["runId"][:n]) for one in ids) > 1
        )
        assert (await of_run(sim, newest["runId"][: len(shared) + 1])) == newest
        with pytest.raises(Conflict, match="several begin so"):
            await of_run(sim, shared)
        with pytest.raises(NotFound, match="no run and no job"):
            await of_run(sim, "nobody")
