from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from jobs.calendar import Calendar
from jobs.errors import InvalidSchedule
from jobs.explain import Explanation, Question, explain, explain_job, schedule_of
from jobs.ledger import MeanCost
from jobs.model import AgentTurn, Job, JobState, StoredJob
from jobs.policies import After, Budget, CalendarRule, Gate, Policies
from jobs.schedule import At, Cron, DstPolicy, Every
from jobs.speech import Language
from jobs.wallclock import ms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASK = Question(after=NOW, tz="Europe/Berlin", count=3)


def told(expr: str, tz: str = "Europe/Berlin", **asked: object) -> Explanation:
    return explain(Cron(expr, tz, hash_id="job-1"), replace(ASK, **asked))  # type: ignore[arg-type]


def notes(explanation: Explanation) -> dict[str, str]:
    return {note.kind: note.text for note in explanation.notes}


# -- the answer as a whole -----------------------------------------------------------------------


def test_the_coming_slots_are_told_in_two_zones() -> None:
    found = told("30 2 * * *", "America/New_York", other_tz="Asia/Shanghai", count=1)
    assert found.to_json()["occurrences"] == [
        {
            "utc": "2026-03-02T07:30:00Z",
            "atMs": 1772436600000,
            "local": "2026-03-02T02:30:00",
            "offset": "-05:00",
            "other": "2026-03-02T15:30:00",
            "otherOffset": "+08:00",
            "nominal": "2026-03-02T02:30:00",
            "fold": 0,
            "dst": None,
            "staggerMs": 0,
        }
    ]


def test_a_slot_that_the_clocks_move_says_so_in_words() -> None:
    after = datetime(2026, 3, 8, tzinfo=UTC)
    slot = told("30 2 * * *", "America/New_York", after=after).slots[0]
    assert slot.to_json(timedelta())["dst"] == "gap"
    assert slot.note == "02:30 does not exist that day: it runs when the clocks change"
    after = datetime(2026, 11, 1, 4, 59, tzinfo=UTC)
    first, second, _ = told("0 * * * *", "America/New_York", after=after).slots
    assert first.note == "the first of two: the clocks go back"
    assert second.note == "the second of two: the clocks go back"
    assert second.to_json(timedelta())["fold"] == 1


def test_the_fields_are_those_the_author_wrote() -> None:
    five = told("*/20 9-17 LW 1,7 mon").fields
    assert [(one.name, one.text, one.means) for one in five] == [
        ("minute", "*/20", "0, 20 and 40"),
        ("hour", "9-17", "09 to 17"),
        ("day of month", "LW", "the last weekday"),
        ("month", "1,7", "January and July"),
        ("day of week", "MON", "Mondays"),
    ]
    seven = told("0 0 9 * * * 2027", language=Language.CHINESE).fields
    assert [one.name for one in seven] == ["秒", "分", "时", "日", "月", "星期", "年"]
    assert seven[-1].means == "2027年"
    assert len(told("@daily").fields) == 5


def test_a_cadence_and_an_instant_are_told_in_the_zone_that_is_asked_for() -> None:
    every = explain(Every(timedelta(minutes=90), NOW), ASK)
    assert every.sentence == (
        "Every 1 hour 30 minutes, counted from 2026-03-01 13:00:00, Europe/Berlin time."
    )
    assert explain(Every(timedelta(days=1), NOW), ASK).sentence.startswith("Every day, counted")
    once = explain(At(datetime(2026, 12, 1, 8, tzinfo=UTC)), ASK)
    assert once.sentence == "Once, on Tuesday 1 December 2026 at 09:00, Europe/Berlin time."
    chinese = replace(ASK, language=Language.CHINESE)
    assert explain(At(datetime(2026, 12, 1, 8, tzinfo=UTC)), chinese).sentence == (
        "仅一次：2026年12月1日（周二）09:00，欧洲/柏林时间"
    )
    assert explain(Every(timedelta(hours=1), NOW), chinese).sentence == (
        "每小时一次，自2026年3月1日13:00:00起计，欧洲/柏林时间"
    )
    assert once.rate is None
    assert len(once.slots) == 1


