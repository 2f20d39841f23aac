"""Where a variable comes from: the process, a `.env`, the config, the login shell (§2.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.load import environment, load
from jobs.errors import ConfigInvalid

TEXT = "{ env: { %s }, agents: { defaults: { heartbeat: { prompt: '${WORD}' } } } }"


def shell(folder: Path, *lines: str) -> str:
    """A login shell of its own that prints these variables."""
    path = folder / "shell"
    told = "".join(f"printf '{line}\\0'\n" for line in lines)
    path.write_text(f"#!/bin/sh\necho noise\nprintf '\\0'\n{told}")
    path.chmod(0o700)
    return str(path)


def prompt(folder: Path, env: str, **environ: str) -> str | None:
    loaded = load(folder / "engine.json", environ, raw=(TEXT % env).encode())
    heartbeat = loaded.config.agents.defaults.heartbeat
    return heartbeat.prompt if heartbeat else None


def test_the_login_shell_is_asked_for_what_nobody_set(tmp_path: Path) -> None:
    own = shell(tmp_path, "WORD=from the shell", "OTHER=not asked for")
    assert prompt(tmp_path, "shellEnv: { enabled: true }", SHELL=own) == "from the shell"
    assert prompt(tmp_path, "", SHELL=own, ENGINE_LOAD_SHELL_ENV="1") == "from the shell"
    assert prompt(tmp_path, "shellEnv: { enabled: true }", SHELL=own, WORD="mine") == "mine"
    assert prompt(tmp_path, "shellEnv: { enabled: true }, WORD: 'said'", SHELL=own) == "said"


@pytest.mark.parametrize("env", ["", "shellEnv: { enabled: false }"])
def test_unasked_no_shell_is_run(tmp_path: Path, env: str) -> None:
    own = shell(tmp_path, "WORD=from the shell")
    with pytest.raises(ConfigInvalid, match="WORD"):
        prompt(tmp_path, env, SHELL=own)


def test_a_shell_that_does_not_answer_is_no_reason_to_break(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="WORD"):
        prompt(tmp_path, "shellEnv: { enabled: true }", SHELL=str(tmp_path / "none"))


def test_the_folder_one_works_in_comes_before_the_home_and_redirects_nobody(tmp_path: Path) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    for folder, word in ((here, "here"), (home, "home")):
        folder.mkdir()
        (folder / ".env").write_text(
            f"export WORD='{word}' # why\nENGINE_STATE_DIR=/{word}\nENGINE_GATEWAY_TOKEN={word}\n"
        )
    env, origins = environment({"A": "process"}, state=home, cwd=here, block={"A": "b", "C": "c"})
    assert (env["A"], env["WORD"], env["C"]) == ("process", "here", "c")
    assert env["ENGINE_GATEWAY_TOKEN"] == "home"  # a checkout is not the operator
    assert origins["WORD"] == str(here / ".env")
