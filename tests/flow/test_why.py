"""Silent set-ups, each with the cause that `engine why` must name (operations.md §10.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass, TurnRequest
from engine.inquiry import Inquiry
from engine.outbox import Event
from engine.store import outbox, sessions
from engine.testing import ScriptedAgent, Simulation
from engine.why import Account, Facts, Standing, cause, fix_line, links

HALF_HOUR = timedelta(minutes=30)
TELEGRAM: dict[str, Any] = {"botToken": "1:a", "allowFrom": ["42"]}
LOOK = "- look at the builds\n"
CONNECTED = Account(name="telegram", connected=True)
Do = Callable[[Simulation], Awaitable[object]]


def down(_: TurnRequest) -> str:
    raise AgentFailure(FailureClass.AUTH, "the server answered 401: bad key. Fix: correct the key")


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
    before: Do = written
    connected: Account = CONNECTED
    fix: str = ""

    def config(self) -> dict[str, Any]:
        beat = {"every": "30m", "target": "last", **self.beat}
        config: dict[str, Any] = {
            "agents": {
                "defaults": {"heartbeat": beat, "model": {"primary": "offline"}},
            }
        }
        return config | ({"channels": {"telegram": self.telegram}} if self.telegram else {})


async def asked(sim: Simulation, account: Account | None) -> Facts:
    engine = sim.engine
    inquiry = Inquiry(
        database=engine.database,
        lookout=engine.lookout,
        roster=engine.roster,
        config=engine.config,
    )
    return await inquiry.facts(
        None, sim.now(), account_of=lambda *_: account, failing=engine.vitals.failing
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


SAYS = "the build is red"
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
        fix="replace the credential: the platform refuses it",
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
    "the bot is blocked": Silent(
        cause="delivery.blocked",
        agent=ScriptedAgent(then=lambda r: f"news at {r.run_id}"),
        before=lambda sim: lost(sim, "blocked"),
        fix="the person must unblock or start the bot",
    ),
}


@pytest.mark.parametrize("case", MATRIX.values(), ids=MATRIX.keys())
async def test_the_first_cause_of_a_silence_is_named(case: Silent) -> None:
    async with Simulation(
        case.config(), start=case.start, zone="UTC", agent=case.agent, checklist=case.checklist
    ) as sim:
        await case.before(sim)
        chain = links(await asked(sim, case.connected))
    found = cause(chain)
    assert (found.name if found else None) == case.cause, [link.to_json() for link in chain]
    if case.fix:
        assert fix_line(chain) == case.fix
    assert found is None or fix_line(chain) or found.code.value in ("gate", "reply", "window")


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
