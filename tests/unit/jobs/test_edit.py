"""Creating and changing jobs: what is filled in, what is merged, what is refused and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.checks import models, places
from jobs.codec import job_to_json
from jobs.edit import Rules, create, patch, same
from jobs.errors import EngineError
from jobs.model import AgentTurn, Command, DeliverySpec, Job, Misfire, SystemEvent, WakeMode
from jobs.policies import PLAIN
from jobs.schedule import At, Cron, Every

NOW = datetime(2026, 5, 5, 12, 0, 0, 123456, tzinfo=UTC)
RULES = Rules(now=NOW, default_tz="Asia/Shanghai", agents=("main", "ops"))
TURN: dict[str, Any] = {
    "name": "brief",
    "schedule": {"kind": "cron", "expr": "0 7 * * *"},
    "payload": {"kind": "agentTurn", "message": "Summarise"},
}
EVENT: dict[str, Any] = {
    "name": "tea",
    "schedule": {"kind": "every", "everyMs": 1_800_000},
    "payload": {"kind": "systemEvent", "text": "Tea"},
}


def made(*parts: dict[str, Any], **more: Any) -> Job:
    wish: dict[str, Any] = {}
    for part in (*parts, more):
        wish |= part
    return create(wish, RULES, job_id="j1")


# -- what is filled in ---------------------------------------------------------------------------


def test_an_isolated_turn_is_announced_and_an_event_goes_to_the_main_session() -> None:
    turn, event = made(TURN), made(EVENT)
    assert (turn.session_target, turn.delivery.mode) == ("isolated", "announce")
    assert (event.session_target, event.delivery.mode) == ("main", "none")
    assert made(TURN, payload={"argv": ["df"]}).delivery.mode == "announce"


def test_a_cron_job_without_a_zone_gets_the_default_one() -> None:
    schedule = made(TURN).schedule
    assert isinstance(schedule, Cron)
    assert schedule.tz == "Asia/Shanghai"


def test_a_zone_nobody_gave_is_remembered_as_the_default_one() -> None:
    job = made(TURN)
    schedule = job_to_json(job)["schedule"]
    assert (schedule["tz"], schedule["tzIsDefault"]) == ("Asia/Shanghai", True)
    read_back = patch(job, {"schedule": {**schedule, "expr": "0 8 * * *"}}, RULES).schedule
    assert isinstance(read_back, Cron)
    assert not read_back.tz_given
    pinned = patch(job, {"tz": "Asia/Shanghai"}, RULES)
    assert "tzIsDefault" not in job_to_json(pinned)["schedule"]
    assert "tzIsDefault" not in job_to_json(made(TURN, tz="UTC"))["schedule"]


def test_a_top_of_the_hour_job_is_staggered_unless_it_asks_to_be_exact() -> None:
    hourly = made(TURN, schedule={"kind": "cron", "expr": "0 * * * *"}).schedule
    exact = made(TURN, schedule={"kind": "cron", "expr": "0 * * * *", "staggerMs": 0}).schedule
    assert isinstance(hourly, Cron)
    assert isinstance(exact, Cron)
    assert hourly.stagger == timedelta(minutes=5)
    assert exact.stagger == timedelta()


def test_an_interval_is_anchored_at_its_creation_in_whole_milliseconds() -> None:
    assert made(EVENT).schedule == Every(timedelta(minutes=30), NOW.replace(microsecond=123000))


def test_a_one_shot_goes_after_its_run_and_waits_for_ever() -> None:
    job = made(TURN, schedule={"kind": "at", "at": "in 20m"})
    assert isinstance(job.schedule, At)
    assert job.delete_after_run
    assert job.misfire == Misfire(grace=None)
    assert not made(TURN).delete_after_run


def test_wall_time_is_utc_unless_a_zone_is_given() -> None:
    plain = made(TURN, schedule={"at": "2026-05-06T09:00"}).schedule
    zoned = made(TURN, schedule={"at": "2026-05-06T09:00", "tz": "Asia/Shanghai"}).schedule
    assert plain == At(datetime(2026, 5, 6, 9, tzinfo=UTC))
    assert zoned == At(datetime(2026, 5, 6, 1, tzinfo=UTC))


def test_an_instant_that_passed_within_the_minute_is_taken() -> None:
    at = (NOW - timedelta(seconds=50)).isoformat()
    assert isinstance(made(TURN, schedule={"at": at}).schedule, At)


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({"message": "first line\nsecond"}, "first line"),
        ({"message": "x" * 70}, "x" * 60 + "…"),
        ({"argv": ["df", "-h"]}, "df -h"),
    ],
)
def test_a_job_without_a_name_is_named_after_its_work(payload: dict[str, Any], name: str) -> None:
    assert create({**TURN, "payload": payload} | {"name": name}, RULES, job_id="j").name == name
    nameless = {k: v for k, v in TURN.items() if k != "name"}
    assert create({**nameless, "payload": payload}, RULES, job_id="j").name == name


def test_what_people_write_is_understood() -> None:
    job = made(
        name=" tea ",
        schedule="every 1h30m",
        message="go",
        agentId=" OPS ",
        sessionTarget=" Isolated ",
        wakeMode="Next-Heartbeat",
        deliver="telegram:-100123",
        misfire={"policy": "run-all", "grace": "2h"},
    )
    assert isinstance(job.schedule, Every)
    assert job.schedule.period == timedelta(minutes=90)
    assert (job.name, job.agent_id, job.session_target) == ("tea", "ops", "isolated")
    assert job.wake_mode is WakeMode.NEXT_HEARTBEAT
    assert job.delivery == DeliverySpec(mode="announce", channel="telegram", to="-100123")
    assert job.misfire == Misfire(policy="run-all", grace=timedelta(hours=2))


def test_a_shell_line_becomes_a_program_with_arguments() -> None:
    payload = made(TURN, payload={"kind": "command", "command": "df -h | head"}).payload
    assert payload == Command(argv=("sh", "-lc", "df -h | head"))


def test_delivery_in_its_old_place_is_lifted_out_of_the_payload() -> None:
    old = {"message": "go", "deliver": True, "provider": "Telegram", "to": "5"}
    assert made(TURN, payload=old).delivery == DeliverySpec(
        mode="announce", channel="telegram", to="5"
    )
    assert made(TURN, payload={"message": "go", "deliver": False}).delivery.mode == "none"


def test_current_becomes_the_session_it_was_asked_in() -> None:
    job = made(TURN, sessionTarget="current", sessionKey="agent:main:local:Me")
    assert job.session_target == "session:agent:main:local:Me"


def test_a_channel_before_the_recipient_names_the_channel() -> None:
    delivery = made(TURN, delivery={"to": "telegram:42", "threadId": 7}).delivery
    assert delivery == DeliverySpec(mode="announce", channel="telegram", to="42", thread_id="7")


def test_the_isolation_of_older_clients_means_nothing_any_more() -> None:
    assert made(TURN, isolation={"postToMain": True}) == made(TURN)


def test_keys_of_later_rooms_are_kept() -> None:
    assert made(TURN, pacing={"min": "5m"}).extra == {"pacing": {"min": "5m"}}


@pytest.mark.parametrize(
    ("pacing", "words"),
    [
        ({}, "pacing was refused"),
        ({"min": "1h", "max": "5m"}, "min is not above max"),
        ({"max": "0s"}, "longer than nothing"),
        ({"min": "soon"}, "soon"),
        ({"least": "5m"}, "unknown key 'least' in pacing"),
        ("5m", "pacing must be an object"),
    ],
)
def test_bounds_of_a_next_check_that_make_none_are_refused(pacing: object, words: str) -> None:
    with pytest.raises(EngineError) as refused:
        made(TURN, pacing=pacing)
    assert words in str(refused.value)


def test_a_job_that_runs_once_has_no_next_check_to_pace() -> None:
    with pytest.raises(EngineError, match="runs once has no next check"):
        made(TURN, schedule={"kind": "at", "at": "20m"}, pacing={"min": "5m"})


def test_a_caller_may_choose_the_id() -> None:
    assert create({**TURN, "id": "nightly"}, RULES, job_id="j1").id == "nightly"
    assert create(TURN, RULES).id != create(TURN, RULES).id


# -- what is refused -----------------------------------------------------------------------------

WEBHOOK = {"mode": "webhook", "to": "https://example.org/in"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"schedule": None}, "Choose exactly one schedule: --at, --every, or --cron"),
    ({"every": "5m"}, "Choose exactly one schedule: --at, --every, or --cron"),
    ({"schedule": {"at": "20m", "everyMs": 1}}, "Choose exactly one schedule"),
    ({"payload": None}, "Choose exactly one payload"),
    ({"message": "x"}, "Choose exactly one payload"),
    ({"payload": {"message": "x", "text": "y"}}, "Choose exactly one payload"),
    ({"sessionTarget": "main"}, 'main cron jobs require payload.kind="systemEvent"'),
    (
        {"payload": {"text": "x"}, "sessionTarget": "isolated"},
        'isolated cron jobs require payload.kind="agentTurn"',
    ),
    (
        {"payload": {"text": "x"}, "agentId": "ops"},
        'sessionTarget "main" is only valid for the default agent',
    ),
    ({"agentId": "ghost"}, "unknown agent 'ghost'"),
    (
        {"schedule": {"kind": "at", "at": "soon"}},
        "Invalid schedule.at: expected ISO-8601 timestamp (got 'soon')",
    ),
    ({"schedule": {"kind": "at"}}, "Invalid --at. Use an ISO timestamp or a duration like 20m."),
    ({"schedule": {"kind": "at", "at": "2026-02-30"}}, "Invalid schedule.at"),
    (
        {"schedule": {"kind": "at", "at": "2026-05-05T11:00:00Z"}},
        "schedule.at is in the past: 2026-05-05T11:00:00.000Z (60 minutes ago). Current time:",
    ),
    ({"schedule": {"kind": "at", "at": "2046-01-01"}}, "Maximum allowed: 10 years"),
    ({"schedule": {"everyMs": 0}}, "Invalid --every. Use a duration like 10m, 1h, or 1d."),
    ({"schedule": {"everyMs": "often"}}, "Invalid --every"),
    (
        {"schedule": {"everyMs": 60000, "tz": "UTC"}},
        "--tz is only valid with --cron or offset-less --at",
    ),
    (
        {"schedule": {"expr": "0 * * * *", "stagger": "5m", "exact": True}},
        "Choose either --stagger or --exact, not both",
    ),
    ({"schedule": {"everyMs": 60000, "staggerMs": 5}}, "only valid for cron schedules"),
    ({"schedule": {"expr": "0 0 30 2 *"}}, "would never fire"),
    ({"schedule": {"kind": "cron"}}, "invalid cron schedule: expr is required"),
    ({"schedule": {"expr": "0 25 * * *"}}, '"25" is out of range'),
    ({"schedule": {"expr": "0 7 * * *", "tz": "Mars/Base"}}, "Mars/Base"),
    ({"schedule": {"kind": "stream", "command": ["x"]}}, "not supported yet"),
    ({"schedule": {"expr": "0 7 * * *", "zone": "UTC"}}, "unknown key 'zone' in schedule"),
    ({"schedule": {"kind": "moon"}}, "use kind at, every or cron"),
    ({"delivery": {"mode": "webhook"}}, "requires delivery.to to be a valid http(s) URL"),
    ({"delivery": {"mode": "webhook", "to": "ftp://x"}}, "valid http(s) URL"),
    ({"delivery": {"mode": "webhook", "to": "https://me:pw@x.org"}}, "credentials"),
    (
        {"delivery": {**WEBHOOK, "channel": "telegram"}},
        "--webhook cannot be combined with chat delivery options",
    ),
    (
        {"payload": {"text": "x"}, "delivery": {"channel": "telegram", "to": "1"}},
        'cron channel delivery config is only supported for sessionTarget="isolated"',
    ),
    (
        {"payload": {"text": "x"}, "delivery": {"failureDestination": {"to": "1"}}},
        'only supported for sessionTarget="isolated" unless delivery.mode="webhook"',
    ),
    (
        {"delivery": {"channel": "telegram", "to": "-1001234567890/42"}},
        "Use colon (:)",
    ),
    ({"delivery": {"channel": "qqbot", "to": "telegram:1"}}, "contradicts delivery.channel"),
    ({"delivery": {"threadId": "x"}}, "must be a positive integer"),
    ({"delivery": {"threadId": 0}}, "must be a positive integer"),
    ({"delivery": {"mode": "carrier-pigeon"}}, "use none, announce or webhook"),
    ({"delivery": {"chanel": "x"}}, "unknown key 'chanel' in delivery: did you mean 'channel'?"),
    (
        {"payload": {"text": "x", "timeoutSeconds": 5}},
        "--timeout-seconds is not supported for systemEvent jobs",
    ),
    ({"payload": {"message": "  "}}, "payload.message must not be blank"),
    ({"payload": {"message": "x", "timeoutSeconds": -1}}, "at least 0"),
    ({"payload": {"message": "x", "thinking": "hard"}}, "payload.thinking 'hard'"),
    ({"payload": {"message": "x", "fallbacks": "a,b"}}, "must be a list of texts"),
    ({"payload": {"argv": []}}, "must name a program"),
    ({"payload": "look", "lightContext": True}, "payload must be an object"),
    ({"message": "half a \ud83d"}, r"half a character, '\ud83d'"),
    ({"description": "half a \udc00", "message": "x"}, "half a character"),
    ({"payload": {"argv": ["df", "a\0b"]}}, "no program can be given a NUL"),
    ({"payload": {"argv": ["df"], "cwd": "/a\0"}}, "no program can be given a NUL"),
    ({"payload": {"argv": ["df"], "env": {"A": "\0"}}}, "no program can be given a NUL"),
    ({"payload": {"argv": ["df"], "env": {"A=B": "1"}}}, "has no = in it"),
    ({"payload": {"argv": ["df"], "env": {"": "1"}}}, "a name is not empty"),
    ({"payload": {"kind": "heartbeat"}}, "belong to the system"),
    ({"payload": {"kind": "script", "script": "x"}}, "not supported"),
    ({"payload": {"kind": "magic"}}, "payload.kind 'magic' is not known"),
    ({"payload": {"kind": "agentTurn", "message": "x", "volume": 3}}, "unknown key 'volume'"),
    ({"name": "  "}, "Cron job name is required"),
    ({"declarationKey": " "}, "declarationKey must not be blank"),
    ({"declarationKey": "k" * 201}, "200 at most"),
    ({"id": "a/b"}, "job id 'a/b' was refused"),
    ({"sessionTarget": "session:../x"}, "must not look like a path"),
    ({"sessionTarget": "current"}, "needs a session"),
    ({"sessionTarget": "elsewhere"}, "use main, isolated, current or session:<id>"),
    ({"wakeMode": "never"}, "use now or next-heartbeat"),
    ({"enabled": "yes"}, "enabled must be true or false"),
    ({"misfire": {"policy": "panic"}}, "use run-once, skip, run-all"),
    ({"misfire": {"maxCatchUp": 0}}, "at least 1"),
    ({"trigger": {"script": "x"}}, "not supported"),
    ({"shedule": "* * * * *"}, "unknown key 'shedule' in the job: did you mean 'schedule'?"),
    ({"delivr": "none"}, "did you mean 'deliver'?"),
    ({"zzz": 1}, "use one of: "),
    ({"state": {"nextRunAtMs": 1}}, "unknown key 'state'"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_wrong_job_is_refused_in_the_words_of_the_spec(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(EngineError) as refusal:
        made(TURN, change)
    assert words in str(refusal.value)


def test_two_channels_need_a_name_unless_the_job_knows_where_it_came_from() -> None:
    rules = replace(RULES, channels=("telegram", "qqbot"))
    with pytest.raises(EngineError) as refusal:
        create(TURN, rules, job_id="j")
    assert (
        "explicit channel required when multiple channels are configured (qqbot, telegram)"
        in str(refusal.value)
    )
    for more in (
        {"delivery": {"channel": "last"}},
        {"sessionKey": "agent:main:main"},
        {"delivery": {"mode": "announce", "bestEffort": True}},
        {"delivery": {"mode": "none"}},
    ):
        assert create({**TURN, **more}, rules, job_id="j").id == "j"


BARE = {"delivery": {"mode": "announce", "to": "123456"}}


def test_the_inbox_of_this_machine_is_no_second_channel() -> None:
    rules = replace(RULES, channels=("telegram", "local"))
    assert create(TURN, rules, job_id="j").delivery.channel is None
    job = create({**TURN, **BARE}, rules, job_id="j")
    assert (job.delivery.channel, job.delivery.to) == ("telegram", "123456")


def test_a_recipient_of_no_channel_is_refused_and_never_thrown_away() -> None:
    with pytest.raises(EngineError, match="recipient '123456' names no channel") as refusal:
        create({**TURN, **BARE}, replace(RULES, channels=("local",)), job_id="j")
    assert "engine setup --channel telegram" in refusal.value.fix
    with pytest.raises(EngineError, match="multiple channels") as refusal:
        create({**TURN, **BARE}, replace(RULES, channels=("local", "b", "a")), job_id="j")
    assert "--channel a" in refusal.value.fix
    named = {"delivery": {"channel": "local", "to": "mine"}}
    assert create({**TURN, **named}, replace(RULES, channels=("local",)), job_id="j").delivery.to


def nowhere(job: Job) -> Iterator[tuple[str, str]]:
    for what, place in places(job):
        if place.get("channel") not in (None, "last", "telegram"):
            yield what, "no such channel"
    for ref in models(job):
        if ref != "ours":
            yield "model", f"no such model: {ref}"


@pytest.mark.parametrize(
    "more",
    [
        {"delivery": {"channel": "telegrm", "to": "1"}},
        {"delivery": {"channel": "telegram", "to": "1", "also": ["pigeon:1"]}},
        {"delivery": {"failureDestination": {"channel": "pigeon", "to": "1"}}},
        {"failureAlert": {"channel": "pigeon", "to": "1"}},
    ],
)
def test_every_chat_a_job_names_is_judged_when_it_is_written(more: dict[str, Any]) -> None:
    strict = replace(RULES, faults=nowhere)
    with pytest.raises(EngineError, match="no such channel"):
        create({**TURN, **more}, strict, job_id="j")


@pytest.mark.parametrize(
    "more",
    [
        {"payload": {"message": "x", "model": "theirs"}},
        {"payload": {"message": "x", "model": "ours", "fallbacks": ["theirs"]}},
        {"budget": {"runsPerDay": 2, "fallbackModel": "theirs"}},
    ],
)
def test_every_model_a_job_names_is_judged_when_it_is_written(more: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="no such model: theirs"):
        create({**TURN, **more}, replace(RULES, faults=nowhere), job_id="j")


def test_a_job_whose_chat_is_gone_can_still_be_switched_off() -> None:
    job = made(TURN, delivery={"channel": "pigeon", "to": "1"})
    strict = replace(RULES, faults=nowhere, channels=("local",))
    assert not patch(job, {"enabled": False}, strict).enabled
    with pytest.raises(EngineError, match="no such channel"):
        patch(job, {"delivery": {"to": "2"}}, strict)


def test_an_instant_the_clocks_skip_is_refused_with_its_neighbours() -> None:
    wish = {"at": "2026-03-29T02:30", "tz": "Europe/Berlin"}
    with pytest.raises(EngineError) as refusal:
        create({**TURN, "schedule": wish}, replace(RULES, now=NOW - timedelta(60)), job_id="j")
    assert "2026-03-29T01:30:00+01:00 or 2026-03-29T03:30:00+02:00" in str(refusal.value)


# -- patches -------------------------------------------------------------------------------------


def patched(job: Job, **changes: Any) -> Job:
    return patch(job, changes, replace(RULES, now=NOW + timedelta(hours=1)))


def test_an_empty_patch_changes_nothing() -> None:
    job = made(TURN)
    assert patch(job, {}, RULES) is job


def test_what_a_client_read_it_may_send_back() -> None:
    for job in (made(TURN), made(EVENT), made(TURN, schedule="20m")):
        assert same(patched(job, **job_to_json(job)), job)


def test_a_payload_of_the_same_kind_is_merged_and_null_clears() -> None:
    job = made(TURN, payload={"message": "go", "model": "m", "timeoutSeconds": 9})
    assert patched(job, payload={"kind": "agentTurn", "model": None}).payload == AgentTurn(
        message="go", timeout=timedelta(seconds=9)
    )
    assert patched(job, payload={"fallbacks": []}).payload == AgentTurn(
        message="go", model="m", timeout=timedelta(seconds=9), fallbacks=()
    )


def test_a_payload_of_another_kind_starts_afresh() -> None:
    job = made(TURN, payload={"message": "go", "timeoutSeconds": 9})
    event = patched(job, payload={"kind": "systemEvent", "text": "hi"}, sessionTarget="main")
    assert event.payload == SystemEvent(text="hi")
    assert event.delivery.mode == "none", "moving to the main session ends the announcements"
    with pytest.raises(EngineError, match=r"payload\.message must not be blank"):
        patched(made(EVENT), payload={"model": "m"})


def test_an_interval_keeps_its_grid_unless_its_length_changes() -> None:
    job = made(EVENT)
    assert patched(job, schedule={"kind": "every", "everyMs": 1_800_000}).schedule == job.schedule
    moved = patched(job, schedule={"kind": "every", "everyMs": 60_000}).schedule
    assert isinstance(moved, Every)
    assert moved.anchor == NOW.replace(microsecond=123000) + timedelta(hours=1)


def test_stagger_stays_with_the_expression_and_goes_with_it() -> None:
    job = made(TURN, schedule={"expr": "0 * * * *", "staggerMs": 60_000})
    same_words = patched(job, schedule={"kind": "cron", "expr": "0 * * * *", "tz": "UTC"}).schedule
    other_words = patched(job, schedule={"kind": "cron", "expr": "0 9 * * *"}).schedule
    assert isinstance(same_words, Cron)
    assert isinstance(other_words, Cron)
    assert (same_words.stagger, same_words.tz) == (timedelta(minutes=1), "UTC")
    assert (other_words.stagger, other_words.tz) == (timedelta(), "Asia/Shanghai")


def test_a_zone_alone_changes_a_cron_job_and_no_other() -> None:
    schedule = patched(made(TURN), schedule={"tz": "UTC"}).schedule
    assert isinstance(schedule, Cron)
    assert (schedule.expr, schedule.tz) == ("0 7 * * *", "UTC")
    with pytest.raises(EngineError, match="Current job is not a cron schedule"):
        patched(made(EVENT), schedule={"tz": "UTC"})


def test_null_clears_what_may_be_absent() -> None:
    job = made(
        TURN,
        agentId="ops",
        displayName="B",
        description="d",
        sessionKey="k",
        maxRuns=3,
        delivery={"channel": "telegram", "to": "5"},
    )
    bare = patched(
        job,
        agentId=None,
        displayName=None,
        description=None,
        sessionKey=None,
        maxRuns=None,
        delivery={"to": None},
    )
    assert (bare.agent_id, bare.display_name, bare.description, bare.session_key) == (None,) * 4
    assert bare.policies == PLAIN
    assert bare.delivery == DeliverySpec(mode="announce", channel="telegram")


def test_a_webhook_forgets_the_chat_and_a_chat_forgets_the_webhook() -> None:
    chat = made(TURN, delivery={"channel": "telegram", "to": "5", "threadId": 3})
    hook = patched(chat, delivery=WEBHOOK)
    assert hook.delivery == DeliverySpec(mode="webhook", to="https://example.org/in")
    assert patched(hook, delivery={"mode": "announce"}).delivery == DeliverySpec(mode="announce")


def test_a_patch_cannot_take_another_identity() -> None:
    for change in ({"id": "other"}, {"declarationKey": "other"}):
        with pytest.raises(EngineError, match="cannot be changed"):
            patched(made(TURN), **change)


def test_a_patch_moves_the_time_of_change_and_not_of_creation() -> None:
    job = made(TURN)
    later = patched(job, name="other", enabled=False)
    assert (later.name, later.enabled) == ("other", False)
    assert later.created_at == job.created_at
    assert later.updated_at == NOW.replace(microsecond=123000) + timedelta(hours=1)
    assert not same(job, later)
