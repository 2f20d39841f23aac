from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import Agent, AgentFailure, FailureClass, TurnReply, TurnRequest
from engine.turns.lanes import Lanes
from engine.turns.turn import TurnOrder, TurnResult, Turns, recall, remember
from jobs.errors import InvalidInput
from jobs.store.db import Database

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "agent:main:main"
ORDER = TurnOrder(run_id="r1", agent_id="main", session_key=KEY, kind="chat", prompt="hello")


class StillClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> timedelta:
        return timedelta()

    async def sleep_until(self, instant: datetime) -> None:
        raise AssertionError(f"nobody sleeps here, not until {instant}")


class Scripted:
    """Says or raises what it was told, and keeps what it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[TurnRequest] = []
        self.refs: list[tuple[str | None, Sequence[str]]] = []
        self.begun = asyncio.Event()
        self.hold: asyncio.Event | None = None

    def build(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Agent:
        self.refs.append((ref, tuple(fallbacks)))
        return self

    def servers(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Sequence[str | None]:
        return ()

    async def answer(self, request: TurnRequest) -> TurnReply:
        self.asked.append(request)
        self.begun.set()
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answers.pop(0) if self.answers else "fine"
        if isinstance(answer, Exception):
            raise answer
        return TurnReply(payloads=(answer,))


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = await Database.memory()
    yield database
    await database.close()


def turns(database: Database, agents: Any, *, places: int = 4) -> Turns:
    clock = StillClock()
    lanes = Lanes(places, clock=clock)
    return Turns(database=database, lanes=lanes, agents=agents, clock=clock)


async def shown(database: Database, key: str = KEY) -> list[tuple[str, str]]:
    history = await database.read(lambda tx: recall(tx, key))
    return [(message.role, message.text) for message in history]


async def test_a_turn_answers_and_is_remembered(database: Database) -> None:
    result = await turns(database, Scripted("Hello Ada")).take(ORDER)
    assert result.reply is not None
    assert result.reply.text == "Hello Ada"
    assert await shown(database) == [("user", "hello"), ("assistant", "Hello Ada")]


async def test_the_next_turn_is_shown_the_last(database: Database) -> None:
    agent = Scripted("one", "two")
    room = turns(database, agent)
    await room.take(ORDER)
    await room.take(replace(ORDER, run_id="r2", prompt="again"))
    assert [(m.role, m.text) for m in agent.asked[1].history] == [
        ("user", "hello"),
        ("assistant", "one"),
    ]


async def test_an_isolated_turn_sees_nothing_and_leaves_nothing(database: Database) -> None:
    agent = Scripted()
    room = turns(database, agent)
    await room.take(ORDER)
    await room.take(replace(ORDER, run_id="r2", history=False, remember=False, prompt="alone"))
    assert agent.asked[1].history == ()
    assert len(await shown(database)) == 2


async def test_the_transcript_keeps_a_marker_in_place_of_a_long_prompt(database: Database) -> None:
    await turns(database, Scripted()).take(replace(ORDER, transcript="[beat]"))
    assert (await shown(database))[0] == ("user", "[beat]")


async def test_a_beat_with_nothing_to_say_is_not_shown_again(database: Database) -> None:
    async def settle(result: TurnResult) -> None:
        await database.write(lambda tx: remember(tx, result, acknowledged=True))

    room = turns(database, Scripted("HEARTBEAT_OK"))
    await room.take(replace(ORDER, kind="heartbeat"), settle=settle)
    assert await shown(database) == []


async def test_model_and_fallbacks_reach_the_source_of_agents(database: Database) -> None:
    agent = Scripted()
    await turns(database, agent).take(replace(ORDER, model="p/m", fallbacks=("p/n",)))
    assert agent.refs == [("p/m", ("p/n",))]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (AgentFailure(FailureClass.BILLING, "no credit"), FailureClass.BILLING),
        (InvalidInput("a tool was used wrongly"), FailureClass.INTERNAL),
        (KeyError("bug"), FailureClass.INTERNAL),
    ],
)
async def test_whatever_an_agent_raises_comes_back_as_a_class(
    database: Database, error: Exception, failure: FailureClass
) -> None:
    result = await turns(database, Scripted(error)).take(ORDER)
    assert result.reply is None
    assert result.failure is not None
    assert result.failure.failure is failure


async def test_after_a_failure_only_a_persons_words_are_kept(database: Database) -> None:
    room = turns(database, Scripted(ValueError(), ValueError()))
    await room.take(replace(ORDER, kind="cron", prompt="job"))
    await room.take(replace(ORDER, run_id="r2"))
    assert await shown(database) == [("user", "hello")]


@pytest.mark.parametrize(
    ("kind", "words"), [("cron", "cron: job execution timed out"), ("chat", "no answer within")]
)
async def test_a_turn_that_takes_too_long_is_a_timeout(
    database: Database, kind: str, words: str
) -> None:
    agent = Scripted()
    agent.hold = asyncio.Event()
    order = replace(ORDER, kind=kind, timeout=timedelta(milliseconds=20))
    result = await turns(database, agent).take(order)
    assert result.failure is not None
    assert result.failure.failure is FailureClass.TIMEOUT
    assert words in result.failure.message


async def test_the_result_is_settled_before_the_next_turn_of_the_session(
    database: Database,
) -> None:
    agent = Scripted("one", "two")
    room = turns(database, agent)
    order: list[str] = []

    async def settle(result: TurnResult) -> None:
        order.append(f"{result.order.run_id} settled after {len(agent.asked)}")
        await database.write(lambda tx: remember(tx, result))

    orders = [replace(ORDER, run_id=run) for run in ("r1", "r2")]
    await asyncio.gather(*(room.take(one, settle=settle) for one in orders))
    assert order == ["r1 settled after 1", "r2 settled after 2"]
    assert len(await shown(database)) == 4


async def test_an_order_is_completed_once_the_lane_is_held(database: Database) -> None:
    agent = Scripted()

    async def prepare(order: TurnOrder, now: datetime) -> TurnOrder:
        return replace(order, prompt=f"{order.prompt} at {now:%H:%M}")

    result = await turns(database, agent).take(ORDER, prepare=prepare)
    assert agent.asked[0].prompt == "hello at 12:00"
    assert result.order.prompt == "hello at 12:00"


async def test_cancelling_a_turn_settles_nothing_and_frees_the_lane(database: Database) -> None:
    agent = Scripted()
    agent.hold = asyncio.Event()
    room = turns(database, agent)
    task = asyncio.create_task(room.take(ORDER))
    await agent.begun.wait()
    assert [one.run_id for one in room.lanes.busy("main")] == ["r1"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert room.lanes.busy() == ()
    assert await shown(database) == []


async def test_agents_of_an_earlier_config_are_left_when_their_last_turn_has_ended(
    database: Database,
) -> None:
    old, new = Scripted("from before"), Scripted()
    old.hold = asyncio.Event()
    taking = turns(database, old)
    turn = asyncio.create_task(taking.take(ORDER))
    await old.begun.wait()
    taking.use(new)
    leaving = asyncio.create_task(taking.left(old))
    await taking.take(replace(ORDER, run_id="r2", session_key="agent:main:other"))
    assert not leaving.done()
    old.hold.set()
    result = await turn
    await leaving
    assert result.reply is not None
    assert result.reply.text == "from before"
    assert len(new.asked) == 1
