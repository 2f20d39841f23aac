"""The chain of `engine why`: every link is judged, in one order, from closed lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.decisions import gates
from engine.decisions.gates import BeatSnapshot
from engine.decisions.wake import Deferral, Intent
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.why import Code, Facts, Link, Seen, Standing, acts, cause, fix_line, links, read
from jobs.hours import ActiveHours
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.wallclock import zone

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROUTE = Route(channel="local", account_id="default", to="inbox")
NIGHT = ActiveHours(start=22 * 60, end=23 * 60, zone=zone("UTC"))


def facts(**snapshot: object) -> Facts:
    beat = BeatSnapshot(intent=Intent.SCHEDULED, **snapshot)  # type: ignore[arg-type]
    seen = Seen(snapshot=beat, found=ROUTE, alerts=True, period=timedelta(minutes=30))
    return Facts(agent_id="main", now=NOON, seen=seen, scheduled=True, live=True)


OBJECTIONS: dict[SkipReason, tuple[dict[str, object], str, Standing]] = {
    SkipReason.DISABLED: ({"enabled": False}, "heartbeat", Standing.BROKEN),
    SkipReason.NOT_ENROLLED: ({"enrolled": False}, "heartbeat", Standing.BROKEN),
    SkipReason.PAUSED: ({"paused": "by ops"}, "heartbeat", Standing.BROKEN),
    SkipReason.IDLE_PAUSED: (
        {"idle_pause_after": timedelta(hours=1), "idle_since": NOON - timedelta(hours=2)},
        "gate",
        Standing.BROKEN,
    ),
    SkipReason.SUSPENDED: ({"suspended": "401"}, "gate", Standing.BROKEN),
    SkipReason.BACKOFF: ({"backoff_until": NOON + timedelta(hours=1)}, "gate", Standing.BROKEN),
    SkipReason.BUDGET_EXHAUSTED: ({"budget_spent": "2 of 2 $"}, "gate", Standing.BROKEN),
    SkipReason.FLOOD: (
        {"held_back": Deferral(SkipReason.FLOOD, "5 runs", NOON)},
        "gate",
        Standing.BROKEN,
    ),
    SkipReason.QUIET_HOURS: ({"active_hours": NIGHT}, "window", Standing.BROKEN),
    SkipReason.INVALID_HEARTBEAT_FILE: ({"file_error": "no"}, "checklist", Standing.BROKEN),
    SkipReason.EMPTY_HEARTBEAT_FILE: ({"file_empty": True}, "checklist", Standing.BROKEN),
    SkipReason.NO_TASKS_DUE: ({"tasks": ("a",)}, "checklist", Standing.WAITING),
    SkipReason.CRON_IN_PROGRESS: ({"cron_running": ("a",)}, "gate", Standing.BROKEN),
    SkipReason.LANES_BUSY: ({"lanes_busy": ("a",)}, "gate", Standing.BROKEN),
    SkipReason.REQUESTS_IN_FLIGHT: ({"turns_in_flight": ("a",)}, "gate", Standing.BROKEN),
}


@pytest.mark.parametrize("reason", OBJECTIONS, ids=str)
def test_an_objection_of_a_gate_stands_at_its_link(reason: SkipReason) -> None:
    snapshot, code, state = OBJECTIONS[reason]
    asked = facts(**snapshot)
    assert asked.seen is not None
    assert [stop.reason for stop in gates.walk(asked.seen.snapshot, NOON)] == [reason]
    chain = links(asked)
    (link,) = [link for link in chain if link.code.value == code]
    assert (link.reason, link.state) == (reason.value, state)
    assert cause(chain) == (link if state is Standing.BROKEN else None)
    assert link.what


@pytest.mark.parametrize("reason", [SkipReason.SUSPENDED, SkipReason.BACKOFF], ids=str)
def test_what_the_model_did_is_told_where_the_model_stands(reason: SkipReason) -> None:
    failed = Run(
        id="r", job_id="heartbeat:main", kind="heartbeat", agent_id="main",
        trigger=Trigger.SCHEDULE, status=RunStatus.FAILED,
        error={"class": "auth", "message": "401: bad key. Fix: correct the key"},
    )  # fmt: skip
    chain = links(replace(facts(**OBJECTIONS[reason][0]), last=failed))
    (gate,) = [link for link in chain if link.code is Code.GATE]
    assert (gate.reason, gate.state) == (reason.value, Standing.WAITING)
    found = cause(chain)
    assert found is not None
    assert (found.name, found.fix) == ("model.auth", "correct the key")


def test_a_model_nobody_serves_is_told_before_it_was_asked() -> None:
    """What answered last says nothing of the one that was set since."""
    answered = Run(
        id="r", job_id="heartbeat:main", kind="heartbeat", agent_id="main",
        trigger=Trigger.SCHEDULE, status=RunStatus.OK, model="offline",
    )  # fmt: skip
    wrong = 'models.providers has no "openai" (there is offline)'
    fix = "engine onboard --provider openai --model gpt-5-mini --api-key YOUR_KEY"
    asked = replace(
        facts(), last=answered, model="openai/gpt-5-mini", model_fault=wrong, model_fix=fix
    )
    found = cause(links(asked))
    assert found is not None
    assert (found.name, wrong in found.what) == ("model.unknown", True)
    assert found.fix == fix


@pytest.mark.parametrize(
    "asked", [facts(), Facts(agent_id="main", now=NOON), facts(enabled=False, file_empty=True)]
)
def test_the_links_stand_in_causal_order_and_none_is_left_out(asked: Facts) -> None:
    inner = [code for code in Code if code not in (Code.CONFIG, Code.GATEWAY, Code.LOGOUT)]
    assert [link.code for link in links(asked)] == inner


@pytest.mark.parametrize("wrong", [{"file_empty": True}, {"file_error": "no"}])
def test_a_checklist_that_stops_a_beat_is_mended_by_a_line_to_paste(
    wrong: dict[str, object],
) -> None:
    chain = links(facts(file="/home/a b/HEARTBEAT.md", paused="by ops", **wrong))
    assert fix_line(chain) == (
        "engine heartbeat resume && \"${EDITOR:-vi}\" '/home/a b/HEARTBEAT.md'"
    )


def test_a_link_comes_back_from_its_json() -> None:
    for link in links(facts(enabled=False)):
        again = read(link.to_json())
        assert (again.name, again.state, again.what) == (link.name, link.state, link.what)


def test_without_a_config_the_store_alone_is_told() -> None:
    state = {link.code.value: link.state for link in links(Facts(agent_id="main", now=NOON))}
    assert state["target"] is state["checklist"] is state["window"] is Standing.UNKNOWN
    off = links(Facts(agent_id="main", now=NOON, off="*"))
    found = cause(off)
    assert found is not None
    assert found.name == "heartbeat.disabled"


def message(state: State, **more: object) -> Facts:
    told = Delivery(
        key="k", route=ROUTE, text="x", kind="heartbeat", created_at=NOON,
        expires_at=NOON + timedelta(hours=1), state=state, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return Facts(agent_id="main", now=NOON, delivery=told)


@pytest.mark.parametrize(
    ("told", "name", "state"),
    [
        (message(State.DELIVERED), "delivery", Standing.OK),
        (message(State.CANCELLED, reason="superseded"), "delivery", Standing.OK),
        (message(State.QUEUED), "delivery", Standing.WAITING),
        (message(State.HELD), "delivery.held", Standing.BROKEN),
        (message(State.EXPIRED, reason="expired"), "delivery.expired", Standing.BROKEN),
        (message(State.UNKNOWN, reason="interrupted"), "delivery.interrupted", Standing.BROKEN),
        (
            message(State.QUEUED, attempts=3, last_error={"class": "auth"}),
            "delivery.auth",
            Standing.BROKEN,
        ),
        (
            message(State.QUEUED, attempts=3, last_error={"class": "server"}),
            "delivery",
            Standing.WAITING,
        ),
    ],
)
def test_what_became_of_the_last_message(told: Facts, name: str, state: Standing) -> None:
    link = links(told)[-1]
    assert (link.name, link.state) == (name, state)


def test_the_line_to_paste_sets_first_and_starts_the_gateway_last() -> None:
    def broken(code: Code, fix: str) -> Link:
        return Link(code=code, state=Standing.BROKEN, what="x", fix=fix)

    chain = [
        broken(Code.GATEWAY, "engine gateway"),
        broken(Code.CHECKLIST, "write what to watch into HEARTBEAT.md"),
        broken(Code.TARGET, "engine config set a.b last"),
        broken(Code.TARGET, "engine config set a.b last"),
    ]
    assert fix_line(chain) == "engine config set a.b last && engine gateway"
    assert fix_line(chain[1:2]) == "write what to watch into HEARTBEAT.md"
    assert fix_line([]) == ""


def test_what_needs_a_gateway_is_not_pasted_before_the_line_that_starts_it() -> None:
    chain = [
        Link(code=Code.GATEWAY, state=Standing.BROKEN, what="it is down", fix="engine gateway"),
        Link(code=Code.HEARTBEAT, state=Standing.BROKEN, what="p", fix="engine heartbeat resume"),
        Link(code=Code.TARGET, state=Standing.BROKEN, what="t", fix="engine --dev config set a b"),
    ]
    assert fix_line(chain) == "engine --dev config set a b && engine gateway"
    assert acts(chain) == ("once the gateway runs: engine heartbeat resume",)
    assert fix_line(chain[1:]) == "engine heartbeat resume && engine --dev config set a b"
    assert acts(chain[1:]) == ()
