"""The scenarios of the reference product's own tests, and where each of them is covered here.

heartbeat.md §23. `COVERED` names, file by file of theirs, the tests that cover each scenario;
what no other test covered stands below. A name that no longer exists fails here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from engine.decisions.wake import Intent, NewEvent
from engine.events import Bus
from engine.pytest_plugin import EngineSim
from engine.store import events as event_rows, sessions
from engine.testing import ScriptedAgent, Simulation
from jobs.hours import parse
from jobs.store.db import Database, Tx

TESTS: Final = Path(__file__).parents[1]
MINUTE: Final = timedelta(minutes=1)
HALF_HOUR: Final = 30 * MINUTE
HOUR: Final = 60 * MINUTE
START: Final = "2026-06-01 00:00"
LOOK: Final = "- look at the builds\n"

HERE: Final = "flow/test_upstream_scenarios"
DEFECTS: Final = "flow/test_upstream_defects"
BEATS: Final = "flow/test_beats"
EVENTS: Final = "flow/test_events"
HOT: Final = "flow/test_hot_changes"
STORES: Final = "contract/test_engine_stores"
UNIT: Final = "unit/engine/"
WAKE: Final = f"{UNIT}decisions/test_wake"
GATES: Final = f"{UNIT}decisions/test_gates"
FILE: Final = f"{UNIT}workspace/test_checklist"
RANDOM: Final = "property/test_beats"
EFFECTIVE: Final = "unit/engine/config/test_effective"
TOOL: Final = "unit/engine/agents/tools/test_heartbeat_tool"

# file of theirs → scenario → tests of ours, as `file::name` without `test_`
COVERED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "heartbeat-active-hours": {
        "no window, user zone, overnight, explicit zone": (
            "unit/jobs/test_hours::the_window_is_open_when_the_specification_says",
        ),
        "equal bounds, invalid bounds": (
            "unit/engine/config/test_load::a_heartbeat_block_is_judged_even_without_every",
        ),
        "invalid zone": ("unit/jobs/test_hours::an_unknown_zone_is_refused",),
    },
    "heartbeat-cooldown": {
        "manual is never deferred": (f"{WAKE}::a_person_is_never_held_back",),
        "due, spacing, flood and their boundaries": (f"{WAKE}::a_wake_is_held_back_as_specified",),
        "unordered buffer": (f"{RANDOM}::the_order_of_remembered_starts_does_not_matter",),
        "a retained event is admitted after spacing": (
            f"{EVENTS}::two_events_within_half_a_minute_are_told_in_one_beat",
            f"{DEFECTS}::03_a_wake_inside_the_interval_is_not_dropped",
        ),
    },
    "heartbeat-schedule": {
        "stable phase, next future slot": (
            f"{UNIT}decisions/test_heartbeat::the_grid_is_the_specified_one",
        ),
        "unchanged schedule kept on reload": (
            f"{HOT}::a_reload_that_changes_nothing_leaves_every_slot",
        ),
        "seek into the window, horizon": (
            f"{UNIT}decisions/test_heartbeat::the_next_beat_that_runs_lies_inside_the_hours",
            f"{UNIT}decisions/test_heartbeat::every_window_gets_a_beat_even_if_the_grid_would_miss_it",
        ),
    },
    "heartbeat-wake": {
        "coalesce many": ("flow/test_wakes::events_that_come_at_once_make_one_beat",),
        "retry after busy": (
            f"{BEATS}::a_busy_agent_makes_the_beat_wait_and_it_runs_when_the_agent_is_free",
        ),
        "thrown handler retried": (
            "flow/test_wakes::an_event_whose_beat_failed_is_told_later_also_without_a_cadence",
        ),
        "no priority downgrade, newer wins, target survives": (
            f"{WAKE}::a_higher_intent_replaces_a_lower_one_and_keeps_its_events",
            f"{WAKE}::among_equals_the_newer_wins_and_the_override_survives",
        ),
        "pending wakes outlive the handler": (f"{EVENTS}::an_event_asks_again_after_a_restart",),
        "parallel lanes": (f"{DEFECTS}::04_a_busy_agent_holds_up_no_other",),
    },
    "heartbeat-reason": {
        "trimming, default, kinds": (f"{WAKE}::what_an_event_is_about_stands_before_the_colon",),
        "event-driven set": (f"{GATES}::an_event_passes_what_stops_only_polls",),
    },
    "heartbeat-events": {
        "status to indicator": (
            f"{UNIT}ledger/test_explain::every_status_has_its_word_and_a_sentence",
        ),
        "last stored with its time": (
            f"{DEFECTS}::02_the_last_record_is_kept_for_each_agent_and_over_a_restart",
        ),
        "a listener that fails harms no other": (f"{HERE}::a_listener_that_fails_harms_no_other",),
    },
    "heartbeat-events-filter": {
        "cron prompt: relay, internal": (
            f"{UNIT}wording/test_prompt::an_event_alone_is_the_whole_matter",
            f"{UNIT}wording/test_prompt::without_a_reader_the_agent_deals_with_it_itself",
        ),
        "noise and look-alikes": (f"{UNIT}wording/test_prompt::noise_is_left_out",),
        "exec prompt": ("flow/test_commands::two_ends_within_half_a_minute_are_told_in_one_beat",),
    },
    "heartbeat-visibility": {
        "account over channel over defaults over built-in": (
            f"{EFFECTIVE}::each_flag_of_visibility_comes_from_the_first_place_that_sets_it",
        ),
    },
    "runner.returns-default-unset": {
        "interval and enablement": (
            f"{UNIT}decisions/test_heartbeat::the_right_agents_beat",
            "unit/engine/config/test_load::a_heartbeat_block_is_judged_even_without_every",
        ),
        "target matrix": (
            f"{UNIT}messages/test_route::every_reason_for_no_route_is_named",
            f"{UNIT}messages/test_route::last_is_where_the_person_wrote_from",
            f"{UNIT}messages/test_route::an_explicit_topic_is_kept",
            f"{UNIT}messages/test_route::direct_chats_blocked_leave_groups_open",
            f"{UNIT}messages/test_route::the_list_of_accounts_is_the_evidence",
        ),
        "outside hours, not enrolled": (
            f"{BEATS}::quiet_hours_are_recorded_not_passed_over",
            f"{UNIT}decisions/test_heartbeat::an_agent_in_the_shadow_of_another_is_told_whose",
        ),
        "session by config and by argument, subagent keys": (
            f"{UNIT}test_sessions::a_beat_runs_where_the_wake_says",
            f"{UNIT}test_sessions::a_configured_session_is_used_without_a_wake",
            f"{UNIT}test_sessions::a_beat_never_runs_in_a_session_that_is_not_its_own",
        ),
        "duplicate in 24 h": (
            f"{BEATS}::the_same_alert_again_is_suppressed_and_said_so",
            f"{BEATS}::after_a_day_the_same_alert_may_be_sent_again",
        ),
        "reasoning": (
            f"{UNIT}beats/test_outcome::reasoning_goes_before_the_alert_if_it_was_asked_for",
            f"{UNIT}wording/test_outcome::reasoning_is_kept_apart",
        ),
        "file states": (
            f"{FILE}::only_what_asks_for_something_makes_a_file_not_empty",
            f"{DEFECTS}::14_an_empty_file_swallows_no_event",
            "acceptance/test_refusals::a_checklist_nobody_can_read_is_a_reason_not_a_silence",
        ),
        "internal-only prompts when target none": (
            f"{UNIT}wording/test_prompt::without_a_reader_the_agent_deals_with_it_itself",
        ),
    },
    "runner.respects-ackmaxchars": {
        "limit, markup, prefix": (
            f"{UNIT}wording/test_outcome::every_row_of_the_token_table_is_so",
            f"{UNIT}wording/test_outcome::the_response_prefix_is_added_once",
        ),
        "showOk, all off": (
            f"{UNIT}beats/test_outcome::that_all_is_well_is_told_only_where_it_is_wanted",
            f"{HERE}::with_everything_switched_off_no_model_is_asked",
        ),
        "activity time not moved": (f"{HERE}::beats_do_not_keep_a_conversation_alive",),
        "account pass-through": (
            f"{UNIT}messages/test_route::last_with_a_recipient_keeps_the_account",
        ),
    },
    "runner.scheduler": {
        "reload without restart": (f"{HOT}::a_new_cadence_holds_from_the_next_slot_on",),
        "continues after a throw": (f"{HERE}::a_beat_that_breaks_does_not_end_the_beats",),
        "due not pushed by busy": (f"{DEFECTS}::21_a_beat_somebody_asked_for_moves_no_other",),
        "no fan-out": (f"{DEFECTS}::26_a_text_for_one_agent_wakes_no_other",),
        "a window that changed": (f"{DEFECTS}::29_a_beat_reads_the_config_in_force",),
        "overflow of a timer": (f"{HERE}::an_interval_beyond_any_timer_still_comes",),
        "flood": (f"{GATES}::each_obstacle_is_named_with_its_evidence",),
    },
    "runner.ghost-reminder": {
        "only the ok token queued": (f"{HERE}::a_queued_acknowledgement_is_no_reminder",),
        "real event, mixed noise": (f"{UNIT}wording/test_prompt::noise_is_left_out",),
        "consumed once": (
            "property/test_events::no_event_is_taken_away_that_the_model_did_not_see",
        ),
        "reply follows the event's route": (
            f"{UNIT}messages/test_route::an_event_answers_where_it_came_from_even_if_the_session_moved_on",
        ),
    },
    "runner.isolated-key-stability": {
        "exactly one suffix": (
            f"{UNIT}test_sessions::isolation_adds_exactly_one_suffix_however_often",
        ),
        "base events reach the isolated run": (
            f"{DEFECTS}::15_an_event_goes_when_it_was_seen_and_not_before",
        ),
        "no session when no task is due": (f"{HERE}::a_beat_that_is_skipped_makes_no_session",),
    },
    "runner.model-override": {
        "override, and no leak": (
            f"{DEFECTS}::23_the_model_of_beats_does_not_become_that_of_the_conversation",
        ),
        "per agent over the defaults": (f"{HERE}::each_agent_beats_with_its_own_model",),
        "timeout": (f"{DEFECTS}::16_a_beat_has_a_time_limit_nobody_has_to_set",),
    },
    "runner.skips-busy-session-lane": {
        "busy, idle, cron active": (
            f"{BEATS}::a_slot_that_waited_too_long_gives_up_with_its_reason",
            f"{DEFECTS}::19_work_of_one_agent_is_in_the_way_of_its_own_beats_only",
        ),
        "an empty file wins over busy": (f"{GATES}::the_order_is_the_order_of_the_specification",),
        "restart recovery": (
            f"{HOT}::a_beat_that_a_crash_cut_off_is_failed_and_its_event_told_later",
        ),
    },
    "runner.tool-response": {
        "quiet, alert, invalid": (
            f"{UNIT}beats/test_outcome::an_answer_by_the_tool_beats_the_text",
            f"{UNIT}beats/test_outcome::an_answer_the_tool_refused_counts_as_none",
            f"{TOOL}::a_valid_call_ends_the_turn_and_tells_the_agent_what_follows",
        ),
        "remains of a broken turn": (
            f"{UNIT}wording/test_outcome::remains_of_a_broken_turn_are_a_failure",
        ),
        "message tool muted": (f"{UNIT}turns/test_toolbox::a_beat_answers_and_does_not_send",),
    },
    "runner.sender, subagent-guard, transcript-prune": {
        "subagent forced to main": ("flow/test_wakes::a_sub_agents_session_is_not_woken",),
        "transcript never truncated": (f"{HERE}::a_beat_takes_nothing_out_of_the_transcript",),
    },
    "auto-reply/heartbeat": {
        "token table": (f"{UNIT}wording/test_outcome::the_token_is_read_as_specified",),
        "emptiness table": (f"{FILE}::only_what_asks_for_something_makes_a_file_not_empty",),
        "tasks": (f"{FILE}::tasks_are_read_as_specified",),
    },
    "auto-reply/heartbeat-filter": {
        "pairs hidden from the model": (
            f"{UNIT}turns/test_turn::a_beat_with_nothing_to_say_is_not_shown_again",
        ),
        "mentions in a chat kept": (f"{UNIT}wording/test_outcome::a_person_sees_no_tokens",),
    },
    "session.heartbeat-no-reset": {
        "no beat is a sign of life": (f"{HERE}::beats_do_not_keep_a_conversation_alive",),
    },
    "cron/heartbeat-policy": {
        "an acknowledgement is not delivered": (
            f"{UNIT}wording/test_outcome::a_job_with_nothing_to_say_is_acknowledged",
        ),
        "now reaches the person": (
            "flow/test_cron_jobs::a_main_session_job_that_wakes_now_reaches_the_person",
        ),
    },
    "outbound/targets": {
        "last, explicit, mismatched, threads": (
            f"{UNIT}messages/test_route::a_group_keeps_its_thread_and_a_direct_chat_does_not",
            f"{UNIT}messages/test_route::the_topic_of_a_group_is_kept_only_for_that_group",
            f"{UNIT}messages/test_route::a_named_channel_takes_the_recipient_of_its_own_conversation_only",
            f"{UNIT}messages/test_route::a_channel_without_recipient_is_no_target",
        ),
    },
    "system-events": {
        "no leak between sessions": (f"{STORES}::events_of_one_session_are_not_anothers",),
        "duplicates, context": (
            f"{STORES}::a_repetition_of_the_newest_is_the_same_event",
            f"{STORES}::with_a_context_a_repetition_is_found_anywhere",
        ),
        "newest kept": (f"{STORES}::beyond_the_cap_the_oldest_go_and_their_number_is_told_first",),
        "every line prefixed, node suffix": (
            f"{UNIT}wording/test_prompt::every_line_of_a_stranger_is_marked",
            f"{UNIT}wording/test_prompt::a_node_line_loses_its_last_input",
        ),
    },
    "ours": {  # §23.2
        "20 restarts, the same slots": (f"{HERE}::slots_do_not_depend_on_restarts",),
        "every well-formed task is read": (f"{RANDOM}::every_well_formed_task_is_read",),
        "reasons explained": (f"{UNIT}ledger/test_explain::every_reason_is_explained_to_a_person",),
        "1000 events while busy": (f"{HERE}::a_thousand_events_while_busy_are_one_beat",),
        "a model that refuses for a day": (
            "flow/test_beat_failures::a_model_that_refuses_all_day_is_asked_three_times",
        ),
        "kill -9": ("acceptance/test_crash::every_point_is_tried",),
        "budget at midnight": ("flow/test_holds::a_budget_begins_anew_at_midnight_of_the_person",),
        "reload storm": (f"{HOT}::a_storm_of_reloads_adds_no_beat",),
        "edges of a window": (f"{HERE}::a_window_opens_and_closes_to_the_millisecond",),
        "outbox down for two hours": (
            f"{HERE}::what_could_not_be_sent_for_two_hours_arrives_once",
        ),
        "a month of seven agents": (f"{HERE}::seven_agents_beat_for_days_without_a_hole",),
    },
}


@cache
def names(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / f"{file}.py").read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


@pytest.mark.parametrize("theirs", COVERED)
def test_every_scenario_of_theirs_is_covered_by_tests_there_are(theirs: str) -> None:
    gone = [
        f"{scenario}: {told}"
        for scenario, tests in COVERED[theirs].items()
        for told in tests
        if f"test_{told.partition('::')[2]}" not in names(told.partition("::")[0])
    ]
    assert not gone


def beating(*, agents: Any = None, more: dict[str, Any] | None = None, **beat: Any) -> Any:
    given: dict[str, Any] = {"defaults": {"heartbeat": {"every": "30m", "target": "last"} | beat}}
    if agents is not None:
        given["list"] = agents
    return {"agents": given} | (more or {})


def test_a_listener_that_fails_harms_no_other() -> None:
    bus, heard = Bus(), list[str]()

    def broken(_event: object) -> None:
        raise ValueError("no")

    bus.listen(broken)
    bus.listen(lambda event: heard.append(event.name))
    bus.publish("heartbeat", {})
    assert heard == ["heartbeat"]


async def test_with_everything_switched_off_no_model_is_asked(engine_sim: EngineSim) -> None:
    shown = {"showOk": False, "showAlerts": False, "useIndicator": False}
    more = {"channels": {"defaults": {"heartbeat": shown}}}
    agent = ScriptedAgent()
    sim = engine_sim(beating(more=more), start=START, agent=agent, checklist=LOOK)
    assert (await sim.advance(HOUR)).beats.skipped == {"alerts-disabled": 2}
    assert agent.requests == []


async def test_beats_do_not_keep_a_conversation_alive(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("good morning")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("hello")
    key = agent.requests[0].session_key
    before = await sim.database.read(lambda tx: sessions.get(tx, key))
    await sim.advance(6 * HOUR)
    after = await sim.database.read(lambda tx: sessions.get(tx, key))
    assert before is not None
    assert after is not None
    assert (after.updated_at, after.session_id) == (before.updated_at, before.session_id)


async def test_a_beat_takes_nothing_out_of_the_transcript(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent("good morning", "red", then="HEARTBEAT_OK")
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("hello")
    key = agent.requests[0].session_key
    lengths = []
    for _ in range(4):
        await sim.advance(HALF_HOUR)
        lines = await sim.database.read(lambda tx: sessions.history(tx, key, limit=100))
        lengths.append([line.text for line in lines])
    assert all(later[: len(sooner)] == sooner for sooner, later in pairwise(lengths))
    assert "good morning" in lengths[-1]


async def test_a_beat_that_breaks_does_not_end_the_beats(
    engine_sim: EngineSim, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim = engine_sim(beating(), start=START, zone="UTC", checklist=LOOK)
    await sim.open()
    look = sim.engine.lookout.look

    async def broken(*given: Any) -> Any:
        monkeypatch.setattr(sim.engine.lookout, "look", look)
        raise ValueError("a bug of ours")

    monkeypatch.setattr(sim.engine.lookout, "look", broken)
    rows = (await sim.advance(2 * HOUR)).beats.rows
    assert [row.status for row in rows] == ["failed", "ok", "ok", "ok"]


async def test_an_interval_beyond_any_timer_still_comes(engine_sim: EngineSim) -> None:
    """A timer of 2^31 ms ends after 24.8 days: theirs fired at once, again and again."""
    sim = engine_sim(beating(every="40d"), start=START, zone="UTC", checklist=LOOK)
    rows = (await sim.advance(timedelta(days=121))).beats.rows
    assert {later.at - sooner.at for sooner, later in pairwise(rows)} == {timedelta(days=40)}


async def test_a_queued_acknowledgement_is_no_reminder(engine_sim: EngineSim) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(beating(), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.event("HEARTBEAT_OK", mode="next-heartbeat")
    await sim.advance(HALF_HOUR)
    (asked,) = agent.requests
    assert "look at the builds" in asked.prompt
    assert "Reminder" not in asked.prompt
    assert "relay" not in asked.prompt


async def test_a_beat_that_is_skipped_makes_no_session(engine_sim: EngineSim) -> None:
    sim = engine_sim(
        beating(isolatedSession=True), start=START, zone="UTC", checklist="# nothing\n"
    )
    await sim.advance(HOUR)
    assert await sim.database.read(lambda tx: sessions.get(tx, "agent:main:main:heartbeat")) is None


async def test_each_agent_beats_with_its_own_model(engine_sim: EngineSim) -> None:
    agents = [{"id": "ann", "heartbeat": {"model": "a/one"}}, {"id": "ben", "heartbeat": {}}]
    agent = ScriptedAgent()
    sim = engine_sim(
        beating(agents=agents, model="b/two"), start=START, agent=agent, checklist=LOOK
    )
    await sim.advance(HALF_HOUR)
    assert {one.agent_id: one.model for one in agent.requests} == {"ann": "a/one", "ben": "b/two"}


# -- ours in addition ----------------------------------------------------------------------------


async def test_slots_do_not_depend_on_restarts(tmp_path: Path) -> None:
    """Twenty restarts at odd moments, none of them a downtime: the slots of one long run."""
    random = Random(7)  # noqa: S311 - moments, no secret
    slots = []
    for restarts in (0, 20):
        database = await Database.open(tmp_path / f"{restarts}.db")
        async with Simulation(
            beating(), start=START, zone="UTC", checklist=LOOK, database=database
        ) as sim:
            for _ in range(restarts):
                await sim.advance(timedelta(seconds=random.randrange(1, 900)))
                await sim.restart()
            report = await sim.until("2026-06-01 06:00")
            slots.append([row.row.slot for row in report.beats.rows])
        await database.close()
    assert slots[0] == slots[1]


async def test_a_thousand_events_while_busy_are_one_beat(engine_sim: EngineSim) -> None:
    """Beyond the cap the oldest are dropped, and how many is told first."""
    agent = ScriptedAgent("one moment", takes=10 * MINUTE)
    sim = engine_sim(beating(every="0m"), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.say("hello")
    agent.takes = timedelta()
    events = [
        NewEvent(text=f"event {n}", mode="now", source="hook", by="test", intent=Intent.EVENT)
        for n in range(1000)
    ]

    def burst(tx: Tx) -> None:
        for event in events[:-9]:
            key = agent.requests[0].session_key
            event_rows.add(tx, event, agent_id="main", session_key=key, now=sim.now())

    await sim.database.write(burst)
    for event in events[-9:]:
        await sim.engine.waking.system_event(event)
    await sim.advance(HOUR)
    beats = [one for one in agent.requests if one.kind == "heartbeat"]
    assert len(beats) == 1
    assert "event 999" in beats[0].prompt
    assert "older events omitted" in beats[0].prompt


@pytest.mark.parametrize(("late", "opens", "closes"), [(-1, False, True), (0, True, False)])
def test_a_window_opens_and_closes_to_the_millisecond(late: int, opens: bool, closes: bool) -> None:
    hours = parse("08:00", "22:00", "UTC")
    shift = timedelta(milliseconds=late)
    assert hours.contains(datetime(2026, 6, 1, 8, tzinfo=UTC) + shift) is opens
    assert hours.contains(datetime(2026, 6, 1, 22, tzinfo=UTC) + shift) is closes


class Down(Simulation):
    """A simulation whose platform is down until it is `up`."""

    up = False

    async def _carried(self) -> bool:
        return await super()._carried() if self.up else False


async def test_what_could_not_be_sent_for_two_hours_arrives_once(tmp_path: Path) -> None:
    agent = ScriptedAgent("red", then="HEARTBEAT_OK")
    async with Down(
        beating(every="4h"), start=START, zone="UTC", agent=agent, checklist=LOOK, home=tmp_path
    ) as sim:
        while not agent.requests:
            await sim.advance(10 * MINUTE)
        await sim.advance(2 * HOUR)
        assert len(agent.requests) == 1
        sim.up = True
        sim._posted = True
        report = await sim.advance(HOUR)
        assert [(one.text, one.state) for one in report.deliveries] == [("red", "delivered")]


async def test_seven_agents_beat_for_days_without_a_hole(engine_sim: EngineSim) -> None:
    agents = [{"id": f"a{number}"} for number in range(7)]
    sim = engine_sim(beating(agents=agents), start=START, zone="UTC", checklist="# nothing\n")
    report = await sim.advance(timedelta(days=2))
    for agent in agents:
        slots = [row.row.slot for row in report.beats_of(agent["id"]).rows]
        assert len(slots) == len(set(slots)) == 96
