"""Silent set-ups, each with the cause that `engine why` must name (operations.md §10.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from engine import why
from engine.agents.base import AgentFailure, FailureClass, TurnRequest
from engine.inquiry import Inquiry
from engine.messages.fault import remedy
from engine.messages.outbox import Event
from engine.store import audit, outbox, sessions
from engine.testing import ScriptedAgent, Simulation
from engine.why import Account, Facts, Standing, cause, links
from jobs.wallclock import MILLISECOND, ms

HALF_HOUR = timedelta(minutes=30)
TELEGRAM: dict[str, Any] = {"botToken": "1:a", "allowFrom": ["42"]}
LOOK = "- look at the builds\n"
CONNECTED = Account(name="telegram", connected=True)
Do = Callable[[Simulation], Awaitable[object]]


def down(_: TurnRequest) -> str:
    raise AgentFailure(FailureClass.AUTH, "the server answered 401: bad key. Fix: correct the key")


def unreachable(_: TurnRequest) -> str:
    raise AgentFailure(FailureClass.NETWORK, "no connection to here:1. Fix: elsewhere: start it")


def until(moment: str) -> Do:
    async def work(sim: Simulation) -> None:
        await sim.contact("telegram", "42")
        await sim.until(moment)

    return work


def refused(kind: str) -> Do:
    return lambda sim: lost(sim, kind)


async def nothing(_: Simulation) -> None:
    """Leave it as it is."""


async def written(sim: Simulation) -> None:
    await sim.contact("telegram", "42")
    await sim.advance(2 * HALF_HOUR)


@dataclass(frozen=True, kw_only=True)
class Silent:
    """One way to hear nothing."""

    cause: str | None
    beat: dict[str, Any] = field(default_factory=dict)
    telegram: dict[str, Any] | None = field(default_factory=lambda: TELEGRAM)
    checklist: str = LOOK
    agent: ScriptedAgent | None = None
    start: str = "2026-06-01 12:00"
    zone: str = "UTC"
    before: Do = written
    connected: Account = CONNECTED
    fix: str = ""
    agents: tuple[dict[str, Any], ...] = ()
    jobs: dict[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        beat = {"every": "30m", "target": "last", **self.beat}
        config: dict[str, Any] = {
            "agents": {
                "defaults": {"heartbeat": beat, "model": {"primary": "offline"}},
                **({"list": list(self.agents)} if self.agents else {}),
            },
            "cron": {"tz": "UTC", "jobs": self.jobs},
        }
        return config | ({"channels": {"telegram": self.telegram}} if self.telegram else {})


def inquiry_of(sim: Simulation) -> Inquiry:
    engine = sim.engine
    return Inquiry(
        database=engine.database,
        lookout=engine.lookout,
        roster=engine.roster,
        config=engine.config,
    )


async def asked(sim: Simulation, account: Account | None) -> Facts:
    return await inquiry_of(sim).facts(
        None, sim.now(), account_of=lambda *_: account, failing=sim.engine.vitals.failing
    )


async def switched_off(sim: Simulation) -> None:
    await written(sim)
    await sim.engine.beat_jobs.set_enabled(False, by="ops")


async def one_switched_off(sim: Simulation) -> None:
    await written(sim)
    await sim.engine.beat_jobs.set_enabled(False, agent_id="main", by="ops")


async def in_a_chat(sim: Simulation) -> None:
    await written(sim)
    await sim.say("a long question")


async def lost(sim: Simulation, kind: str) -> None:
    """The newest message on its way is refused, as the sender records it."""
    await written(sim)
    message = await sim.database.read(lambda tx: outbox.newest(tx, "main"))
    assert message is not None
    await sim.database.write(
        lambda tx: tx.exec_driver_sql(
            "UPDATE outbox SET state = 'queued', ended_at = NULL WHERE key = ?", (message.key,)
        )
    )
    error = {"class": kind, "detail": "as the platform put it"}

    def work(tx: Any) -> None:
        outbox.move(tx, message.key, Event.ATTEMPT, sim.now())
        outbox.move(tx, message.key, Event.REJECTED, sim.now(), reason=kind, last_error=error)
        sessions.mark_unusable(tx, message.route, kind, sim.now())

    await sim.database.write(work)


async def ended(sim: Simulation, event: Event, reason: str) -> None:
    """The newest message did not leave, as the sender records it."""
    await written(sim)
    message = await sim.database.read(lambda tx: outbox.newest(tx, "main"))
    assert message is not None

    def work(tx: Any) -> None:
        again = "UPDATE outbox SET state = 'queued', ended_at = NULL WHERE key = ?"
        tx.exec_driver_sql(again, (message.key,))
        outbox.move(tx, message.key, event, sim.now(), reason=reason)

    await sim.database.write(work)


async def paused(sim: Simulation) -> None:
    await written(sim)
    await sim.engine.beat_jobs.pause(by="ops", note="on holiday")


async def alone_for_days(sim: Simulation) -> None:
    await sim.contact("telegram", "42")
    await sim.advance(timedelta(days=3))


async def half_a_day(sim: Simulation) -> None:
    await sim.contact("telegram", "42")
    await sim.advance(timedelta(hours=12))


async def put_off(sim: Simulation) -> None:
    await written(sim)
    newest = (await sim.report()).beats.rows[-1].row.id
    await sim.engine.inbox_desk.snooze(newest, sim.now() + timedelta(days=1), by="me")
    await sim.advance(2 * HALF_HOUR)


async def stranger_writes(sim: Simulation) -> None:
    await sim.advance(HALF_HOUR)

    def work(tx: Any) -> None:
        subject = "telegram|default|telegram:666"
        audit.note(
            tx,
            now=sim.now(),
            actor="telegram:666",
            action=audit.REFUSED,
            subject=subject,
            detail={"reason": "pairing-required"},
        )

    await sim.database.write(work)


async def torn(sim: Simulation) -> None:
    """The row of its beats was written by a program that broke."""
    await written(sim)
    await sim.database.write(
        lambda tx: tx.exec_driver_sql(
            "UPDATE jobs SET definition = '{' WHERE id = 'heartbeat:main'"
        )
    )


async def clock_leapt(sim: Simulation) -> None:
    await written(sim)
    sim.clock.step(timedelta(hours=9))
    await sim.advance(2 * HALF_HOUR)


async def clock_went_back(sim: Simulation) -> None:
    await written(sim)
    sim.clock.step(-timedelta(hours=9))
    await sim.advance(2 * HALF_HOUR)


def gap_in_spring(minute: int) -> Do:
    async def work(sim: Simulation) -> None:
        await sim.contact("telegram", "42")
        await sim.until(f"2026-03-08 03:{minute:02}")

    return work


SAYS = "the build is red"
NEWS = ScriptedAgent(then=lambda r: f"news at {r.run_id}")
SHUT = {"start": "02:15", "end": "02:45", "timezone": "America/New_York"}
MATRIX = {
    "all is well": Silent(cause=None, agent=ScriptedAgent(then=lambda r: f"news at {r.run_id}")),
    "switched off": Silent(
        cause="heartbeat.disabled", before=switched_off, fix="engine heartbeat enable"
    ),
    "one agent switched off": Silent(
        cause="heartbeat.disabled", before=one_switched_off, fix="engine heartbeat enable main"
    ),
    "no beats of its own": Silent(cause="heartbeat.not-enrolled", beat={"every": "0m"}),
    "at night": Silent(
        cause="window.quiet-hours",
        start="2026-06-01 23:30",
        beat={"activeHours": {"start": "08:00", "end": "22:00"}},
    ),
    "in the middle of a chat": Silent(
        cause="gate.requests-in-flight",
        agent=ScriptedAgent(then=SAYS, takes=timedelta(minutes=5)),
        before=in_a_chat,
    ),
    "nothing to look at": Silent(cause="checklist.empty-heartbeat-file", checklist="# Later\n"),
    "the model refuses": Silent(
        cause="model.auth", agent=ScriptedAgent(then=down), fix="correct the key"
    ),
    "the model says all is well": Silent(
        cause="reply.ok-token", agent=ScriptedAgent(then="HEARTBEAT_OK")
    ),
    "the same again": Silent(cause="reply.duplicate", agent=ScriptedAgent(then=SAYS)),
    "target none": Silent(
        cause="target.none",
        beat={"target": "none"},
        agent=ScriptedAgent(then=SAYS),
        fix="engine config set agents.defaults.heartbeat.target last",
    ),
    "nobody has written": Silent(cause="target.no-route", before=nothing),
    "nobody could write, as the token is refused": Silent(
        cause="channel.auth",
        before=nothing,
        connected=Account(name="telegram", connected=False, error="auth: 401 Unauthorized"),
        fix="engine config set channels.telegram.botToken NEW_ONE",
    ),
    "another account": Silent(
        cause="target.unknown-account",
        beat={"target": "telegram", "to": "42", "accountId": "work"},
        before=nothing,
    ),
    "a channel and nobody on it": Silent(
        cause="target.no-target", beat={"target": "telegram"}, before=nothing
    ),
    "several accounts and no default": Silent(
        cause="target.account-ambiguous",
        telegram={"accounts": {"a": TELEGRAM, "b": TELEGRAM}},
        beat={"target": "telegram", "to": "42"},
        before=nothing,
        connected=Account(name="telegram/a", connected=True),
    ),
    "an expired token": Silent(
        cause="channel.auth",
        agent=ScriptedAgent(then=lambda r: f"news at {r.run_id}"),
        connected=Account(name="telegram", connected=False, error="auth: 401 Unauthorized"),
        fix="engine config set channels.telegram.botToken NEW_ONE",
    ),
    "not connected yet": Silent(
        cause="channel.channel-not-ready",
        agent=ScriptedAgent(then=lambda r: f"news at {r.run_id}"),
        connected=Account(name="telegram", connected=False),
        fix="engine channels status --probe",
    ),
    "direct chats are left alone": Silent(
        cause="policy.dm-blocked",
        beat={"directPolicy": "block"},
        before=lambda sim: sim.contact("telegram", "42"),
    ),
    "alerts are hidden": Silent(
        cause="policy.alerts-disabled",
        telegram={**TELEGRAM, "heartbeat": {"showAlerts": False}},
        before=lambda sim: sim.contact("telegram", "42"),
    ),
    "paused": Silent(cause="heartbeat.paused", before=paused, fix="engine heartbeat resume"),
    "nobody has written for days": Silent(
        cause="gate.idle-paused",
        beat={"idlePauseAfter": "2d", "every": "6h"},
        agent=NEWS,
        before=alone_for_days,
    ),
    "the budget is spent": Silent(
        cause="gate.budget-exhausted",
        beat={"budget": {"runsPerDay": 2}},
        agent=NEWS,
        fix="engine config set agents.defaults.heartbeat.budget.runsPerDay 4",
    ),
    "the model's server is down": Silent(
        cause="model.network", agent=ScriptedAgent(then=unreachable), fix="elsewhere: start it"
    ),
    "the agent answers nothing": Silent(cause="reply.ok-empty", agent=ScriptedAgent(then="")),
    "another agent has the beats": Silent(
        cause="heartbeat.not-enrolled",
        agents=({"id": "main", "default": True}, {"id": "ops", "heartbeat": {"every": "30m"}}),
        fix="engine heartbeat enable main --every 30m",
    ),
    "the target of this agent is none": Silent(
        cause="target.none",
        agents=({"id": "main", "default": True, "heartbeat": {"target": "none"}},),
        agent=ScriptedAgent(then=SAYS),
        fix="engine config set 'agents.list[id=main].heartbeat.target' last",
    ),
    "no owner is named": Silent(
        cause="target.no-route",
        telegram={"botToken": "1:a", "allowFrom": ["*"]},
        beat={"target": "owner"},
        before=nothing,
        fix="engine config set commands.ownerAllowFrom '[\"telegram:YOUR_ID\"]'",
    ),
    "a scheduled job is at work": Silent(
        cause="gate.cron-in-progress",
        agent=ScriptedAgent(then=SAYS, takes=timedelta(minutes=10)),
        jobs={"brief": {"schedule": "5 12 * * *", "message": "go"}},
        before=until("2026-06-01 12:06"),
    ),
    "alerts are hidden for everybody": Silent(
        cause="policy.alerts-disabled",
        telegram={**TELEGRAM, "heartbeat": {"showAlerts": False}},
        before=lambda sim: sim.contact("telegram", "42"),
        fix="engine config set channels.telegram.heartbeat.showAlerts true",
    ),
    "the message is held": Silent(
        cause="delivery.window-expired",
        agent=NEWS,
        before=lambda sim: ended(sim, Event.HOLD, "window-expired"),
        fix="in the chat: write to the bot; what is held for you is sent then",
    ),
    **{
        f"the platform says {kind}": Silent(
            cause=f"delivery.{kind}", agent=NEWS, before=refused(kind), fix=remedy(kind)
        )
        for kind in ("muted", "not-member", "cannot-initiate", "proactive-denied", "not-found")
    },
    "the model refused so often that nobody asks it any more": Silent(
        cause="model.auth", agent=ScriptedAgent(then=down), before=half_a_day, fix="correct the key"
    ),
    "no task is due": Silent(
        cause=None,
        checklist="tasks:\n- name: mail\n  interval: 24h\n  prompt: look at the mail\n",
        agent=NEWS,
    ),
    "somebody put the words off": Silent(
        cause="reply.snoozed", agent=ScriptedAgent(then=SAYS), before=put_off
    ),
    "a channel that is not configured": Silent(
        cause="target.target-invalid",
        telegram=None,
        beat={"target": "last", "to": "42"},
        before=nothing,
    ),
    "an account that is switched off": Silent(
        cause="target.account-disabled",
        telegram={"accounts": {"a": TELEGRAM, "b": {**TELEGRAM, "enabled": False}}},
        beat={"target": "telegram", "to": "42", "accountId": "b"},
        before=nothing,
    ),
    "only a stranger has written": Silent(cause="target.no-route", before=stranger_writes),
    "the quota of the platform is used up": Silent(
        cause="delivery.quota-exhausted",
        agent=NEWS,
        before=lambda sim: lost(sim, "quota-exhausted"),
    ),
    "the message waited too long": Silent(
        cause="delivery.expired",
        agent=NEWS,
        before=lambda sim: ended(sim, Event.OUT_OF_TIME, "expired"),
    ),
    "the stored beats cannot be read": Silent(cause="scheduler.not-armed", agent=NEWS, before=torn),
    "the clock leapt": Silent(cause=None, agent=NEWS, before=clock_leapt),
    "the clock was set back": Silent(cause=None, agent=NEWS, before=clock_went_back),
    "a window that the clocks leapt over opens after the gap": Silent(
        cause=None,
        start="2026-03-08 01:00",
        zone="America/New_York",
        beat={"every": "5m", "activeHours": SHUT},
        agent=NEWS,
        before=gap_in_spring(20),
    ),
    "and is closed when it has been open for its length": Silent(
        cause="window.quiet-hours",
        start="2026-03-08 01:00",
        zone="America/New_York",
        beat={"every": "5m", "activeHours": SHUT},
        agent=NEWS,
        before=gap_in_spring(40),
    ),
    "the bot is blocked": Silent(
        cause="delivery.blocked",
        agent=ScriptedAgent(then=lambda r: f"news at {r.run_id}"),
        before=lambda sim: lost(sim, "blocked"),
        fix="in the chat: unblock or start the bot",
    ),
}


@pytest.mark.parametrize("case", MATRIX.values(), ids=MATRIX.keys())
async def test_the_first_cause_of_a_silence_is_named(case: Silent) -> None:
    async with Simulation(
        case.config(),
        start=case.start,
        zone=case.zone,
        agent=case.agent,
        checklist=case.checklist,
    ) as sim:
        await case.before(sim)
        answer = why.answered(why.told_of_now(await asked(sim, case.connected)))
    assert answer["cause"] == case.cause, answer["links"]
    if case.fix:
        assert answer["fix"] == case.fix
    if case.cause is None:
        assert answer["sentence"].startswith("Nothing stands in the way of main: ")
    else:
        first = next(one for one in answer["links"] if one["state"] == "broken")
        assert first["what"] in answer["sentence"]
        assert first["fix"]


def test_more_than_thirty_set_ups_are_silent() -> None:
    assert len([one for one in MATRIX.values() if one.cause is not None]) > 40


async def test_a_model_that_was_changed_is_not_judged_by_the_one_before() -> None:
    case = MATRIX["the model refuses"]
    async with Simulation(
        case.config(), start=case.start, zone="UTC", agent=case.agent, checklist=LOOK
    ) as sim:
        await written(sim)
        changed = case.config()
        changed["models"] = {"providers": {"new": {"baseUrl": "http://127.0.0.1:9/v1"}}}
        changed["agents"]["defaults"]["model"] = {"primary": "new/one"}
        await sim.apply(changed)
        answer = why.answered(why.told_of_now(await asked(sim, case.connected)))
    assert answer["cause"] is None, answer["links"]
    (model,) = [one for one in answer["links"] if one["code"] == "model"]
    assert model["state"] == "waiting"
    assert "the model was changed since it failed" in model["what"]


async def test_all_that_is_broken_is_listed_behind_the_first() -> None:
    case = Silent(
        cause="target.none",
        beat={"target": "none"},
        telegram={"accounts": {"a": TELEGRAM, "b": TELEGRAM}},
        before=nothing,
    )
    async with Simulation(
        case.config(), start=case.start, zone="UTC", checklist="# Later\n"
    ) as sim:
        chain = links(await asked(sim, None))
    broken = [link.name for link in chain if link.state is Standing.BROKEN]
    assert broken == [
        "checklist.empty-heartbeat-file",
        "target.none",
        "target.account-ambiguous",
    ]


async def test_a_restart_and_a_wait_change_no_answer() -> None:
    agent = ScriptedAgent(then="HEARTBEAT_OK")
    case = Silent(cause="reply.ok-token")
    async with Simulation(
        case.config(), start=case.start, zone="UTC", agent=agent, checklist=LOOK
    ) as sim:
        await written(sim)
        await sim.restart()
        chain = links(await asked(sim, case.connected))
    found = cause(chain)
    assert found is not None
    assert found.name == "reply.ok-token"


async def test_a_beat_that_is_not_due_is_waited_for_and_no_fault() -> None:
    case = MATRIX["all is well"]
    async with Simulation(
        case.config(), start=case.start, zone="UTC", agent=case.agent, checklist=LOOK
    ) as sim:
        await written(sim)
        chain = links(await asked(sim, case.connected))
        due = sim.engine.lookout.next_beat(sim.engine.roster.agent(None), sim.now())
    window = next(link for link in chain if link.code.value == "window")
    assert window.state is Standing.WAITING
    assert due is not None
    assert f"the next beat is due at {due:%Y-%m-%d %H:%M} (UTC)" in window.what


@pytest.mark.parametrize("step", [timedelta(hours=9), -timedelta(hours=9)], ids=["on", "back"])
async def test_after_a_step_of_the_clock_the_next_beat_is_within_one_interval(
    step: timedelta,
) -> None:
    case = MATRIX["all is well"]
    async with Simulation(
        case.config(), start=case.start, zone="UTC", agent=case.agent, checklist=LOOK
    ) as sim:
        await written(sim)
        sim.clock.step(step)
        await sim.advance(timedelta(minutes=1))
        told = why.told_of_now(await asked(sim, case.connected))
        assert 0 <= told["nextDueAtMs"] - ms(sim.now()) <= HALF_HOUR // MILLISECOND
        report = await sim.advance(2 * HALF_HOUR)
    ran = [row.row.slot for row in report.beats.rows if row.ran and row.row.slot]
    assert sum(slot > sim.now() - 2 * HALF_HOUR for slot in ran) == 2


async def test_in_a_week_of_everything_no_expected_beat_is_unaccounted_for() -> None:
    """Nights, a change of clocks, a crash, a pause, a switch, a model that fails, clock steps."""
    hours = {"start": "07:00", "end": "23:00", "timezone": "Europe/Berlin"}
    case = Silent(cause=None, beat={"activeHours": hours}, telegram=TELEGRAM)
    answers = iter(range(10_000))

    def moody(_: TurnRequest) -> str:
        turn = next(answers)
        if 40 <= turn < 44:
            raise AgentFailure(FailureClass.SERVER_ERROR, "503")
        return ("HEARTBEAT_OK", SAYS, f"news {turn}")[turn % 3]

    async with Simulation(
        case.config(),
        start="2026-03-26 00:00",
        zone="Europe/Berlin",
        agent=ScriptedAgent(then=moody),
        checklist=LOOK,
    ) as sim:
        await sim.contact("telegram", "42")
        await sim.until("2026-03-27 10:00")
        await sim.restart(down_for=timedelta(hours=5))
        await sim.until("2026-03-28 09:00")
        await sim.engine.beat_jobs.pause(by="ops", until=sim.now() + timedelta(hours=2))
        await sim.until("2026-03-29 12:00")  # the clocks go forward that night
        await sim.engine.beat_jobs.set_enabled(False, by="ops")
        await sim.advance(timedelta(hours=3))
        await sim.engine.beat_jobs.set_enabled(True, by="ops")
        await sim.until("2026-03-30 08:00")
        sim.clock.step(timedelta(hours=4))
        await sim.advance(timedelta(hours=6))
        sim.clock.step(-timedelta(hours=2))
        await sim.until("2026-04-02 00:00")
        since = ms(sim.start)
        found = await sim.engine.outlook.audit({"sinceMs": since})
        assert (found["ok"], found["missing"], found["duplicates"]) == (True, 0, 0)
        (beats,) = [job for job in found["jobs"] if job["kind"] == "heartbeat"]
        assert beats["expected"] > 300
        causes: Counter[str | None] = Counter()
        inquiry = inquiry_of(sim)
        for hour in range(1, 7 * 24, 2):
            at = sim.start + timedelta(hours=hour)
            answer = why.answered(await inquiry.told(None, sim.now(), at=at))
            assert "runId" in answer, answer["sentence"]
            causes[answer["cause"]] += 1
    assert {
        None,
        "window.quiet-hours",
        "gateway.missed-downtime",
        "heartbeat.paused",
        "heartbeat.disabled",
        "reply.ok-token",
    } <= causes.keys(), causes


async def test_beats_that_cannot_be_read_are_made_anew_at_the_next_start() -> None:
    case = MATRIX["all is well"]
    async with Simulation(
        case.config(), start=case.start, zone="UTC", agent=case.agent, checklist=LOOK
    ) as sim:
        await torn(sim)
        await sim.restart(down_for=timedelta(minutes=5))
        report = await sim.advance(2 * HALF_HOUR)
        answer = why.answered(why.told_of_now(await asked(sim, case.connected)))
    assert answer["cause"] is None
    assert report.beats.rows[-1].ran
