"""Refusals keep their class across the wire."""

from __future__ import annotations

import pytest

import jobs.errors
from gateway.client import _refused as refused_as
from gateway.protocol.errors import Code, from_engine_error, missing_scope, unknown_method
from jobs.errors import EngineError, JobNotFound, NotFound, StoreUnavailable

CLASSES = [
    cls
    for cls in vars(jobs.errors).values()
    if isinstance(cls, type) and issubclass(cls, EngineError)
]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_class_survives_the_wire(cls: type[EngineError]) -> None:
    error = cls("what happened", why="because", fix="do this")
    again = refused_as("cron.add", from_engine_error(error).to_wire())
    assert type(again) is cls
    assert (again.what, again.why, again.fix) == ("what happened", "because", "do this")
    assert again.exit_status == cls.exit_status


def test_an_unknown_job_is_told_as_the_original_tells_it() -> None:
    error = from_engine_error(JobNotFound("cron job not found: x", job_id="x"))
    assert error.code is Code.INVALID_REQUEST
    assert error.details["code"] == "CRON_JOB_NOT_FOUND"
    assert error.details["jobId"] == "x"


def test_an_unknown_agent_is_told_as_the_original_tells_it() -> None:
    details = from_engine_error(NotFound("no such agent", agent_id="zed")).details
    assert (details["code"], details["agentId"]) == ("UNKNOWN_AGENT_ID", "zed")


def test_a_refusing_disk_is_worth_another_try() -> None:
    wire = from_engine_error(StoreUnavailable("disk is full")).to_wire()
    assert (wire["code"], wire["retryable"]) == ("UNAVAILABLE", True)


def test_a_missing_scope_has_two_codes_and_one_message() -> None:
    old, new = missing_scope("operator.admin", 3), missing_scope("operator.admin", 4)
    assert (old.code, new.code) == (Code.INVALID_REQUEST, Code.FORBIDDEN)
    assert old.message == new.message == "missing scope: operator.admin"


def test_a_method_of_the_original_that_is_not_here_yet_is_refused_in_words() -> None:
    told = unknown_method("cron.scratch.get")
    assert told.code is Code.INVALID_REQUEST
    assert told.message.startswith("cron.scratch.get is not supported yet: ")
    assert unknown_method("cron.scribble").message == "unknown method: cron.scribble"
