"""What a job may ask of its scheduler: short forms, their normal form, and every refusal."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from jobs.codec import job_from_json, job_to_json
from jobs.edit import Rules, create, patch
from jobs.errors import EngineError
from jobs.model import Job
from jobs.policies import (
    KEYS,
    PLAIN,
    After,
    Budget,
    CalendarRule,
    FailureAlert,
    Gate,
    Overlap,
    Policies,
    Retries,
    from_json,
    to_json,
)

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
RULES = Rules(now=NOW, default_tz="Asia/Shanghai", calendars=("cn-trading", "holidays"))
TURN: dict[str, Any] = {
    "name": "brief",
    "schedule": {"kind": "cron", "expr": "0 7 * * *"},
    "message": "Summarise",
}
COMMAND: dict[str, Any] = {"name": "disk", "schedule": "every 10m", "command": ["df"]}
HOUR = timedelta(hours=1)


def made(*parts: dict[str, Any], **more: Any) -> Job:
    wish: dict[str, Any] = {}
    for part in (*parts, more):
        wish |= part
    return create(wish, RULES, job_id="j1")


ASKED: list[tuple[dict[str, Any], dict[str, Any], Policies]] = [
    (TURN, {"overlap": "buffer-one"}, Policies(overlap=Overlap(policy="buffer-one"))),
    (
        TURN,
        {"overlap": {"policy": "allow", "max": 3}},
        Policies(overlap=Overlap(policy="allow", most=3)),
    ),
    (TURN, {"jitter": "5m"}, Policies(jitter=timedelta(minutes=5))),
    (TURN, {"jitterMs": 1500}, Policies(jitter=timedelta(seconds=1.5))),
    (TURN, {"calendars": "holidays"}, Policies(calendars=CalendarRule(names=("holidays",)))),
    (
        TURN,
        {"calendars": {"names": ["cn-trading"], "onExcluded": "next-allowed"}},
        Policies(calendars=CalendarRule(names=("cn-trading",), on_excluded="next-allowed")),
    ),
    (TURN, {"until": "2026-06-01T08:00"}, Policies(until=datetime(2026, 6, 1, tzinfo=UTC))),
    (TURN, {"until": "30d"}, Policies(until=NOW + timedelta(days=30))),
    (TURN, {"maxRuns": 3, "maxRunsPerDay": 1}, Policies(max_runs=3, max_runs_per_day=1)),
    (TURN, {"respectActiveHours": True}, Policies(active_hours="skip")),
    (TURN, {"respectActiveHours": "defer"}, Policies(active_hours="defer")),
    (TURN, {"respectActiveHours": False}, PLAIN),
    (TURN, {"gate": ["test", "-s", "x"]}, Policies(gate=Gate(argv=("test", "-s", "x")))),
    (
        TURN,
        {"gate": {"command": "test -s x", "timeoutSeconds": 5}},
        Policies(gate=Gate(argv=("sh", "-lc", "test -s x"), timeout=timedelta(seconds=5))),
    ),
    (
        TURN,
        {"gate": {"command": ["date"], "on": "change"}},
        Policies(gate=Gate(argv=("date",), on_change=True)),
    ),
    (TURN, {"after": "backup"}, Policies(after=After(job="backup"))),
    (
        TURN,
        {"after": {"job": "backup", "within": "90m"}},
        Policies(after=After(job="backup", within=1.5 * HOUR)),
    ),
    (TURN, {"contextFrom": "disk"}, Policies(context_from=("disk",))),
    (
        TURN,
        {"budget": {"costPerDay": 0.5, "fallbackModel": "local/qwen3"}},
        Policies(budget=Budget(cost_per_day=0.5, fallback_model="local/qwen3")),
    ),
    (
        TURN,
        {"budget": {"runsPerDay": 3, "onExceed": "warn"}},
        Policies(budget=Budget(runs_per_day=3, warn_only=True)),
    ),
    (TURN, {"mustFinishBy": "8:30"}, Policies(must_finish_by=time(8, 30))),
    (TURN, {"mustFinishBy": "45m"}, Policies(must_finish_by=timedelta(minutes=45))),
    (TURN, {"expectWithin": "26h"}, Policies(expect_within=26 * HOUR)),
    (TURN, {"tags": ["b", "a", "b"]}, Policies(tags=("a", "b"))),
    (TURN, {"failureAlert": False}, Policies(failure_alert=False)),
    (TURN, {"failureAlert": True}, Policies(failure_alert=FailureAlert())),
    (
        TURN,
        {"failureAlert": {"after": 5, "cooldown": "2h", "channel": "telegram", "to": "42"}},
        Policies(
            failure_alert=FailureAlert(after=5, cooldown=2 * HOUR, channel="telegram", to="42")
        ),
    ),
    (
        TURN,
        {"failureAlert": {"to": "telegram:42", "accountId": None}},
        Policies(failure_alert=FailureAlert(channel="telegram", to="42")),
    ),
    (
        TURN,
        {"failureAlert": {"mode": "webhook", "to": "https://h/x"}},
        Policies(failure_alert=FailureAlert(mode="webhook", to="https://h/x")),
    ),
    (
        TURN,
        {"retry": {"maxAttempts": 0, "backoffMs": ["10s", 60000], "retryOn": ["network"]}},
        Policies(
            retry=Retries(
                max_attempts=0,
                backoff=(timedelta(seconds=10), timedelta(minutes=1)),
                retry_on=frozenset({"network"}),
            )
        ),
    ),
    (COMMAND, {"minRefireGap": "0s"}, Policies(refire_gap=timedelta())),
]


@pytest.mark.parametrize(("job", "wish", "policies"), ASKED)
def test_what_is_asked_for_is_read_and_comes_back_from_the_store(
    job: dict[str, Any], wish: dict[str, Any], policies: Policies
) -> None:
    one = made(job, wish)
    assert one.policies == policies
    assert job_from_json(job_to_json(one)) == one
    assert from_json(to_json(policies)) == policies


def test_every_key_is_among_the_examples() -> None:
    spelled = {"jitter": "jitterMs", "minRefireGap": "minRefireGapMs"}
    assert {spelled.get(key, key) for _, wish, _ in ASKED for key in wish} == KEYS


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (TURN, {"overlap": "queue"}, "overlap 'queue' was refused: use skip, buffer-one"),
    (TURN, {"overlap": {"policy": "allow", "max": 0}}, "overlap.max must be a whole number"),
    (TURN, {"overlap": {"polcy": "allow"}}, "did you mean 'policy'"),
    (COMMAND, {"jitter": "10m"}, "not shorter than the interval"),
    (TURN, {"jitter": -1}, "jitterMs was refused"),
    (TURN, {"calendars": "holiday"}, "did you mean 'holidays'"),
    (TURN, {"calendars": []}, "calendars must not be empty"),
    (TURN, {"calendars": {"names": ["holidays"], "onExcluded": "later"}}, "use skip, next-allowed"),
    (TURN, {"until": "soonish"}, "expected ISO-8601 timestamp"),
    (TURN, {"maxRuns": 0}, "maxRuns must be a whole number, at least 1"),
    (TURN, {"maxRunsPerDay": True}, "maxRunsPerDay must be a whole number"),
    (TURN, {"respectActiveHours": "wait"}, "use skip, defer"),
    (TURN, {"gate": []}, "gate.command must not be empty"),
    (TURN, {"gate": {"command": " "}}, "gate.command must name a program"),
    (TURN, {"gate": {"command": "x", "timeoutSeconds": 0}}, "more than 0 and at most 600"),
    (TURN, {"after": ""}, "after must name a job"),
    (TURN, {"after": {"job": "x", "within": 0}}, "after.within must be more than nothing"),
    (TURN, {"contextFrom": [str(n) for n in range(11)]}, "10 at most"),
    (TURN, {"budget": {}}, "give one of tokensPerDay"),
    (TURN, {"budget": {"tokensPerDay": 1.5}}, "budget.tokensPerDay must be a whole number"),
    (COMMAND, {"budget": {"tokensPerDay": 5}}, "a command spends no tokens"),
    (TURN, {"mustFinishBy": "25:00"}, "mustFinishBy '25:00' was refused"),
    (TURN, {"mustFinishBy": "0m"}, "longer than nothing"),
    (TURN, {"expectWithin": "x"}, "Invalid duration"),
    ({**TURN, "schedule": "at 2026-06-01T08:00"}, {"expectWithin": "1h"}, "only valid for rec"),
    (TURN, {"tags": [1]}, "tags must be a list of texts"),
    (TURN, {"failureAlert": {"after": 0}}, "failureAlert.after must be a whole number"),
    (TURN, {"failureAlert": {"mode": "none"}}, "use announce or webhook"),
    (TURN, {"failureAlert": {"mode": ["webhook"]}}, "use announce or webhook"),
    (TURN, {"failureAlert": {"mode": "webhook"}}, "failureAlert.to to be a valid http(s) URL"),
    (TURN, {"failureAlert": {"mode": "webhook", "to": "ftp://h/x"}}, "begins with http:// or"),
    (
        TURN,
        {"failureAlert": {"mode": "webhook", "to": "https://u:p@h/x"}},
        "a webhook URL must not carry credentials",
    ),
    (TURN, {"failureAlert": {"to": {"a": 1}}}, "failureAlert.to must be a text"),
    (TURN, {"failureAlert": {"channel": ["x"]}}, "failureAlert.channel must be a text"),
    (TURN, {"failureAlert": {"channel": "qq", "to": "telegram:1"}}, "contradicts failureAlert.ch"),
    (TURN, {"retry": {"maxAttempts": 11}}, "0 to 10"),
    (TURN, {"retry": {"backoffMs": []}}, "1 to 10 entries"),
    (TURN, {"retry": {"retryOn": ["auth"]}}, "retry.retryOn 'auth' was refused"),
    (TURN, {"minRefireGap": "1s"}, "only valid for command jobs"),
    (TURN, {"until": 10**18}, "outside the years 1970 to 9998"),
    (TURN, {"until": -1}, "outside the years 1970 to 9998"),
    (TURN, {"until": "9999-12-31T23:59Z"}, "leave it out"),
    (TURN, {"jitterMs": 10**18}, "jitterMs was refused: it is longer than a century"),
    (TURN, {"jitter": "40000d"}, "jitterMs was refused: it is longer than a century"),
    (TURN, {"retry": {"backoffMs": 10**18}}, "retry.backoffMs was refused: it is longer than"),
    (TURN, {"retry": {"backoffMs": ["1s", 3 * 10**14]}}, "retry.backoffMs was refused"),
    (TURN, {"failureAlert": {"cooldown": 10**18}}, "failureAlert.cooldown was refused"),
    (TURN, {"failureAlert": {"cooldownMs": 10**30}}, "failureAlert.cooldown was refused"),
    (TURN, {"misfire": {"graceMs": 10**18}}, "misfire.graceMs is too large"),
    (TURN, {"misfire": {"grace": 10**18}}, "misfire.grace was refused: it is longer than"),
    (TURN, {"pacing": {"min": 10**18}}, "pacing.min was refused: it is longer than a century"),
    (TURN, {"staggerMs": 10**18}, "staggerMs was refused: it is longer than a century"),
    (TURN, {"timeoutSeconds": 10**30}, "payload.timeoutSeconds is too large"),
    (COMMAND, {"anchorMs": 10**18}, "schedule.anchorMs was refused"),
]


@pytest.mark.parametrize(("job", "wish", "words"), REFUSED)
def test_what_makes_no_sense_is_refused_by_name(
    job: dict[str, Any], wish: dict[str, Any], words: str
) -> None:
    with pytest.raises(EngineError) as refused:
        made(job, wish)
    error = refused.value
    told = f"{error.what}: {error.why}: {error.fix}" if error.why else f"{error.what}: {error.fix}"
    assert words in told


def test_a_patch_changes_what_it_names_and_null_clears() -> None:
    job = made(TURN, maxRuns=3, tags=["a"], until="30d")
    changed = patch(job, {"maxRuns": 5, "until": None}, RULES)
    assert changed.policies == Policies(max_runs=5, tags=("a",))
    assert patch(changed, {"maxRuns": None, "tags": None}, RULES).policies == PLAIN


def test_an_object_is_changed_field_by_field() -> None:
    job = made(TURN, failureAlert={"after": 5, "channel": "telegram", "to": "42"})
    changed = patch(job, {"failureAlert": {"after": 3}}, RULES).policies.failure_alert
    assert changed == FailureAlert(after=3, channel="telegram", to="42")
    assert patch(job, {"failureAlert": False}, RULES).policies.failure_alert is False


def test_policies_are_judged_again_when_the_schedule_changes() -> None:
    job = made(TURN, jitter="30m")
    with pytest.raises(EngineError, match="not shorter than the interval"):
        patch(job, {"schedule": {"kind": "every", "everyMs": 60_000}}, RULES)


def test_only_jobs_with_a_deadline_are_watched() -> None:
    assert not PLAIN.watched
    assert Policies(expect_within=HOUR).watched
    assert Policies(must_finish_by=time(9)).watched
