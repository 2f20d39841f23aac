"""Sentences about expressions, the whole dialect of cron.md §3.1, in both languages."""

from __future__ import annotations

import string

import pytest

from jobs import cron
from jobs.speech import SPEECHES, Language
from jobs.speech.notes import LABELS, NOTES
from jobs.speech.shape import shape_of

JOB = "job-1"  # what H is spread by
SENTENCES = (
    ("* * * * *", "Every minute", "每分钟"),
    ("*/15 * * * *", "Every 15 minutes", "每15分钟"),
    ("*/7 * * * *", "At minutes 0, 7, 14 … 56 of every hour", "每小时的第0、7、14……56分"),
    ("5/15 * * * *", "At minutes 5, 20, 35 and 50 of every hour", "每小时的第5、20、35、50分"),
    ("0 * * * *", "Every hour, on the hour", "每小时整点"),
    ("30 * * * *", "Every hour at minute 30", "每小时的第30分"),
    ("0 */2 * * *", "Every 2 hours, on the hour", "每2小时整点"),
    ("15 */2 * * *", "Every 2 hours at minute 15", "每2小时的第15分"),
    (
        "0 */5 * * *",
        "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day",
        "每天00:00、05:00、10:00、15:00和20:00",
    ),
    ("0 */12 * * *", "At 00:00 and 12:00 every day", "每天00:00和12:00"),
    ("0 9 * * *", "At 09:00 every day", "每天09:00"),
    ("0 9 * * 1-5", "At 09:00 on weekdays (Monday to Friday)", "工作日（周一至周五）09:00"),
    ("0 9 * * 6,0", "At 09:00 on weekends (Saturday and Sunday)", "周末（周六、周日）09:00"),
    ("30 8,12,18 * * *", "At 08:30, 12:30 and 18:30 every day", "每天08:30、12:30和18:30"),
    (
        "0 9-17 * * 1-5",
        "Every hour from 09:00 to 17:00 on weekdays (Monday to Friday)",
        "工作日（周一至周五）09:00至17:00，每小时",
    ),
    (
        "*/15 9-17 * * 1-5",
        "Every 15 minutes from 09:00 to 17:45 on weekdays (Monday to Friday)",
        "工作日（周一至周五）09:00至17:45，每15分钟",
    ),
    (
        "*/15 22-2 * * *",
        "Every 15 minutes from 22:00 to 02:45 every day",
        "每天22:00至02:45，每15分钟",
    ),
    (
        "*/15 22-2 * * 1",
        "Every 15 minutes from 00:00 to 02:45 and from 22:00 to 23:45 on Mondays",
        "每周一00:00至02:45和22:00至23:45，每15分钟",
    ),
    ("* 9-17 * * *", "Every minute from 09:00 to 17:59 every day", "每天09:00至17:59，每分钟"),
    ("30 9-17/2 * * *", "Every 2 hours from 09:30 to 17:30 every day", "每天09:30至17:30，每2小时"),
    ("0 1-23/2 * * *", "Every 2 hours from 01:00 to 23:00 every day", "每天01:00至23:00，每2小时"),
    ("0,30 * * * *", "At minutes 0 and 30 of every hour", "每小时的第0、30分"),
    ("0,30 9-17 * * *", "At minutes 0 and 30 of the hours 09 to 17", "09至17时的第0、30分"),
    ("10-20 * * * *", "At minutes 10 to 20 of every hour", "每小时的第10至20分"),
    (
        "*/15 8,12 * * *",
        "Every 15 minutes from 08:00 to 08:45 and from 12:00 to 12:45 every day",
        "每天08:00至08:45和12:00至12:45，每15分钟",
    ),
    (
        "*/15 */2 * * *",
        "Every 15 minutes of the hours 00, 02, 04 … 22",
        "00、02、04……22时内，每15分钟",
    ),
    ("5,35 * * * *", "At minutes 5 and 35 of every hour", "每小时的第5、35分"),
    ("* * * * * *", "Every second", "每秒"),
    ("*/10 * * * * *", "Every 10 seconds", "每10秒"),
    ("*/7 * * * * *", "At seconds 0, 7, 14 … 56 of every minute", "每分钟的第0、7、14……56秒"),
    ("30 * * * * *", "At second 30 of every minute", "每分钟的第30秒"),
    ("0,30 5 * * * *", "At seconds 0 and 30 of minute 5 of every hour", "每小时的第5分的第0、30秒"),
    (
        "*/10 * 9-17 * * *",
        "Every 10 seconds from 09:00 to 17:59:50 every day",
        "每天09:00至17:59:50，每10秒",
    ),
    ("*/10 5 * * * *", "Every 10 seconds of minute 5 of every hour", "每小时的第5分内，每10秒"),
    ("* 0-5 * * * *", "Every second of minutes 0 to 5 of every hour", "每小时的第0至5分内，每秒"),
    ("30 0 9 * * *", "At 09:00:30 every day", "每天09:00:30"),
    ("0 0 9 1 1 * 2027", "At 09:00 on 1 January 2027", "2027年1月1日09:00"),
    (
        "0 0 9 * * 1 2027-2030",
        "At 09:00 on Mondays, from 2027 to 2030",
        "每周一09:00（仅限2027至2030年）",
    ),
    ("0 9 1 * *", "At 09:00 on the 1st of every month", "每月1日09:00"),
    ("0 9 1,15 * *", "At 09:00 on the 1st and the 15th of every month", "每月1日和15日09:00"),
    ("0 9 1 1 *", "At 09:00 on 1 January", "每年1月1日09:00"),
    ("0 9 1 1,7 *", "At 09:00 on the 1st of January and July", "每年1月、7月的1日09:00"),
    ("0 9 25,26 12 *", "At 09:00 on the 25th and the 26th of December", "每年12月25日和26日09:00"),
    ("0 9 1-7 * *", "At 09:00 on the 1st to the 7th of every month", "每月1日至7日09:00"),
    ("0 9 */2 * *", "At 09:00 on the 1st, 3rd … 31st of every month", "每月1、3……31日09:00"),
    ("0 9 L * *", "At 09:00 on the last day of every month", "每月最后一天09:00"),
    ("0 9 L-3 * *", "At 09:00 on the 3rd day before the last of every month", "每月倒数第4天09:00"),
    (
        "0 9 15W * *",
        "At 09:00 on the weekday nearest the 15th of every month",
        "每月离15日最近的工作日09:00",
    ),
    ("0 9 LW * *", "At 09:00 on the last weekday of every month", "每月最后一个工作日09:00"),
    (
        "0 9 20-L * *",
        "At 09:00 on the 20th to the last day of every month",
        "每月20日至最后一天09:00",
    ),
    (
        "0 9 1,15,L * *",
        "At 09:00 on the 1st, the 15th and the last day of every month",
        "每月1日、15日和最后一天09:00",
    ),
    ("0 9 * * 1#2", "At 09:00 on the second Monday of every month", "每月第二个周一09:00"),
    (
        "0 9 * * 1#2,1#4",
        "At 09:00 on the second Monday and the fourth Monday of every month",
        "每月第二个周一和第四个周一09:00",
    ),
    ("0 9 * * 5L", "At 09:00 on the last Friday of every month", "每月最后一个周五09:00"),
    ("0 9 * * L5", "At 09:00 on the last Friday of every month", "每月最后一个周五09:00"),
    ("0 9 * * fri#L", "At 09:00 on the last Friday of every month", "每月最后一个周五09:00"),
    (
        "0 9 * * mon,wed,fri",
        "At 09:00 on Mondays, Wednesdays and Fridays",
        "每周一、周三和周五09:00",
    ),
    ("0 9 * * mon-thu", "At 09:00 on Mondays to Thursdays", "每周一至周四09:00"),
    ("0 9 * * fri-mon", "At 09:00 on Fridays to Mondays", "每周五至周一09:00"),
    ("0 9 15 * 1", "At 09:00 on the 15th of every month or on Mondays", "每月15日或每周一09:00"),
    (
        "0 9 13 * +5",
        "At 09:00 on the 13th of every month when it is a Friday",
        "每月13日且为周五09:00",
    ),
    (
        "0 9 13 6,7 5",
        "At 09:00 on the 13th or on Fridays, in June and July",
        "每年6月、7月的13日或每周五09:00",
    ),
    ("0 9 * 6 *", "At 09:00 every day in June", "每年6月的每天09:00"),
    ("0 9 * 6-8 *", "At 09:00 every day from June to August", "每年6月至8月的每天09:00"),
    ("*/15 * * 6 *", "Every 15 minutes in June", "每年6月的每天，每15分钟"),
    ("0 9 * 6 1", "At 09:00 on Mondays in June", "每年6月的每周一09:00"),
    (
        "0 9 * 11-2 1",
        "At 09:00 on Mondays from November to February",
        "每年11月至次年2月的每周一09:00",
    ),
    ("0 9 L 2 *", "At 09:00 on the last day of February", "每年2月最后一天09:00"),
    ("0 0 29 2 *", "At 00:00 on 29 February", "每年2月29日00:00"),
    ("@daily", "At 00:00 every day", "每天00:00"),
    ("@hourly", "Every hour, on the hour", "每小时整点"),
    ("@weekly", "At 00:00 on Sundays", "每周日00:00"),
    ("@yearly", "At 00:00 on 1 January", "每年1月1日00:00"),
    ("@monthly", "At 00:00 on the 1st of every month", "每月1日00:00"),
    ("H 9 * * *", "At 09:23 every day", "每天09:23"),
    ("H H(8-17) * * 1-5", "At 09:23 on weekdays (Monday to Friday)", "工作日（周一至周五）09:23"),
    ("H/15 * * * *", "At minutes 8, 23, 38 and 53 of every hour", "每小时的第8、23、38、53分"),
    ("0 0 ? * 1", "At 00:00 on Mondays", "每周一00:00"),
    ("0 9 * * 0-6", "At 09:00 every day", "每天09:00"),
    ("0 9 1-31 * 1", "At 09:00 every day", "每天09:00"),
    ("1,2,3,10 * * * *", "At minutes 1 to 3 and 10 of every hour", "每小时的第1至3、10分"),
    (
        "0 9 * 1-11/2 *",
        "At 09:00 every day in January, March, May, July, September and November",
        "每年1月、3月、5月、7月、9月、11月的每天09:00",
    ),
    (
        "0 9 * * 1,2#3",
        "At 09:00 on Mondays and on the third Tuesday of every month",
        "每周一和每月第三个周二09:00",
    ),
    (
        "0 0 9 L 3 2#1 2027",
        "At 09:00 on the last day or on the first Tuesday of the month, in March, in 2027",
        "2027年3月最后一天或第一个周二09:00",
    ),
    (
        "0 9 * 1,2,3,4,6 *",
        "At 09:00 every day in January, February, March, April and June",
        "每年1月、2月、3月、4月、6月的每天09:00",
    ),
    ("0 12 31 * *", "At 12:00 on the 31st of every month", "每月31日12:00"),
    ("*/60 * * * *", "Every hour, on the hour", "每小时整点"),
    (
        "0 9 1-5,10 * *",
        "At 09:00 on the 1st to the 5th and the 10th of every month",
        "每月1日至5日和10日09:00",
    ),
    ("0 0,30 9 * * *", "At 09:00 and 09:30 every day", "每天09:00和09:30"),
    (
        "30 10 9-17 * * *",
        "At second 30 of minute 10 of the hours 09 to 17",
        "09至17时的第10分的第30秒",
    ),
    (
        "0 9 1W,15W * *",
        "At 09:00 on the weekday nearest the 1st and the weekday nearest the 15th of every month",
        "每月离1日最近的工作日和离15日最近的工作日09:00",
    ),
    ("0 9 l-1 * *", "At 09:00 on the day before the last of every month", "每月倒数第2天09:00"),
    (
        "0 9 13 * +1-5",
        "At 09:00 on the 13th of every month when it is a weekday (Monday to Friday)",
        "每月13日且为工作日（周一至周五）09:00",
    ),
    ("0 9 * * 7", "At 09:00 on Sundays", "每周日09:00"),
    ("0 9 * * sat-sun", "At 09:00 on weekends (Saturday and Sunday)", "周末（周六、周日）09:00"),
    (
        "0 8-10,14-16 * * *",
        "At 08:00, 09:00, 10:00, 14:00, 15:00 and 16:00 every day",
        "每天08:00、09:00、10:00、14:00、15:00和16:00",
    ),
    (
        "0 8-18,20 * * *",
        "Every hour from 08:00 to 18:00 and at 20:00 every day",
        "每天08:00至18:00和20:00，每小时",
    ),
    (
        "0 0 1 * * 0 2030-2033/2",
        "At 01:00 on Sundays, in 2030 and 2032",
        "每周日01:00（仅限2030、2032年）",
    ),
)


