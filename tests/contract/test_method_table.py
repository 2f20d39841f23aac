"""The method table of the contract, row by row, and what its words promise (§5.1, §9, §10, §11).

Here it stands as the paper has it, not as the code does: name, scope, and the wire that has it.
"""

from __future__ import annotations

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from gateway.protocol.methods import METHODS, names
from gateway.protocol.roles import NODE_METHODS
from tests.fakes.gateway_port import dialled, inside, serving

READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"
PAIRING, APPROVALS = "operator.pairing", "operator.approvals"
PAPER: dict[str | None, str] = {
    None: "health",
    READ: """
        status system-presence last-heartbeat gateway.identity.get logs.tail
        diagnostics.stability usage.status usage.cost gateway.restart.preflight
        cron.status cron.list cron.get cron.runs agents.list agent.identity.get models.list
        models.authStatus tools.catalog tools.effective commands.list skills.status skills.search
        skills.detail artifacts.list channels.status chat.history sessions.list sessions.preview
        sessions.describe sessions.subscribe sessions.unsubscribe sessions.messages.subscribe
        sessions.messages.unsubscribe config.get config.schema config.schema.lookup node.list
        node.describe tasks.list tasks.get gateway.suspend.status
        inbox.list outbox.list outbox.show channels.routes heartbeat.explain cron.explain
        events.since gateway.schema""",
    WRITE: """
        wake agent agent.wait send message.action poll chat.send chat.abort tools.invoke
        tasks.cancel node.invoke sessions.create sessions.send sessions.abort
        inbox.ack channels.sendTest""",
    ADMIN: """
        system-event set-heartbeats update.status gateway.restart.request secrets.reload
        gateway.suspend.prepare gateway.suspend.resume cron.add cron.update cron.remove cron.run
        agents.create agents.update agents.delete channels.start channels.stop channels.logout
        chat.inject config.set config.apply config.patch sessions.patch sessions.reset
        sessions.delete sessions.compact outbox.retry outbox.cancel outbox.purge""",
    PAIRING: """
        device.pair.list device.pair.approve device.pair.reject device.pair.remove
        device.token.rotate device.token.revoke node.pair.list
        pairing.list pairing.approve pairing.reject""",
    APPROVALS: "exec.approval.list exec.approval.resolve",
}
ROWS = [(name, scope) for scope, told in PAPER.items() for name in told.split()]
ONLY_4 = {
    "tasks.list",
    "tasks.get",
    "tasks.cancel",
    "gateway.suspend.prepare",
    "gateway.suspend.status",
    "gateway.suspend.resume",
}
NOT_HERE = """
    plugin.approval.list exec.approvals.get talk.config tts.status voicewake.get wizard.start
    web.login.start browser.request skills.install skills.update update.run doctor.memory.status
"""
# What the real command lines call every day (§12.6).
EVERYDAY = """
    health status system-presence config.get wake last-heartbeat set-heartbeats cron.status
    cron.list cron.get cron.add cron.update cron.remove cron.run cron.runs logs.tail
    channels.status message.action send agent agent.wait device.pair.list node.list
    secrets.reload sessions.list agents.list agent.identity.get models.list config.schema
    chat.send chat.history gateway.restart.preflight
"""


@pytest.mark.parametrize(("name", "scope"), ROWS)
def test_each_method_of_the_paper_is_there_with_its_scope(name: str, scope: str | None) -> None:
    assert METHODS[name].scope == scope
    assert (name in names(3)) == (name not in ONLY_4)
    assert name in names(4)


async def test_what_is_not_kept_is_told_in_a_form_command_lines_can_read() -> None:
    async with serving() as port, inside(port) as client:
        steady = (await client.ask("diagnostics.stability"))["payload"]
        assert (steady["count"], steady["events"], steady["summary"]["byType"]) == (0, [], {})
        cost = (await client.ask("usage.cost", {"days": 30}))["error"]
        assert "not added up here" in cost["message"]  # "$0.00" would not be true
        assert "engine heartbeat cost" in cost["message"]  # command lines show no more than this
        assert cost["details"]["fix"] == "engine heartbeat cost --by day"


@pytest.mark.parametrize("wire", [3, 4])
def test_what_command_lines_call_every_day_is_on_both_wires(wire: int) -> None:
    assert set(EVERYDAY.split()) <= set(names(wire))


