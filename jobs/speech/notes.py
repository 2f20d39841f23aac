"""What is worth a remark about a schedule, in every language side by side.

The texts take what is in braces; a test proves that each has the same in all languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Language(StrEnum):
    """The languages schedules are told in."""

    ENGLISH = "en"
    CHINESE = "zh"


_EN, _ZH = Language.ENGLISH, Language.CHINESE

NOTES: Final[Mapping[str, Mapping[Language, str]]] = {
    # the expression
    "either-day": {
        _EN: "Day of month and day of week are both given: a day that matches either of them"
        " counts. First runs so: {either}. If a day had to match both (a + before the day of"
        " week, or dayMatch and): {both}.",
        _ZH: "同时指定了日和星期：满足其一即运行。按此规则最近的运行：{either}。"
        "若须同时满足（星期前加 +，或 dayMatch 设为 and）：{both}。",
    },
    "never": {_EN: "never", _ZH: "永不运行"},
    "wraps": {
        _EN: "{field} {token} runs past the end of its range and goes on from the start.",
        _ZH: "“{field}”的 {token} 超过末尾后从头继续。",
    },
    "restarts": {
        _EN: "{field} {token} starts anew each {round}: from {last} to the next {first} it is"
        " {short}, not {step}.",
        _ZH: "“{field}”的 {token} 每{round}重新计数：从 {last} 到下一个 {first} 只隔 {short}，"
        "而不是 {step}。",
    },
    "restarts-monthly": {
        _EN: "{field} {token} starts anew each month: day {last} is followed by day {first} of the"
        " next.",
        _ZH: "“{field}”的 {token} 每月重新计数：{last} 日之后是下月 {first} 日。",
    },
    "one-value": {
        _EN: "{field} {token} steps over all but its first value.",
        _ZH: "“{field}”的 {token} 的步长跳过了除首个以外的所有值。",
    },
    "short-months": {
        _EN: "Months without day {number} are passed over; L is the last day of any month.",
        _ZH: "没有 {number} 日的月份不运行；L 表示每月最后一天。",
    },
    "hashed": {
        _EN: "H is chosen by the job's id and stays the same.",
        _ZH: "H 由任务 id 决定，保持不变。",
    },
    "stagger-hour": {
        _EN: "Fires {offset} past the hour; --exact to disable.",
        _ZH: "在整点后 {offset} 运行；用 --exact 关闭。",
    },
    "stagger": {
        _EN: "Fires {offset} after the time of its expression; --exact to disable.",
        _ZH: "在表达式所示时间之后 {offset} 运行；用 --exact 关闭。",
    },
    "few-left": {
        _EN: "There is no run after that.",
        _ZH: "此后不再运行。",
    },
    # changes of clocks
    "gap-runs": {
        _EN: "{day}: the clocks go from {left} to {reached}; {nominal} does not exist that day"
        " and runs at {at}.",
        _ZH: "{day}：时钟从 {left} 拨到 {reached}，当天没有 {nominal}，改在 {at} 运行。",
    },
    "gap-skipped": {
        _EN: "{day}: the clocks go from {left} to {reached}; {nominal} does not exist that day"
        " and does not run.",
        _ZH: "{day}：时钟从 {left} 拨到 {reached}，当天没有 {nominal}，不运行。",
    },
    "gap-cadence": {
        _EN: "{day}: the clocks go from {left} to {reached}; there are no runs in between.",
        _ZH: "{day}：时钟从 {left} 拨到 {reached}，其间不运行。",
    },
    "lost-day": {
        _EN: "{day}: the clocks go from {left} to {reached}; {nominal} does not exist and is"
        " recorded as skipped.",
        _ZH: "{day}：时钟从 {left} 拨到 {reached}，{nominal} 不存在，记为跳过。",
    },
    "overlap-first": {
        _EN: "{day}: the clocks go back from {left} to {reached}; {nominal} comes twice and runs"
        " the first time only.",
        _ZH: "{day}：时钟从 {left} 拨回 {reached}，{nominal} 出现两次，只在第一次运行。",
    },
    "overlap-last": {
        _EN: "{day}: the clocks go back from {left} to {reached}; {nominal} comes twice and runs"
        " the second time only.",
        _ZH: "{day}：时钟从 {left} 拨回 {reached}，{nominal} 出现两次，只在第二次运行。",
    },
    "overlap-both": {
        _EN: "{day}: the clocks go back from {left} to {reached}; the time in between comes"
        " twice, and so do its runs.",
        _ZH: "{day}：时钟从 {left} 拨回 {reached}，其间的时间出现两次，两次都运行。",
    },
    "elapsed": {
        _EN: "Counted in elapsed time: on the wall it shifts when the clocks change ({days}).",
        _ZH: "按经过的时间计算：换时制时（{days}）钟面时间会移动。",
    },
    "and-more": {_EN: "{nominal} (and {more} more)", _ZH: "{nominal}（及另外 {more} 次）"},
    # one slot
    "slot-gap": {
        _EN: "{nominal} does not exist that day: it runs when the clocks change",
        _ZH: "当天没有 {nominal}：在换时制的时刻运行",
    },
    "slot-first": {
        _EN: "the first of two: the clocks go back",
        _ZH: "两次中的第一次：时钟拨回",
    },
    "slot-second": {
        _EN: "the second of two: the clocks go back",
        _ZH: "两次中的第二次：时钟拨回",
    },
    "slot-excluded": {_EN: "left out: {because}", _ZH: "不运行：{because}"},
    "slot-left-out": {_EN: "left out once, {who}", _ZH: "仅这一次不运行：{who}"},
    "slot-moved": {
        _EN: "runs on {at} instead: {because}",
        _ZH: "改在 {at} 运行：{because}",
    },
    # the job
    "disabled": {
        _EN: "The job is switched off: none of these runs happens until it is enabled.",
        _ZH: "任务已停用：启用之前不会运行。",
    },
    "paused": {
        _EN: "The job is paused: its slots are not run until it is resumed.",
        _ZH: "任务已暂停：恢复之前不会运行。",
    },
    "until": {_EN: "It ends at {at}.", _ZH: "到 {at} 为止。"},
    "max-runs": {
        _EN: "At most {most} runs in all; it has had {had}.",
        _ZH: "总共最多运行 {most} 次，已运行 {had} 次。",
    },
    "max-runs-per-day": {
        _EN: "At most {most} runs a day.",
        _ZH: "每天最多运行 {most} 次。",
    },
    "budget": {
        _EN: "It may spend {most} a day; when that is spent, it is skipped until the next.",
        _ZH: "每天最多花费 {most}，用完后当天不再运行。",
    },
    "budget-model": {
        _EN: "It may spend {most} a day; when that is spent, {model} answers.",
        _ZH: "每天最多花费 {most}，用完后改由 {model} 回答。",
    },
    "budget-warn": {
        _EN: "It may spend {most} a day; when that is spent, it says so and goes on.",
        _ZH: "每天最多花费 {most}，用完后只提醒，仍会运行。",
    },
    "tokens-of": {_EN: "{many} tokens", _ZH: "{many} 个词元"},
    "runs-of": {_EN: "{many} runs", _ZH: "{many} 次运行"},
    "jitter": {
        _EN: "Each run starts up to {span} late, by chance.",
        _ZH: "每次运行随机推迟，最多 {span}。",
    },
    "calendars-skip": {
        _EN: "Days that a calendar excludes ({names}) are left out.",
        _ZH: "日历（{names}）排除的日子不运行。",
    },
    "calendars-next-allowed": {
        _EN: "On days that a calendar excludes ({names}) it runs on the next allowed day instead.",
        _ZH: "日历（{names}）排除的日子改在下一个允许的日子运行。",
    },
    "calendars-previous-allowed": {
        _EN: "On days that a calendar excludes ({names}) it runs on the allowed day before.",
        _ZH: "日历（{names}）排除的日子改在上一个允许的日子运行。",
    },
    "hours-skip": {
        _EN: "Outside the agent's active hours it is skipped.",
        _ZH: "在智能体的活跃时段之外会跳过。",
    },
    "hours-defer": {
        _EN: "Outside the agent's active hours it waits until they begin.",
        _ZH: "在智能体的活跃时段之外会等到时段开始。",
    },
    "gate": {
        _EN: "Its gate command may say no: then nothing runs.",
        _ZH: "其门控命令可能拒绝，此时不运行。",
    },
    "after": {
        _EN: "It runs only after {job} has succeeded.",
        _ZH: "仅在 {job} 成功之后才运行。",
    },
}

LABELS: Final[Mapping[str, Mapping[Language, str]]] = {
    "next": {_EN: "Next", _ZH: "接下来"},
    "fields": {_EN: "Fields", _ZH: "字段"},
    "notes": {_EN: "Notes", _ZH: "说明"},
    "nothing": {_EN: "It does not run again.", _ZH: "不再运行。"},
    "rate": {
        _EN: "Runs per day: {mean} on average, {most} at most.",
        _ZH: "每天运行：平均 {mean} 次，最多 {most} 次。",
    },
    "cost": {
        _EN: "Cost: about ${day} a day, ${month} in 30 days (mean of its last {runs} runs:"
        " ${one}).",
        _ZH: "费用：每天约 ${day}，30 天约 ${month}（最近 {runs} 次运行平均 ${one}）。",
    },
    "tokens": {
        _EN: "Tokens: about {day} a day (mean of its last {runs} runs: {one}).",
        _ZH: "词元：每天约 {day}（最近 {runs} 次运行平均 {one}）。",
    },
}


def note(key: str, language: Language, **facts: object) -> str:
    """Return a remark in words."""
    return NOTES[key][language].format(**facts)


def label(key: str, language: Language, **facts: object) -> str:
    """Return a heading or a line of figures in words."""
    return LABELS[key][language].format(**facts)
