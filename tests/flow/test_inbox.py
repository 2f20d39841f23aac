"""Everything said and not delivered is kept, listed, sent again once, put off and muted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from engine.messages.delivery import State
from engine.messages.outbox import Event
from engine.pytest_plugin import EngineSim
from engine.store import audit, outbox
from engine.testing import ScriptedAgent, Simulation
from jobs.errors import InvalidInput, NotFound
from jobs.wallclock import ms

HALF_HOUR = timedelta(minutes=30)
LOOK = "- look at the builds\n"
RED = "The build is red."


def beating(target: str = "none", **heartbeat: Any) -> dict[str, Any]:
    block = {"every": "30m", "target": target} | heartbeat
    return {"agents": {"defaults": {"heartbeat": block}}}


async def listed(sim: Simulation, **params: Any) -> list[dict[str, Any]]:
    answer = await sim.engine.inbox_desk.listing(params)
    return list(answer["entries"])


def told(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["text"], one["reason"], one["state"], one["times"]


async def test_words_without_a_target_are_one_unread_row_however_often_they_are_said(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating(), start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent("Rain.", then=RED)
    )
    day = await sim.until("2026-06-01 02:00")
    rows = await listed(sim)
    assert [told(one) for one in rows] == [
        (RED, "target-none", "unread", 3),
        ("Rain.", "target-none", "unread", 1),
    ]
    newest = day.beats.rows[-1].row
    assert (rows[0]["runId"], rows[0]["agentId"]) == (newest.id, "main")
    assert rows[0]["because"] == "target is set to none"


async def test_a_repetition_is_noted_with_its_count_and_asks_for_no_look(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating("last"), start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent(then=RED)
    )
    day = await sim.until("2026-06-01 02:00")
    assert await listed(sim) == []
    assert [told(one) for one in await listed(sim, reason="duplicate", state="all")] == [
        (RED, "duplicate", "noted", 3)
    ]
    assert "4th time" in day.beats.rows[-1].because


async def test_it_is_sent_again_once_however_often_it_is_asked(engine_sim: EngineSim) -> None:
    sim = engine_sim(beating(), start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent(RED))
    await sim.until("2026-06-01 01:00")
    (one,) = await listed(sim)
    desk = sim.engine.inbox_desk
    first = await desk.resend(str(one["number"]), to="local:inbox", by="me")
    again = await desk.resend(one["runId"], to="local:inbox", by="me")
    assert (first["resent"], again["resent"], first["key"]) == (True, False, again["key"])
    report = await sim.advance(HALF_HOUR)
    assert [each.text for each in report.deliveries] == [RED]
    assert [each["state"] for each in await listed(sim, state="all")] == ["resent"]
    elsewhere = await desk.resend(one["runId"], to="local:other", by="me")
    assert elsewhere["resent"]  # another place was not told yet
    with pytest.raises(NotFound):
        await desk.resend("999", by="me")
    with pytest.raises(InvalidInput, match="not configured"):
        await desk.resend(one["runId"], to="telegram:42", by="me")


async def test_it_is_sent_again_by_the_bot_that_knows_its_person(engine_sim: EngineSim) -> None:
    """An id learnt by one QQ bot means nobody to another (channels.md §8)."""
    bots = {one: {"appId": one, "clientSecret": "s"} for one in ("one", "two")}
    config = {**beating(), "channels": {"qqbot": {"defaultAccount": "one", "accounts": bots}}}
    sim = engine_sim(config, start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent(RED))
    await sim.until("2026-06-01 01:00")
    (one,) = await listed(sim)
    desk = sim.engine.inbox_desk
    for account, by in ((None, "one"), ("two", "two")):
        sent = await desk.resend(one["runId"], to="qqbot:c2c:AB", account_id=account, by="me")
        assert (sent["resent"], sent["receipt"]["accountId"]) == (True, by)
    with pytest.raises(InvalidInput, match="'three' is not configured"):
        await desk.resend(one["runId"], to="qqbot:c2c:AB", account_id="three", by="me")


async def test_an_alert_that_arrived_is_said_again_once_when_somebody_asks(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating("last"), start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent(RED)
    )
    day = await sim.until("2026-06-01 01:00")
    run = next(row.row for row in day.beats.rows if row.ran)
    desk = sim.engine.inbox_desk
    assert [(await desk.resend(run.id, by="me"))["resent"] for _ in range(2)] == [True, False]
    report = await sim.advance(HALF_HOUR)
    assert [each.text for each in report.deliveries] == [RED, RED]


async def test_what_fails_once_more_is_unread_again_and_may_be_sent_a_third_time(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating(), start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent(RED))
    await sim.until("2026-06-01 01:00")
    (one,) = await listed(sim)
    desk = sim.engine.inbox_desk
    sent = await desk.resend(one["runId"], to="local:inbox", by="me")
    now = sim.now()
    for event in (Event.ATTEMPT, Event.REJECTED):
        await sim.database.write(
            lambda tx, event=event: outbox.move(tx, sent["key"], event, now, reason="blocked")  # type: ignore[misc]  # bound now
        )
    assert [told(each) for each in await listed(sim)] == [(RED, "failed", "unread", 1)]
    third = await desk.resend(one["runId"], to="local:inbox", by="me")
    assert third["resent"]
    assert third["key"] != sent["key"]


async def test_what_is_snoozed_comes_back_by_itself_and_is_not_said_meanwhile(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating("last", dedupe="off"),
        start="2026-06-01 00:00",
        checklist=LOOK,
        agent=ScriptedAgent(then="CPU at 91%"),
    )
    first = await sim.advance(HALF_HOUR)
    run_id = first.beats.rows[0].row.id
    await sim.engine.inbox_desk.snooze(run_id, sim.now() + 3 * HALF_HOUR, by="me")
    later = await sim.advance(3 * HALF_HOUR)
    assert [row.reason for row in later.beats.rows[1:]] == ["snoozed"] * 3
    assert len(later.deliveries) == 1
    assert [told(one) for one in await listed(sim, state="all")] == [
        ("CPU at 91%", "sent", "noted", 4)
    ]
    assert len((await sim.advance(HALF_HOUR)).deliveries) == 2


async def test_the_third_snooze_mutes_and_says_so_and_every_time_is_on_record(
    engine_sim: EngineSim,
) -> None:
    agent = ScriptedAgent("CPU at 91%", "CPU at 92%", then="CPU at 95%")
    sim = engine_sim(
        beating("last", dedupe="off"), start="2026-06-01 00:00", checklist=LOOK, agent=agent
    )
    await sim.advance(HALF_HOUR)
    desk = sim.engine.inbox_desk
    run_id = (await sim.report()).beats.rows[0].row.id
    states = [
        (await desk.snooze(run_id, sim.now() + timedelta(minutes=1), by="me"))["state"]
        for _ in range(3)
    ]
    assert states == ["snoozed", "snoozed", "muted"]
    report = await sim.advance(4 * HALF_HOUR)
    assert [row.reason for row in report.beats.rows[1:]] == ["muted"] * 4
    assert "muted on" in report.beats.rows[-1].because
    (row,) = await listed(sim, state="muted")
    assert row["times"] == 5
    notes = await sim.database.read(lambda tx: audit.of(tx, ["inbox.mute"], sim.start))
    assert notes[0]["detail"] == {"because": "snoozed 3 times"}
    await desk.mute(str(row["number"]), on=False, by="me")
    assert len((await sim.advance(HALF_HOUR)).deliveries) == 2


async def test_a_retry_of_a_failed_message_and_a_resend_of_its_words_are_one_message(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating(), start="2026-06-01 00:00", checklist=LOOK, agent=ScriptedAgent(RED))
    await sim.until("2026-06-01 01:00")
    (one,) = await listed(sim)
    first = await sim.engine.inbox_desk.resend(one["runId"], to="local:inbox", by="me")
    key, now = first["key"], sim.now()
    await sim.database.write(lambda tx: outbox.move(tx, key, Event.CANCEL, now, reason="operator"))
    retried = await sim.engine.outbox_desk.retry(key, by="me")
    assert retried["fresh"]
    (again,) = await listed(sim, state="all")
    assert (again["state"], again["resentKey"]) == ("resent", retried["key"])


async def test_an_operator_stops_and_hurries_what_waits_and_nothing_else(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(beating("last"), start="2026-06-01 00:00", checklist=LOOK, agent=RED.format)
    await sim.advance(HALF_HOUR)
    desk = sim.engine.outbox_desk
    (one,) = (await desk.listing({"state": "delivered"}))["entries"]
    for refused in (desk.retry(one["key"], by="me"), desk.cancel(one["key"], by="me")):
        with pytest.raises(InvalidInput, match="it is delivered"):
            await refused
    with pytest.raises(InvalidInput, match="is on its way"):
        await desk.purge({"state": State.QUEUED.value}, by="me")
    assert (await desk.purge({"state": "delivered"}, by="me"))["removed"] == 0  # not old enough
    await sim.advance(timedelta(minutes=1))
    assert (await desk.purge({"beforeMs": ms(sim.now())}, by="me"))["removed"] == 1


async def test_a_purge_takes_what_nobody_waits_for_and_a_choice_takes_that(
    engine_sim: EngineSim,
) -> None:
    sim = engine_sim(
        beating(),
        start="2026-06-01 00:00",
        checklist=LOOK,
        agent=ScriptedAgent("Rain.", "HEARTBEAT_OK all calm", then=RED),
    )
    await sim.until("2026-06-01 02:00")
    desk = sim.engine.inbox_desk
    assert (await desk.purge({}, by="me"))["removed"] == 1  # the dropped words
    assert (await desk.acknowledge(None, by="me"))["acked"] == 2
    assert await listed(sim) == []
    assert (await desk.purge({"reason": "target-none", "state": "all"}, by="me"))["removed"] == 2


async def test_what_differs_only_in_figures_is_a_repetition_if_that_is_asked_for(
    engine_sim: EngineSim,
) -> None:
    words = [f"CPU at {n}% since 09:{n}, see https://x.example/{n}" for n in range(10, 14)]
    for mode, sent in (("text", 4), ("normalized", 1)):
        sim = engine_sim(
            beating("last", dedupe=mode),
            start="2026-06-01 00:00",
            checklist=LOOK,
            agent=ScriptedAgent(*words),
        )
        report = await sim.until("2026-06-01 02:00")
        assert len(report.deliveries) == sent