def said(expr: str, language: Language, tz: str = "Europe/Berlin", day_match: str = "or") -> str:
    fields = cron.parse(expr, hash_id=JOB, day_match=day_match)
    return SPEECHES[language].cron(shape_of(fields, JOB), tz)


@pytest.mark.parametrize(("expr", "english", "chinese"), SENTENCES)
def test_an_expression_is_a_sentence(expr: str, english: str, chinese: str) -> None:
    assert said(expr, Language.ENGLISH) == f"{english}, Europe/Berlin time."
    assert said(expr, Language.CHINESE) == f"{chinese}，欧洲/柏林时间"


def test_days_that_must_match_both_are_told_so_whoever_asks_for_it() -> None:
    assert said("0 9 13 * 5", Language.ENGLISH, day_match="and") == said(
        "0 9 13 * +5", Language.ENGLISH
    )


@pytest.mark.parametrize(
    ("tz", "english", "chinese"),
    [
        ("UTC", "UTC", "UTC时间"),
        ("Asia/Shanghai", "Asia/Shanghai time", "亚洲/上海时间"),
        ("America/New_York", "America/New_York time", "美洲/纽约时间"),
        (
            "America/Argentina/Buenos_Aires",
            "America/Argentina/Buenos_Aires time",
            "美洲/阿根廷/布宜诺斯艾利斯时间",
        ),
        ("Asia/Qostanay", "Asia/Qostanay time", "Asia/Qostanay 时间"),
    ],
)
def test_a_zone_is_named_as_people_say_it(tz: str, english: str, chinese: str) -> None:
    assert said("0 9 * * *", Language.ENGLISH, tz) == f"At 09:00 every day, {english}."
    assert said("0 9 * * *", Language.CHINESE, tz) == f"每天09:00，{chinese}"


@pytest.mark.parametrize("table", [NOTES, LABELS], ids=["notes", "labels"])
def test_every_text_says_the_same_in_every_language(table: object) -> None:
    assert isinstance(table, dict)
    for key, texts in table.items():
        assert set(texts) == set(Language), key
        told = {
            frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)
            for text in texts.values()
        }
        assert len(told) == 1, key
