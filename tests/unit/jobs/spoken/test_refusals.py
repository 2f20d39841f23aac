"""What is doubtful is refused in words, with what was understood and three examples."""

from __future__ import annotations

from datetime import UTC, datetime
from string import Formatter

import pytest

from jobs.errors import InvalidSchedule
from jobs.speech import Language
from jobs.spoken import is_spoken, notes, understand
from jobs.spoken.wish import PARTS

NOW = datetime(2026, 5, 5, 4, tzinfo=UTC)

REFUSED = [
    ("every weekday at 9 or so", "read “every”, “weekday”, “at 9”; “or so” means nothing here"),
    ("remind me to sleep", "“remind me to sleep” says nothing about when"),
    ("next week", "“next week” says nothing about when"),
    ("in january", "“in january” does not say when"),
    ("9", "“9” says nothing about when"),
    (" ", "nothing was said"),
    ("every day " * 30, "it is longer than 200 characters"),
    ("every day every week", "every day / every week contradict each other"),
    ("every 0 minutes", "“every 0 minutes” is no length of time"),
    ("in 0 minutes", "“in 0 minutes” is no length of time"),
    ("every day at 25:00", "“25:00” is no time of day"),
    ("every day at 24:30", "“24:30” is no time of day"),
    ("every day at 15pm", "“15pm” is no time of day"),
    ("every morning at 17", "“17” is not in the morning"),
    ("tomorrow at 12 in the morning", "“12 in the morning” is not in the morning"),
    ("every hour at :75", "“at :75” is no time of day"),
    ("february 30 at 9am", "“february 30” is no date"),
    ("on 2026-13-01 at 9am", "“2026-13-01” is no date"),
    ("the 32nd of every month at 9am", "“the 32nd of every month” is no date"),
    ("sixth monday of the month at 9am", "“6th monday of the month” is no date"),
    ("third weekday of the month at 9am", "“3rd weekday of the month” is no date"),
    ("from the 9th to the 5th of the month at 9am", "is no date"),
    ("every day except mon-sun at 9am", "“except mon-sun” is no date"),
    ("today at 8am", "2026-05-05 08:00 has passed"),
    ("this monday at 8am", "2026-05-04 08:00 has passed"),
    ("may 1 2026 at 8am", "2026-05-01 08:00 has passed"),
    ("10/12 at 9am", "“10/12” may be a day and a month or a month and a day"),
    ("biweekly", "“biweekly” may mean twice in that time or every other"),
    ("in 2 months", "“in 2 months” is no fixed length of time: months differ"),
    ("twice a day", "2 times a day, but 0 times of day were said"),
    ("three times a week on monday at 9am", "3 days, but 1 were said"),
    ("7 times an hour", "7 runs do not divide an hour evenly"),
    ("every day at 9:00 and 17:30", "09:00, 17:30 are not the same minutes of every hour"),
    ("mondays at 9am and tuesdays at 10am", "other days have other times: they need several jobs"),
    ("at 9 and 17", "09:00, 17:00 are several times, but nothing repeats"),
    ("every friday the 13th at 9am", "a day of the week and a day of the month"),
    ("every month on monday", "a day of the week every month: the first, the last?"),
    ("every 7 minutes on weekdays", "every 7 minutes does not come out even with a time or a day"),
    ("every 5 hours on weekdays", "every 5 hours does not come out even"),
    ("every 2 days on the 5th", "every 2 days does not come out even"),
    ("every 5 months", "5 months do not divide a year evenly"),
    ("every 3 months in june", "3 months do not divide a year evenly"),
    ("every 2 years", "every 2 years is too seldom for a schedule"),
    ("every other week on monday and friday", "every 14 days can have one day and one time only"),
    ("every 2 days on monday", "every 2 days can have one day and one time only"),
    ("every friday at 24:00", "“24:00” lies between two days: say 00:00 of the next one"),
    ("every hour from 9 to 5", "“9–5” may be in the morning or the afternoon"),
    ("every hour from 9:30 to 17:00", "a span of hours begins and ends at full hours"),
    ("every 15 minutes at 9am", "“every 15 minutes”, “at 9am” do not go together"),
    ("every week on the 5th", "do not go together"),
    ("first weekday and the 15th of the month", "do not go together"),
    ("first monday of the month on the 15th", "do not go together"),
    ("every day on the hour", "“every day”, “on the hour” do not go together"),
    ("in 20 minutes every day", "do not go together"),
    ("in 20 minutes next month", "do not go together"),
    ("tomorrow and friday at 9am", "do not go together"),
    ("every day tomorrow", "do not go together"),
    ("at 9am in january", "do not go together"),
    ("on the 5th of january and june 2027 at 9am", "means nothing here"),
    ("every", "“every” does not say when"),
    ("from 9 to 17", "“from 9 to 17” does not say when"),
    ("every 31st in february at 9am", "has no upcoming run time and would never fire"),
    ("on the 30th in february at 9am", "“on the 30th in february at 9am” is no date"),
    ("january and june 5th at 9am", "do not go together"),
    ("25 december 9999 at 9am", "“25 december 9999 at 9am” is no date"),
    ("every 0 days", "“every 0 days” is no length of time"),
    ("in 9999 weeks", "schedule.at is too far in the future"),
    ("每隔两天早上9点", "“每隔两天”可能指每2天，也可能指每3天"),
    ("每年春节上午9点", "已理解 “每年”, “上午9点”；不理解 “春节”"),
    ("提醒我喝水", "“提醒我喝水” 没有说明时间"),
    ("下周", "“下周” 没有说明时间"),
    ("今天早上8点", "2026-05-05 08:00 已经过去"),
    ("每天两次", "说了每天2次，但给出了0个时刻"),
    ("每天早上15点", "“早上15点”不在早上"),
    ("每天25点", "“25点”不是有效的时刻"),
    ("每小时75分", "“每小时75分”不是有效的时刻"),
    ("每周一9点和周二10点", "不同的日子有不同的时刻，请分成多个任务"),
    ("每周五晚上12点", "“晚上12点”在两天之间：请说次日0点"),
    ("周五13号上午9点", "不能放在一起"),
    ("2月30日上午9点", "“2月30日”不是有效的日期"),
    ("每年13月上午9点", "“13月”不是有效的日期"),
    ("每月32号上午9点", "“32号”不是有效的日期"),
    ("每月15号到10号上午9点", "“15号到10号”不是有效的日期"),
    ("每月倒数第30天上午9点", "“倒数第30天”不是有效的日期"),
    ("每月第六个周一上午9点", "“第六个周一”不是有效的日期"),
    ("除了周一到周日上午9点", "不是有效的日期"),
    ("每十一二分钟", "“每十一二分钟”不是有效的时长"),
    ("每两周周一和周三上午9点", "每14天只能有一个日子和一个时刻"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_a_doubtful_phrase_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        understand(text, now=NOW, tz="Asia/Shanghai")
    assert why in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_a_refusal_shows_three_phrases_that_are_understood() -> None:
    for language in Language:
        fix = notes.how_to_say_it(language)
        for example in notes.EXAMPLES[language]:
            assert f"“{example}”" in fix
            assert understand(example, now=NOW, tz="Asia/Shanghai").language is language


def test_a_refusal_is_in_the_language_of_the_phrase() -> None:
    with pytest.raises(InvalidSchedule, match=r"^没有理解“每天大概9点”"):
        understand("每天大概9点", now=NOW, tz="Asia/Shanghai")


def test_a_time_the_clocks_skip_is_refused_with_the_times_beside_it() -> None:
    now = datetime(2026, 3, 7, 17, tzinfo=UTC)
    with pytest.raises(InvalidSchedule) as refusal:
        understand("tomorrow at 2:30am", now=now, tz="America/New_York")
    assert "2026-03-08T02:30:00 does not exist in America/New_York" in refusal.value.why
    assert "2026-03-08T03:30:00-04:00" in refusal.value.fix


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("every weekday at 9", True),
        ("工作日早上9点", True),
        ("0 9 * * 1-5", False),
        ("20m", False),
        ("2026-12-01T09:00:00Z", False),
    ],
)
def test_a_phrase_is_told_from_fields_and_instants(text: str, spoken: bool) -> None:
    assert is_spoken(text) is spoken


def test_every_sentence_names_the_same_in_both_languages_or_less() -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    for table in (notes.REMARKS, notes.DOUBTS):
        for code, (english, chinese) in table.items():
            assert english, code
            assert chinese, code
            if code not in ("next-week", "skipping", "month-end", "month-start", "midnight"):
                assert names(chinese) <= names(english), code
    assert set(notes.PARTS) == set(PARTS)
