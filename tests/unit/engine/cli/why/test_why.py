"""`engine why`: one sentence first, exit 1 if something is broken, with or without a gateway."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from engine.cli.doctor.way import found
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

OFF = {"code": "heartbeat.disabled", "state": "broken", "what": "it is off", "fix": "engine x"}
DUE = {"code": "window.not-due", "state": "waiting", "what": "the next beat is due at noon"}


def test_the_first_broken_link_is_the_first_sentence(
    engine: Engine, gateway: Port, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    gateway.core.inquiries.links = [OFF, DUE]
    told = engine("why")
    assert told.status == 1
    assert told.out.startswith("No proactive message of main reaches you because it is off.\n")
    assert told.out.endswith("Fix all: engine x\n")
    answer = json.loads(engine("why", "--json").out)
    assert answer["cause"] == "heartbeat.disabled"
    assert [link["code"] for link in answer["links"][:2]] == ["config", "gateway"]


def test_when_nothing_is_broken_it_says_what_is_waited_for(
    engine: Engine, gateway: Port, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    gateway.core.inquiries.links = [DUE]
    told = engine("heartbeat", "explain", "--agent", "main")
    assert told.status == 0
    assert told.out.startswith("Nothing stands in the way of main: the next beat is due at noon.\n")
    assert json.loads(engine("why", "--json").out)["cause"] is None


def test_a_gateway_that_is_down_is_the_answer_and_the_rest_is_told_from_the_home(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text(
        '{"agents": {"defaults": {"heartbeat": {"every": "30m"}}}}'
    )
    answer = json.loads(engine("why", "--json").out)
    assert answer["cause"] == "gateway.stopped"
    states = {link["code"]: link["state"] for link in answer["links"]}
    assert states["target.none"] == "broken"
    assert states["heartbeat"] == "ok"
    assert answer["fix"] == (
        "engine config set agents.defaults.heartbeat.target last && engine gateway"
    )


def test_a_token_that_is_refused_is_no_gateway_that_is_down(
    engine: Engine, gateway: Port, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    answer = json.loads(engine("why", "--json", "--token", "wrong").out)
    assert answer["cause"] == "gateway.auth"


def test_a_config_nobody_can_read_is_named_with_its_line(engine: Engine, home: Path) -> None:
    (home / ".engine" / "engine.json").write_text('{\n  "agnets": {}\n}')
    told = engine("why")
    assert told.status == 1
    first = told.out.splitlines()[0]
    assert "cannot be used: line 2: unknown key" in first
    answer = json.loads(engine("why", "--json").out)
    assert answer["cause"] == "config.invalid"
    assert {link["code"]: link["state"] for link in answer["links"]}["target"] == "unknown"


def test_a_broken_config_is_no_cause_while_a_gateway_goes_on_with_the_one_before(
    engine: Engine, gateway: Port, home: Path
) -> None:
    """Messages come all the same: what keeps them away is what the gateway tells."""
    (home / ".engine" / "engine.json").write_text('{\n  "agnets": {}\n}')
    told = engine("why")
    assert (told.status, told.out.splitlines()[0]) == (0, "Nothing stands in the way of main.")
    assert "line 2: unknown key" in told.out
    assert "the gateway goes on with the one before" in told.out
    night = {"code": "window.quiet-hours", "state": "broken", "what": "it is 23:16", "fix": ""}
    gateway.core.inquiries.links = [night]
    assert json.loads(engine("why", "--json").out)["cause"] == "window.quiet-hours"
    findings = json.loads(engine("doctor", "--json").out)["findings"]
    assert [one["id"] for one in findings if one["severity"] == "error"] == ["config.invalid"]


def test_a_home_without_a_config_is_told_so_first(engine: Engine) -> None:
    answer = json.loads(engine("why", "--json").out)
    assert answer["cause"] == "config.missing"
    assert answer["fix"].startswith("engine setup && ")


def test_an_agent_nobody_knows_is_refused(engine: Engine, home: Path) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    told = engine("why", "--agent", "nobody")
    assert told.status == 6
    assert "nobody" in told.err


UNBLOCK = "in the chat: unblock or start the bot"
ROUTE = {"channel": "telegram", "accountId": "work", "to": "42", "via": "last"}


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (
            {"ok": True, "sent": True, "receipt": {"messageIds": ["7"], "latencyMs": 120}},
            0,
            "Test message of main delivered to telegram/work → 42 (last) in 120 ms, receipt 7.",
        ),
        (
            {"ok": True, "sent": False},
            0,
            "A message of main would go to telegram/work → 42 (last). Nothing was sent.",
        ),
        (
            {"ok": False, "sent": True, "receipt": {"status": "failed", "class": "blocked"}},
            1,
            "The test message to telegram/work → 42 (last): failed (blocked). Fix: " + UNBLOCK,
        ),
        (
            {"ok": False, "sent": True, "receipt": {"status": "queued"}},
            5,
            "The test message to telegram/work → 42 (last) is still queued. Fix: engine why",
        ),
        (
            {"ok": False, "sent": True, "receipt": {"status": "queued", "class": "auth"}},
            5,
            (
                "The test message to telegram/work → 42 (last) is still queued (auth). Fix: "
                "engine config set channels.telegram.accounts.work.botToken NEW_ONE"
            ),
        ),
        (
            {"ok": False, "route": {"because": "target is set to none"}, "fix": "set it"},
            1,
            "A message of main goes nowhere: target is set to none. Fix: set it",
        ),
    ],
)
def test_a_test_message_says_what_became_of_it(
    engine: Engine, gateway: Port, answer: dict[str, Any], status: int, said: str
) -> None:
    gateway.core.heartbeats.tested = {"agentId": "main", "route": ROUTE, **answer}
    told = engine("heartbeat", "test")
    assert (told.status, told.out) == (status, said + "\n")


def test_a_secret_that_is_missing_is_a_config_that_cannot_be_used(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text(
        '{"channels": {"telegram": {"botToken": {"source": "env", "id": "NO_SUCH_VARIABLE"}}}}'
    )
    answer = json.loads(engine("why", "--json").out)
    assert answer["cause"] == "config.invalid"
    assert [link["code"] for link in answer["links"]][1] == "gateway.stopped"


def test_the_doctor_lists_what_is_wrong_for_all_agents_and_what_is_theirs(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text(
        json.dumps(
            {
                "agents": {
                    "defaults": {"heartbeat": {"every": "30m", "target": "last"}},
                    "list": [{"id": "main"}, {"id": "ops", "heartbeat": {"target": "none"}}],
                }
            }
        )
    )
    told = engine("doctor", "--json")
    assert told.status == 1
    found = {one["id"]: one for one in json.loads(told.out)["findings"]}
    assert found["gateway.unreachable"]["severity"] == "error"
    none = found["heartbeat.target_none"]
    assert (none["severity"], none["agents"]) == ("warn", ["ops"])
    key = "'agents.list[id=ops].heartbeat.target'"
    assert none["fix"] == f"engine config set {key} last"
    words = engine("doctor").out.splitlines()
    assert words[0].startswith("error  gateway.unreachable  the gateway does not run")
    assert words[-1].endswith("warnings, 0 fixed")


def test_the_doctor_tells_of_a_hold_that_lasts_and_not_of_one_that_passes() -> None:
    """With a budget that is spent no beat asks the agent today, and `engine why` says so first."""
    spent = {"code": "gate.budget-exhausted", "state": "broken", "what": "spent", "fix": "engine x"}
    busy = {"code": "gate.requests-in-flight", "state": "broken", "what": "busy", "fix": "engine y"}
    told = found([{"agentId": "main", "links": [spent, busy]}])
    assert [(one.id, one.severity.value) for one in told] == [("heartbeat.held", "warn")]


def test_the_doctor_asked_for_a_silence_answers_as_why_does(engine: Engine, home: Path) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    asked = engine("doctor", "--why-silent", "--agent", "main", "--json")
    told = engine("why", "--agent", "main", "--json")
    assert (asked.status, asked.out) == (told.status, told.out)


def test_the_key_that_a_remedy_sets_is_where_this_agent_has_it(engine: Engine, home: Path) -> None:
    config = home / ".engine" / "engine.json"
    config.write_text(
        '{"agents": {"defaults": {"heartbeat": {"target": "last"}},'
        ' "list": [{"id": "main"}, {"id": "ops", "heartbeat": {"target": "none"}}]}}'
    )
    answer = json.loads(engine("why", "--agent", "ops", "--json").out)
    (link,) = [one for one in answer["links"] if one["code"] == "target.none"]
    assert engine(*shlex.split(link["fix"])[1:]).status == 0
    again = json.loads(engine("why", "--agent", "ops", "--json").out)
    assert "target.none" not in {one["code"] for one in again["links"]}


def test_a_profile_is_named_in_every_line_to_paste(engine: Engine, home: Path) -> None:
    (home / ".engine-lab").mkdir()
    (home / ".engine-lab" / "engine.json").write_text(
        '{"agents": {"defaults": {"heartbeat": {"every": "30m"}}}}'
    )
    answer = json.loads(engine("--profile", "lab", "why", "--json").out)
    assert answer["fix"] == (
        "engine --profile lab config set agents.defaults.heartbeat.target last"
        " && engine --profile lab gateway"
    )


@pytest.mark.parametrize("moment", ["-2h", "yesterday 09:00", "2026-01-02T09:00"])
def test_another_moment_is_asked_of_the_gateway(
    engine: Engine, gateway: Port, home: Path, moment: str
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    gateway.core.inquiries.links = [OFF]
    told = engine("why", "--at", moment)
    assert told.status == 1
    assert told.out.startswith("No message came of the beat because it is off.\n")
    ((agent_id, at),) = gateway.core.said.of("silence")
    assert agent_id is None
    assert at is not None


def test_a_moment_nobody_can_read_is_a_usage_error(engine: Engine, home: Path) -> None:
    told = engine("why", "--at", "the day before")
    assert told.status == 2
    assert '"yesterday 09:00"' in told.err


def test_a_run_is_explained_by_the_gateway_in_the_same_shape(
    engine: Engine, gateway: Port, home: Path
) -> None:
    gateway.core.inquiries.links = [OFF]
    told = engine("cron", "explain-run", "01a1", "--json")
    answer = json.loads(told.out)
    assert told.status == 1
    assert answer["cause"] == "heartbeat.disabled"
    assert answer["sentence"] == "No message came of the run of brief because it is off."
    assert gateway.core.said.of("explain-run") == ["01a1"]


def test_a_store_nobody_can_read_is_named_and_the_rest_of_the_way_is_told(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    (home / ".engine" / "state.db").write_bytes(b"no database at all" * 99)
    for words in (["why"], ["why", "--at", "-2h"], ["why", "--at", "+2h"]):
        answer = json.loads(engine(*words, "--json").out)
        assert answer["cause"] == "gateway.stopped"
        broken = {one["code"]: one for one in answer["links"] if one["state"] == "broken"}
        assert "file is not a database" in broken["scheduler.not-armed"]["what"]
        file = home / ".engine" / "state.db"
        assert broken["scheduler.not-armed"]["fix"] == f"mv {file} {file}.broken"
        assert answer["fix"] == f"mv {file} {file}.broken && engine gateway"
