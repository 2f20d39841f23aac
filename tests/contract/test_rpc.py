"""The wire as a client meets it: a real port on loopback around a fake engine."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from engine.events import Event
from gateway.client import Client, LastingClient, call, repeatable
from gateway.protocol.frames import MAX_FRAME, MAX_FRAME_BEFORE_HELLO
from gateway.protocol.handshake import Phase
from gateway.protocol.methods import METHODS
from jobs.errors import AccessRefused, ConfigOwned, GatewayDown, JobNotFound, TimedOut
from tests.fakes.gateway_port import (
    SHORT,
    TOKEN,
    Port,
    connect_params,
    dialled,
    inside,
    serving,
)

PARAMS: dict[str, dict[str, Any]] = {
    "system-event": {"text": "build done"},
    "wake": {"text": "look", "mode": "now"},
    "set-heartbeats": {"enabled": False},
    "cron.get": {"id": "a"},
    "cron.add": {"name": "n", "schedule": {"kind": "every", "everyMs": 1000}},
    "cron.import": {"kind": "openclaw", "entries": []},
    "cron.update": {"jobId": "a", "patch": {"enabled": False}},
    "cron.remove": {"id": "b"},
    "cron.run": {"id": "a"},
    "cron.explain": {"expr": "0 9 * * *", "from": "2026-03-01", "count": 3, "lang": "zh"},
    "cron.timeline": {"hours": 48, "cellMinutes": 30},
    "cron.next": {"expr": "0 9 * * *", "until": "2026-03-05", "count": 3},
    "cron.audit": {"sinceMs": 1_790_000_000_000},
    "cron.simulate": {"days": 2, "expect": {"brief": 2}},
    "cron.pause": {"id": "a", "note": "holiday", "untilMs": 1_790_000_000_000},
    "cron.resume": {"all": True},
    "cron.skip": {"id": "a", "count": 2},
    "cron.adopt": {"id": "a"},
    "cron.cancel": {"runId": "r-1"},
    "cron.backfill": {"id": "a", "fromMs": 1, "toMs": 2, "dryRun": True},
    "agent": {"message": "hi", "idempotencyKey": "k-agent"},
    "agent.wait": {"runId": "nobody", "timeoutMs": 1},
    "send": {"to": "me", "message": "hi", "idempotencyKey": "k-send"},
    "message.action": {
        "channel": "local",
        "action": "send",
        "params": {"to": "me", "message": "hi"},
        "idempotencyKey": "k-action",
    },
    "chat.send": {"sessionKey": "main", "message": "hi", "idempotencyKey": "k-chat"},
    "chat.history": {"sessionKey": "main"},
    "chat.abort": {"sessionKey": "main"},
    "inbox.ack": {"all": True},
    "channels.routes": {"agentId": "main"},
    "pairing.list": {"channel": "telegram"},
    "pairing.approve": {"channel": "telegram", "code": "ABCD2345"},
    "pairing.reject": {"channel": "telegram", "code": "ABCD2345"},
    "device.pair.approve": {"requestId": "r1"},
    "device.pair.reject": {"requestId": "r1"},
    "device.pair.remove": {"deviceId": "d"},
    "device.token.rotate": {"deviceId": "d", "role": "operator", "scopes": ["operator.read"]},
    "device.token.revoke": {"deviceId": "d", "role": "operator"},
    "heartbeat.inbox": {"state": "unread", "reason": "no-route", "sinceMs": 1},
    "heartbeat.inbox.show": {"id": "1"},
    "heartbeat.inbox.ack": {"id": "1"},
    "heartbeat.inbox.snooze": {"id": "1", "untilMs": 2_000_000_000_000},
    "heartbeat.inbox.mute": {"id": "1"},
    "heartbeat.inbox.resend": {"id": "1", "to": "telegram:42"},
    "heartbeat.replay": {"runId": "r1"},
    "heartbeat.events": {"since": 1},
    "exec.approval.list": {"all": True},
    "exec.approval.resolve": {"id": "3f9a2c", "decision": "deny"},
    "heartbeat.feedback": {"runId": "r1", "verdict": "noise"},
    "heartbeat.inbox.purge": {"reason": "duplicate"},
    "outbox.show": {"key": "k"},
    "outbox.retry": {"key": "k"},
    "outbox.cancel": {"key": "k"},
    "outbox.purge": {"state": "failed"},
    "config.schema.lookup": {"path": "gateway.port"},
    "config.set": {"raw": "{}", "baseHash": "h"},
    "config.apply": {"raw": "{}", "baseHash": "h", "note": "by hand"},
    "config.patch": {"raw": '{"a": 1}', "baseHash": "h"},
    "agents.create": {"name": "Ops", "emoji": "x"},
    "agents.update": {"agentId": "ops", "model": "openai/gpt-5"},
    "agents.delete": {"agentId": "ops"},
    "agent.identity.get": {"sessionKey": "main"},
    "tools.effective": {"sessionKey": "main"},
    "tools.invoke": {"name": "read", "args": {"path": "a"}},
    "tasks.get": {"taskId": "r-1"},
    "tasks.cancel": {"taskId": "r-1"},
    "poll": {"to": "me", "question": "?", "idempotencyKey": "k-poll"},
    "channels.start": {"channel": "telegram"},
    "channels.stop": {"channel": "telegram", "accountId": "default"},
    "channels.logout": {"channel": "telegram"},
    "chat.inject": {"sessionKey": "main", "message": "note", "label": "ops"},
    "sessions.preview": {"keys": ["nobody"]},
    "sessions.describe": {"key": "main"},
    "sessions.patch": {"key": "main", "model": None},
    "sessions.reset": {"key": "main", "reason": "new"},
    "sessions.delete": {"key": "project"},
    "sessions.compact": {"key": "main", "maxLines": 10},
    "sessions.create": {"agentId": "main", "message": "hi"},
    "sessions.send": {"key": "main", "message": "hi"},
    "sessions.abort": {"key": "main"},
    "sessions.messages.subscribe": {"key": "main"},
    "sessions.messages.unsubscribe": {"key": "main"},
    "gateway.suspend.prepare": {"requestId": "r1"},
    "gateway.suspend.resume": {"suspensionId": "s1"},
    "events.since": {"cursor": 1, "kinds": ["cron"]},
    "node.describe": {"nodeId": "n"},
    "node.rename": {"nodeId": "n", "displayName": "N"},
    "node.invoke": {"nodeId": "n", "command": "camera.snap", "idempotencyKey": "k-node"},
    "node.event": {"event": "voice"},
}
# What this gateway has none of, and the words that say so.
HONEST: dict[str, str] = {
    "poll": "does not support polls",
    "channels.logout": "does not support logout",
    "node.describe": "unknown nodeId",
    "node.rename": "unknown nodeId",
    "node.invoke": "node not connected",
    "usage.cost": "what everything cost is not added up here",
    **dict.fromkeys(
        (
            "node.event",
            "node.pending.ack",
            "node.pending.drain",
            "node.pending.pull",
            "skills.bins",
        ),
        "unauthorized role",  # of nodes, and this client is none
    ),
}


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_every_advertised_method_answers(method: str) -> None:
    async with serving() as port, inside(port) as client:
        port.core.scheduling.jobs = {"a": {"id": "a"}, "b": {"id": "b"}}
        port.core.scheduling.entries = [{"runId": "r-1", "status": "ok", "jobId": "a"}]
        answer = await client.ask(method, PARAMS.get(method))
        if method in HONEST:
            assert HONEST[method] in answer["error"]["message"]
        else:
            assert answer["ok"], answer


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        ("this is not JSON", 1008, "invalid frame: not JSON"),
        ({"type": "req", "id": "1", "method": "health"}, 1008, "first request must be connect"),
        ({"type": "hello"}, 1008, "invalid request frame"),
        (
            {"type": "req", "id": "1", "method": "connect", "params": {"auth": {}}},
            1008,
            "invalid connect params",
        ),
        (
            {
                "type": "req",
                "id": "1",
                "method": "connect",
                "params": connect_params(minProtocol=7, maxProtocol=9),
            },
            1002,
            "protocol mismatch",
        ),
        (
            {"type": "req", "id": "1", "method": "connect", "params": connect_params(role="king")},
            1008,
            "invalid role",
        ),
        (
            {
                "type": "req",
                "id": "1",
                "method": "connect",
                "params": connect_params(auth={"token": "wrong"}),
            },
            1008,
            "unauthorized: gateway token mismatch",
        ),
        (
            {"type": "req", "id": "1", "method": "connect", "params": connect_params(auth={})},
            1008,
            "device identity required",
        ),
        ("x" * (MAX_FRAME_BEFORE_HELLO + 1), 1009, "preauth payload too large"),
    ],
)
async def test_every_refusal_before_hello_closes_with_a_code_and_words(
    frame: object, code: int, reason: str
) -> None:
    async with serving() as port, dialled(port) as client:
        await client.send(frame)
        got_code, got_reason = await client.ended()
        assert got_code == code
        assert reason in got_reason
        assert len(got_reason) >= 10


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(Phase.STARTING, "gateway starting"), (Phase.DRAINING, "gateway restart in progress")],
)
async def test_a_gateway_that_is_not_ready_says_when_to_try_again(
    phase: Phase, reason: str
) -> None:
    async with serving() as port:
        port.phase = phase
        async with dialled(port) as client:
            answer = await client.ask("connect", connect_params())
            assert answer["error"]["code"] == "UNAVAILABLE"
            assert answer["error"]["retryable"]
            assert answer["error"]["retryAfterMs"] > 0
            assert await client.ended() == (1013, reason)


async def test_a_silent_socket_is_closed_with_a_reason() -> None:
    async with serving(handshake=SHORT) as port, dialled(port) as client:
        assert await client.ended() == (1008, "handshake timeout")


async def test_a_frame_over_the_limit_after_hello_is_refused_by_size() -> None:
    async with serving() as port:
        params = {"to": "me", "message": "x" * MAX_FRAME, "idempotencyKey": "huge"}

        def talk() -> None:
            with in_thread(port) as client, pytest.raises(GatewayDown, match=r"1009: .{10,}"):
                client.call("send", params)

        await asyncio.to_thread(talk)


async def test_the_first_frame_after_hello_may_be_larger_than_before() -> None:
    async with serving() as port, inside(port) as client:
        params = {"to": "me", "message": "x" * 200_000, "idempotencyKey": "big"}
        assert (await client.ask("send", params))["ok"]


async def test_fifty_simultaneous_connects_are_all_let_in() -> None:
    async with serving() as port:

        async def one() -> bool:
            async with inside(port) as client:
                return bool((await client.ask("health"))["ok"])

        assert all(await asyncio.gather(*(one() for _ in range(50))))


async def test_the_fourth_config_write_in_a_minute_is_told_when_it_may_come() -> None:
    async with serving() as port:
        write = {"raw": '{"a": 1}', "baseHash": "h"}
        for _ in range(3):  # a connection each: they are counted by address
            async with inside(port) as client:
                assert (await client.ask("config.patch", write))["ok"]
        async with inside(port) as client:
            error = (await client.ask("config.patch", write))["error"]
            assert error["code"] == "UNAVAILABLE"
            assert error["message"].startswith("rate limit exceeded for config.patch; retry after")
            assert 0 < error["retryAfterMs"] <= 60_000
            assert error["details"] == {"method": "config.patch", "limit": "3 per 60s"}
            assert (await client.ask("config.apply", write))["ok"]  # another method
            for _ in range(5):
                assert (await client.ask("config.set", write))["ok"]  # never counted


@pytest.mark.parametrize("method", ["config.set", "config.apply", "config.patch"])
async def test_nobody_writes_over_a_config_he_has_not_read(method: str) -> None:
    async with serving() as port, inside(port) as client:
        for stale in (False, True):
            port.core.settings.conflict = stale
            base = {"baseHash": "old"} if stale else {}
            error = (await client.ask(method, {"raw": "{}", **base}))["error"]
            assert error["message"].startswith("config changed since last load; re-run config.get")
            assert error["code"] == "INVALID_REQUEST"
            assert error["details"]["code"] == "CONFIG_HASH_MISMATCH"
            assert "currentHash" in error["details"]


async def test_the_command_line_asks_to_take_the_file_over_at_once() -> None:
    async with serving() as port, inside(port) as client:
        assert (await client.ask("config.reload"))["payload"]["sentence"] == "Applied live."
        assert port.core.settings.said[-1] == ("reload", "cli")


async def test_what_a_config_write_answers_hides_secrets() -> None:
    async with serving() as port, inside(port) as client:
        answer = await client.ask("config.set", {"raw": "{}", "baseHash": "h"})
        hidden = answer["payload"]["config"]["gateway"]["auth"]["token"]
        assert hidden == "__OPENCLAW_REDACTED__"


async def test_an_unknown_method_names_the_nearest() -> None:
    async with serving() as port, inside(port) as client:
        error = (await client.ask("sessions.lst"))["error"]
        assert error["message"] == "unknown method: sessions.lst"
        assert error["details"]["nearest"] == "sessions.list"


async def test_a_newer_client_that_lists_models_finds_what_it_asks_for_first() -> None:
    async with serving() as port, dialled(port) as client:
        hello = await client.ask("connect", connect_params(), "hello")
        assert "published-model-catalog" in hello["payload"]["features"]["capabilities"]
        asked = {"view": "all", "provider": "nobody", "includeDetails": True, "refresh": True}
        assert (await client.ask("models.list", asked))["payload"] == {"models": []}
        every = (await client.ask("models.list", {"includeDetails": True}))["payload"]["models"]
        assert every


async def test_an_older_wire_has_no_tasks() -> None:
    async with serving() as port, dialled(port) as client:
        old = connect_params(minProtocol=3, maxProtocol=3)
        hello = await client.ask("connect", old, "hello")
        assert "tasks.list" not in hello["payload"]["features"]["methods"]
        assert "capabilities" not in hello["payload"]["features"]
        error = (await client.ask("tasks.list"))["error"]
        assert error["message"] == "unknown method: tasks.list"


async def test_what_changes_the_machine_is_the_owners_to_invoke() -> None:
    scopes = ["operator.write", "operator.read"]
    async with serving() as port, inside(port, scopes=scopes) as client:
        assert (await client.ask("tools.invoke", {"name": "read"}))["payload"]["output"] == "text"
        refused = await client.ask("tools.invoke", {"name": "exec", "args": {"command": "id"}})
        assert refused["error"]["code"] == "FORBIDDEN"
        assert [call[0] for call in port.core.said.of("invoke")] == ["read"]


async def test_a_main_session_is_not_deleted() -> None:
    async with serving() as port, inside(port) as client:
        error = (await client.ask("sessions.delete", {"key": "main"}))["error"]
        assert "Cannot delete the main session" in error["message"]
        assert port.core.said.of("session.delete") == []


async def test_who_subscribed_hears_of_sessions_and_nobody_else_does() -> None:
    async with serving() as port, inside(port) as curious, inside(port) as other:
        await curious.ask("sessions.subscribe", None)
        await curious.ask("sessions.messages.subscribe", {"key": "main"})
        await other.ask("sessions.patch", {"key": "main", "model": "openai/gpt-5"}, "p")
        told = await curious.event("sessions.changed")
        assert told["payload"]["sessionKey"] == "agent:main:main"
        assert "seq" not in told
        message = {"role": "assistant", "content": []}
        ended = {"sessionKey": "agent:main:main", "state": "final", "message": message}
        port.desk.subscriptions.on_bus(Event("chat", ended))
        assert (await curious.event("session.message"))["payload"]["message"] == message
        await curious.ask("sessions.unsubscribe", None)
        port.desk.subscriptions.on_bus(Event("chat", ended))
        await curious.event("session.message")
        await other.ask("health", None, "h")
        assert not [e for e in (*other.events, *curious.events) if e["event"] == "sessions.changed"]


async def test_a_restart_that_would_interrupt_somebody_says_whom() -> None:
    async with serving() as port, inside(port) as client:
        assert (await client.ask("gateway.restart.preflight"))["payload"]["safe"]
        port.core.host.at_work = ["chat of main"]
        told = (await client.ask("gateway.restart.preflight"))["payload"]
        assert not told["safe"]
        assert told["counts"]["totalActive"] == 1
        assert "chat of main" in told["summary"]


async def test_too_many_silent_sockets_of_one_address_get_503() -> None:
    async with serving(waiting_per_address=2, wait_for_place=SHORT) as port:
        async with dialled(port), dialled(port):
            with pytest.raises(InvalidStatus) as refused:
                await connect(port.url, proxy=None)
            assert refused.value.response.status_code == 503
        async with inside(port) as client:
            assert (await client.ask("health"))["ok"]


async def test_both_wire_versions_are_spoken_at_once() -> None:
    async with serving() as port, dialled(port) as old, dialled(port) as new:
        three = await old.ask("connect", connect_params(minProtocol=3, maxProtocol=3))
        four = await new.ask("connect", connect_params(minProtocol=3, maxProtocol=4))
        assert (three["payload"]["protocol"], four["payload"]["protocol"]) == (3, 4)


async def test_a_missing_scope_is_told_in_the_words_of_the_clients_version() -> None:
    async with serving() as port:
        async with inside(port, scopes=["operator.read"]) as client:
            error = (await client.ask("cron.add", {}))["error"]
            assert error["code"] == "FORBIDDEN"
            assert error["details"]["missingScope"] == "operator.admin"
        async with inside(port, scopes=[], minProtocol=3, maxProtocol=3) as client:
            error = (await client.ask("status"))["error"]
            assert error["code"] == "INVALID_REQUEST"
            assert error["message"] == "missing scope: operator.read"


async def test_a_proxied_loopback_client_is_remote_and_keeps_no_scopes() -> None:
    async with serving() as port:
        headers = {"X-Forwarded-For": "10.0.0.9"}
        async with dialled(port, additional_headers=headers) as client:
            hello = await client.ask("connect", connect_params())
            assert hello["payload"]["auth"]["scopes"] == []


async def test_events_are_numbered_per_connection_without_gaps() -> None:
    async with serving() as port, inside(port) as reader, inside(port, scopes=[]) as stranger:
        for number in range(3):
            port.fanout.publish("cron", {"action": "added", "n": number})
            port.fanout.publish("tick", {"ts": number})
        seen = [await reader.frame() for _ in range(6)]
        few = [await stranger.frame() for _ in range(3)]
        assert [frame["seq"] for frame in seen] == [1, 2, 3, 4, 5, 6]
        assert [(f["event"], f["seq"]) for f in few] == [("tick", 1), ("tick", 2), ("tick", 3)]


async def test_a_reader_that_stops_reading_harms_nobody() -> None:
    async with serving() as port, inside(port) as stalled, inside(port) as healthy:
        stalled.socket.transport.pause_reading()
        for number in range(70):
            port.fanout.publish("shutdown", {"n": number, "pad": "x" * 1_000_000})
            assert (await healthy.event("shutdown"))["payload"]["n"] == number
        stalled.socket.transport.resume_reading()
        assert await stalled.ended() == (1008, "slow consumer")


async def test_agent_is_acknowledged_at_once_and_answered_later_with_the_same_id() -> None:
    async with serving() as port, inside(port) as client:
        params = {"message": "hi", "idempotencyKey": "run-7"}
        first = await client.ask("agent", params, "a")
        assert first["payload"]["status"] == "accepted"
        assert first["payload"]["runId"] == "run-7"
        again = await client.ask("agent", params, "b")
        assert again["payload"] == first["payload"]
        port.core.conversation.go.set()
        final = await client.answer("a")
        assert final["payload"]["result"]["payloads"] == [{"text": "hello", "mediaUrl": None}]
        replay = await client.ask("agent", params, "c")
        assert replay["payload"] == final["payload"]
        assert len(port.core.said.of("converse")) == 1


async def test_an_agent_turn_goes_on_when_its_client_has_left() -> None:
    async with serving() as port:
        async with inside(port) as client:
            await client.ask("agent", {"message": "hi", "idempotencyKey": "run-8"})
        port.core.conversation.go.set()
        async with inside(port) as client:
            told = await client.ask("agent.wait", {"runId": "run-8"})
            assert told["payload"]["status"] == "ok"


async def test_a_failed_turn_carries_payload_and_error() -> None:
    async with serving() as port, inside(port) as client:
        port.core.conversation.answer = {"status": "error", "error": "model is gone"}
        port.core.conversation.go.set()
        await client.ask("agent", {"message": "hi", "idempotencyKey": "r"}, "a")
        final = await client.answer("a")
        assert not final["ok"]
        assert final["payload"]["status"] == "error"
        assert final["error"]["message"] == "model is gone"


async def test_one_key_sends_one_message_however_often_it_is_asked() -> None:
    async with serving() as port, inside(port) as client:
        params = {"to": "me", "message": "hi", "idempotencyKey": "once"}
        await client.send({"type": "req", "id": "a", "method": "send", "params": params})
        await client.send({"type": "req", "id": "b", "method": "send", "params": params})
        answers = [(await client.frame())["payload"]["messageId"] for _ in range(2)]
        assert answers == ["m-1", "m-1"]
        assert len(port.core.said.of("send")) == 1


async def test_chat_send_starts_and_tells_a_repeat_that_it_is_in_flight() -> None:
    async with serving() as port, inside(port) as client:
        params = {"sessionKey": "main", "message": "hi", "idempotencyKey": "c"}
        assert (await client.ask("chat.send", params))["payload"]["status"] == "started"
        assert (await client.ask("chat.send", params))["payload"]["status"] == "in_flight"
        stop = {**params, "message": "/stop", "idempotencyKey": "d"}
        assert (await client.ask("chat.send", stop))["payload"]["aborted"]


@pytest.mark.parametrize(
    ("method", "params"),
    [("chat.send", {"sessionKey": "main", "message": ""}), ("agent", {"message": "look"})],
)
async def test_files_come_along_or_the_request_is_refused(
    method: str, params: dict[str, Any]
) -> None:
    async with serving() as port, inside(port) as client:
        broken = {**params, "attachments": [{"content": "!"}], "idempotencyKey": "a"}
        refused = await client.ask(method, broken)
        assert refused["error"]["code"] == "INVALID_REQUEST"
        assert port.core.said.of("converse") == []
        file = {"content": "aGk=", "fileName": "hi.txt"}
        await client.ask(method, {**params, "attachments": [file], "idempotencyKey": "b"})
        (one,) = port.core.said.of("converse")[0].attachments
        assert (one.media.name, one.content) == ("hi.txt", b"hi")


async def test_health_asks_the_engine_nothing_on_the_request_path() -> None:
    async with serving() as port, inside(port) as client:
        for _ in range(20):
            assert (await client.ask("health"))["payload"]["defaultAgentId"] == "main"
        assert len(port.core.said.of("health")) == 1


async def test_a_wake_that_waits_answers_with_the_outcome() -> None:
    async with serving() as port, inside(port) as client:
        port.core.wakes.outcome = {"status": "sent"}
        params = {"text": "look", "mode": "now", "wait": True, "timeoutMs": 500, "agentId": "main"}
        answer = (await client.ask("wake", params))["payload"]
        assert answer == {"ok": True, "eventId": "ev-1", "outcome": {"status": "sent"}}
        assert (await client.ask("wake", {"text": " "}))["payload"] == {"ok": False}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("wake", {"text": "x", "contextKey": "Cron:1"}),
        ("system-event", {"text": "x", "contextKey": "exec:1"}),
        ("wake", {"text": "x", "target": "last"}),
        ("system-event", {"text": "x", "mode": "soon"}),
    ],
)
async def test_an_event_that_could_not_mean_what_it_says_is_refused(
    method: str, params: dict[str, Any]
) -> None:
    async with serving() as port, inside(port) as client:
        assert (await client.ask(method, params))["error"]["code"] == "INVALID_REQUEST"
        assert not port.core.said.of("system_event")


async def test_config_secrets_are_masked_by_the_word_clients_restore() -> None:
    async with serving() as port, inside(port) as client:
        answer = await client.ask("config.get")
        assert "s3cret-value" not in json.dumps(answer)
        assert answer["payload"]["config"]["gateway"]["auth"]["token"] == "__OPENCLAW_REDACTED__"
        assert answer["payload"]["raw"] is None


async def test_chat_history_never_exceeds_six_mebibytes() -> None:
    async with serving() as port, inside(port) as client:
        answer = await client.ask("chat.history", {"sessionKey": "main"})
        assert len(json.dumps(answer)) < 6.1 * 1024 * 1024
        assert len(answer["payload"]["messages"]) == 6


async def test_one_connection_may_have_only_so_many_calls_in_flight() -> None:
    async with serving(in_flight=2) as port, inside(port) as client:
        for number in range(3):
            params = {"runId": f"none-{number}", "timeoutMs": 1000}
            frame = {"type": "req", "id": str(number), "method": "agent.wait", "params": params}
            await client.send(frame)
        refused = await client.answer("2")
        assert refused["error"]["code"] == "UNAVAILABLE"
        assert refused["error"]["retryable"]


async def test_bad_frames_after_hello_are_told_and_the_socket_stays() -> None:
    async with serving() as port, inside(port) as client:
        await client.send("garbage")
        await client.send({"type": "req", "id": "x", "method": "health", "surplus": 1})
        error = (await client.answer("x"))["error"]
        assert error["message"].startswith("invalid request frame: at root: unexpected property")
        assert (await client.ask("health"))["ok"]


async def test_leaving_is_told_before_the_door_closes() -> None:
    async with serving() as port, inside(port) as client:
        port.fanout.publish("shutdown", {"reason": "stop", "restartExpectedMs": None})
        port.door.close_all(1012, "service restart")
        assert (await client.event("shutdown"))["payload"]["reason"] == "stop"
        assert await client.ended() == (1012, "service restart")


def in_thread(port: Port, **options: Any) -> Client:
    return Client(port.url, token=TOKEN, timeout=timedelta(seconds=5), **options)


async def test_the_client_asks_and_raises_what_the_gateway_meant() -> None:
    async with serving() as port:
        port.core.scheduling.jobs = {"cfg:a": {"id": "cfg:a", "source": "config"}}

        def talk() -> None:
            with in_thread(port) as client:
                assert client.call("health")["ok"]
                with pytest.raises(JobNotFound, match="nope"):
                    client.call("cron.get", {"id": "nope"})
                with pytest.raises(ConfigOwned) as owned:
                    client.call("cron.update", {"id": "cfg:a", "patch": {}})
                assert owned.value.fix == "edit it"

        await asyncio.to_thread(talk)


async def test_the_client_waits_for_the_second_answer_of_an_agent() -> None:
    async with serving() as port:
        port.core.conversation.go.set()
        params = {"message": "hi", "idempotencyKey": "final"}

        def talk() -> Any:
            return call("agent", params, url=port.url, token=TOKEN, final=True)

        assert (await asyncio.to_thread(talk))["status"] == "ok"


async def test_the_client_yields_events_as_they_come() -> None:
    async with serving() as port:
        joined = asyncio.Event()
        loop = asyncio.get_running_loop()

        def listen() -> list[Any]:
            with in_thread(port) as client:
                loop.call_soon_threadsafe(joined.set)
                events = client.events({"cron"}, timeout=timedelta(seconds=5))
                return [next(events).payload["n"] for _ in range(2)]

        listening = asyncio.create_task(asyncio.to_thread(listen))
        await joined.wait()
        for number in range(2):
            port.fanout.publish("tick", {"ts": number})
            port.fanout.publish("cron", {"n": number})
        assert await listening == [0, 1]


async def test_the_client_tells_apart_nobody_refused_and_late() -> None:
    async with serving() as port:

        def talk() -> None:
            with pytest.raises(AccessRefused, match="token mismatch"):
                call("health", url=port.url, token="wrong")
            with in_thread(port) as client, pytest.raises(TimedOut):
                client.call("agent.wait", {"runId": "x"}, timeout=timedelta(milliseconds=30))
            with pytest.raises(GatewayDown, match="nothing listens"):
                call("health", url="ws://127.0.0.1:9", token="x", timeout=timedelta(seconds=2))

        await asyncio.to_thread(talk)


async def test_the_client_waits_out_a_gateway_that_is_starting() -> None:
    async with serving() as port:
        port.phase = Phase.STARTING
        asyncio.get_running_loop().call_later(0.2, setattr, port, "phase", Phase.READY)
        answer = await asyncio.to_thread(
            call, "health", url=port.url, token=TOKEN, timeout=timedelta(seconds=5)
        )
        assert answer["ok"]


async def test_a_lasting_client_comes_back_and_repeats_what_may_be_repeated() -> None:
    async with serving() as port:

        def talk() -> None:
            with LastingClient(port.url, token=TOKEN) as client:
                assert client.call("health")["ok"]
                loop.call_soon_threadsafe(port.fanout.close_all, 1012, "service restart")
                events = client.events({"tick"}, timeout=timedelta(seconds=5))
                assert next(events).name == "reconnected"
                loop.call_soon_threadsafe(port.fanout.close_all, 1012, "service restart")
                assert client.call("cron.list")["total"] == 0
                loop.call_soon_threadsafe(port.fanout.close_all, 1012, "service restart")
                with pytest.raises(GatewayDown, match="service restart"):
                    insist(client)
                assert client.call("health")["ok"]

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(talk)


class Forgetful(Client):
    MOST_KEPT = 3


async def test_a_program_that_reads_no_events_keeps_the_newest_only() -> None:
    async with serving() as port:

        def talk() -> list[Any]:
            with Forgetful(port.url, token=TOKEN) as client:
                for n in range(9):
                    loop.call_soon_threadsafe(port.fanout.publish, "tick", {"ts": n})
                client.call("cron.list")
                return [event.payload["ts"] for event in client.events({"tick"}, timeout=SHORT)]

        loop = asyncio.get_running_loop()
        assert await asyncio.to_thread(talk) == [6, 7, 8]


def insist(client: Client) -> None:
    """Write until the close has come."""
    while True:
        client.call("set-heartbeats", {"enabled": True})


@pytest.mark.parametrize(
    ("method", "params", "may"),
    [
        ("cron.list", None, True),
        ("health", {}, True),
        ("send", {"idempotencyKey": "k"}, True),
        ("send", {"to": "me"}, False),
        ("cron.run", {"id": "a"}, False),
        ("config.set", {"raw": "{}"}, False),
    ],
)
def test_a_call_is_repeated_only_if_that_does_no_harm(
    method: str, params: dict[str, Any] | None, may: bool
) -> None:
    assert repeatable(method, params) is may


def http(port: Port, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port.server.port, timeout=5)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]  # kept beyond the socket
    connection.close()
    return response


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/healthz", "GET", 200),
        ("/health", "HEAD", 200),
        ("/healthz", "POST", 405),
        ("/readyz", "GET", 200),
        ("/startupz", "GET", 200),
        ("/nothing", "GET", 404),
        ("/nothing", "POST", 404),
    ],
)
async def test_probes_answer_and_everything_carries_the_common_headers(
    path: str, method: str, status: int
) -> None:
    async with serving() as port:
        response = await asyncio.to_thread(http, port, path, method)
        assert response.status == status
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if status == 405:
            assert response.headers["Allow"] == "GET, HEAD"


async def test_readiness_is_503_until_ready_and_explains_itself_only_to_the_machine() -> None:
    async with serving() as port:
        port.phase = Phase.STARTING
        near = await asyncio.to_thread(http, port, "/readyz")
        far = await asyncio.to_thread(http, port, "/readyz", "GET", **{"X-Real-IP": "10.0.0.1"})
        assert near.status == far.status == 503
        assert json.loads(near.body)["failing"] == ["scheduler"]  # type: ignore[attr-defined]
        assert json.loads(far.body) == {"ready": False}  # type: ignore[attr-defined]
