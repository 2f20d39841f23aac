"""Our own export, read again."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import UnreadableSource
from jobs.importing import own
from jobs.importing.report import Weight

JOB = {"id": "a", "name": "A", "declarationKey": "mine", "source": "runtime"}


def document(*jobs: Any) -> dict[str, Any]:
    return {"format": "engine-cron", "version": 1, "jobs": [*jobs]}


def test_a_job_comes_back_with_its_own_key_and_state() -> None:
    state = {"runCount": 3, "nextRunAtMs": 1, "retryAtMs": 2}
    (entry,) = own.read(document({**JOB, "state": state})).entries
    assert entry.key == "mine"
    assert entry.job == JOB
    assert entry.state == {"runCount": 3}


def test_jobs_of_the_config_stay_with_the_config() -> None:
    report = own.read(document({**JOB, "source": "config"}, {**JOB, "source": "system"}, 7))
    assert not report.entries
    assert [one.weight for one in report.remarks] == [Weight.LEFT_OUT] * 3
    assert "engine cron export --format config" in report.remarks[0].fix


@pytest.mark.parametrize("other", [{}, {"version": 1, "jobs": []}, [], None, "x"])
def test_what_is_no_export_is_refused_with_a_way_out(other: Any) -> None:
    with pytest.raises(UnreadableSource, match="--from openclaw"):
        own.read(other)
