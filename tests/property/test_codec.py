"""Whatever job can exist comes back from JSON as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from jobs.codec import job_from_json, job_to_json, revision
from jobs.model import (
    AgentTurn,
    Command,
    DeliverySpec,
    HeartbeatBeat,
    Job,
    Misfire,
    Source,
    SystemEvent,
    WakeMode,
)
from jobs.schedule import At, Cron, DstPolicy, Every

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
OPTIONAL = st.none() | TEXT
INSTANTS = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
SPANS = st.integers(0, 10**9).map(lambda ms: timedelta(milliseconds=ms))
STAGGERS = st.integers(0, 86_400_000).map(lambda ms: timedelta(milliseconds=ms))  # a day at most
LISTS = st.none() | st.lists(TEXT, max_size=3).map(tuple)
SCHEDULES = st.one_of(
    st.builds(At, INSTANTS),
    st.builds(Every, SPANS.map(lambda span: span + timedelta(milliseconds=1)), INSTANTS),
    st.builds(
        Cron,
        st.sampled_from(["0 7 * * *", "*/15 * * * *", "0 0 9 * * 1-5", "H 3 * * *"]),
        st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]),
        stagger=STAGGERS,
        day_match=st.sampled_from(["or", "and"]),
        dst=st.builds(DstPolicy, st.sampled_from(["run-after", "skip", "shift"])),
        hash_id=st.just("job-1"),
    ).map(lambda cron: cron if cron.stagger or "H" in cron.expr else replace(cron, hash_id=None)),
)
PAYLOADS = st.one_of(
    st.builds(SystemEvent, text=TEXT),
    st.builds(
        AgentTurn,
        message=TEXT,
        model=OPTIONAL,
        fallbacks=LISTS,
        thinking=OPTIONAL,
        timeout=st.none() | SPANS,
        light_context=st.booleans(),
        tools_allow=LISTS,
        allow_unsafe_external_content=st.booleans(),
    ),
    st.builds(
        Command,
        argv=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        cwd=OPTIONAL,
        env=st.dictionaries(TEXT, TEXT, max_size=2),
        stdin=OPTIONAL,
        timeout=st.none() | SPANS,
        no_output_timeout=st.none() | SPANS,
        output_max_bytes=st.none() | st.integers(1, 10**6),
    ),
    st.just(HeartbeatBeat()),
)
JOBS = st.builds(
    Job,
    id=st.just("job-1"),
    name=TEXT,
    schedule=SCHEDULES,
    payload=PAYLOADS,
    agent_id=OPTIONAL,
    session_target=st.sampled_from(["main", "isolated", "session:agent:main:x"]),
    session_key=OPTIONAL,
    wake_mode=st.sampled_from(WakeMode),
    delivery=st.builds(
        DeliverySpec,
        mode=st.sampled_from(["none", "announce", "webhook"]),
        channel=OPTIONAL,
        to=OPTIONAL,
        account_id=OPTIONAL,
        thread_id=OPTIONAL,
        best_effort=st.booleans(),
        extra=st.just({}) | st.just({"failureDestination": {"channel": "telegram"}}),
    ),
    enabled=st.booleans(),
    delete_after_run=st.booleans(),
    misfire=st.builds(
        Misfire,
        policy=st.sampled_from(["run-once", "skip", "run-all"]),
        grace=st.none() | SPANS,
        max_catch_up=st.integers(1, 100),
    ),
    source=st.sampled_from(Source),
    declaration_key=OPTIONAL,
    display_name=OPTIONAL,
    description=OPTIONAL,
    created_at=st.none() | INSTANTS,
    updated_at=st.none() | INSTANTS,
    extra=st.just({}) | st.just({"ofARelease": {"toCome": ["true"]}, "laterStill": 3}),
)


@given(JOBS)
def test_a_job_comes_back_from_json_as_it_was(job: Job) -> None:
    text = json.dumps(job_to_json(job), ensure_ascii=False)
    assert job_from_json(json.loads(text)) == job


@given(JOBS)
def test_the_order_of_keys_never_changes_a_revision(job: Job) -> None:
    turned = dict(reversed(job_to_json(job).items()))
    assert revision(job_from_json(turned)) == revision(job)
