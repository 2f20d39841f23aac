"""Jobs of the config, judged before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.config.jobs import judge, remarks
from engine.config.schema import Config

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def judged(**job: Any) -> list[tuple[tuple[str, ...], str]]:
    entry = {"schedule": "every 5m", "message": "look", **job}
    config = {
        "cron": {"jobs": {"brief": entry}},
        "channels": {"telegram": {"botToken": "1:a"}},
    }
    return judge(Config.model_validate(config), NOON, "UTC", Path("nowhere"))


@pytest.mark.parametrize(
    "target", ["telegram:42", "telegram:-100:topic:7", "tg:@somebody", "local:inbox", "last"]
)
def test_a_target_that_can_be_read_is_no_problem(target: str) -> None:
    assert judged(deliver=target) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("telegram:abc", "target 'abc' was not understood: it is no chat id or @name"),
        ("telegram:", "names no recipient: write telegram:<id>, or telegram for its last chat"),
        ("telegram:-100:topic:x", "was not understood"),
        ("telegrm:42", 'unknown channel "telegrm" — did you mean "telegram"?'),
    ],
)
def test_a_target_nobody_can_read_is_told_at_its_key(target: str, words: str) -> None:
    ((key, text),) = judged(deliver=target)
    assert key == ("cron", "jobs", "brief", "deliver")
    assert words in text


@pytest.mark.parametrize(
    ("job", "key"),
    [
        ({"deliver": "apprize:all"}, "deliver"),
        ({"delivery": {"also": ["apprize:all"]}}, "delivery"),
        ({"failureAlert": {"channel": "apprize", "to": "all"}}, "failureAlert"),
    ],
)
def test_a_channel_that_does_not_exist_is_refused_at_its_key(job: dict[str, Any], key: str) -> None:
    ((found, text),) = judged(**job)
    assert found == ("cron", "jobs", "brief", key)
    assert 'did you mean "apprise"?' in text


def test_the_places_of_failures_are_judged_as_well() -> None:
    cron = {"failureDestination": {"channel": "telegrm"}, "failureAlert": {"channel": "apprize"}}
    found = judge(Config.model_validate({"cron": cron}), NOON, "UTC", Path("nowhere"))
    assert [key for key, _ in found] == [
        ("cron", "failureAlert", "channel"),
        ("cron", "failureDestination", "channel"),
    ]


@pytest.mark.parametrize("to", ["ftp://h/x", "https://u:p@h/x", "https://"])
def test_the_address_of_a_webhook_of_failures_is_judged(to: str) -> None:
    place = {"mode": "webhook", "to": to}
    for cron in ({"failureDestination": place}, {"failureAlert": place}):
        found = judge(Config.model_validate({"cron": cron}), NOON, "UTC", Path("nowhere"))
        assert [key for key, _ in found] == [("cron", *cron, "to")]
    only_mode = {"failureDestination": {"mode": "webhook"}}
    config = Config.model_validate({"cron": only_mode})
    assert judge(config, NOON, "UTC", Path("nowhere")) == []


def test_what_the_scheduler_refuses_is_told_at_the_job() -> None:
    ((key, text),) = judged(schedule="0 0 31 2 *")
    assert key == ("cron", "jobs", "brief")
    assert "would never fire" in text


def test_a_calendar_that_cannot_be_read_is_told_with_its_key() -> None:
    config = {"cron": {"calendars": {"holidays": {"ics": "gone.ics"}}}}
    ((key, text),) = judge(Config.model_validate(config), NOON, "UTC", Path("nowhere"))
    assert key == ("cron", "calendars")
    assert "gone.ics was not read" in text


def test_a_model_nobody_has_is_told_at_the_job() -> None:
    ((key, text),) = judged(model="lcoal/qwen3")
    assert key[:3] == ("cron", "jobs", "brief")
    assert 'unknown provider "lcoal"' in text or 'models.providers has no "lcoal"' in text


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (["read", "group:fs", "web_search", "Message"], ""),
        (["raed"], 'no tool or group "raed": did you mean "read"?'),
        (["message", "quux"], 'no tool or group "quux": there is cron, exec,'),
    ],
)
def test_a_tool_nobody_has_is_refused_with_the_nearest(tools: list[str], words: str) -> None:
    found = judged(toolsAllow=tools)
    assert [key for key, _ in found] == ([("cron", "jobs", "brief", "toolsAllow")] if words else [])
    assert all(words in text for _, text in found)


@pytest.mark.parametrize(
    ("until", "remarked"), [("2026-11-20T11:00:00Z", True), ("2026-11-20T13:00:00Z", False)]
)
def test_a_job_that_has_ended_before_it_began_is_remarked(until: str, remarked: bool) -> None:
    entry = {"schedule": "every 5m", "message": "look", "until": until}
    config = Config.model_validate({"cron": {"jobs": {"brief": entry}}})
    notes = [(note.path, note.message) for note in remarks(config, NOON, "UTC")]
    told = ("cron.jobs.brief.until", "it has no slot before 2026-11-20 11:00Z: it will never run")
    assert notes == ([told] if remarked else [])
