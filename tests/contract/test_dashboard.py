"""The status page over real HTTP and its script's WebSocket (protocol.md §4.3, §4.6, §11)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from http.cookies import SimpleCookie
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.auth.policy import Mode, Policy
from gateway.protocol.handshake import Phase
from gateway.protocol.methods import EVENTS, METHODS, Scope
from tests.contract.test_http import Answer, ask
from tests.fakes.gateway_port import TOKEN, Port, Raw, connect_params, dialled, inside, serving

FORM = "application/x-www-form-urlencoded"
UI = {"id": "openclaw-control-ui", "mode": "ui", "version": "1", "platform": "web"}
WISH = ["operator.read", "operator.write", "operator.admin"]


async def look(port: Port, cookie: str = "", **more: Any) -> Answer:
    return await ask(port, "/", headers={"Cookie": cookie} if cookie else {}, **more)


async def enter(port: Port, code: str, **headers: str) -> Answer:
    told = {"Origin": port.site, **headers}
    return await ask(
        port, "/dashboard/visit", urlencode({"code": code}).encode(), headers=told, kind=FORM
    )


async def visit(port: Port) -> str:
    """A code is offered over RPC, used on the form, and becomes a cookie."""
    async with inside(port) as client:
        offered = (await client.ask("dashboard.open"))["payload"]
    path, _, code = offered["path"].partition("#token=")
    assert path == "/"
    answer = await enter(port, code)
    assert answer.status == 303
    return cookie_of(answer)


def cookie_of(answer: Answer) -> str:
    ((name, morsel),) = SimpleCookie(answer.headers["Set-Cookie"]).items()
    return f"{name}={morsel.value}"


def page(port: Port, cookie: str, origin: str | None = None) -> dict[str, Any]:
    """How the script of the page dials."""
    return {"origin": origin or port.site, "additional_headers": {"Cookie": cookie}}


async def greet(client: Raw, **changes: Any) -> Any:
    told = connect_params(client=UI, scopes=WISH, auth={}, **changes)
    return await client.ask("connect", told, "hello")


# -- who is let in -------------------------------------------------------------------------


async def test_who_is_not_let_in_sees_a_form_and_nothing_of_the_engine() -> None:
    async with serving() as port:
        answer = await look(port)
        text = answer.raw.decode()
        assert answer.status == 401
        assert '<form method="post" action="/dashboard/visit">' in text
        assert "engine dashboard" in text
        assert "main</h3>" not in text
        assert TOKEN not in text


@pytest.mark.parametrize("path", ["/", "/dashboard.css", "/dashboard.js"])
async def test_nothing_comes_from_elsewhere_and_no_frame_holds_it(path: str) -> None:
    async with serving() as port:
        headers = (await ask(port, path, headers={})).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_page_is_never_kept_by_a_cache() -> None:
    async with serving() as port:
        cookie = await visit(port)
        assert (await look(port, cookie)).headers["Cache-Control"] == "no-store"


async def test_a_code_lets_one_browser_in_once() -> None:
    async with serving() as port:
        async with inside(port) as client:
            code = (await client.ask("dashboard.open"))["payload"]["path"].rpartition("=")[2]
        first = await enter(port, code)
        assert (first.status, first.headers["Location"]) == (303, "/")
        told = first.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(told.split("; "))
        again = await enter(port, code)
        assert again.status == 401
        assert b"this code was used" in again.raw
        assert (await look(port, cookie_of(first))).status == 200


async def test_the_secret_itself_lets_in_without_a_script() -> None:
    async with serving() as port:
        answer = await enter(port, TOKEN)
        assert answer.status == 303
        page = (await look(port, cookie_of(answer))).raw.decode()
        assert "main</h3>" in page or 'id="agents"' in page
        assert TOKEN not in page


async def test_guessing_locks_out_on_this_machine_too() -> None:
    async with serving() as port:
        answers = [await enter(port, f"guess-{n}") for n in range(11)]
        assert [one.status for one in answers] == [401] * 10 + [429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert (await enter(port, TOKEN)).status == 429


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
async def test_a_form_of_another_page_is_refused_and_counts_nothing(origin: str) -> None:
    async with serving() as port:
        answers = [await enter(port, "x", Origin=origin) for _ in range(12)]
        assert {one.status for one in answers} == {403}
        assert (await enter(port, TOKEN)).status == 303


async def test_a_form_that_is_too_large_is_not_read() -> None:
    async with serving() as port:
        assert (await enter(port, "x" * 5000)).status == 413


async def test_where_no_secret_is_asked_for_the_page_is_open_on_this_machine() -> None:
    async with serving() as port:
        port.door.gatekeeper.adopt(Policy(mode=Mode.NONE))
        answer = await look(port)
        assert answer.status == 200
        async with dialled(port, **page(port, cookie_of(answer))) as client:
            assert (await greet(client))["ok"]
        foreign = await ask(port, "/", headers={"Host": "engine.example"})
        assert foreign.status == 401


async def test_the_config_may_switch_it_off() -> None:
    async with serving() as port:
        port.page = False
        for path in ("/", "/dashboard.js", "/dashboard/visit"):
            assert (await ask(port, path, headers={})).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 401),
        ("POST", "/", 405),
        ("GET", "/dashboard/visit", 405),
        ("GET", "/dashboard", 404),
        ("GET", "/page.html", 404),
        ("GET", "/frame.html", 404),
    ],
)
async def test_each_path_has_its_methods(method: str, path: str, status: int) -> None:
    async with serving() as port:
        assert (await ask(port, path, headers={}, method=method)).status == status


# -- what it tells -------------------------------------------------------------------------


async def test_the_verdict_comes_first_and_names_the_fix() -> None:
    async with serving() as port:
        cookie = await visit(port)
        text = (await look(port, cookie)).raw.decode()
        assert text.index("<h1>healthy</h1>") < text.index("<h2>Agents</h2>")
        port.core.failing = {"scheduler": "the timer is 90 s late. Fix: engine gateway restart"}
        await port.desk.health.refresh()
        text = (await look(port, cookie)).raw.decode()
        assert "<h1>scheduler does not work: the timer is 90 s late</h1>" in text
        assert "<code>engine gateway restart</code>" in text
        port.phase = Phase.DRAINING
        assert "<h1>the gateway is stopping" in (await look(port, cookie)).raw.decode()


async def test_what_people_and_agents_wrote_is_text_and_never_markup() -> None:
    wicked = "<script>alert(1)</script>\"'&"
    async with serving() as port:
        port.core.scheduling.jobs["j"] = {
            "id": wicked,
            "name": wicked,
            "schedule": {"kind": wicked},
        }
        port.core.kept.entries.append(
            {"id": wicked, "state": "unread", "text": wicked, "because": wicked, "atMs": 0}
        )
        text = (await look(port, await visit(port))).raw.decode()
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert len(re.findall(r"<script", text)) == 1
        (params,) = re.findall(r"data-method=\"heartbeat.inbox.ack\" data-params='([^']*)'", text)
        assert "<" not in params
        assert json.loads(params) == {"id": wicked}


# -- its script ----------------------------------------------------------------------------


async def test_the_script_calls_with_the_cookie_and_gets_read_and_write_at_most() -> None:
    async with serving() as port:
        cookie = await visit(port)
        async with dialled(port, **page(port, cookie)) as client:
            hello = await greet(client)
            assert hello["payload"]["auth"]["scopes"] == ["operator.read", "operator.write"]
            assert hello["payload"]["auth"]["method"] == "visit"
            assert (await client.ask("heartbeat.run", {"agentId": "main"}))["ok"]
            refused = await client.ask("cron.remove", {"id": "x"})
            assert refused["error"]["message"] == "missing scope: operator.admin"


async def test_another_page_of_this_machine_cannot_ride_on_the_cookie() -> None:
    """Browsers send a cookie of 127.0.0.1 to each of its ports, from the page of each."""
    async with serving() as port:
        cookie = await visit(port)
        async with dialled(port, **page(port, cookie, "http://127.0.0.1:3000")) as client:
            assert (await greet(client))["error"]["code"] == "NOT_PAIRED"
        async with dialled(port, **page(port, cookie, "https://evil.example")) as client:
            details = (await greet(client))["error"]["details"]
            assert details["code"] == "CONTROL_UI_ORIGIN_NOT_ALLOWED"


async def test_without_a_cookie_the_rules_of_browsers_stand() -> None:
    async with serving() as port, dialled(port, origin=port.site) as client:
        hello = await client.ask("connect", connect_params(client=UI), "hello")
        code = hello["error"]["details"]["code"]
        assert code == "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"


async def test_a_cookie_is_of_the_page_and_helps_no_other_client() -> None:
    async with serving() as port:
        told = page(port, await visit(port))
        async with dialled(port, **told) as client:
            hello = await client.ask("connect", connect_params(auth={}), "hello")
            assert not hello["ok"]


async def test_a_replaced_secret_ends_the_visit() -> None:
    async with serving() as port:
        cookie = await visit(port)
        keeper = port.door.gatekeeper
        keeper.adopt(replace(keeper.policy, token="a-new-secret-of-the-gateway"))
        assert (await look(port, cookie)).status == 401
        async with dialled(port, **page(port, cookie)) as client:
            assert not (await greet(client))["ok"]


def test_the_script_calls_nothing_there_is_not_and_nothing_a_visit_may_not() -> None:
    place = files("gateway.http.dashboard") / "files"
    script, shown = ((place / name).read_text("utf-8") for name in ("dashboard.js", "page.html"))
    called = set(re.findall(r'data-method="([^"]+)"', shown))
    assert called == {"heartbeat.run", "heartbeat.inbox.ack"}
    assert {METHODS[name].scope for name in called} == {Scope.WRITE}
    (events,) = re.findall(r"const EVENTS = (\[[^\]]*\])", script)
    assert set(json.loads(events)) <= set(EVENTS)
    assert "http://" not in script + shown
    assert not re.search(r"\bon\w+=|style=", shown), "the policy lets nothing inline through"
