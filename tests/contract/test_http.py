"""HTTP on the gateway's port, request by request (protocol.md §11)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.client import HTTPConnection
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.config.schema.gateway import Http
from engine.decisions.lags import Lags
from gateway.auth.policy import Mode, Policy
from gateway.http.metrics import MOST_SERIES, Sample, Spread, figures, text_of, within
from gateway.protocol.handshake import Phase
from tests.fakes.gateway_port import TOKEN, Port, serving

CHAT = {"model": "engine", "messages": [{"role": "user", "content": "hi"}]}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        return self.json["error"]


async def ask(
    port: Port,
    path: str,
    body: object = None,
    *,
    method: str = "",
    headers: Mapping[str, str] = BEARER,
    kind: str = "application/json",
) -> Answer:
    def talk() -> Answer:
        connection = HTTPConnection("127.0.0.1", port.server.port, timeout=5)
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        told = {**headers, **({"Content-Type": kind} if raw is not None and kind else {})}
        connection.request(method or ("GET" if raw is None else "POST"), path, raw, told)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize(
    ("path", "method", "body", "kind", "status", "code"),
    [
        ("/v1/nothing", "GET", None, "", 404, "unknown_url"),
        ("/v1/models", "POST", {}, "application/json", 405, "method_not_allowed"),
        ("/v1/chat/completions", "GET", None, "", 405, "method_not_allowed"),
        ("/v1/chat/completions", "DELETE", None, "", 405, "method_not_allowed"),
        ("/v1/chat/completions", "POST", b"{}", "text/plain", 415, "unsupported_media_type"),
        ("/v1/chat/completions", "POST", b"{", "application/json", 400, "invalid_json"),
        ("/v1/chat/completions", "POST", b"[]", "application/json", 400, "invalid_json"),
        ("/v1/responses", "POST", b"\xff", "application/json", 400, "invalid_json"),
        ("/v1/responses", "POST", b"[" * 99_999, "application/json", 400, "invalid_json"),
    ],
)
async def test_every_refusal_is_an_error_object(
    path: str, method: str, body: object, kind: str, status: int, code: str
) -> None:
    async with serving() as port:
        answer = await ask(port, path, body, method=method, kind=kind)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert answer.error["message"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if status == 405:
            assert answer.headers["Allow"] in ("POST", "GET, HEAD")


async def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    async with serving() as port:
        told = {**BEARER, "Content-Length": str(21 * 1024 * 1024)}
        answer = await ask(port, "/v1/chat/completions", b"", headers=told)
        assert (answer.status, answer.error["code"]) == (413, "payload_too_large")


async def test_a_long_conversation_is_no_long_head() -> None:
    async with serving() as port:
        port.core.conversation.go.set()
        text = "x" * 300_000
        wish = {"model": "engine", "messages": [{"role": "user", "content": text}]}
        assert (await ask(port, "/v1/chat/completions", wish)).status == 200
        (order,) = port.core.said.of("converse")
        assert order.text == text


async def test_without_a_secret_nobody_gets_in_and_nothing_is_told() -> None:
    async with serving() as port:
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = await ask(port, "/v1/chat/completions", CHAT, headers=headers)
            assert answer.status == 401
            assert answer.json == {"error": {"message": "Unauthorized", "type": "unauthorized"}}
        assert port.core.said.of("converse") == []


async def test_a_guesser_is_locked_out_and_told_for_how_long() -> None:
    async with serving() as port:
        far = {"X-Forwarded-For": "203.0.113.9"}  # no caller of this machine any more
        for _ in range(10):
            wrong = {**far, "Authorization": "Bearer guess"}
            assert (await ask(port, "/v1/models", headers=wrong)).status == 401
        answer = await ask(port, "/v1/models", headers={**far, **BEARER})
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 300


async def test_a_page_of_another_origin_is_refused_whatever_it_knows() -> None:
    async with serving() as port:
        answer = await ask(port, "/v1/models", headers={**BEARER, "Origin": "https://evil.example"})
        assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")


async def test_without_auth_only_this_machine_by_its_own_name_is_let_in() -> None:
    async with serving() as port:
        port.door.gatekeeper.adopt(Policy(mode=Mode.NONE))
        assert (await ask(port, "/v1/models", headers={})).status == 200
        rebound = await ask(port, "/v1/models", headers={"Host": "evil.example"})
        assert rebound.status == 401


async def test_a_caller_without_a_secret_may_be_less_than_the_owner() -> None:
    async with serving() as port:
        port.core.conversation.go.set()
        port.door.gatekeeper.adopt(Policy(mode=Mode.NONE))
        reader = {"X-OpenClaw-Scopes": "operator.read, operator.king"}
        assert (await ask(port, "/v1/models", headers=reader)).status == 200
        refused = await ask(port, "/v1/chat/completions", CHAT, headers=reader)
        assert (refused.status, refused.error["code"]) == (403, "missing_scope")
        writer = {"X-Engine-Scopes": "operator.write", "X-Engine-Model": "openai/gpt-5"}
        refused = await ask(port, "/v1/chat/completions", CHAT, headers=writer)
        assert refused.status == 403
        assert port.core.said.of("converse") == []
        owner = {**BEARER, "X-Engine-Scopes": "operator.read"}
        port.door.gatekeeper.adopt(Policy(mode=Mode.TOKEN, token=TOKEN))
        assert (await ask(port, "/v1/chat/completions", CHAT, headers=owner)).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"])
async def test_an_endpoint_that_is_switched_off_is_not_there_and_says_how_to_switch_it_on(
    path: str,
) -> None:
    async with serving() as port:
        port.http = Http()
        answer = await ask(port, path, CHAT)
        assert answer.status == 404
        assert "engine config set gateway.http.endpoints." in answer.error["message"]


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
async def test_before_and_after_its_time_agents_are_unavailable_and_probes_stay_up(
    phase: Phase,
) -> None:
    async with serving() as port:
        port.phase = phase
        answer = await ask(port, "/v1/chat/completions", CHAT)
        assert (answer.status, answer.error["code"]) == (503, "gateway_unavailable")
        assert answer.headers["Retry-After"]
        assert (await ask(port, "/healthz")).status == 200


async def test_a_tool_is_used_by_hand_and_what_changes_the_machine_is_not() -> None:
    async with serving() as port:
        read = {"tool": "read", "args": {"path": "a"}, "sessionKey": "main"}
        used = await ask(port, "/tools/invoke", read)
        assert (used.status, used.json) == (200, {"ok": True, "result": "text"})
        for name in ("exec", "cron", "nothing"):
            refused = await ask(port, "/tools/invoke", {"tool": name})
            assert (refused.status, refused.json["ok"]) == (404, False)
        assert (await ask(port, "/tools/invoke", {"args": {}})).status == 400
        assert (await ask(port, "/tools/invoke", {**read, "dryRun": True})).status == 200
        assert [call[0] for call in port.core.said.of("invoke")] == ["read"]


async def test_embeddings_are_refused_by_name() -> None:
    async with serving() as port:
        wish = {"model": "text-embedding-3-small", "input": "x"}
        refused = await ask(port, "/v1/embeddings", wish)
        assert (refused.status, refused.error["code"]) == (404, "model_not_found")
        assert (await ask(port, "/v1/embeddings", {"input": "x"})).status == 400


async def test_metrics_are_for_who_shows_the_secret_and_can_be_parsed() -> None:
    async with serving() as port:
        assert (await ask(port, "/metrics", headers={})).status == 401
        answer = await ask(port, "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {one.name for one in text_string_to_metric_families(answer.raw.decode())}
        assert {"engine_info", "engine_healthy", "cron_jobs"} <= families


def test_figures_have_the_names_of_the_slo_and_labels_are_escaped() -> None:
    slo = {"lagMs": {"p50": 1, "p99": 20}, "beats": {"expected": 48, "done": 47}}
    beats = {"counts": {'o"k\\\n': 3}, "slo": {**slo, "delivery": {"rate": 0.5}}}
    cron = {"jobs": 4, "runs24h": {"ok": 7, "failed": 1}}
    now = datetime(2026, 3, 1, tzinfo=UTC)
    told = figures({"ok": True, "outbox": {"queued": 2}}, cron, beats, now)
    read = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text_of([*told]))
        for sample in family.samples
    }
    assert read["heartbeat_slot_lag_p99_seconds",] == 0.02
    assert read["heartbeat_expected",] == 48
    assert read["heartbeat_delivery_rate",] == 0.5
    assert read["outbox_messages", "queued"] == 2
    assert (read["cron_runs", "ok"], read["cron_runs", "failed"]) == (7, 1)
    assert read["heartbeat_beats", 'o"k\\\n'] == 3


async def test_lateness_is_a_histogram_and_ends_of_messages_are_counted() -> None:
    async with serving() as port:
        page = (await ask(port, "/metrics")).raw.decode()
    lines = page.splitlines()
    assert 'scheduler_slot_lag_seconds_bucket{le="0.5"} 2.0' in lines
    assert 'scheduler_slot_lag_seconds_bucket{le="+Inf"} 3.0' in lines
    assert "scheduler_slot_lag_seconds_sum 1.5" in lines
    assert 'delivery_messages_total{state="delivered"} 4.0' in lines
    assert 'agent_turns{state="running"} 1.0' in lines
    assert 'outbox_messages{state="queued"} 0.0' in lines  # nothing waits, and that is told
    assert "engine_metrics_overflow_total 0.0" in lines


def test_a_page_of_metrics_has_a_bound_and_counts_what_is_left_out() -> None:
    many = [Sample("beats", 1, {"outcome": f"o{n}"}, "Beats.") for n in range(MOST_SERIES + 7)]
    lag = Spread("lag", [("1", 1.0), ("+Inf", 1.0)], 0.5, "Lag.")
    kept, over = within([lag, *many])
    assert (len(kept), over) == (1 + MOST_SERIES - len(lag), 7 + len(lag))
    assert kept[0] is lag


def test_lateness_is_counted_under_the_edge_it_is_within() -> None:
    lags = Lags()
    for seconds in (-1, 0.005, 0.0051, 4, 9999):
        lags.add(timedelta(seconds=seconds))
    told = dict(lags.buckets())
    assert (told["0.005"], told["0.015"], told["2.5"], told["5"]) == (2, 3, 3, 4)
    assert (told["3600"], told["+Inf"]) == (4, 5)


async def test_headers_choose_agent_session_and_model_under_both_names() -> None:
    async with serving() as port:
        port.core.conversation.go.set()
        for brand in ("openclaw", "engine"):
            told = {
                **BEARER,
                f"x-{brand}-agent-id": "ops",
                f"x-{brand}-session-key": "project",
                f"x-{brand}-model": "openai/gpt-5",
            }
            assert (await ask(port, "/v1/chat/completions", CHAT, headers=told)).status == 200
        for order in port.core.said.of("converse"):
            assert (order.agent_id, order.model) == ("ops", "openai/gpt-5")
            assert order.session_key == "agent:ops:project"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_leaves_ends_its_turn(stream: bool) -> None:
    async with serving() as port:
        await _ask_and_leave(port, {**CHAT, "stream": stream}, {})
        assert await port.core.conversation.aborted() == port.core.said.of("converse")[0].run_id


async def test_a_turn_with_a_key_goes_on_without_its_caller() -> None:
    async with serving() as port:
        key = {"Idempotency-Key": "k-9"}
        await _ask_and_leave(port, CHAT, key)
        port.core.conversation.go.set()
        answer = await ask(port, "/v1/chat/completions", CHAT, headers={**BEARER, **key})
        assert answer.json["choices"][0]["message"]["content"] == "hello"
        assert len(port.core.said.of("converse")) == 1


async def _ask_and_leave(port: Port, body: object, headers: Mapping[str, str]) -> None:
    raw = json.dumps(body).encode()
    told = {**BEARER, **headers, "Content-Type": "application/json", "Host": "127.0.0.1"}
    told["Content-Length"] = str(len(raw))
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    _, writer = await asyncio.open_connection("127.0.0.1", port.server.port)
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + raw)
    await port.core.conversation.begun()
    writer.close()
    await writer.wait_closed()


async def test_transport_security_is_told_only_where_it_is_configured() -> None:
    async with serving() as port:
        assert "Strict-Transport-Security" not in (await ask(port, "/healthz")).headers
        value = "max-age=31536000"
        port.http = Http.model_validate({"securityHeaders": {"strictTransportSecurity": value}})
        answer = await ask(port, "/healthz")
        assert answer.headers["Strict-Transport-Security"] == value


async def test_a_guess_at_a_probe_counts_like_any_other() -> None:
    far = {"X-Real-IP": "10.9.9.9"}
    async with serving() as port:
        told = await ask(port, "/readyz", headers={**BEARER, **far})
        assert told.json == {"ready": True, "failing": [], "uptimeMs": 1}
        for guess in range(10):
            wrong = {"Authorization": f"Bearer guess-{guess}", **far}
            assert (await ask(port, "/readyz", headers=wrong)).json == {"ready": True}
        assert (await ask(port, "/readyz", headers={**BEARER, **far})).json == {"ready": True}
        assert (await ask(port, "/v1/models", headers={**BEARER, **far})).status == 429


async def test_nobody_goes_on_from_a_response_that_was_forgotten() -> None:
    body = {"model": "engine", "input": "hi", "previous_response_id": f"resp_{'0a' * 16}.00000000"}
    async with serving() as port:
        port.core.sessions.describe = _forgotten  # type: ignore[method-assign, assignment]
        answer = await ask(port, "/v1/responses", body)
        assert (answer.status, answer.error["code"]) == (404, "response_not_found")
        assert not [what for what, _ in port.core.said if what == "converse"]


async def _forgotten(_: str) -> None:
    """Nothing is known of it."""
