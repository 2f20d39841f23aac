"""What `cron add` and `cron edit` say beside the job (cron.md §16)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.cli.cron.remarks import (
    of_job,
    of_missing,
    of_name,
    of_payload,
    of_removal,
    others,
    spread,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TURN = {"kind": "agentTurn", "message": "look"}


def said(schedule: dict[str, Any], wish: dict[str, Any], *, tz: str = "UTC", **more: Any) -> str:
    job = {"id": "j", "agentId": "main", "schedule": schedule, **more}
    return "\n".join(of_job(job, {"schedule": wish}, {"tz": tz, "enabled": True}, NOW))


def cron(expr: str, **more: Any) -> dict[str, Any]:
    return {"kind": "cron", "expr": expr, "tz": "Asia/Shanghai", **more}


@pytest.mark.parametrize(
    ("schedule", "turns"),
    [
        (cron("* * * * *"), "1440 agent turns a day"),
        (cron("*/30 * 9-17 * * *"), "1080 agent turns a day"),
        ({"kind": "every", "everyMs": 60_000, "anchorMs": 0}, "1440 agent turns a day"),
        (cron("*/5 * * * *"), ""),
        ({"kind": "at", "at": "2026-12-01T09:00:00Z"}, ""),
        ({"kind": "moon"}, ""),
    ],
)
def test_many_turns_a_day_are_told_whatever_the_schedule(
    schedule: dict[str, Any], turns: str
) -> None:
    told = said(schedule, {}, payload=TURN)
    assert turns in told
    assert bool(told) is bool(turns)


def test_a_wall_time_that_comes_twice_is_told_with_both_offsets() -> None:
    made = {"kind": "at", "at": "2027-10-31T00:30:00Z"}
    assert said(made, {"at": "2027-10-31T02:30", "tz": "Europe/Berlin"}) == (
        "note: 2027-10-31T02:30 comes twice in Europe/Berlin: 2027-10-31T02:30+02:00 is meant;"
        " for the second: --at 2027-10-31T02:30+01:00"
    )
    assert said(made, {"at": "2027-10-31T03:30", "tz": "Europe/Berlin"}) == ""
    assert said(made, {"at": "20m", "tz": "Europe/Berlin"}) == ""


def test_a_job_without_a_pause_is_told_so_whatever_it_runs() -> None:
    quick = {"kind": "every", "everyMs": 5, "anchorMs": 0}
    told = said(quick, {}, payload={"kind": "command", "argv": ["df"]})
    assert told == "warning: that is 17280000 runs a day: more than one a second"


def test_a_command_may_run_as_often_as_it_likes() -> None:
    assert said(cron("* * * * *"), {}, payload={"kind": "command", "argv": ["df"]}) == ""


def test_a_stagger_nobody_sees_coming_is_told_with_the_way_out() -> None:
    told = said(cron("0 * * * *", staggerMs=300_000), {"expr": "0 * * * *", "tz": "x"})
    assert told == "note: it fires 4m49s after the time of its expression; --exact to disable"
    assert spread({"id": "j", "schedule": cron("0 * * * *", staggerMs=0)}) == ""


def test_an_instant_without_offset_is_told_in_both_readings() -> None:
    made = {"kind": "at", "at": "2026-12-01T09:00:00Z"}
    told = said(made, {"at": "2026-12-01T09:00"}, tz="Asia/Shanghai")
    assert "read as UTC, which is 2026-12-01 17:00+08:00 in Asia/Shanghai" in told
    assert "add --tz Asia/Shanghai" in told
    for plain in ("2026-12-01T09:00Z", "20m", "1796000000000"):
        assert said(made, {"at": plain}, tz="Asia/Shanghai") == ""
    assert said(made, {"at": "2026-12-01T09:00", "tz": "UTC"}, tz="Asia/Shanghai") == ""
    assert said(made, {"at": "2026-12-01T09:00"}) == ""


def test_the_zone_the_agent_and_a_stopped_scheduler_are_told() -> None:
    job = {"id": "j", "schedule": cron("0 9 * * *"), "effectiveAgentId": "ops"}
    asked = {"schedule": {"expr": "0 9 * * *"}, "payload": TURN}
    assert list(of_job(job, asked, {"enabled": False}, NOW)) == [
        "note: the times are those of Asia/Shanghai (--tz chooses another zone)",
        "note: no --agent: the default agent ops runs it",
        "warning: the scheduler is switched off (cron.enabled): no job will run",
    ]


def test_a_job_that_refers_to_nobody_is_told_what_becomes_of_it() -> None:
    asked = {"after": {"job": "backup"}, "contextFrom": ["disk", "mail"]}
    assert others(asked) == ("backup", "disk", "mail")
    assert others({}) == others({"after": None}) == ()
    assert [*of_missing(asked, [])] == []
    assert [*of_missing(asked, ["backup", "mail"])] == [
        "warning: there is no job 'backup': every slot is skipped until there is one",
        "warning: there is no job 'mail', whose output it asks for",
    ]


def test_an_event_that_looks_like_a_command_is_told() -> None:
    assert list(of_payload({"text": "drink water"})) == []
    assert len(list(of_payload({"text": "curl http://x | grep y"}))) == 1


def test_a_second_job_of_a_name_is_remarked_on_with_the_id_of_the_first() -> None:
    job = {"id": "b", "name": "water"}
    others = [{"id": "a", "name": "water"}, job, {"id": "c", "name": "waters"}]
    (remark,) = of_name(job, others)
    assert 'another job named "water": a; name them by id' in remark
    crowd = [{"id": f"w{n}", "name": "water"} for n in range(9)]
    assert 'named "water": w0, w1, w2, …;' in "".join(of_name(job, crowd))
    assert not [*of_name({"id": "c", "name": "waters"}, others)]


def test_an_end_before_the_first_slot_is_told() -> None:
    job = {"id": "j", "schedule": cron("0 9 * * *"), "until": 1}
    asked = {"until": "2026-01-01"}
    (told,) = of_job({**job, "state": {}}, asked, {}, NOW)
    assert told == "warning: it has no slot before --until: it will never run"
    assert not [*of_job({**job, "state": {"nextRunAtMs": 2}}, asked, {}, NOW)]


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("http://127.0.0.1:9000/hook", True),
        ("http://localhost/hook", True),
        ("https://10.0.0.2/hook", True),
        ("https://example.org/hook", False),
        ("https://93.184.216.34/hook", False),
        ("http://[", False),
        ("42", False),
    ],
)
def test_a_webhook_of_this_machine_is_remarked_on_before_it_is_refused(to: str, told: bool) -> None:
    asked = {"delivery": {"mode": "webhook", "to": to}}
    words = [*of_job({"id": "j", "schedule": cron("0 9 * * *")}, asked, {}, NOW)]
    assert any("cron.webhookSsrfPolicy" in one for one in words) is told


def test_a_removed_job_that_came_from_the_config_may_come_back() -> None:
    (told,) = of_removal({"id": "cfg:brief", "source": "runtime"})
    assert told.startswith("warning: if cron.jobs.brief still stands in the config")
    assert not [*of_removal({"id": "j-1"})]


def test_a_job_whose_words_would_reach_nobody_says_so_when_it_is_added() -> None:
    shown = {"label": "announce -> telegram", "detail": "no telegram", "fix": "engine setup"}
    told = said(cron("0 9 * * *"), {}, deliveryPreview=shown)
    assert told == (
        "warning: as things stand its words would reach nobody: no telegram. Fix: engine setup"
    )
