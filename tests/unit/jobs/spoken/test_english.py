"""English phrases, the schedules they mean and what is said of them (cron.md §22 row 21)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobs.duration import format_duration
from jobs.schedule import At, Cron, Every, schedule_from_json
from jobs.spoken import Spoken, understand

ZONE = "Asia/Shanghai"
NOW = datetime(2026, 5, 5, 4, tzinfo=UTC)  # Tuesday noon in Shanghai


def heard(text: str) -> Spoken:
    return understand(text, now=NOW, tz=ZONE)


def short(spoken: Spoken) -> str:
    """The schedule that was understood, in few letters and local time."""
    schedule = schedule_from_json(spoken.schedule, default_tz="UTC", job_id=None, now=NOW)
    match schedule:
        case At(at):
            return f"at {at.astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}"
        case Every(period, anchor):
            since = f" from {anchor.astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}"
            return f"every {format_duration(period)}{since if anchor != NOW else ''}"
        case Cron(expr, tz):
            assert tz == ZONE
            return expr


PHRASES = [
    ("every weekday at 9", "0 9 * * 1-5"),
    ("every day at 7:30am", "30 7 * * *"),
    ("every 15 minutes", "every 15m"),
    ("every 2 hours", "every 2h"),
    ("mondays and thursdays at 18:00", "0 18 * * 1,4"),
    ("first monday of the month at 10", "0 10 * * 1#1"),
    ("last day of the month at 5pm", "0 17 L * *"),
    ("at noon", "at 2026-05-06 12:00"),
    ("tomorrow at 8", "at 2026-05-06 08:00"),
    ("in 20 minutes", "at 2026-05-05 12:20"),
    ("next friday 14:00", "at 2026-05-15 14:00"),
    ("every quarter hour", "every 15m"),
    ("twice a day at 9 and 17", "0 9,17 * * *"),
    ("Every Weekday at 9 AM.", "0 9 * * 1-5"),
    ("every half hour", "every 30m"),
    ("half-hourly", "every 30m"),
    ("in an hour and a half", "at 2026-05-05 13:30"),
    ("in half an hour", "at 2026-05-05 12:30"),
    ("in 2h30m", "at 2026-05-05 14:30"),
    ("in 3 days at 9", "at 2026-05-08 09:00"),
    ("in 3 days", "at 2026-05-08 12:00"),
    ("every 90 minutes", "every 1h30m"),
    ("every 2 and a half hours", "every 2h30m"),
    ("every fifteen minutes", "every 15m"),
    ("every forty five minutes", "every 45m"),
    ("every other day at 9", "every 2d from 2026-05-06 09:00"),
    ("every other monday at 9", "every 14d from 2026-05-11 09:00"),
    ("every second monday at 9", "every 14d from 2026-05-11 09:00"),
    ("every second monday of the month at 9", "0 9 * * 1#2"),
    ("every 2 weeks on monday at 9am", "every 14d from 2026-05-11 09:00"),
    ("every 3 months", "0 9 1 1,4,7,10 *"),
    ("every quarter", "0 9 1 1,4,7,10 *"),
    ("quarterly on the 15th at noon", "0 12 15 1,4,7,10 *"),
    ("monthly", "0 9 1 * *"),
    ("monthly on the 15th at noon", "0 12 15 * *"),
    ("weekly", "0 9 * * 1"),
    ("daily", "0 9 * * *"),
    ("hourly", "every 1h"),
    ("yearly on december 25 at 9am", "0 9 25 12 *"),
    ("every december 25th at 9am", "0 9 25 12 *"),
    ("every january at 9am", "0 9 1 1 *"),
    ("december 25 at 9am", "at 2026-12-25 09:00"),
    ("25 december 2027 at 14:00", "at 2027-12-25 14:00"),
    ("on 2026-12-25 at 09:00", "at 2026-12-25 09:00"),
    ("2026-12-25T09:00", "at 2026-12-25 09:00"),
    ("every day in december at 9am", "0 9 * 12 *"),
    ("weekends at 10am", "0 10 * * 0,6"),
    ("every morning", "0 9 * * *"),
    ("every morning at 8", "0 8 * * *"),
    ("every evening at 8", "0 20 * * *"),
    ("tomorrow evening at 8", "at 2026-05-06 20:00"),
    ("tomorrow afternoon at 3", "at 2026-05-06 15:00"),
    ("this afternoon at 3", "at 2026-05-05 15:00"),
    ("this afternoon", "at 2026-05-05 15:00"),
    ("tonight", "at 2026-05-05 21:00"),
    ("tonight at 9", "at 2026-05-05 21:00"),
    ("tonight at midnight", "at 2026-05-06 00:00"),
    ("friday at midnight", "at 2026-05-08 00:00"),
    ("at 8 in the morning", "at 2026-05-06 08:00"),
    ("at 9 in the morning and 5 in the afternoon every day", "0 9,17 * * *"),
    ("monday at 9am", "at 2026-05-11 09:00"),
    ("this friday at 9am", "at 2026-05-08 09:00"),
    ("monday next week at 9am", "at 2026-05-11 09:00"),
    ("next week on monday at 9am", "at 2026-05-11 09:00"),
    ("on the 1st and 15th at 9am", "0 9 1,15 * *"),
    ("every 15th at 9am", "0 9 15 * *"),
    ("on the 15th at 9am", "at 2026-05-15 09:00"),
    ("the 31st of every month at 9am", "0 9 31 * *"),
    ("first and third friday of the month at 9am", "0 9 * * 5#1,5#3"),
    ("last friday of the month at 17:00", "0 17 * * L5"),
    ("last weekday of the month at 17:00", "0 17 LW * *"),
    ("first weekday of the month at 09:00", "0 9 1W * *"),
    ("second of the month at 09:00", "0 9 2 * *"),
    ("twenty-second of every month at 09:00", "0 9 22 * *"),
    ("every hour on the hour", "0 * * * *"),
    ("every hour at quarter past the hour", "15 * * * *"),
    ("every hour at :15", "15 * * * *"),
    ("every hour at 15 minutes past", "15 * * * *"),
    ("every hour at half past the hour", "30 * * * *"),
    ("at 15 past every hour", "15 * * * *"),
    ("every 15 minutes between 9 and 17 on weekdays", "*/15 9-16 * * 1-5"),
    ("every 15 minutes from 9am to 5pm", "*/15 9-16 * * *"),
    ("every hour during business hours", "0 9-17 * * 1-5"),
    ("every 2 hours from 8:00 to 20:00", "0 8-20/2 * * *"),
    ("every 20 minutes on weekdays", "*/20 * * * 1-5"),
    ("every day except sundays at 09:00", "0 9 * * 1-6"),
    ("every day at 9:00, 9:30, 17:00 and 17:30", "0,30 9,17 * * *"),
    ("mon-fri at 09:00", "0 9 * * 1-5"),
    ("mon wed fri at 18:00", "0 18 * * 1,3,5"),
    ("monday to friday at half past 9", "30 9 * * 1-5"),
    ("weekdays at quarter to 9", "45 8 * * 1-5"),
    ("weekdays at 10 to 9", "50 8 * * 1-5"),
    ("at quarter past 7 every day", "15 7 * * *"),
    ("every day at 24:00", "0 0 * * *"),
    ("every day at 12", "0 12 * * *"),
    ("every day at 0930", "30 9 * * *"),
    ("every day at 9.30pm", "30 21 * * *"),
    ("monday and tuesday at 9", "0 9 * * 1,2"),
    ("three times a week on mon, wed and fri at 09:00", "0 9 * * 1,3,5"),
    ("twice an hour", "every 30m"),
    ("once a day at 20:00", "0 20 * * *"),
    ("every 24 hours", "every 1d"),
    ("every 1 day", "0 9 * * *"),
    ("every 7 days", "every 7d"),
    ("once every 3 hours", "every 3h"),
    ("every second", "every 1s"),
    ("every 30 seconds", "every 30s"),
    ("end of the month at 17:00", "0 17 L * *"),
    ("end of each month at 17:00", "0 17 L * *"),
    ("at 9", "at 2026-05-06 09:00"),
    ("at 9 o'clock", "at 2026-05-06 09:00"),
    ("at 9 p.m.", "at 2026-05-05 21:00"),
    ("day after tomorrow at 10", "at 2026-05-07 10:00"),
    ("5pm", "at 2026-05-05 17:00"),
    ("on day 15 of every month at 08:00", "0 8 15 * *"),
    ("june to august, every monday at 09:00", "0 9 * 6-8 1"),
    ("every day from june to august at 09:00", "0 9 * 6-8 *"),
    ("every year", "0 9 1 1 *"),
    ("next month on the 5th at 9am", "at 2026-06-05 09:00"),
    ("the 5th of next month at 9am", "at 2026-06-05 09:00"),
    ("every week on friday at 4:30 pm", "30 16 * * 5"),
    ("mondays", "0 9 * * 1"),
    ("fri 5pm", "at 2026-05-08 17:00"),
    ("every monday morning", "0 9 * * 1"),
    ("monday mornings at 8", "0 8 * * 1"),
    ("every night at 11", "0 23 * * *"),
    ("every night at 2", "0 2 * * *"),
    ("nightly", "0 21 * * *"),
    ("every 3 days at 09:00", "every 3d from 2026-05-06 09:00"),
    ("every four hours", "every 4h"),
    ("every day but sunday at 09:00", "0 9 * * 1-6"),
    ("every weekday but wednesday at 09:00", "0 9 * * 1,2,4,5"),
    ("every single day at 09:00", "0 9 * * *"),
    ("every day at seven thirty", "30 7 * * *"),
    ("at nine forty five in the evening every day", "45 21 * * *"),
    ("at 7 15 pm on mondays", "15 19 * * 1"),
    ("every 3rd day at 09:00", "every 3d from 2026-05-06 09:00"),
    ("every third day", "every 3d"),
    ("every third day of the month at 09:00", "0 9 3 * *"),
    ("every 3rd day of june at 09:00", "0 9 3 6 *"),
    ("every monday, wednesday and friday at noon", "0 12 * * 1,3,5"),
    ("every hour on weekdays", "0 * * * 1-5"),
    ("every minute", "every 1m"),
    ("every 2 hours from 22:00 to 06:00", "0 0,2,4,6,22 * * *"),
    ("from the 1st to the 5th of every month at 09:00", "0 9 1-5 * *"),
    ("every day every 15 minutes from 09:00 to 17:00", "*/15 9-16 * * *"),
    ("in a minute", "at 2026-05-05 12:01"),
    ("every day at 9:00 9:30", "0,30 9 * * *"),
    ("mon/wed/fri 5pm", "0 17 * * 1,3,5"),
    ("the first of january at 9am", "at 2027-01-01 09:00"),
    ("first monday of january at 9am", "0 9 * 1 1#1"),
    ("may 5 at 9", "at 2027-05-05 09:00"),
    ("may 5", "at 2027-05-05 09:00"),
    ("on 5 may 2026 at 13:00", "at 2026-05-05 13:00"),
    ("noon", "at 2026-05-06 12:00"),
    ("midnight", "at 2026-05-06 00:00"),
    ("every midnight", "0 0 * * *"),
    ("at 12am every day", "0 0 * * *"),
    ("at 12pm every day", "0 12 * * *"),
    ("at 0:30 every day", "30 0 * * *"),
    ("every weekday except friday at 09:00", "0 9 * * 1-4"),
    ("twice a month on the first and third monday at 09:00", "0 9 * * 1#1,1#3"),
    ("every other week", "every 14d"),
    ("every hour on the half hour", "30 * * * *"),
    ("9 o'clock every day", "0 9 * * *"),
    ("every day at 9 o'clock in the evening", "0 21 * * *"),
    ("from 9 o'clock to 17 o'clock every hour", "0 9-17 * * *"),
    ("hourly at 5 past", "5 * * * *"),
    ("every day at 5 past 9", "5 9 * * *"),
]


@pytest.mark.parametrize(("text", "meant"), PHRASES, ids=[text for text, _ in PHRASES])
def test_a_phrase_means_its_schedule(text: str, meant: str) -> None:
    assert short(heard(text)) == meant


@pytest.mark.parametrize(
    ("text", "assumed"),
    [
        ("tomorrow at 7", ["“7” without am or pm is 07:00."]),
        ("every day at 12", ["“12” without am or pm is 12:00, noon."]),
        ("every day at 7am", []),
        ("every day at 07:00", []),
        ("every day at 9 and 17", []),  # who says 17 counts the hours of a day
        (
            "every day at 9 and 5pm",
            ["“9” without am or pm is 09:00."],
        ),
        (
            "monthly",
            ["No day of the month was said: it is the 1st.", "No time was said: it is 09:00."],
        ),
        (
            "yearly at 8am",
            [
                "No month was said: it is January.",
                "No day of the month was said: it is the 1st.",
            ],
        ),
        ("weekly at noon", ["No day of the week was said: it is Monday."]),
        ("every evening", ["No time was said for the evening: it is 18:00."]),
        (
            "weekdays at noon",
            ["Weekdays are Monday to Friday; public holidays and make-up days need a calendar."],
        ),
        ("mon-fri at noon", []),
        (
            "every hour during office hours",
            ["Working hours are 09:00 to 17:00, Monday to Friday."],
        ),
        ("friday at noon", ["It runs once; say “every Friday” for every week."]),
        ("at noon", ["It runs once; say “every day” for every day."]),
        (
            "next friday at noon",
            ["“next” is of next week: 2026-05-15; for 2026-05-08 say “this Friday”."],
        ),
        ("next monday at noon", []),
        (
            "friday at midnight",
            [
                "Midnight is 00:00, the start of the day named.",
                "It runs once; say “every Friday” for every week.",
            ],
        ),
        ("every day at 24:00", ["“24:00” is 00:00, the end of the day."]),
        ("every night at 2", ["“2” at night is 02:00, early on the day named."]),
        ("end of the month at noon", ["The end of the month is its last day."]),
        ("start of the month at noon", ["The start of the month is the 1st."]),
        ("4 times an hour", ["Evenly spread: every 15 minutes."]),
        ("every 6 months at noon on the 1st", ["Counted from January: months 1, 7."]),
        ("every 30 minutes from 9am to 5pm", ["The last one is before 17:00."]),
    ],
)
def test_what_was_not_said_is_assumed_and_told(text: str, assumed: list[str]) -> None:
    assert list(heard(text).assumed) == assumed


def test_one_sentence_says_how_it_was_understood_and_the_next_runs_are_there() -> None:
    spoken = heard("every weekday at 7am")
    assert spoken.understood == (
        "At 07:00 on weekdays (Monday to Friday), Asia/Shanghai time."
        " Weekdays are Monday to Friday; public holidays and make-up days need a calendar."
    )
    assert [f"{slot.local:%a %H:%M}" for slot in spoken.explanation.slots] == [
        "Wed 07:00", "Thu 07:00", "Fri 07:00",
    ]  # fmt: skip


def test_days_that_pass_drift_where_the_clocks_change_and_that_is_told() -> None:
    spoken = understand("every other day at 9am", now=NOW, tz="America/New_York")
    assert spoken.assumed == (
        "Counted in hours that pass: its time of day moves where the clocks change.",
    )
    assert heard("every other day at 9am").assumed == ()
