"""`gateway status`: the verdict first, one fact a line, keys that stay (§9.1–§9.3)."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.cli.gateway.report import words
from gateway import exits
from gateway.service import unit
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEYS = {
    "": "schema ok verdict cli logFile stateDir service config gateway auth port probe rpc"
    " scheduler linger lastExit lastError extraServices",
    "verdict": "code message fix",
    "cli": "version entrypoint",
    "service": "manager label installed enabled loaded file command env missing runtime drift",
    "service.runtime": "status pid state subState lastExitCode lastExitReason restarts since"
    " enabled loaded result",
    "config": "cli daemon mismatch",
    "config.cli": "path exists valid issues writtenBy",
    "gateway": "bindMode bindHosts port portSource probeUrl urlSource probeNote dashboardUrl"
    " version bootId uptimeMs",
    "auth": "mode serverSource clientSource match",
    "port": "port status listeners hints",
}
ORDER = [
    "Verdict", "Service", "File logs", "Config (cli)", "Gateway", "Auth", "Probe target",
    "Dashboard", "CLI version", "Runtime", "Connectivity probe", "Capability",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_the_keys_of_the_json_stay(engine: Engine, nobody: None, key: str) -> None:
    here = json.loads(engine("gateway", "status", "--json").out)
    for part in filter(None, key.split(".")):
        here = here[part]
    assert set(here) == set(KEYS[key].split())


def test_one_fact_a_line_in_the_order_of_the_paper(engine: Engine, nobody: None) -> None:
    told = engine("gateway", "status")
    assert told.status == 1
    assert [line.partition(":")[0] for line in told.out.splitlines()] == ORDER
    assert "(the gateway is stopped" not in told.out
    assert "gateway is not running (nothing listens on 127.0.0.1:1)" in told.out.splitlines()[0]


def test_it_reports_with_a_config_nobody_can_read(engine: Engine, home: Path, nobody: None) -> None:
    (home / ".engine" / "engine.json").write_text("{ gateway: { mod: 1 ")
    told = engine("gateway", "status")
    assert told.status == 1
    assert told.out.startswith("Verdict:            the config file cannot be used.")
    assert "engine.json (invalid (1 issue))" in told.out


def test_what_runs_is_told_with_what_this_command_may_do(engine: Engine, gateway: Port) -> None:
    told = engine("gateway", "status", "--require-rpc")
    assert told.status == 0
    assert "Connectivity probe: ok (" in told.out
    assert "Capability:         admin-capable" in told.out
    assert (
        "Auth:               token (from file); CLI: token found in file → will be sent" in told.out
    )
    answer = json.loads(engine("gateway", "status", "--json").out)
    assert (answer["auth"]["match"], answer["rpc"]["ok"], answer["probe"]["kind"]) == (
        True, True, "read",
    )  # fmt: skip
    assert answer["port"]["listeners"][0]["address"].endswith(f":{gateway.server.port}")


def test_a_token_that_is_refused_is_told_as_such(engine: Engine, gateway: Port) -> None:
    answer = json.loads(engine("gateway", "status", "--token", "wrong", "--json").out)
    assert (answer["ok"], answer["auth"]["match"]) == (False, False)


def test_without_a_probe_no_socket_is_opened(engine: Engine, gateway: Port) -> None:
    answer = json.loads(engine("gateway", "status", "--no-probe", "--json").out)
    assert answer["probe"] == {"ok": None, "kind": "none"}
    assert answer["verdict"]["code"] == "gateway.stopped"  # nobody holds this home
    both = engine("gateway", "status", "--no-probe", "--require-rpc")
    assert both.status == 2


def test_a_port_somebody_else_holds_is_named(engine: Engine, home: Path) -> None:
    """operations.md §16 L17: only a foreign owner is called one."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        (home / ".engine" / "engine.json").write_text(f"{{ gateway: {{ port: {port} }} }}")
        answer = json.loads(engine("gateway", "status", "--no-probe", "--json").out)
        told = engine("gateway", "status", "--no-probe").out
    assert answer["port"]["status"] == "foreign"
    assert f"port {port} is in use by pid" in told.splitlines()[-1]


def test_secrets_in_a_unit_are_only_set() -> None:
    text = (
        "ExecStart=/bin/engine gateway run\nEnvironment=ENGINE_GATEWAY_TOKEN=abc\nEnvironment=A=b\n"
    )
    command, environ = unit.said_by(text)
    assert command == ["/bin/engine", "gateway", "run"]
    assert environ == {"ENGINE_GATEWAY_TOKEN": "set", "A": "b"}


def test_how_the_last_one_ended_is_told_in_words(engine: Engine, home: Path, nobody: None) -> None:
    """operations.md §16 L2: nobody has to guess why it is gone."""
    ended = exits.LastExit(
        at=NOW, reason=exits.Reason.CONFIG_INVALID, code=78, last_error="line 3 is wrong"
    )
    (home / ".engine" / exits.FILE).write_text(json.dumps(ended.to_json()))
    told = engine("gateway", "status").out
    assert "stopped (state inactive, sub dead, last exit 78, reason config-invalid)" in told
    assert "Last exit:          2026-03-02 12:00:00 — refused to start with its config" in told
    assert "Last gateway error: line 3 is wrong" in told


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"installed": False, "missing": None}, "not installed"),
        ({"installed": False, "missing": "none here"}, "no service manager"),
        ({"installed": True, "manager": "systemd user", "enabled": True}, "systemd user (enabled)"),
    ],
)
def test_the_service_in_one_line(service: dict[str, object], said: str) -> None:
    assert words.service_words(service) == said


def test_a_port_of_somebody_else_leads_on_and_not_back_to_where_one_stands(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor knows who holds the port and names one that is free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("ENGINE_GATEWAY_PORT", str(other.getsockname()[1]))
        talker = threading.Thread(target=_web_page, args=(other,), daemon=True)
        talker.start()
        told = engine("gateway", "status").out.splitlines()[0]
    assert told.endswith("Fix: engine doctor"), told


def _web_page(other: socket.socket) -> None:
    with suppress(OSError):  # closed by the test
        while True:
            visitor, _ = other.accept()
            with visitor:
                visitor.recv(4096)
                visitor.sendall(b"no such page")