def test_an_instant_that_has_passed_has_no_slot() -> None:
    found = explain(At(NOW - timedelta(days=1)), ASK)
    assert found.slots == ()
    assert found.to_json()["runsPerDay"] is None


def test_a_schedule_is_read_as_people_write_it() -> None:
    assert schedule_of("0 9 * * *", now=NOW, tz="Asia/Tokyo") == Cron("0 9 * * *", "Asia/Tokyo")
    assert schedule_of("every 90m", now=NOW, tz="UTC") == Every(timedelta(minutes=90), NOW)
    assert schedule_of("@every 5m", now=NOW, tz="UTC") == Every(timedelta(minutes=5), NOW)
    assert schedule_of("in 20m", now=NOW, tz="UTC") == At(NOW + timedelta(minutes=20))
    at = datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert schedule_of("at 2026-12-01T09:00", now=NOW, tz="Europe/Berlin") == At(at)


@pytest.mark.parametrize("text", ["0 25 * * *", "0 0 0 1 1 * 2020", "tomorrow", "every 5"])
def test_what_is_no_schedule_or_never_fires_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        schedule_of(text, now=NOW, tz="UTC")


# -- how often, and what it costs ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "mean", "most"),
    [
        ("0 9 * * *", 1.0, 1),
        ("*/15 9-17 * * *", 36.0, 36),
        ("0 9 * * 1-5", 261 / 365, 1),
        ("0 * * * *", 24.0, 25),
        ("* * * * * *", 86400.0, 90000),
        ("0 9,18 1 1 *", 2 / 365, 2),
    ],
)
def test_runs_per_day_are_counted_over_a_year_long_days_too(
    expr: str, mean: float, most: int
) -> None:
    rate = told(expr).rate
    assert rate is not None
    assert rate.mean == pytest.approx(mean)
    assert rate.most == most


def test_what_comes_once_in_years_still_has_a_rate() -> None:
    rate = told("0 0 29 2 *", "UTC").rate
    assert rate is not None
    assert rate.mean == pytest.approx(1 / 729.5)
    assert rate.most == 1


def test_the_cost_is_that_of_past_runs_times_the_runs_to_come() -> None:
    found = told("0 9,21 * * *", spent=MeanCost(runs=4, usd=0.05, tokens=1200.0))
    assert found.to_json()["cost"] == {
        "runs": 4,
        "usdPerRun": 0.05,
        "usdPerDay": pytest.approx(0.10),
        "usdPerMonth": pytest.approx(3.0),
        "tokensPerRun": 1200.0,
        "tokensPerDay": pytest.approx(2400.0),
    }
    unpriced = told("0 9 * * *", spent=MeanCost(runs=4, usd=None, tokens=100.0)).cost
    assert unpriced is not None
    assert unpriced.usd_per_month is None
    assert told("0 9 * * *", spent=MeanCost(runs=0, usd=None, tokens=0.0)).cost is None


# -- remarks about the expression ----------------------------------------------------------------


def test_both_day_fields_are_warned_of_with_the_first_runs_of_either_reading() -> None:
    text = notes(told("0 9 15 * 1"))["either-day"]
    assert "Mon 2026-03-02 09:00, Mon 2026-03-09 09:00, Sun 2026-03-15 09:00" in text
    assert "Mon 2026-06-15 09:00, Mon 2027-02-15 09:00, Mon 2027-03-15 09:00" in text


def test_a_reading_that_would_never_fire_is_told_as_never() -> None:
    assert notes(told("0 0 31 2 1"))["either-day"].endswith("dayMatch and): never.")


