"""Whatever is understood can be scheduled; whatever is not is refused, and nothing else happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from jobs.errors import InvalidSchedule
from jobs.schedule import Cron, Every, schedule_from_json, schedule_to_json
from jobs.spoken import Spoken, understand
from jobs.written import check_at, parse_at, parse_every, whole_ms

ZONES = ("Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "UTC")
instants = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(
    lambda at: whole_ms(at.replace(tzinfo=UTC))
)
WORDS = """
every each day week month year hour weekday weekends other monday tuesdays fri mon-wed first
second last noon midnight and at in tomorrow today tonight january morning daily monthly quarterly
please | of the month | 5th | 1st and 15th | 31st | day 30 | end of the month | at 9 | at 9am |
at 17:30 | at 24:00 | 20 minutes | 2 hours | 3 days | 90 seconds | in 2 days | next friday |
this sunday | next month | in february | june to august | december 25 | 2028-02-29 | every evening |
from 9 to 17 | between 8am and 6pm | twice a day | 3 times a week | 4 times an hour |
except sundays | on the hour | at :15 | during business hours | half past 8
"""
ZH_WORDS = """
每 每天 每周 每月 每年 每小时 每两小时 每15分钟 每3天 隔天 隔周一 周一 周一三五 周一到周五 每周六
工作日 周末 第一个周一 最后一个周五 最后一个工作日 1号 31号 1号和15号 最后一天 倒数第2天 月底
9点 早上8点半 下午3点 晚上12点 17:30 零点 中午 晚上 凌晨 今天 明早 后天 下周五 本周日 下个月
2月 6月到8月 12月25日 2028-02-29 9点到18点 从早上9点到下午5点 20分钟后 两天后 半小时 两次
除周日外 整点 第15分钟 和 的 、
"""


def pieces(text: str) -> list[str]:
    """The single words before the first bar, and what stands between bars."""
    words, *phrases = text.split("|")
    return words.split() + [" ".join(one.split()) for one in phrases]


ENGLISH = st.lists(st.sampled_from(pieces(WORDS)), min_size=1, max_size=6).map(" ".join)
CHINESE = st.lists(st.sampled_from(pieces(ZH_WORDS)), min_size=1, max_size=5).map("".join)


def heard(text: str, now: datetime, tz: str) -> Spoken | None:
    try:
        return understand(text, now=now, tz=tz)
    except InvalidSchedule as error:
        refusal = error
    assert refusal.what
    assert refusal.why
    assert refusal.fix
    return None


@given(ENGLISH | CHINESE, instants, st.sampled_from(ZONES))
def test_what_is_understood_can_be_scheduled(text: str, now: datetime, tz: str) -> None:
    spoken = heard(text, now, tz)
    if spoken is None:
        return
    wire = dict(spoken.schedule)
    schedule = schedule_from_json(wire, default_tz="UTC", job_id="x", now=now)
    following = schedule.next_after(now)
    assert following is not None
    assert following > now
    assert spoken.explanation.slots[0].occurrence.instant == following
    if isinstance(schedule, Cron):
        assert schedule.tz == tz
    elif isinstance(schedule, Every):
        assert parse_every(wire["everyMs"]) == schedule.period // timedelta(milliseconds=1)
    else:
        assert check_at(parse_at(wire["at"], now=now), now=now) == following
    again = schedule_from_json(
        schedule_to_json(schedule), default_tz="UTC", job_id="x", now=now + timedelta(days=1)
    )
    assert again.next_after(now) == following


@given(ENGLISH | CHINESE, instants)
def test_the_same_words_mean_the_same(text: str, now: datetime) -> None:
    first, second = heard(text, now, "UTC"), heard(f"  {text.upper()} ", now, "UTC")
    assert (first and first.schedule) == (second and second.schedule)


@given(st.text(max_size=250), instants)
def test_no_text_does_more_harm_than_a_refusal(text: str, now: datetime) -> None:
    heard(text, now, "Asia/Shanghai")


@given(
    st.text("0123456789:./-, aмpm分点月日每周一十半个小时天后前from to and at", max_size=60),
    instants,
)
def test_no_jumble_of_numbers_does_either(text: str, now: datetime) -> None:
    heard(text, now, "Asia/Shanghai")
