"""What the support thread taught, lesson by lesson (operations.md §16, L1 to L23).

Where a lesson has its proof elsewhere, the table below names it, and a proof that goes is missed;
what had none is proved here. The thread as a whole is replayed in `test_silence.py`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from engine.cli.app import run
from tests.fakes.gateway_port import TOKEN, Port
from tests.fakes.gateway_thread import running

ROOT: Final = Path(__file__).parents[2]
CLI: Final = "tests/unit/engine/cli"
PROVED: Final[Mapping[str, tuple[str, ...]]] = {
    "L1": (f"{CLI}/test_commands.py::test_nothing_is_green_while_the_gateway_is_down",),
    "L2": (
        "tests/acceptance/test_last_exit.py::test_five_ends_have_five_sentences",
        (
            "tests/unit/gateway/test_exits.py"
            "::test_a_stop_is_told_with_its_signal_and_the_last_error_of_that_life"
        ),
    ),
    "L3": ("tests/contract/test_limits_wire.py::test_every_close_of_the_port_has_a_reason",),
    "L4": ("tests/acceptance/test_silence.py::test_three_commands_lead_from_silence_to_a_receipt",),
    "L5": (
        f"{CLI}/test_place.py::test_what_a_hidden_secret_prints_as_is_refused_as_a_credential",
        "tests/unit/engine/config/test_edit.py::test_a_redaction_marker_is_never_written",
    ),
    "L6": (f"{CLI}/test_logs.py::test_a_wrong_token_keeps_nobody_from_the_log",),
    "L8": (
        "tests/test_docs.py::test_every_reason_is_explained_as_the_command_explains_it",
        "tests/test_docs.py::test_every_way_a_message_fails_is_explained_with_the_way_out",
    ),
    "L9": (
        f"{CLI}/test_commands.py::test_an_event_waits_and_tells_the_outcome",
        f"{CLI}/test_commands.py::test_an_event_is_not_waited_for_if_nobody_wants_to",
        (
            "tests/unit/engine/wording/test_outcome.py"
            "::test_who_asked_for_an_answer_is_answered_even_if_all_is_well"
        ),
    ),
    "L11": (
        "tests/flow/test_trial.py::test_it_goes_where_an_alert_would_go_and_no_model_is_asked",
        "tests/flow/test_trial.py::test_without_a_route_nothing_is_sent_and_the_way_out_is_named",
        "tests/flow/test_trial.py::test_a_dry_run_sends_nothing",
    ),
    "L12": (
        "tests/acceptance/test_silence.py::test_three_commands_lead_from_silence_to_a_receipt",
    ),
    "L13": (
        (
            "tests/unit/engine/config/test_load.py"
            "::test_several_accounts_without_a_default_are_warned_about"
        ),
        (
            "tests/unit/engine/config/test_load.py"
            "::test_an_account_is_guessed_only_where_nobody_said_which"
        ),
    ),
    "L14": (
        (
            f"{CLI}/heartbeat/test_enable.py"
            "::test_the_fan_out_is_shown_the_block_written_and_the_switch_set"
        ),
    ),
    "L15": (
        "tests/acceptance/test_silence.py::test_three_commands_lead_from_silence_to_a_receipt",
    ),
    "L17": (f"{CLI}/gateway/test_report.py",),
    "L20": (
        "tests/acceptance/test_silence.py::test_three_commands_lead_from_silence_to_a_receipt",
        f"{CLI}/test_status.py::test_a_long_silence_points_to_the_command_that_explains_it",
    ),
    "L21": (
        f"{CLI}/test_inbox.py::test_what_reached_nobody_is_a_line_each_with_its_reason_and_count",
    ),
    "L22": ("tests/flow/test_cron_jobs.py::test_an_agent_that_only_promises_is_asked_once_more",),
}
HERE: Final = frozenset({"L7", "L10", "L16", "L18", "L19", "L21", "L23"})


@pytest.mark.parametrize("proof", sorted({one for named in PROVED.values() for one in named}))
def test_a_lesson_that_was_proved_stays_proved(proof: str) -> None:
    path, _, name = proof.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    assert name in names or not name


def test_no_lesson_is_left_out() -> None:
    assert PROVED.keys() | HERE == {f"L{number}" for number in range(1, 24)}


# -- a machine with a gateway ----------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of somebody whose shell says nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / ".engine").mkdir()
    return tmp_path / ".engine"


@pytest.fixture
def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    """A gateway that runs there."""
    with running() as port:
        monkeypatch.setenv("ENGINE_GATEWAY_PORT", str(port.server.port))
        (home / "gateway.token").write_text(f"{TOKEN}\n")
        yield port


QUIET: Final = (
    ("status", "--json"),
    ("health", "--json"),
    ("channels", "status", "--json"),
    ("cron", "list", "--json"),
    ("heartbeat", "list", "--json"),
    ("sessions", "list", "--json"),
)


# -- the lessons that had no proof yet --------------------------------------------------------


def test_l7_what_an_edit_does_is_said_as_it_is(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no gateway to apply it, nothing claims to be applied, and no restart is asked for."""
    (home / "engine.json").write_text("{gateway: {mode: 'local'}}")
    assert run(["config", "set", "agents.defaults.heartbeat.target", "last"]) == 0
    told = "".join(capsys.readouterr())
    assert "Takes effect when the gateway starts." in told
    assert "Restart the gateway" not in told


def test_l10_words_may_follow_the_command_and_no_hint_needs_a_second_line(
    gateway: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["system", "event", "look", "--mode", "next-heartbeat"]) == 0
    assert run(["system", "event", "--text", "look", "--mode", "next-heartbeat"]) == 0
    trees = [ast.parse(path.read_text("utf-8")) for path in (ROOT / "engine/cli").rglob("*.py")]
    hints = [
        part.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "fix"
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    assert len(hints) > 50
    assert [hint for hint in hints if "\n" in hint or hint.endswith("\\")] == []


@pytest.mark.parametrize("words", [("status",), ("channels", "status"), ("gateway", "status")])
def test_l16_what_is_piped_is_plain_and_whole(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    run(list(words))
    told = capsys.readouterr().out
    assert told
    assert "\x1b" not in told
    assert "\r" not in told
    assert "…" not in told.replace("→", "")


def test_l18_that_agents_share_one_gateway_is_on_the_first_screen(
    gateway: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["status"])
    said = capsys.readouterr().out
    assert re.search(r"agents share one gateway|1 agent on one gateway", said), said


@pytest.mark.parametrize("words", QUIET, ids=" ".join)
def test_l19_an_answer_is_one_document_and_nothing_stands_beside_it(
    gateway: Port, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    run(list(words))
    told = capsys.readouterr()
    json.loads(told.out)
    assert told.err == ""


def test_l21_a_first_config_says_where_the_words_go(home: Path) -> None:
    assert run(["setup"]) == 0
    text = (home / "engine.json").read_text("utf-8")
    assert re.search(r'target: "last"', text)


def test_l23_advice_on_security_is_one_line_and_its_own_command(
    gateway: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["status"])
    assert "engine security audit" in capsys.readouterr().out