@pytest.mark.parametrize("expr", ["0 9 15 * +1", "0 9 15 * ?", "0 9 * * 1"])
def test_days_that_leave_no_doubt_are_not_warned_of(expr: str) -> None:
    assert "either-day" not in notes(told(expr))


@pytest.mark.parametrize(
    ("expr", "kind", "text"),
    [
        (
            "*/7 * * * *",
            "restarts",
            (
                "minute */7 starts anew each hour: from 56 to the next 0 it is 4 minutes,"
                " not 7 minutes."
            ),
        ),
        (
            "0 */5 * * *",
            "restarts",
            "hour */5 starts anew each day: from 20 to the next 0 it is 4 hours, not 5 hours.",
        ),
        (
            "*/50 * * * * *",
            "restarts",
            (
                "second */50 starts anew each minute: from 50 to the next 0 it is 10 seconds,"
                " not 50 seconds."
            ),
        ),
        (
            "0 9 */2 * *",
            "restarts-monthly",
            "day of month */2 starts anew each month: day 31 is followed by day 1 of the next.",
        ),
        (
            "0 22-2 * * *",
            "wraps",
            "hour 22-2 runs past the end of its range and goes on from the start.",
        ),
        ("*/60 * * * *", "one-value", "minute */60 steps over all but its first value."),
        (
            "0 9 31 * *",
            "short-months",
            "Months without day 31 are passed over; L is the last day of any month.",
        ),
        ("H 9 * * *", "hashed", "H is chosen by the job's id and stays the same."),
        ("0 0 9 1 1 * 2027", "few-left", "There is no run after that."),
    ],
)
def test_a_part_that_may_surprise_is_remarked_on(expr: str, kind: str, text: str) -> None:
    assert notes(told(expr))[kind] == text


@pytest.mark.parametrize(
    "expr", ["*/15 * * * *", "5/20 * * * *", "*/7 9 * * *", "0 9 L * *", "0 9 31 1,3 *"]
)
def test_what_does_not_surprise_is_not_remarked_on(expr: str) -> None:
    assert not set(notes(told(expr, "UTC"))) - {"dst"}


def test_the_silent_shift_of_stagger_is_told() -> None:
    window = timedelta(minutes=5)
    on_the_hour = explain(Cron("0 * * * *", "UTC", stagger=window, hash_id="job-1"), ASK)
    assert notes(on_the_hour)["stagger-hour"] == "Fires 00:47 past the hour; --exact to disable."
    assert on_the_hour.to_json()["occurrences"][0]["staggerMs"] == 47_897
    later = explain(Cron("30 9 * * *", "UTC", stagger=window, hash_id="job-1"), ASK)
    assert notes(later)["stagger"].startswith("Fires 00:47 after the time of its expression")
    assert not {"stagger", "stagger-hour"} & set(notes(told("0 * * * *")))


