"""jobs/KEYS.md names every key a job may have, and its example is valid."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from engine.config.json5 import parse
from jobs import checks, normal, policies
from jobs.calendar import written
from jobs.declared import expand
from jobs.edit import Rules

PAGE: Final = (Path(__file__).parents[3] / "jobs" / "KEYS.md").read_text("utf-8")
SPANS: Final = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
NAMED: Final = frozenset(word for span in SPANS for word in re.findall(r"\w+", span))
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)


def example() -> Any:
    (block,) = re.findall(r"```json5\n(.*?)```", PAGE, re.DOTALL)
    return parse(block).root.plain()["cron"]


def test_every_key_of_a_job_is_on_the_page() -> None:
    known = set(normal._KEYS | normal._SHORT | checks._DELIVERY | policies.KEYS)
    known |= set(normal._SPANS) | {"agent", "session", "wake", *written.KEYS}
    known |= {key for kind in checks._PAYLOADS.values() for key in kind}
    known |= normal._SCHEDULE_FIELDS - {"command", "cwd", "mode", "match", "batchMs"}
    known -= {"maxBatchBytes", "tzIsDefault", "anchor", "stagger"}  # told by their longer names
    assert known - NAMED == set()


def test_the_words_a_policy_knows_are_on_the_page() -> None:
    words = {*policies.OVERLAPS, "next-allowed", "previous-allowed", "run-once", "run-all"}
    assert {word for word in words if f"`{word}`" not in PAGE} == set()


def test_the_example_is_valid() -> None:
    cron = example()
    calendars = written.calendars_of(
        cron["calendars"], texts={}, tz="Europe/Berlin", today=date(2026, 6, 1)
    )
    rules = Rules(now=NOW, default_tz=cron["tz"], calendars=tuple(calendars))
    jobs, problems = expand(cron["jobs"], rules)
    assert problems == ()
    assert len(jobs) == len(cron["jobs"])
