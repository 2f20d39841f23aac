"""Each row of the heartbeat specification has a test by name: where to look, and what is missing.

heartbeat.md §§1–21. A test that is renamed or removed without another in its place fails here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from engine.pytest_plugin import EngineSim
from engine.testing import ScriptedAgent
from tests.flow.test_upstream_scenarios import (
    BEATS,
    DEFECTS,
    EFFECTIVE,
    EVENTS,
    FILE,
    GATES,
    HERE as SCENARIOS,
    HOT,
    HOUR,
    LOOK,
    RANDOM,
    START,
    STORES,
    TOOL,
    UNIT,
    WAKE,
    beating,
    names,
)

KEYS: Final = "flow/test_beat_keys"
HERE: Final = "flow/test_heartbeat_rows"
HOLDS: Final = "flow/test_holds"
WAKES: Final = "flow/test_wakes"
FAILURES: Final = "flow/test_beat_failures"
ERRANDS: Final = "flow/test_errands"
SIDE: Final = "flow/test_agent_side"
OUTCOME: Final = f"{UNIT}wording/test_outcome"
ENDS: Final = f"{UNIT}beats/test_outcome"
ROUTE: Final = f"{UNIT}messages/test_route"
LOAD: Final = "unit/engine/config/test_load"

# section → row → tests, as `file::name` without `test_`
ROWS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "1": {
        "every slot and wake ends in one row": (
            f"{BEATS}::every_slot_of_a_week_is_in_the_ledger_exactly_once",
            f"{DEFECTS}::01_no_path_is_without_a_record",
        ),
        "one run per agent, none inside a user turn": (
            f"{BEATS}::a_busy_agent_makes_the_beat_wait_and_it_runs_when_the_agent_is_free",
        ),
        "no event leaves unseen": (
            "property/test_events::no_event_is_taken_away_that_the_model_did_not_see",
        ),
        "no call when the outcome is known": (
            f"{BEATS}::an_empty_file_is_no_reason_to_ask_the_agent",
            f"{SCENARIOS}::with_everything_switched_off_no_model_is_asked",
        ),
        "same slots after any restart": (f"{SCENARIOS}::slots_do_not_depend_on_restarts",),
        "nothing said is lost": (f"{RANDOM}::no_word_of_the_agent_is_lost",),
    },
    "2.1": {
        "every": (f"{LOAD}::every_is_read_in_all_its_forms",),
        "activeHours": (
            f"{LOAD}::a_heartbeat_block_is_judged_even_without_every",
            "unit/jobs/test_hours::a_bad_time_is_refused_in_the_words_people_know",
        ),
        "model, fallbacks": (
            f"{SCENARIOS}::each_agent_beats_with_its_own_model",
            f"{UNIT}turns/test_turn::model_and_fallbacks_reach_the_source_of_agents",
        ),
        "session": (f"{UNIT}test_sessions::a_configured_session_is_used_without_a_wake",),
        "target, to, accountId": (
            f"{DEFECTS}::08_and_09_a_word_nobody_knows_is_refused_also_without_every",
            f"{ROUTE}::an_explicit_topic_is_kept",
            f"{ROUTE}::the_list_of_accounts_is_the_evidence",
        ),
        "directPolicy": (f"{ROUTE}::direct_chats_blocked_leave_groups_open",),
        "prompt": (f"{HERE}::a_prompt_of_ones_own_replaces_the_poll_and_a_blank_one_does_not",),
        "includeSystemPromptSection": (f"{SIDE}::chats_know_of_the_beats_unless_they_are_not_to",),
        "includeReasoning": (
            f"{SIDE}::reasoning_is_sent_before_the_alert_and_with_an_acknowledgement_if_asked_for",
        ),
        "ackMaxChars": (f"{HERE}::how_much_may_stand_beside_the_token_is_said_by_the_config",),
        "timeoutSeconds": (f"{DEFECTS}::16_a_beat_has_a_time_limit_nobody_has_to_set",),
        "lightContext": (f"{SIDE}::the_files_of_the_workspace_are_shown_but_to_a_light_beat",),
        "isolatedSession": (f"{SIDE}::a_beat_apart_sees_no_conversation_and_is_seen_by_none",),
        "skipWhenBusy": (f"{KEYS}::a_beat_waits_for_subagents_only_if_it_is_asked_to",),
        "enabled, agents": (f"{UNIT}decisions/test_heartbeat::the_right_agents_beat",),
        "phase": (f"{BEATS}::a_beat_may_be_anchored_to_a_time_of_day",),
        "afterWake": (
            f"{KEYS}::after_a_wake_a_slot_that_is_too_close_is_left_out_and_the_grid_stays",
        ),
        "catchUp": (f"{HOT}::downtime_is_made_up_once_or_not_as_the_config_says",),
        "dedupe, dedupeWindow": (
            f"{BEATS}::after_a_day_the_same_alert_may_be_sent_again",
            "flow/test_inbox::what_differs_only_in_figures_is_a_repetition_if_that_is_asked_for",
        ),
        "backoff": (f"{FAILURES}::the_config_says_how_failing_beats_are_spaced_out",),
        "budget": (f"{HOLDS}::a_spent_budget_ends_the_beats_of_the_day",),
        "idlePauseAfter": (f"{HOLDS}::beats_rest_when_nobody_has_written_for_long",),
        "dayparts, activeHours[]": (
            "flow/test_windows::beats_run_in_any_of_several_windows",
            "flow/test_windows::a_daypart_beats_at_its_own_interval_and_the_rest_at_the_usual_one",
        ),
        "toolsAllow": (f"{HERE}::a_beat_may_be_given_fewer_tools",),
        "onFailure": (f"{FAILURES}::the_alert_goes_where_on_failure_says",),
        "maxDeferral": (f"{BEATS}::a_slot_that_waited_too_long_gives_up_with_its_reason",),
        "merged key by key": (f"{EFFECTIVE}::an_agent_block_lies_over_the_defaults_key_by_key",),
    },
    "2.2": {
        "first defined wins": (
            f"{EFFECTIVE}::each_flag_of_visibility_comes_from_the_first_place_that_sets_it",
        ),
        "showOk, showAlerts, useIndicator": (
            f"{ENDS}::that_all_is_well_is_told_only_where_it_is_wanted",
            f"{ENDS}::an_alert_that_is_not_sent_says_why",
            f"{UNIT}ledger/test_explain::the_indicator_can_be_switched_off",
        ),
    },
    "2.4": {
        "envelopeTimezone, timeFormat, userTimezone": (
            f"{KEYS}::an_agent_is_told_times_as_the_config_asks",
        ),
        "session.scope, session.mainKey": (
            f"{KEYS}::with_one_scope_for_all_agents_share_their_main_session",
            f"{UNIT}test_sessions::main_is_an_alias_of_a_renamed_main_session",
        ),
        "maxConcurrent": (f"{UNIT}turns/test_lanes::turns_are_bounded_in_all",),
        "visibleReplies": (f"{SIDE}::a_tool_answer_is_asked_for_where_replies_are_tools",),
        "responsePrefix": (f"{OUTCOME}::the_response_prefix_is_added_once",),
    },
    "3": {
        "who beats": (f"{UNIT}decisions/test_heartbeat::the_right_agents_beat",),
        "a block that is off enrols nobody": (
            f"{DEFECTS}::10_a_block_that_is_off_silences_nobody_else",
            f"{LOAD}::a_block_that_is_switched_off_shadows_nobody",
        ),
        "shadowed agents are named": (f"{LOAD}::agents_that_lose_their_heartbeat_are_named",),
        "the fan-out is shown": (
            (
                "unit/engine/cli/heartbeat/test_enable::"
                "the_fan_out_is_shown_the_block_written_and_the_switch_set"
            ),
        ),
    },
    "4": {
        "vectors": (
            f"{UNIT}decisions/test_heartbeat::the_grid_is_the_specified_one",
            f"{UNIT}decisions/test_heartbeat::a_moment_exactly_on_a_slot_gives_the_next_one",
        ),
        "non-interval run": (f"{DEFECTS}::21_a_beat_somebody_asked_for_moves_no_other",),
        "failure": (f"{BEATS}::a_failing_model_fails_its_beat_and_later_ones_hold_back",),
        "reload": (
            f"{HOT}::a_reload_that_changes_nothing_leaves_every_slot",
            f"{HOT}::a_new_cadence_holds_from_the_next_slot_on",
        ),
        "a beat per window, window-never-open": (
            f"{UNIT}decisions/test_heartbeat::every_window_gets_a_beat_even_if_the_grid_would_miss_it",
            (
                "unit/engine/cli/config/test_remarks::"
                "hours_that_meet_no_beat_are_told_with_what_mends_them"
            ),
        ),
    },
    "5": {
        "zones": ("unit/jobs/test_hours::the_window_is_open_when_the_specification_says",),
        "check points": (
            f"{BEATS}::quiet_hours_are_recorded_not_passed_over",
            f"{EVENTS}::an_event_of_the_night_waits_until_the_window_opens",
            f"{DEFECTS}::11_a_person_and_a_reminder_are_heard_at_night",
        ),
        "DST counts": (
            "flow/test_windows::a_month_over_the_change_of_clocks_has_the_specified_counts",
        ),
        "days, except, only, calendars": (
            "flow/test_windows::a_holiday_of_a_calendar_is_quiet_and_named",
            "unit/jobs/test_windows::a_calendar_nobody_knows_closes_nothing_and_is_told",
        ),
    },
    "6": {
        "6.1 reasons of wakes": (f"{WAKE}::what_an_event_is_about_stands_before_the_colon",),
        "6.2 coalescing": (
            f"{WAKES}::events_that_come_at_once_make_one_beat",
            f"{WAKE}::a_higher_intent_replaces_a_lower_one_and_keeps_its_events",
        ),
        "6.3 guards": (
            f"{WAKE}::a_wake_is_held_back_as_specified",
            f"{WAKE}::a_person_is_never_held_back",
        ),
        "6.4 retry, giving up": (
            f"{BEATS}::a_slot_that_waited_too_long_gives_up_with_its_reason",
            f"{ENDS}::a_wake_does_not_give_up",
            f"{DEFECTS}::28_waiting_for_a_busy_agent_is_no_busy_waiting",
        ),
        "6.4 stuck lane": (
            "flow/test_stuck_lane::a_turn_of_a_quarter_of_an_hour_is_told_once_and_so_is_its_end",
            "flow/test_stuck_lane::a_long_turn_that_no_beat_waits_for_is_nobodys_trouble",
        ),
    },
    "7": {
        "the order in full": (f"{GATES}::the_order_is_the_order_of_the_specification",),
        "what a person passes": (
            f"{GATES}::a_person_is_stopped_only_by_what_makes_a_beat_impossible",
        ),
        "what an event passes": (f"{GATES}::an_event_passes_what_stops_only_polls",),
        "runWithoutRoute": (f"{KEYS}::an_agent_whose_work_is_what_it_does_runs_without_a_route",),
        "one transaction": ("acceptance/test_crash::every_point_is_tried",),
    },
    "8": {
        "statuses": (f"{UNIT}ledger/test_explain::every_status_has_its_word_and_a_sentence",),
        "reasons": (
            f"{UNIT}ledger/test_explain::every_reason_is_explained_to_a_person",
            f"{GATES}::the_list_has_every_reason_of_the_specification",
        ),
    },
    "9": {
        "seed shape": (
            f"{UNIT}ledger/test_explain::an_acknowledgement_has_the_keys_and_words_of_the_seed",
            "unit/engine/cli/heartbeat/test_last::json_has_the_keys_of_the_older_product_and_ours",
        ),
        "the three facts of S0": (
            f"{UNIT}ledger/test_explain::the_first_line_is_the_one_the_person_in_the_thread_needed",
        ),
        "facts enough to decide again": (
            "flow/test_replay::every_beat_of_a_day_is_decided_the_same_again",
        ),
    },
    "10": {
        "scope of one agent": (
            f"{DEFECTS}::19_work_of_one_agent_is_in_the_way_of_its_own_beats_only",
        ),
        "a message goes first": (
            "flow/test_give_way::a_message_is_answered_at_once_and_the_beat_asks_again_afterwards",
            "flow/test_give_way::a_beat_that_changed_something_finishes_first",
        ),
    },
    "11": {
        "states of the file": (
            f"{FILE}::a_missing_file_is_not_an_empty_one",
            f"{FILE}::a_huge_file_is_cut_with_a_mark",
            f"{FILE}::bytes_that_are_no_text_are_replaced_and_said",
            f"{DEFECTS}::14_an_empty_file_swallows_no_event",
        ),
        "11.1 emptiness": (f"{FILE}::only_what_asks_for_something_makes_a_file_not_empty",),
        "11.2 tasks": (
            f"{FILE}::tasks_are_read_as_specified",
            f"{FILE}::whatever_is_left_out_is_said",
            f"{RANDOM}::every_well_formed_task_is_read",
        ),
        "11.3 due": (
            f"{FILE}::a_task_is_due_as_specified",
            f"{DEFECTS}::06_a_late_start_does_not_halve_the_rate_of_a_task",
        ),
    },
    "12": {
        "poll, tasks, events": (
            f"{UNIT}wording/test_prompt::a_poll_embeds_the_checklist_and_names_the_token",
            f"{UNIT}wording/test_prompt::due_tasks_stand_with_the_rest_of_the_file",
            f"{UNIT}wording/test_prompt::an_event_alone_is_the_whole_matter",
            f"{UNIT}wording/test_prompt::without_a_reader_the_agent_deals_with_it_itself",
            f"{UNIT}wording/test_prompt::a_long_event_is_cut_with_a_mark",
        ),
        "the time, once": (f"{UNIT}wording/test_prompt::the_time_is_told_once_in_both_clocks",),
        "response tool": (f"{SIDE}::a_tool_answer_is_asked_for_where_replies_are_tools",),
        "marker in the transcript": (
            f"{UNIT}turns/test_turn::the_transcript_keeps_a_marker_in_place_of_a_long_prompt",
        ),
        "the prompt alone": ("flow/test_dry_run::the_prompt_alone_asks_no_model",),
    },
    "13": {
        "payloads, reasoning": (f"{OUTCOME}::reasoning_is_kept_apart",),
        "structured answer": (
            f"{OUTCOME}::the_structured_answer_beats_the_text",
            f"{TOOL}::a_valid_call_ends_the_turn_and_tells_the_agent_what_follows",
            f"{ERRANDS}::an_agent_that_wants_to_look_again_is_woken_once_before_its_next_beat",
        ),
        "failure classes": (
            f"{FAILURES}::a_model_that_refuses_all_day_is_asked_three_times",
            f"{UNIT}beats/test_failures::what_the_provider_says_is_waited_for_at_least",
        ),
        "13.1 token table": (f"{OUTCOME}::every_row_of_the_token_table_is_so",),
        "13.1 dropped words": (f"{OUTCOME}::dropped_words_are_kept",),
        "13.2 duplicates": (
            f"{DEFECTS}::18_the_same_words_to_another_place_are_no_repetition",
            f"{ENDS}::the_same_alert_again_is_held_back_and_counted",
            f"{ENDS}::a_repetition_somebody_needs_is_sent",
        ),
    },
    "14": {
        "14.1 the examples": (f"{ROUTE}::every_example_of_the_table_leads_where_it_says",),
        "14.1 steps": (
            f"{ROUTE}::every_reason_for_no_route_is_named",
            f"{ROUTE}::a_group_keeps_its_thread_and_a_direct_chat_does_not",
            f"{ROUTE}::last_with_a_recipient_keeps_the_account",
        ),
        "14.2 owner": (
            f"{ROUTE}::the_owner_is_written_to_in_private_never_in_a_group",
            f"{ROUTE}::without_an_owner_nobody_is_written_to_and_it_says_where_to_name_one",
        ),
        "14.3 order, bulk, expiry": (
            f"{ENDS}::reasoning_goes_before_the_alert_if_it_was_asked_for",
            f"{ENDS}::that_all_is_well_is_told_only_where_it_is_wanted",
            "flow/test_undelivered::an_alert_that_expired_unsent_is_said_again",
        ),
    },
    "15": {
        "scope": (f"{STORES}::events_of_one_session_are_not_anothers",),
        "storage": (f"{STORES}::events_that_asked_for_a_beat_ask_again_after_a_restart",),
        "max": (f"{STORES}::beyond_the_cap_the_oldest_go_and_their_number_is_told_first",),
        "dedupe, replace, dedupeKey": (
            f"{STORES}::with_a_context_a_repetition_is_found_anywhere",
            f"{STORES}::an_event_may_take_the_place_of_what_waits_about_the_same",
            f"{STORES}::events_of_one_key_are_one_while_it_waits",
            f"{STORES}::a_repetition_that_asks_for_a_beat_asks_for_it_after_a_restart_too",
        ),
        "TTL": (f"{EVENTS}::an_event_not_seen_in_its_time_is_told_to_nobody_and_a_row_says_so",),
        "preamble, noise": (
            f"{UNIT}wording/test_prompt::an_event_cannot_pose_as_the_person_on_a_line_of_its_own",
            f"{UNIT}wording/test_prompt::noise_is_left_out",
            f"{UNIT}wording/test_prompt::a_node_line_loses_its_last_input",
        ),
        "channel summary": (
            f"{EVENTS}::the_first_turn_of_a_new_main_session_is_told_which_channels_there_are",
        ),
        "untrusted events": (
            "flow/test_commands::a_turn_about_a_commands_end_changes_nothing_and_the_row_says_so",
            "flow/test_approvals::a_turn_that_words_from_outside_caused_may_ask_but_not_run",
        ),
        "wake": (
            f"{WAKES}::who_wakes_is_told_which_beat_it_is_and_when_one_comes",
            f"{WAKES}::a_wake_may_name_where_its_beat_tells_its_words",
            f"{DEFECTS}::26_a_text_for_one_agent_wakes_no_other",
        ),
    },
    "16": {
        "events of commands": (
            (
                "flow/test_commands::"
                "the_end_of_a_background_command_wakes_its_agent_without_any_cadence"
            ),
            "unit/engine/programs/test_words::who_is_told",
        ),
        "every tick sees them": (
            f"{DEFECTS}::03_a_slot_of_the_grid_sees_what_commands_left_behind",
            f"{DEFECTS}::15_an_event_goes_when_it_was_seen_and_not_before",
        ),
        "two within 30 s": (
            "flow/test_commands::two_ends_within_half_a_minute_are_told_in_one_beat",
        ),
        "0m disables polls only": (f"{EVENTS}::an_event_wakes_an_agent_whose_own_beats_are_off",),
        "approval of commands": (
            "flow/test_approvals::it_is_asked_when_the_config_says_so",
            "flow/test_approvals::what_is_allowed_runs_once_as_it_was_read_and_its_end_is_told",
            "flow/test_approvals::a_question_nobody_answers_expires_over_a_restart_too",
        ),
    },
    "17": {
        "run session": (f"{UNIT}test_sessions::a_beat_runs_where_the_wake_says",),
        "isolated": (
            f"{UNIT}test_sessions::isolation_adds_exactly_one_suffix_however_often",
            f"{SCENARIOS}::a_beat_that_is_skipped_makes_no_session",
        ),
        "activity, reset": (f"{SCENARIOS}::beats_do_not_keep_a_conversation_alive",),
        "transcript, history": (
            f"{SCENARIOS}::a_beat_takes_nothing_out_of_the_transcript",
            f"{UNIT}turns/test_turn::a_beat_with_nothing_to_say_is_not_shown_again",
        ),
        "model": (f"{DEFECTS}::23_the_model_of_beats_does_not_become_that_of_the_conversation",),
    },
    "18": {
        "the config of each tick": (
            f"{DEFECTS}::29_a_beat_reads_the_config_in_force",
            f"{HOT}::what_a_channel_shows_is_asked_at_each_tick",
        ),
        "in-flight": (f"{HOT}::a_beat_that_goes_on_keeps_the_config_it_began_with",),
        "invalid": (f"{HOT}::a_config_that_is_refused_leaves_the_one_in_force",),
        "removed, added": (
            f"{HOT}::an_agent_that_is_removed_keeps_its_history_and_its_events",
            f"{HOT}::an_agent_that_is_added_does_not_beat_at_once_and_moves_no_other",
        ),
    },
    "19": {
        "DST": ("flow/test_windows::a_phase_at_a_local_time_stays_there_over_the_change",),
        "step forward": (
            f"{HOT}::after_a_step_forward_the_newest_slot_runs_and_the_others_are_counted",
        ),
        "step back": (f"{HOT}::after_a_step_back_the_next_beat_comes_within_one_interval",),
        "suspend": (f"{HOT}::after_a_sleep_of_the_machine_one_beat_makes_up_for_it",),
        "restart": (
            f"{BEATS}::one_beat_makes_up_for_a_downtime_and_the_row_says_what_was_missed",
            f"{HOT}::restarts_more_frequent_than_beats_leave_the_beats",
        ),
        "crash": (f"{HOT}::a_beat_that_a_crash_cut_off_is_failed_and_its_event_told_later",),
        "timer death": (
            f"{UNIT}upkeep/test_watchdog::a_loop_that_stands_still_is_woken_and_that_is_no_news_yet",
        ),
        "hung call": (
            (
                "flow/test_acceptance::"
                "an_agent_that_hangs_for_an_hour_costs_the_other_no_slot_and_no_second"
            ),
        ),
    },
    "20": {
        "last-heartbeat": (
            f"{DEFECTS}::02_the_last_record_is_kept_for_each_agent_and_over_a_restart",
        ),
        "set-heartbeats": (f"{DEFECTS}::22_what_was_switched_off_stays_off",),
        "event heartbeat: seq, ring, cursor": (
            f"{UNIT}test_ring::what_came_after_a_number_is_told_or_that_it_is_gone",
            "flow/test_history::a_client_that_was_away_reads_the_events_it_missed",
        ),
        "paging by cursor": (
            (
                "flow/test_history::"
                "pages_by_cursor_neither_repeat_nor_leave_out_what_is_recorded_meanwhile"
            ),
        ),
        "pause, resume": (
            f"{HOLDS}::a_pause_is_the_reason_of_each_slot_with_who_why_and_until",
            f"{HOLDS}::a_pause_holds_tasks_that_are_jobs_of_their_own_too",
        ),
        "next, simulate, test, run": (
            "flow/test_coming::what_is_foretold_is_what_happens",
            "unit/engine/cli/heartbeat/test_simulate::two_configs_are_compared_slot_by_slot",
            "flow/test_trial::it_goes_where_an_alert_would_go_and_no_model_is_asked",
            "flow/test_dry_run::a_dry_beat_tells_all_and_leaves_no_trace",
        ),
        "tasks, inbox, cost": (
            "flow/test_tasks::a_task_is_run_or_left_out_by_name",
            "flow/test_inbox::what_is_snoozed_comes_back_by_itself_and_is_not_said_meanwhile",
            "flow/test_costs::the_ledger_adds_up_by_whatever_is_asked",
        ),
    },
}
DEFECTS_OF_THEIRS: Final = 29  # heartbeat.md §21


@pytest.mark.parametrize("section", ROWS)
def test_every_row_of_a_section_has_tests_there_are(section: str) -> None:
    gone = [
        f"{row}: {told}"
        for row, tests in ROWS[section].items()
        for told in tests
        if f"test_{told.partition('::')[2]}" not in names(told.partition("::")[0])
    ]
    assert not gone


def test_every_defect_of_the_reference_has_a_test_by_its_number() -> None:
    told = " ".join(names(DEFECTS))
    numbers = {int(one) for name in told.split() for one in re.findall(r"_(\d\d)(?=_)", name)}
    assert numbers == set(range(1, DEFECTS_OF_THEIRS + 1))


@pytest.mark.parametrize(
    ("own", "led"), [("Look at the stars.", "Look at the stars."), ("  ", "This is a heartbeat")]
)
async def test_a_prompt_of_ones_own_replaces_the_poll_and_a_blank_one_does_not(
    engine_sim: EngineSim, own: str, led: str
) -> None:
    agent = ScriptedAgent()
    sim = engine_sim(beating(prompt=own), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(HOUR)
    assert agent.requests[0].prompt.startswith(led)
    assert "- look at the builds" in agent.requests[0].prompt


@pytest.mark.parametrize(("most", "sent"), [(None, 0), (5, 1), (0, 1), (13, 0)])
async def test_how_much_may_stand_beside_the_token_is_said_by_the_config(
    engine_sim: EngineSim, most: int | None, sent: int
) -> None:
    agent = ScriptedAgent("HEARTBEAT_OK disk at 91 %.")
    beat: dict[str, Any] = {} if most is None else {"ackMaxChars": most}
    sim = engine_sim(beating(**beat), start=START, zone="UTC", agent=agent, checklist=LOOK)
    report = await sim.advance(HOUR / 2)
    assert [one.text for one in report.deliveries] == ["disk at 91 %."] * sent


@pytest.mark.parametrize(
    ("allowed", "tools"),
    [
        (None, {"read", "write", "cron", "heartbeat_respond"}),
        (["read", "heartbeat_respond"], {"read", "heartbeat_respond"}),
        (["group:fs"], {"read", "write"}),
    ],
)
async def test_a_beat_may_be_given_fewer_tools(
    engine_sim: EngineSim, allowed: list[str] | None, tools: set[str]
) -> None:
    agent = ScriptedAgent()
    beat: dict[str, Any] = {} if allowed is None else {"toolsAllow": allowed}
    sim = engine_sim(beating(**beat), start=START, zone="UTC", agent=agent, checklist=LOOK)
    await sim.advance(HOUR)
    assert {tool.name for tool in agent.requests[0].tools} == tools
