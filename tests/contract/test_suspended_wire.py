"""A suspended gateway on its wire, and events that were missed (protocol.md §10.1, §14)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from engine.events import Event
from gateway.protocol.handshake import Phase
from gateway.protocol.methods import METHODS
from tests.fakes.gateway_port import TOKEN, connect_params, dialled, inside, serving

SUSPENDING = ("gateway.suspend.prepare", "gateway.suspend.status", "gateway.suspend.resume")


async def test_every_other_method_is_unavailable_and_says_why() -> None:
    async with serving() as port, inside(port) as client:
        port.phase = Phase.SUSPENDED
        for method in METHODS.values():
            if method.name in SUSPENDING or method.name.startswith(("node.", "skills.bins")):
                continue
            error = (await client.ask(method.name))["error"]
            assert error["code"] == "UNAVAILABLE"
            assert error["message"] == f"{method.name} unavailable during gateway suspension"
            assert (error["retryable"], error["retryAfterMs"]) == (True, 1000)
            assert error["details"]["reason"] == "gateway-suspending"


async def test_the_lease_is_looked_at_and_given_back_meanwhile_from_another_connection() -> None:
    async with serving() as port, inside(port) as client:
        lease = (await client.ask(SUSPENDING[0], {"requestId": "r1"}))["payload"]
        assert (lease["status"], lease["activeCount"]) == ("ready", 0)
        port.phase = Phase.SUSPENDED
        async with inside(port) as other:
            ref = {"suspensionId": lease["suspensionId"]}
            assert (await other.ask(SUSPENDING[1], ref))["payload"]["status"] == "ready"
            answer = await other.ask(SUSPENDING[2], ref)
            assert answer["payload"] == {"ok": True, "status": "running", "resumed": True}


@pytest.mark.parametrize("method", SUSPENDING)
async def test_wire_3_does_not_know_it(method: str) -> None:
    async with serving() as port, inside(port, minProtocol=3, maxProtocol=3) as client:
        error = (await client.ask(method, {"requestId": "r1"}))["error"]
        assert error["message"] == f"unknown method: {method}"


@pytest.mark.parametrize("version", [3, 4])
async def test_who_could_not_ask_anything_is_told_to_come_back(version: int) -> None:
    async with serving() as port:
        port.phase = Phase.SUSPENDED
        async with dialled(port) as client:
            params = connect_params(minProtocol=version, maxProtocol=version, scopes=[])
            error = (await client.ask("connect", params))["error"]
            assert error["details"]["reason"] == "gateway-suspending"
            assert (error["code"], error["retryAfterMs"]) == ("UNAVAILABLE", 1000)
            assert await client.ended() == (1013, "gateway suspension in progress")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "must have required property 'requestId'"),
        ({"requestId": ""}, "/requestId"),
        ({"requestId": "x" * 129}, "/requestId"),
        ({"requestId": "r", "for": 1}, "unexpected property 'for'"),
    ],
)
async def test_a_request_that_makes_no_sense_suspends_nothing(
    params: dict[str, Any], words: str
) -> None:
    async with serving() as port, inside(port) as client:
        error = (await client.ask(SUSPENDING[0], params))["error"]
        assert words in error["message"]
        assert port.core.suspending.by is None


async def test_turns_over_http_are_refused_and_probes_stay_up() -> None:
    async with serving() as port:
        port.phase = Phase.SUSPENDED
        body = json.dumps({"model": "engine", "messages": [{"role": "user", "content": "hi"}]})

        async with httpx.AsyncClient(base_url=port.site) as browser:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            turn = await browser.post("/v1/chat/completions", content=body, headers=headers)
            assert turn.status_code == 503
            assert turn.json()["error"]["code"] == "gateway_unavailable"
            assert turn.json()["error"]["type"] == "service_unavailable"
            assert (await browser.get("/healthz")).status_code == 200


async def test_events_that_were_missed_are_told_by_their_cursor() -> None:
    async with serving() as port, dialled(port) as client:
        hello = await client.ask("connect", connect_params(), "hello")
        cursor = hello["payload"]["snapshot"]["eventCursor"]
        for number in range(3):
            port.fanout.on_bus(Event("cron", {"action": "added", "jobId": f"j{number}"}))
        port.fanout.on_bus(Event("heartbeat", {"status": "skipped"}))
        port.fanout.on_bus(Event("chat", {"runId": "r", "state": "final"}))
        seen = await client.event("cron")
        answer = (await client.ask("events.since", {"cursor": seen["payload"]["cursor"]}))[
            "payload"
        ]
        names = [(one["event"], one["payload"].get("jobId")) for one in answer["events"]]
        assert names == [("cron", "j1"), ("cron", "j2"), ("heartbeat", None)]
        assert answer["complete"] is True
        assert answer["cursor"] == cursor + 4
        asked = {"cursor": cursor, "kinds": ["heartbeat"]}
        (one,) = (await client.ask("events.since", asked))["payload"]["events"]
        assert one["payload"] == {"status": "skipped", "cursor": one["cursor"]}
        assert (await client.ask("events.since"))["payload"]["events"] == []
        gone = (await client.ask("events.since", {"cursor": cursor + 99}))["payload"]
        assert gone["complete"] is False  # of another life of the gateway
        refused = await client.ask("events.since", {"kinds": ["chat"]})
        assert "must be equal to one of the allowed values" in refused["error"]["message"]