# Others than readers may call them, and nothing is changed by them; the last are of nodes.
TELLS_ONLY = """
    health agent.wait cron.simulate exec.approval.list pairing.list device.pair.list node.pair.list
    update.status skills.bins node.event node.pending.pull node.pending.drain node.pending.ack
"""


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, method in METHODS.items()
        if method.scope != READ and name not in TELLS_ONLY.split()
    ),
)
def test_every_call_that_changes_something_takes_a_key_of_idempotency(name: str) -> None:
    """Otherwise a client that lost the answer can only do it twice or not at all (§8)."""
    assert "idempotency_key" in METHODS[name].params.model_fields


async def test_a_test_message_asked_for_twice_with_one_key_is_sent_once() -> None:
    async with serving() as port, inside(port) as client:
        asked = {"agentId": "main", "idempotencyKey": "k-test"}
        first = await client.ask("heartbeat.test", asked, "1")
        again = await client.ask("heartbeat.test", asked, "2")
        assert first["ok"]
        assert again["payload"] == first["payload"]
        assert [name for name, _ in port.core.said].count("test") == 1
        other = await client.ask("heartbeat.test", {**asked, "idempotencyKey": "k-2"}, "3")
        assert other["ok"]
        assert [name for name, _ in port.core.said].count("test") == 2


@pytest.mark.parametrize("wire", [3, 4])
async def test_each_missing_scope_is_told_in_the_words_of_the_wire(wire: int) -> None:
    async with (
        serving() as port,
        inside(port, minProtocol=wire, maxProtocol=wire, scopes=["operator.talk"]) as client,
    ):
        for name, scope in ROWS:
            if scope is None or (wire == 3 and name in ONLY_4):
                continue
            error = (await client.ask(name))["error"]
            assert error["message"] == f"missing scope: {scope}"
            if wire == 3:
                assert (error["code"], error.get("details")) == ("INVALID_REQUEST", None)
            else:
                told = {"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]}
                assert (error["code"], error["details"]) == ("FORBIDDEN", told)


@pytest.mark.parametrize("wire", [3, 4])
async def test_what_is_not_offered_is_unknown_to_the_owner_and_untold_to_others(wire: int) -> None:
    spoken = {"minProtocol": wire, "maxProtocol": wire}
    async with (
        serving() as port,
        inside(port, **spoken) as owner,
        inside(port, **spoken, scopes=["operator.write"]) as other,
    ):
        for name in NOT_HERE.split():
            assert name not in METHODS
            assert (await owner.ask(name))["error"]["message"] == f"unknown method: {name}"
            assert (await other.ask(name))["error"]["message"] == f"missing scope: {ADMIN}"


@pytest.mark.parametrize("wire", [3, 4])
async def test_a_second_connect_and_calls_of_nodes_are_refused_by_name(wire: int) -> None:
    async with (
        serving() as port,
        inside(port, minProtocol=wire, maxProtocol=wire) as client,
    ):
        error = (await client.ask("connect", {}))["error"]
        assert (error["code"], "first request" in error["message"]) == ("INVALID_REQUEST", True)
        for name in sorted(NODE_METHODS):
            error = (await client.ask(name))["error"]
            assert (error["code"], error["message"]) == (
                "INVALID_REQUEST",
                "unauthorized role: operator",
            )


@pytest.mark.parametrize("wire", [3, 4])
async def test_a_role_that_calls_on_and_on_what_is_not_its_own_is_cut(wire: int) -> None:
    async with (
        serving() as port,
        inside(port, minProtocol=wire, maxProtocol=wire) as client,
    ):
        for _ in range(10):
            await client.ask("node.event")
        assert (await client.ask("health"))["ok"]  # a good one in between begins the count anew
        for _ in range(11):
            await client.ask("node.event")
        assert await client.ended() == (1008, "repeated unauthorized calls")


async def test_what_is_not_built_says_so_over_http_and_at_the_upgrade() -> None:
    async with serving() as port:
        async with httpx.AsyncClient(base_url=port.site) as browser:
            answer = await browser.get("/voiceclaw/realtime")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "feature_unavailable")
        with pytest.raises(InvalidStatus) as refused:
            async with dialled(_At(port, "/voiceclaw/realtime")):  # type: ignore[arg-type]
                pass
        assert refused.value.response.status_code == 404
        assert b"feature_unavailable" in refused.value.response.body


class _At:
    """A path of the port."""

    def __init__(self, port: object, path: str) -> None:
        self.url = f"{port.url}{path}"  # type: ignore[attr-defined]
