"""A phrase that names its zone is read in it (cron.md §22 row 21)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.errors import InvalidSchedule
from jobs.spoken import understand

NOW = datetime(2026, 5, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expr", "tz"),
    [
        ("every day at 9am Berlin time", "0 9 * * *", "Europe/Berlin"),
        ("9am berlin time every day", "0 9 * * *", "Europe/Berlin"),
        ("every day at 9am UTC", "0 9 * * *", "UTC"),
        ("every day at 9am (GMT)", "0 9 * * *", "UTC"),
        ("every day at 9am in Tokyo", "0 9 * * *", "Asia/Tokyo"),
        ("every weekday at 5pm New York time", "0 17 * * 1-5", "America/New_York"),
        ("every day at 9am in San Francisco", "0 9 * * *", "America/Los_Angeles"),
        ("every day at 9am Eastern time", "0 9 * * *", "America/New_York"),
        ("every workday at 9am in Europe/Berlin", "0 9 * * 1-5", "Europe/Berlin"),
        (
            "America/Argentina/Buenos_Aires every day at 9am",
            "0 9 * * *",
            "America/Argentina/Buenos_Aires",
        ),
        ("every day in march at 9 in the morning", "0 9 * 3 *", "Asia/Shanghai"),
        ("每天柏林时间上午9点", "0 9 * * *", "Europe/Berlin"),
        ("北京时间每天上午9点", "0 9 * * *", "Asia/Shanghai"),
        ("每天上午9点（纽约时间）", "0 9 * * *", "America/New_York"),
        ("每天UTC时间上午9点", "0 9 * * *", "UTC"),
        ("工作日按美东时间上午9点", "0 9 * * 1-5", "America/New_York"),
        ("工作时间每小时", "0 9-17 * * 1-5", "Asia/Shanghai"),
    ],
)
def test_the_zone_of_a_phrase_is_the_zone_of_its_schedule(text: str, expr: str, tz: str) -> None:
    spoken = understand(text, now=NOW, tz="Asia/Shanghai")
    assert (spoken.schedule["expr"], spoken.schedule["tz"], spoken.tz) == (expr, tz, tz)


def test_one_instant_is_read_in_the_zone_it_names() -> None:
    spoken = understand("tomorrow at 9am London time", now=NOW, tz="Asia/Shanghai")
    assert spoken.schedule["at"] == "2026-05-06T08:00:00.000Z"
    assert "Europe/London time" in spoken.understood


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("every day at 9am UTC in Tokyo", "Asia/Tokyo / UTC contradict each other"),
        ("every day at 9am EST", "“est” means nothing here"),
        ("every day at 9am UTC+8", "“utc+8” means nothing here"),
        ("every day at 9am Atlantis time", "“atlantis time” means nothing here"),
        ("每天亚特兰蒂斯时间上午9点", "不理解 “亚特兰蒂斯时间”"),
    ],
)
def test_a_zone_that_is_in_doubt_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        understand(text, now=NOW, tz="Asia/Shanghai")
    assert why in str(refusal.value)