# -- remarks about the clocks --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "tz", "dst", "kind", "text"),
    [
        (
            "30 2 * * *",
            "America/New_York",
            DstPolicy(),
            "gap-runs",
            (
                "Sunday 8 March 2026: the clocks go from 02:00 to 03:00; 02:30 does not exist that"
                " day and runs at 03:00."
            ),
        ),
        (
            "0,30 2 * * *",
            "America/New_York",
            DstPolicy(gap="shift"),
            "gap-runs",
            (
                "Sunday 8 March 2026: the clocks go from 02:00 to 03:00; 02:00 (and 1 more) does"
                " not exist that day and runs at 03:00."
            ),
        ),
        (
            "30 2 * * *",
            "America/New_York",
            DstPolicy(gap="skip"),
            "gap-skipped",
            (
                "Sunday 8 March 2026: the clocks go from 02:00 to 03:00; 02:30 does not exist that"
                " day and does not run."
            ),
        ),
        (
            "*/30 * * * *",
            "America/New_York",
            DstPolicy(),
            "gap-cadence",
            "Sunday 8 March 2026: the clocks go from 02:00 to 03:00; there are no runs in between.",
        ),
        (
            "30 1 * * *",
            "America/New_York",
            DstPolicy(),
            "overlap-first",
            (
                "Sunday 1 November 2026: the clocks go back from 02:00 to 01:00; 01:30 comes twice"
                " and runs the first time only."
            ),
        ),
        (
            "30 1 * * *",
            "America/New_York",
            DstPolicy(overlap="last"),
            "overlap-last",
            (
                "Sunday 1 November 2026: the clocks go back from 02:00 to 01:00; 01:30 comes twice"
                " and runs the second time only."
            ),
        ),
        (
            "0 * * * *",
            "America/New_York",
            DstPolicy(),
            "overlap-both",
            (
                "Sunday 1 November 2026: the clocks go back from 02:00 to 01:00; the time in"
                " between comes twice, and so do its runs."
            ),
        ),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            DstPolicy(),
            "gap-runs",
            (
                "Sunday 4 October 2026: the clocks go from 02:00 to 02:30; 02:15 does not exist"
                " that day and runs at 02:30."
            ),
        ),
    ],
)
def test_days_on_which_the_clocks_touch_a_run_are_named(
    expr: str, tz: str, dst: DstPolicy, kind: str, text: str
) -> None:
    assert notes(explain(Cron(expr, tz, dst=dst), ASK))[kind] == text


def test_a_run_that_the_clocks_leave_alone_has_no_remark() -> None:
    assert notes(told("0 9 * * *")) == {}
    assert notes(told("30 2 * * *", "Asia/Shanghai")) == {}


def test_a_day_that_is_skipped_whole_is_told_with_its_dates() -> None:
    found = told("0 9 30 * *", "Pacific/Apia", after=datetime(2011, 12, 1, tzinfo=UTC))
    assert notes(found)["lost-day"] == (
        "Friday 30 December 2011: the clocks go from 12-30 00:00 to 12-31 00:00; 09:00 does not"
        " exist and is recorded as skipped."
    )


def test_a_cadence_of_hours_says_that_it_shifts_on_the_wall() -> None:
    daily = notes(explain(Every(timedelta(days=1), NOW), ASK))
    assert daily["elapsed"].endswith("(Sunday 29 March 2026, Sunday 25 October 2026).")
    assert notes(explain(Every(timedelta(minutes=5), NOW), ASK)) == {}
    assert notes(explain(Every(timedelta(days=1), NOW), replace(ASK, tz="UTC"))) == {}


# -- a stored job --------------------------------------------------------------------------------

JOB = Job(
    id="job-1",
    name="brief",
    schedule=Cron("0 9 * * *", "UTC"),
    payload=AgentTurn(message="hello"),
)


def test_a_job_says_what_else_decides_whether_it_runs() -> None:
    policies = Policies(
        until=datetime(2026, 3, 3, 12, tzinfo=UTC),
        max_runs=10,
        max_runs_per_day=2,
        calendars=CalendarRule(names=("holidays",), on_excluded="next-allowed"),
        active_hours="defer",
        jitter=timedelta(minutes=2),
        gate=Gate(argv=("true",)),
        after=After(job="fetch"),
        must_finish_by=time(10),
    )
    job = replace(JOB, policies=policies)
    stored = StoredJob(job=job, state=JobState(run_count=4), revision="r")
    found = explain_job(stored, ASK)
    assert [slot.local.day for slot in found.slots] == [2, 3]
    assert [note.text for note in found.notes] == [
        "It ends at Tuesday 3 March 2026 12:00.",
        "At most 10 runs in all; it has had 4.",
        "At most 2 runs a day.",
        "On days that a calendar excludes (holidays) it runs on the next allowed day instead.",
        "Outside the agent's active hours it waits until they begin.",
        "Each run starts up to 2 minutes late, by chance.",
        "Its gate command may say no: then nothing runs.",
        "It runs only after fetch has succeeded.",
        "There is no run after that.",
    ]


