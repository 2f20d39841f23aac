"""A call that takes long stands in the log, one that waits for somebody does not (§11)."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from gateway import connection
from gateway.client import Client
from tests.fakes.gateway_port import TOKEN
from tests.fakes.gateway_thread import running


@pytest.mark.parametrize(("method", "told"), [("cron.list", True), ("status", False)])
def test_only_a_call_that_waits_for_nobody_is_said_to_be_slow(
    method: str, told: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SLOW", timedelta())
    caplog.set_level(logging.INFO, "gateway.connection")
    with running() as port:
        client = Client(f"ws://127.0.0.1:{port.server.port}", token=TOKEN)
        client.open()
        client.call(method)
        client.close()
    said = [one for one in caplog.records if one.getMessage() == "a call was slow"]
    assert [one.__dict__["method"] for one in said] == ([method] if told else [])
