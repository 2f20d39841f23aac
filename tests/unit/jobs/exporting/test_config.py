"""Jobs as entries of the config."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from jobs import codec
from jobs.declared import expand
from jobs.edit import Rules, create
from jobs.exporting import config

RULES = Rules(now=datetime(2026, 3, 1, 12, tzinfo=UTC))
GIVEN: dict[str, Any] = {
    "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Asia/Shanghai"},
    "payload": {"kind": "agentTurn", "message": "m", "model": "a/b"},
    "delivery": {"mode": "announce", "channel": "telegram", "to": "1"},
    "maxRuns": 3,
}


def wire(**more: Any) -> dict[str, Any]:
    return codec.job_to_json(create({**GIVEN, **more}, RULES))


def test_an_entry_declares_the_same_job() -> None:
    job = create({**GIVEN, "name": "Morning brief"}, RULES)
    entries = config.entries([codec.job_to_json(job)])
    (made,), problems = expand(entries, RULES)
    assert not problems
    assert made.key == "morning-brief"
    same = replace(made.job, id=job.id, source=job.source, declaration_key=None)
    assert codec.revision(same) == codec.revision(job)


def test_keys_are_made_of_names_and_never_meet() -> None:
    jobs = [wire(id="a", name="News!"), wire(id="b", name="news"), wire(id="c", name="早报")]
    keys = [*config.entries(jobs)]
    assert keys[0] == "news"
    assert keys[1].startswith("news-")
    assert keys[2].startswith("job-")
    _, problems = expand(config.entries(jobs), RULES)
    assert not problems


def test_a_job_of_the_config_keeps_its_key() -> None:
    job = {**wire(name="Other"), "id": "cfg:brief", "source": "config"}
    assert [*config.entries([job])] == ["brief"]
