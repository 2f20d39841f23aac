"""Jobs of a directory: one file each, read as if they stood in the config (cron.md §13)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.config import jobs
from engine.config.load import Loaded, load
from jobs.errors import ConfigInvalid

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
JOB = "{\n  // every morning\n  schedule: '0 7 * * *', message: 'What is on?',\n}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "jobs").mkdir()
    write(tmp_path, "engine.json", "{ cron: { jobsDir: './jobs' } }")
    write(tmp_path, "jobs/brief.json5", JOB)
    return tmp_path


def write(home: Path, name: str, text: str) -> None:
    (home / name).write_text(text)


def loaded(home: Path, **how: Any) -> Loaded:
    def judged(config: Any) -> list[tuple[Any, str]]:
        return [*jobs.judge(config, NOON, "UTC", home)]

    return load(home / "engine.json", {}, jobs_check=judged, **how)


def refusal(home: Path) -> str:
    with pytest.raises(ConfigInvalid) as refused:
        loaded(home)
    return str(refused.value)


def test_a_file_is_a_job_under_its_name_and_says_where_it_stands(home: Path) -> None:
    found = loaded(home)
    assert list(found.config.cron.jobs) == ["brief"]
    place = found.job_places()["brief"]
    assert (place.file, place.line) == ("jobs/brief.json5", 1)
    assert {path.name for path in found.files} == {"engine.json", "jobs", "brief.json5"}


def test_jobs_of_the_file_and_of_the_directory_stand_side_by_side(home: Path) -> None:
    write(home, "engine.json", "{ cron: { jobsDir: 'jobs', jobs: { tea: %s } } }" % JOB)  # noqa: UP031
    write(home, "jobs/notes.txt", "no job")
    write(home, "jobs/disk.json", '{"schedule": "every 5m", "command": ["df"]}')
    assert sorted(loaded(home).config.cron.jobs) == ["brief", "disk", "tea"]


def test_a_key_in_two_places_is_refused_and_both_are_named(home: Path) -> None:
    write(home, "jobs/brief.json", '{"schedule": "every 5m", "command": ["df"]}')
    words = refusal(home)
    assert "jobs/brief.json5:1" in words
    assert 'the job "brief" stands in jobs/brief.json too' in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ schedule: ", "jobs/bad.json5:1"),
        ("{ schedule: '0 25 * * *', message: 'x' }", "jobs/bad.json5:1"),
        ("{ schedule: '0 7 * * *', mesage: 'x' }", "did you mean"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(home: Path, text: str, words: str) -> None:
    write(home, "jobs/bad.json5", text)
    assert words in refusal(home)


def test_a_directory_that_is_not_there_is_told(home: Path) -> None:
    write(home, "engine.json", "{ cron: { jobsDir: 'job' } }")
    assert 'no such directory: "job"' in refusal(home)


def test_at_a_start_a_broken_job_keeps_nothing_else_from_running(home: Path) -> None:
    write(home, "jobs/bad.json5", "{ schedule: '0 25 * * *', message: 'x' }")
    found = loaded(home, jobs_may_wait=True)
    (line,) = found.jobs_wait
    assert line.startswith("jobs/bad.json5:1: cron.jobs.bad: ")
    assert home / "jobs" / "bad.json5" in found.files  # mended, it is read again
    write(home, "engine.json", "{ cron: { jobsDir: 'jobs', enabeld: true } }")
    with pytest.raises(ConfigInvalid, match="enabeld"):
        loaded(home, jobs_may_wait=True)
