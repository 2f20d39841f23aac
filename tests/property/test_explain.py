"""Whatever is accepted can be explained, in every language."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from jobs.errors import InvalidSchedule
from jobs.explain import Question, explain
from jobs.schedule import At, Cron, Every, Schedule, schedule_from_json
from jobs.speech import Language

ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Casablanca")
DOM = ("*", "?", "L", "LW", "L-3", "15W", "W1", "20-L", "H", "1,15,L", "31", "*/2", "28-2")
DOW = ("*", "?", "5L", "L5", "mon#2", "fri#L", "fri-mon", "+1", "sat,sun", "1-5", "0-7", "H", "*/2")
instants = st.datetimes(datetime(1995, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    token = st.one_of(
        number.map(str),
        st.just("*"),
        st.just("H"),
        st.just(f"H({low}-{high // 2})"),
        st.tuples(number, number).map(lambda two: f"{two[0]}-{two[1]}"),
        st.tuples(number, number, st.integers(1, 7)).map(lambda t: f"{t[0]}-{t[1]}/{t[2]}"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.tuples(number, st.integers(1, high)).map(lambda two: f"{two[0]}/{two[1]}"),
    )
    return st.lists(token, min_size=1, max_size=3).map(",".join)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule | None:
    """A schedule that is accepted; None for words that are not."""
    at = draw(instants)
    kind = draw(st.sampled_from(["cron", "cron", "cron", "every", "at"]))
    if kind == "every":
        return Every(draw(st.timedeltas(timedelta(milliseconds=1), timedelta(days=800))), at)
    if kind == "at":
        return At(at)
    words = [
        draw(field(0, 59)),
        draw(field(0, 23)),
        draw(st.sampled_from(DOM) | field(1, 31)),
        draw(st.just("*") | field(1, 12)),
        draw(st.sampled_from(DOW) | field(0, 7)),
    ]
    if draw(st.booleans()):
        words = [draw(field(0, 59)), *words]
        if draw(st.booleans()):
            words.append(draw(st.sampled_from(["*", "2030", "2027-2040/3", "2020,2050"])))
    wish = {
        "kind": "cron",
        "expr": " ".join(words),
        "staggerMs": draw(st.sampled_from([0, 300_000])),
        "dayMatch": draw(st.sampled_from(["or", "and"])),
        "dst": {
            "gap": draw(st.sampled_from(["run-after", "skip", "shift"])),
            "overlap": draw(st.sampled_from(["first", "last", "both"])),
        },
    }
    try:
        return schedule_from_json(
            wish, default_tz=draw(st.sampled_from(ZONES)), job_id="job-1", now=at
        )
    except InvalidSchedule:
        return None


@given(schedules(), instants, st.sampled_from(Language), st.sampled_from(ZONES))
def test_whatever_is_accepted_can_be_explained(
    schedule: Schedule | None, after: datetime, language: Language, tz: str
) -> None:
    if schedule is None:
        return
    question = Question(after=after, tz=tz, other_tz="Asia/Shanghai", count=3, language=language)
    found = explain(schedule, question)
    assert found.sentence
    assert "  " not in found.sentence
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    instants_told = [slot.occurrence.instant for slot in found.slots]
    assert instants_told == sorted(set(instants_told))
    assert all(at > after for at in instants_told)
    if isinstance(schedule, Cron) and instants_told:
        assert found.rate is not None
        assert found.rate.most >= 1
