"""Commands against a gateway on a loopback port, with a fake engine behind it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.cli.heartbeat.history import _history_words
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RECORD = {
    "ts": 1_795_240_000_000,
    "status": "ok-token",
    "durationMs": 11_000,
    "agentId": "main",
    "runId": "r-1",
    "wakeReason": "wake",
    "target": {"reason": "target-none", "because": "delivery is off (target none)"},
}


def test_a_job_is_added_shown_changed_and_removed(engine: Engine, gateway: Port) -> None:
    made = json.loads(engine("cron", "add", "0 7 * * *", "Good morning", "--name", "m").out)
    assert gateway.core.said.of("add")[0]["payload"]["message"] == "Good morning"
    shown = engine("cron", "show", made["id"]).out
    assert "cron 0 7 * * *" in shown
    engine("automations", "edit", made["id"], "--name", "evening")
    listed = engine("cron", "list").out
    assert "evening" in listed
    assert made["id"] in listed
    assert engine("cron", "rm", made["id"]).status == 0
    assert engine("cron", "list").out == "No cron jobs.\n"


def test_json_stays_alone_on_standard_output(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "add", "every 1m", "look", "--agent", "main")
    json.loads(told.out)


def test_a_disabled_job_is_said_to_be_hidden(engine: Engine, gateway: Port) -> None:
    made = json.loads(engine("cron", "add", "every 1h", "look").out)
    told = engine("cron", "disable", made["id"])
    assert "cron list --all" in told.err
    assert gateway.core.scheduling.jobs[made["id"]]["enabled"] is False


def test_a_list_says_under_the_table_who_holds_a_job_until_when_and_why(
    engine: Engine, gateway: Port
) -> None:
    made = json.loads(engine("cron", "add", "0 7 * * *", "look", "--name", "water").out)
    held = {"by": "ana", "note": "holidays", "atMs": 1_795_240_000_000, "untilMs": None}
    gateway.core.scheduling.jobs[made["id"]]["state"] = {"paused": held}
    (line,) = (one for one in engine("cron", "list").out.splitlines() if "holidays" in one)
    assert line.startswith("water: paused since 2026-11-2")
    assert line.endswith(f"by ana, until: engine cron resume {made['id']} (holidays)")


def test_text_that_looks_like_a_command_is_warned_about(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "add", "every 1h", "--system-event", "curl http://x | grep y")
    assert "it is text for the agent" in told.err


def test_running_tells_whether_it_was_started(engine: Engine, gateway: Port) -> None:
    made = json.loads(engine("cron", "add", "every 1h", "look").out)
    told = engine("cron", "run", made["id"])
    assert told.status == 0
    assert json.loads(told.out)["runId"] == "run-1"
    waited = engine("cron", "run", made["id"], "--wait", "--wait-timeout", "1ms")
    assert waited.status == 5
    assert "run run-1 has not ended" in waited.err


def test_an_event_waits_and_tells_the_outcome(engine: Engine, gateway: Port) -> None:
    gateway.core.wakes.outcome = RECORD
    told = engine("system", "event", "--text", "look", "--mode", "now", "--timeout", "7000")
    assert told.status == 0
    assert "main: ran 11.0 s (asked by: wake)" in told.out
    assert "Even an alert would have gone nowhere" in told.out
    assert gateway.core.said.of("wait") == [("ev-1", timedelta(seconds=7))]


def test_an_event_waits_for_its_words_to_leave_too(engine: Engine, gateway: Port) -> None:
    target = {"channel": "local", "accountId": "default", "to": "inbox"}
    sent = {**RECORD, "status": "sent", "preview": "red", "target": target}
    gateway.core.wakes.outcome = {**sent, "delivery": {"state": "queued", "key": "k"}}
    gateway.core.heartbeats.record = {**sent, "delivery": {"state": "delivered", "key": "k"}}
    told = engine("system", "event", "look", "--mode", "now", "--wait")
    assert "delivered to local → inbox" in told.out


def test_an_event_is_not_waited_for_if_nobody_wants_to(engine: Engine, gateway: Port) -> None:
    assert engine("system", "event", "look", "--mode", "now", "--no-wait").status == 0
    assert gateway.core.said.of("wait") == []


def test_words_that_are_not_kept_are_not_said_to_be_queued(engine: Engine, gateway: Port) -> None:
    """An event with the key of one that waits is that one, whatever its words are now."""
    assert engine("system", "event", "disk at 91 %").out.startswith("Queued (ev-1). ")
    gateway.core.wakes.told = {"waitedAlready": True}
    told = engine("system", "event", "disk at 92 %", "--dedupe-key", "disk")
    assert told.out.startswith("The same event waits already (ev-1), with its words of then. ")


@pytest.mark.parametrize(
    ("record", "status"),
    [
        ({"status": "ok-token"}, 0),
        ({"status": "skipped", "skipReason": "no-route"}, 1),
        ({"status": "skipped", "skipReason": "duplicate", "preview": "red"}, 0),
        ({"status": "failed", "because": "the model refuses"}, 1),
    ],
)
def test_a_beat_by_hand_that_was_waited_for_ends_as_its_help_says(
    engine: Engine, gateway: Port, record: dict[str, str], status: int
) -> None:
    gateway.core.heartbeats.record = {**RECORD, **record}
    assert engine("heartbeat", "run", "--wait").status == status
    assert engine("heartbeat", "run").status == 0


def test_an_event_whose_outcome_does_not_come_ends_with_5(engine: Engine, gateway: Port) -> None:
    told = engine("system", "event", "look", "--mode", "now")
    assert told.status == 5
    assert "the event is queued" in told.err
    assert "Fix: engine heartbeat last" in told.err


@pytest.mark.parametrize(
    ("runs_at", "words"),
    [
        (1_780_315_200_000, "The beat of Mon"),
        (None, "A message to the agent takes it up: it has no beat to come."),
    ],
)
def test_an_event_that_waits_is_told_for_how_long(
    engine: Engine, gateway: Port, runs_at: int | None, words: str
) -> None:
    gateway.core.wakes.told = {"runsAt": runs_at}
    more = ("--session", "main", "--about", "build", "--replace")
    assert words in engine("system", "event", "look", *more).out
    (said,) = gateway.core.said.of("system_event")
    assert said["about"] == "build"
    assert engine("system", "event", "look", "--replace").status == 2


def test_an_event_for_the_next_beat_does_not_wait(engine: Engine, gateway: Port) -> None:
    told = engine("system", "event", "look")
    assert told.status == 0
    assert "The next beat takes it up, or a message to the agent before that." in told.out
    assert gateway.core.said.of("wait") == []


def test_an_event_without_text_is_refused_before_it_is_sent(engine: Engine, nobody: None) -> None:
    assert engine("system", "event").status == 2
    assert engine("system", "event", "a", "--text", "b").status == 2


def test_beats_are_switched_for_one_agent_or_all(engine: Engine, gateway: Port) -> None:
    assert engine("heartbeat", "disable", "main").out == "Heartbeat of main: off.\n"
    assert engine("system", "heartbeat", "enable").out == "Heartbeats of all agents: on.\n"
    told = gateway.core.said.of("set_enabled")
    assert [(on, agent) for on, agent, _ in told] == [(False, "main"), (True, None)]


def test_the_last_beat_of_another_gateway_is_asked_for(engine: Engine, gateway: Port) -> None:
    gateway.core.heartbeats.record = RECORD
    told = engine("heartbeat", "last", "--port", gateway.server.port)
    assert "main: ran 11.0 s" in told.out
    as_json = engine("heartbeat", "last", "--json", "--port", gateway.server.port)
    assert json.loads(as_json.out)["runId"] == "r-1"


def test_the_history_asks_as_it_was_asked(engine: Engine, gateway: Port) -> None:
    told = engine("heartbeat", "history", "--reason", "quiet-hours", "--limit", "3", "--json")
    asked = json.loads(told.out)["asked"]
    assert (asked["reason"], asked["limit"]) == ("quiet-hours", 3)
    assert engine("heartbeat", "history").out == "No heartbeats on record.\n"


def test_the_history_of_an_agent_nobody_knows_is_refused_as_its_last_beat_is(
    engine: Engine, gateway: Port, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    assert engine("heartbeat", "history", "--agent", "main").status == 0
    told = engine("heartbeat", "history", "--agent", "nobody")
    assert (told.status, told.out) == (6, "")
    assert 'agent "nobody" has no heartbeat on record' in told.err


def test_one_turn_of_an_agent_prints_what_it_said(engine: Engine, gateway: Port) -> None:
    gateway.core.conversation.go.set()
    told = engine("agent", "--message", "hello")
    assert (told.status, told.out) == (0, "hello\n")


def test_a_message_goes_out_once_with_a_key(engine: Engine, gateway: Port) -> None:
    told = engine("message", "send", "--channel", "local", "--target", "me", "--message", "hi")
    assert told.status == 0
    sent = gateway.core.said.of("send")[0]
    assert (sent.to, sent.text) == ("me", "hi")
    assert sent.key


def test_a_message_is_sent_as_it_was_asked_for(engine: Engine, gateway: Port) -> None:
    where = ("--to", "tg:42", "--thread", "7", "--account", "ops", "--silent", "--dry-run")
    assert engine("message", "send", *where, "--message", "hi").status == 0
    (sent,) = gateway.core.said.of("send")
    assert (sent.to, sent.thread_id, sent.account_id) == ("tg:42", "7", "ops")
    assert (sent.silent, sent.dry_run) == (True, True)


def test_a_test_message_goes_to_the_place_that_is_named(engine: Engine, gateway: Port) -> None:
    told = engine("channels", "send-test", "--to", "tg:42", "--account", "ops", "--dry-run")
    ((agent, dry, _, place),) = gateway.core.said.of("test")
    assert (agent, dry, place) == (None, True, {"to": "tg:42", "accountId": "ops"})
    assert told.status in (0, 1)


def test_a_file_of_this_machine_is_laid_ready_for_the_gateway_of_this_home(
    engine: Engine, gateway: Port, home: Path
) -> None:
    (home / "notes.txt").write_text("words")
    url = "https://cats.example/cat.jpg"
    where = ("--channel", "local", "--to", "me", "--media", home / "notes.txt", "--media", url)
    assert engine("message", "send", *where).status == 0
    copy, address = gateway.core.said.of("send")[0].files
    assert address == url
    assert Path(copy).parent == home / ".engine" / "media" / "out"
    assert Path(copy).read_text() == "words"


def test_a_file_that_is_not_there_is_refused_and_nothing_is_asked(
    engine: Engine, gateway: Port
) -> None:
    told = engine("message", "send", "--to", "me", "--media", "nothing.txt")
    assert told.status == 1
    assert "there is no such file" in told.err
    assert gateway.core.said.of("send") == []


def test_a_gateway_elsewhere_reads_no_files_from_here(engine: Engine, gateway: Port) -> None:
    away = ("--url", f"ws://127.0.0.1:{gateway.server.port}", "--token", "x")
    told = engine("message", "send", "--to", "me", "--media", "notes.txt", *away)
    assert told.status == 2
    assert "reads no files from here" in told.err


def test_an_empty_inbox_says_so(engine: Engine, gateway: Port) -> None:
    assert engine("inbox").out == "The inbox is empty.\n"


def test_any_method_can_be_called(engine: Engine, gateway: Port) -> None:
    told = engine("gateway", "call", "cron.status", "--params", "{}")
    assert json.loads(told.out)["enabled"] is True
    assert engine("gateway", "call", "cron.status", "--params", "{").status == 2


def test_the_status_starts_with_the_verdict(engine: Engine, gateway: Port) -> None:
    told = engine("status")
    assert told.status == 0
    assert told.out.startswith("Verdict:   healthy")
    report = engine("gateway", "status")
    assert report.status == 0
    assert "Connectivity probe: ok" in report.out
    assert "Capability:" in report.out


@pytest.mark.usefixtures("nobody")
def test_nothing_is_green_while_the_gateway_is_down(engine: Engine) -> None:
    for words, status in ((("status",), 3), (("channels", "status"), 3), (("health",), 3)):
        told = engine(*words)
        assert told.status == status
        assert " ok" not in told.out.lower()
    assert "local    default  configured (gateway down)" in engine("channels", "status").out
    assert engine("gateway", "status").status == 1
    assert engine("gateway", "status", "--exit-zero").status == 0


@pytest.mark.usefixtures("nobody")
def test_the_status_works_with_a_broken_config(engine: Engine, home: Path) -> None:
    (home / ".engine" / "engine.json").write_text("{ gatway: {} }")
    told = engine("gateway", "status", "--json")
    report = json.loads(told.out)
    assert report["verdict"]["code"] == "config.invalid"
    assert report["config"]["cli"]["issues"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kill"], "it goes with --force"),
        (["--bind", "localhost"], "the mode is called loopback"),
        (["--reset"], "only that of --dev is thrown away"),
        (["--tailscale", "serve"], "the engine does not run tailscale"),
    ],
)
def test_flags_of_a_start_that_cannot_be_meant_start_nothing(
    engine: Engine, words: list[str], said: str
) -> None:
    told = engine("gateway", *words)
    assert told.status == 2
    assert said in told.err


def test_what_nobody_can_read_is_refused_in_the_words_of_its_flag(
    engine: Engine, gateway: Port
) -> None:
    told = engine("heartbeat", "history", "--since", "foo")
    assert told.status == 2
    assert told.err.startswith("--since foo cannot be read: it is a duration back")
    told = engine("agent", "--message", " ")
    assert told.status == 2
    assert "there is nothing to say" in told.err


def test_a_wrong_token_on_the_command_line_is_not_blamed_on_the_environment(
    engine: Engine, gateway: Port
) -> None:
    told = engine("cron", "status", "--token", "wrong")
    assert told.status == 4
    assert "Fix: correct --token, or leave it out" in told.err
    assert "ENGINE_GATEWAY_TOKEN" not in told.err


@pytest.mark.usefixtures("home")
def test_where_the_config_is_and_what_it_may_say_are_json_too(engine: Engine) -> None:
    told = json.loads(engine("config", "file", "--json").out)
    assert told["exists"] is False
    assert told["path"].endswith("engine.json")
    known = json.loads(engine("config", "schema", "gateway.port", "--json").out)
    assert known["path"] == "gateway.port"


def test_whoever_changes_jobs_of_a_scheduler_that_is_off_reads_so(
    engine: Engine, gateway: Port
) -> None:
    gateway.core.scheduling.enabled = False
    gateway.core.scheduling.jobs = {"a": {"id": "a", "name": "a"}}
    for words in (("cron", "run", "a"), ("cron", "rm", "a")):
        answer = engine(*words)
        assert answer.status == 0
        assert "the scheduler is switched off (cron.enabled)" in answer.err


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ({"status": "ok", "completionStatus": "succeeded"}, 0),
        ({"status": "ok", "completionStatus": "unknown"}, 0),  # its words are on their way
        ({"status": "ok", "completionStatus": "failed"}, 1),  # they did not arrive
        ({"status": "ok"}, 0),
        ({"status": "skipped", "completionStatus": "skipped"}, 1),
        ({"status": "error", "completionStatus": "failed"}, 1),
    ],
)
def test_waiting_for_a_run_tells_whether_it_succeeded(
    engine: Engine, gateway: Port, entry: dict[str, str], status: int
) -> None:
    gateway.core.scheduling.jobs = {"a": {"id": "a", "name": "a"}}
    ended = {"runId": "run-1", "action": "finished", **entry}
    gateway.core.scheduling.entries = [ended]
    assert engine("cron", "run", "a", "--wait").status == status


def test_the_same_words_that_were_not_sent_again_and_again_are_one_line() -> None:
    unsent = {"status": "skipped", "skipReason": "duplicate", "preview": "red", "ts": 2}
    entries = [{**unsent, "explain": "not sent"}, unsent, {**unsent, "preview": "green"}]
    told = _history_words({"entries": entries}, ZoneInfo("UTC"), NOW).splitlines()
    assert told[0].startswith("not sent (2 times since ")
    assert len(told) == 2


def test_a_past_range_may_be_told_as_how_long_ago(engine: Engine, gateway: Port) -> None:
    engine("cron", "add", "0 9 * * *", "look", "--name", "report")
    engine("cron", "backfill", "job-1", "--from", "7d", "--to", "1d", "--dry-run")
    ((_, how),) = gateway.core.said.of("backfill")
    assert how["until"] - how["since"] == timedelta(days=6)


def test_a_stranger_is_let_in_by_their_code(engine: Engine, gateway: Port) -> None:
    said = engine("pairing", "approve", "telegram", "ABCD2345", "--json")
    assert said.status == 0
    assert json.loads(said.out)["madeOwner"] is False
    assert ("pairings.approve", ("telegram", "ABCD2345")) in gateway.core.said
    told = engine("pairing", "approve", "telegram", "ABCD2345")
    assert "what they write from now on is heard" in told.out + told.err
    assert engine("pairing", "list").out == "Nobody waits to be let in.\n"


def test_a_probe_that_fails_is_told_and_is_the_exit_status(engine: Engine, gateway: Port) -> None:
    gateway.core.accounts = {
        "a": {"enabled": True, "configured": True, "probe": {"ok": True, "detail": "works"}},
        "b": {
            "enabled": True,
            "configured": True,
            "probe": {"ok": False, "detail": "probe failed"},
        },
    }
    said = engine("channels", "status", "--probe")
    assert said.status == 1
    assert "probe failed" in said.out
    gateway.core.accounts.pop("b")
    assert engine("channels", "status", "--probe").status == 0