@pytest.mark.parametrize(
    ("on_excluded", "language", "told"),
    [
        ("skip", Language.ENGLISH, "left out: workdays is closed on Sat 2026-03-07"),
        (
            "next-allowed",
            Language.ENGLISH,
            "runs on Monday 9 March 2026 09:00 instead: workdays is closed on Sat 2026-03-07",
        ),
        ("previous-allowed", Language.CHINESE, "改在 2026年3月6日（周五） 09:00 运行：workdays"),
    ],
)
def test_a_slot_of_an_excluded_day_says_why_and_when_it_runs_instead(
    on_excluded: str, language: Language, told: str
) -> None:
    workdays = Calendar(name="workdays", weekdays=frozenset(range(5)), tz="UTC")
    rule = CalendarRule(names=("workdays",), on_excluded=on_excluded)
    stored = StoredJob(
        job=replace(JOB, policies=Policies(calendars=rule)), state=JobState(), revision="r"
    )
    asked = replace(ASK, count=7, language=language, calendars={"workdays": workdays})
    notes_of = [slot.note for slot in explain_job(stored, asked).slots]
    assert notes_of[:5] == [""] * 5
    assert notes_of[5].startswith(told)


@pytest.mark.parametrize("excluded", ["skip", "next-allowed", "previous-allowed"])
@pytest.mark.parametrize("hours", ["skip", "defer"])
@pytest.mark.parametrize("language", Language)
def test_every_policy_has_words(excluded: str, hours: str, language: Language) -> None:
    rule = CalendarRule(names=("holidays",), on_excluded=excluded)
    job = replace(JOB, policies=Policies(calendars=rule, active_hours=hours))
    stored = StoredJob(job=job, state=JobState(), revision="r")
    assert len(explain_job(stored, replace(ASK, language=language)).notes) == 2


def test_a_job_that_is_switched_off_or_paused_says_so() -> None:
    off = StoredJob(job=replace(JOB, enabled=False), state=JobState(), revision="r")
    assert "disabled" in notes(explain_job(off, ASK))
    paused = StoredJob(job=JOB, state=JobState(paused={"by": "me"}), revision="r")
    assert "paused" in notes(explain_job(paused, ASK))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (Language.ENGLISH, "left out once, by ana: no power"),
        (Language.CHINESE, "仅这一次不运行：by ana: no power"),
    ],
)
def test_a_slot_that_is_left_out_once_says_who_did_it(language: Language, words: str) -> None:
    asked = replace(ASK, language=language)
    (first, *_) = explain_job(StoredJob(job=JOB, state=JobState(), revision="r"), asked).slots
    left = {str(ms(first.occurrence.instant)): "by ana: no power"}
    stored = StoredJob(job=JOB, state=JobState(skips=left), revision="r")
    assert [slot.note for slot in explain_job(stored, asked).slots] == [words, "", ""]


@pytest.mark.parametrize(
    ("budget", "language", "words"),
    [
        (
            Budget(cost_per_day=1.5),
            Language.ENGLISH,
            "It may spend $1.5 a day; when that is spent, it is skipped until the next.",
        ),
        (
            Budget(runs_per_day=3, fallback_model="local/small"),
            Language.ENGLISH,
            "It may spend 3 runs a day; when that is spent, local/small answers.",
        ),
        (
            Budget(tokens_per_day=10, warn_only=True),
            Language.CHINESE,
            "每天最多花费 10 个词元，用完后只提醒，仍会运行。",
        ),
    ],
)
def test_a_budget_is_told_with_what_comes_after_it(
    budget: Budget, language: Language, words: str
) -> None:
    job = replace(JOB, policies=Policies(budget=budget))
    stored = StoredJob(job=job, state=JobState(), revision="r")
    assert notes(explain_job(stored, replace(ASK, language=language))).popitem()[1] == words
