"""What is said about a phrase: what was assumed, why it is refused, and how to say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from jobs.speech import SPEECHES, Language

_EN, _ZH = Language.ENGLISH, Language.CHINESE

REMARKS: Final[Mapping[str, tuple[str, str]]] = {
    "open-hour": (
        "“{text}” without am or pm is {time}.",
        "“{text}”没有说上午或下午，按{time}。",
    ),
    "open-noon": ("“{text}” without am or pm is {time}, noon.", "“{text}”按中午{time}。"),
    "small-hours": (
        "“{text}” at night is {time}, early on the day named.",
        "“{text}”按当天凌晨{time}。",
    ),
    "part": ("No time was said for the {part}: it is {time}.", "“{part}”没有说几点，按{time}。"),
    "no-time": ("No time was said: it is {time}.", "没有说几点，按{time}。"),
    "first-day": ("No day of the month was said: it is the 1st.", "没有说哪一天，按1日。"),
    "first-month": ("No month was said: it is January.", "没有说哪个月，按1月。"),
    "monday": ("No day of the week was said: it is Monday.", "没有说星期几，按周一。"),
    "midnight": (
        "Midnight is 00:00, the start of the day named.",
        "午夜为所说那天的开始，即00:00。",
    ),
    "end-midnight": (
        "“{text}” is 00:00, the end of the day.",
        "“{text}”为一天结束时的00:00。",
    ),
    "months": ("Counted from January: months {months}.", "从1月数起：{months}月。"),
    "next-week": (
        "“next” is of next week: {day}; for {sooner} say “this {weekday}”.",
        "“下周”指下一个自然周：{day}。",
    ),
    "once": (
        "It runs once; say “every {weekday}” for every week.",
        "只运行一次；每周请说“每{weekday}”。",
    ),
    "once-time": ("It runs once; say “every day” for every day.", "只运行一次；每天请说“每天”。"),
    "elapsed": (
        "Counted in hours that pass: its time of day moves where the clocks change.",
        "按实际经过的时间计算：夏令时切换后钟点会变。",
    ),
    "until-before": ("The last one is before {end}.", "最后一次在{end}之前。"),
    "workdays": (
        "Weekdays are Monday to Friday; public holidays and make-up days need a calendar.",
        "工作日按周一至周五；法定节假日与调休请另设日历（calendars）。",
    ),
    "business-hours": (
        "Working hours are 09:00 to 17:00, Monday to Friday.",
        "工作时间按周一至周五09:00至17:00。",
    ),
    "month-end": ("The end of the month is its last day.", "“{text}”按当月最后一天。"),
    "month-start": ("The start of the month is the 1st.", "“{text}”按1日。"),
    "evenly": ("Evenly spread: every {minutes} minutes.", "平均分布：每{minutes}分钟。"),
}  # fmt: skip

DOUBTS: Final[Mapping[str, tuple[str, str]]] = {
    "unknown": ("read {read}; {words} means nothing here", "已理解 {read}；不理解 {words}"),
    "unknown-all": ("{words} says nothing about when", "{words} 没有说明时间"),
    "empty": ("nothing was said", "没有内容"),
    "too-long": ("it is longer than {most} characters", "超过{most}个字符"),
    "twice": ("{pieces} contradict each other", "{pieces} 相互矛盾"),
    "zero": ("“{piece}” is no length of time", "“{piece}”不是有效的时长"),
    "no-time": ("“{text}” is no time of day", "“{text}”不是有效的时刻"),
    "not-then": ("“{text}” is not in the {part}", "“{text}”不在{part}"),
    "no-day": ("“{piece}” is no date", "“{piece}”不是有效的日期"),
    "no-when": ("{read} does not say when", "{read} 没有说明何时"),
    "past": ("{at} has passed", "{at} 已经过去"),
    "slashes": (
        "“{piece}” may be a day and a month or a month and a day",
        "“{piece}”可能是月/日，也可能是日/月",
    ),
    "twofold": (
        "“{piece}” may mean twice in that time or every other",
        "“{piece}”有两种理解",
    ),
    "skipping": (
        "“{piece}” may be every {count} or every {more}",
        "“{piece}”可能指每{count}{unit}，也可能指每{more}{unit}",
    ),
    "month-length": (
        "“{piece}” is no fixed length of time: months differ",
        "“{piece}”长短不定：每月天数不同",
    ),
    "which-times": (
        "{count} times a day, but {found} times of day were said",
        "说了每天{count}次，但给出了{found}个时刻",
    ),
    "which-days": ("{count} days, but {found} were said", "说了{count}次，但给出了{found}天"),
    "uneven": ("{count} runs do not divide an hour evenly", "一小时不能平均分为{count}次"),
    "two-schedules": (
        "{times} are not the same minutes of every hour: they need two jobs",
        "{times} 无法用一个表达式表示，请分成两个任务",
    ),
    "two-days": (
        "other days have other times: they need several jobs",
        "不同的日子有不同的时刻，请分成多个任务",
    ),
    "uneven-months": (
        "{count} months do not divide a year evenly",
        "一年不能按每{count}个月平均分",
    ),
    "one-time": (
        "{times} are several times, but nothing repeats",
        "说了多个时刻（{times}），但没有说明重复",
    ),
    "either-day": (
        "a day of the week and a day of the month: one, the other, or both?",
        "同时说了星期和日期：满足其一，还是同时满足？",
    ),
    "which-week": (
        "a day of the week every month: the first, the last?",
        "每月的星期几：第一个，还是最后一个？",
    ),
    "uneven-step": (
        "every {step} does not come out even with a time or a day; without them it is possible",
        "每{step}无法与钟点或日期配合；不加限制则可以",
    ),
    "mixed": ("{read} do not go together", "{read} 不能放在一起"),
    "end-midnight": (
        "“{text}” lies between two days: say 00:00 of the next one",
        "“{text}”在两天之间：请说次日0点",
    ),
    "which-half": (
        "“{piece}” may be in the morning or the afternoon: say 09:00 to 17:00, or 9am to 5pm",
        "“{piece}”分不清上午下午：请说9点到17点，或早上9点到下午5点",
    ),
    "whole-hours": ("a span of hours begins and ends at full hours", "时间段须从整点到整点"),
    "grid": (
        "every {step} can have one day and one time only: several need several jobs",
        "每{step}只能有一个日子和一个时刻，多个请分成多个任务",
    ),
    "years": ("every {count} years is too seldom for a schedule", "每{count}年一次无法表示"),
}  # fmt: skip

EXAMPLES: Final = {
    _EN: ("every weekday at 9", "first monday of the month at 10", "in 20 minutes"),
    _ZH: ("工作日早上9点", "每月最后一天18点", "20分钟后"),
}
PARTS: Final = {
    "dawn": "凌晨", "morning": "早上", "noon": "中午", "afternoon": "下午", "evening": "傍晚",
    "night": "晚上",
}  # fmt: skip


def remark(code: str, language: Language, detail: Mapping[str, object]) -> str:
    """Say what was assumed."""
    return REMARKS[code][language is _ZH].format(**_told(detail, language))


def doubt(code: str, language: Language, detail: Mapping[str, object]) -> str:
    """Say why a phrase is refused."""
    return DOUBTS[code][language is _ZH].format(**_told(detail, language))


def _told(detail: Mapping[str, object], language: Language) -> dict[str, object]:
    """Return what a sentence names, in its language."""
    told = dict(detail)
    if isinstance(day := told.get("weekday"), int):
        told["weekday"] = SPEECHES[language].DAYS[day - 1]
    if isinstance(step := told.get("step"), timedelta):
        told["step"] = SPEECHES[language].span(step)
    if language is _ZH and (part := told.get("part")) in PARTS:
        told["part"] = PARTS[str(part)]
    return told


def how_to_say_it(language: Language) -> str:
    """Show three phrases that are understood."""
    first, second, third = EXAMPLES[language]
    if language is _ZH:
        return f"可以说“{first}”、“{second}”或“{third}”"
    return f"say it like “{first}”, “{second}” or “{third}”"
