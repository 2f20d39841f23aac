"""What an agent may run (operations.md §13.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.programs.rules import (
    COMMAND_MOST,
    DENIED,
    Ask,
    Denied,
    ExecRules,
    Granted,
    environment,
    judge,
    search_path,
)

BINS = {"ls": "/bin/ls", "/bin/ls": "/bin/ls", "git": "/usr/bin/git", "rm": "/bin/rm"}
LISTED = ExecRules(security="allowlist", ask="off", safe_bins=("ls", "git"))
FULL = ExecRules(security="full")


def verdict(command: str, rules: ExecRules = LISTED, **more: object) -> Granted | Denied | Ask:
    return judge(command, rules, which=BINS.get, **more)  # type: ignore[arg-type]  # of a table


def refusal(command: str, rules: ExecRules = LISTED, **more: object) -> str:
    found = verdict(command, rules, **more)
    assert isinstance(found, Denied)
    return found.because


def test_nothing_runs_until_the_operator_says_what() -> None:
    assert "tools.exec.security is deny" in refusal("ls", ExecRules())


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("ls -la docs", ("/bin/ls", "-la", "docs")),
        ("/bin/ls", ("/bin/ls",)),
        ("git commit -m 'a; b | c'", ("/usr/bin/git", "commit", "-m", "a; b | c")),
    ],
)
def test_a_program_of_the_list_runs_without_a_shell(command: str, argv: tuple[str, ...]) -> None:
    assert verdict(command) == Granted(argv)


@pytest.mark.parametrize(
    "command",
    [
        "ls; rm -rf /",
        "ls && rm x",
        "ls | sh",
        "ls > /etc/passwd",
        "ls $(rm x)",
        "ls `rm x`",
        "ls\nrm x",
        'ls "$HOME"',
        "ls & rm x",
    ],
)
def test_shell_signs_are_refused_under_an_allow_list(command: str) -> None:
    assert refusal(command).startswith(f"{DENIED}: allowlist miss")


@pytest.mark.parametrize("command", ["rm x", "./ls", "/home/ada/ls", "curl http://x"])
def test_what_is_not_on_the_list_is_a_miss(command: str) -> None:
    assert "is not in tools.exec.safeBins" in refusal(command)


ASKS = replace(LISTED, ask="on-miss")
ALWAYS = replace(LISTED, ask="always")
LS, SHELL = Granted(("/bin/ls",)), Granted(("/bin/sh", "-c", "rm x"))


@pytest.mark.parametrize(
    ("command", "rules", "how", "found"),
    [
        ("ls", ASKS, {}, LS),
        ("rm x", ASKS, {}, Ask("'rm' is not in tools.exec.safeBins")),
        ("ls", ALWAYS, {}, Ask("tools.exec.ask is always")),
        ("rm x", replace(FULL, ask="always"), {}, Ask("tools.exec.ask is always")),
        ("rm x", FULL, {}, SHELL),
        ("ls", ASKS, {"outside": True}, Ask("words from outside stand before the agent")),
        # A person said yes: to the line as they read it.
        ("ls", ALWAYS, {"approved": True}, LS),
        ("rm x", ASKS, {"approved": True}, SHELL),
        ("rm x", LISTED, {"approved": True}, SHELL),
    ],
)
def test_a_person_is_asked_where_the_rules_say_so_and_their_yes_counts(
    command: str, rules: ExecRules, how: dict[str, bool], found: object
) -> None:
    assert verdict(command, rules, **how) == found


def test_no_yes_of_a_person_opens_what_is_closed() -> None:
    for rules, more in (
        (ExecRules(), {}),
        (ASKS, {"sandbox": "all"}),
        (ASKS, {"env": {"A B": ""}}),
    ):
        assert refusal("rm x", rules, approved=True, **more)


def test_every_command_runs_in_a_shell_where_all_may() -> None:
    assert verdict("ls | wc -l", FULL) == Granted(("/bin/sh", "-c", "ls | wc -l"))


def test_what_is_isolated_elsewhere_never_runs_here_instead() -> None:
    assert "sandbox configured but not available" in refusal("ls", FULL, sandbox="all")
    assert "not available" in refusal("ls", replace(FULL, host="node"))


@pytest.mark.parametrize("command", ["", "  ", "a\0b", "x" * (COMMAND_MOST + 1)])
def test_what_is_no_command_line_is_refused(command: str) -> None:
    assert refusal(command, FULL)


def test_a_quote_left_open_is_told() -> None:
    assert "cannot be read" in refusal("ls 'a")


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "path", "GIT_SSH_COMMAND", "PYTHONPATH"])
def test_an_allow_list_cannot_be_turned_by_a_variable(name: str) -> None:
    assert "could change which program runs" in refusal("git log", env={name: "x"})
    assert isinstance(verdict("git log", FULL, env={name: "x"}), Granted)


@pytest.mark.parametrize("name", ["A=B", "", "9", "ENGINE_STATE_DIR"])
def test_a_variable_that_is_none_or_ours_is_refused(name: str) -> None:
    assert refusal("ls", FULL, env={name: "x"})


def test_a_program_sees_no_secrets_of_the_gateway() -> None:
    base = {"PATH": "/bin", "TELEGRAM_BOT_TOKEN": "t", "OPENAI_API_KEY": "k", "LANG": "C"}
    seen = environment({**base, "ENGINE_STATE_DIR": "/x"}, FULL, {"OWN": "1"}, "mark")
    assert seen == {
        "PATH": "/bin",
        "LANG": "C",
        "OWN": "1",
        "ENGINE_SHELL": "exec",
        "ENGINE_EXEC_ID": "mark",
    }


def test_programs_are_never_looked_for_where_the_agent_writes() -> None:
    rules = replace(FULL, path_prepend=("/opt/bin", "bin"))
    assert search_path({"PATH": "/bin:.::/usr/bin"}, rules) == "/opt/bin:/bin:/usr/bin"
