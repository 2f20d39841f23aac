"""What an agent is shown of its workspace (heartbeat.md §17)."""

from __future__ import annotations

import os
from pathlib import Path

from engine.workspace.bootstrap import FILE_MOST, read_context, read_now


async def test_the_files_stand_one_after_the_other_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "SOUL.md").write_text("Be kind.")
    (tmp_path / "AGENTS.md").write_text("Be brief.\n")
    (tmp_path / "HEARTBEAT.md").write_text("- the checklist is shown by beats")
    assert await read_context(tmp_path) == (
        "--- AGENTS.md ---\nBe brief.\n--- end of AGENTS.md ---\n\n"
        "--- SOUL.md ---\nBe kind.\n--- end of SOUL.md ---"
    )


def test_a_workspace_without_them_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "USER.md").write_text(" \n")
    assert read_now(tmp_path) == ""
    assert read_now(tmp_path / "missing") == ""


def test_a_long_file_is_cut_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "MEMORY.md").write_text("x" * (FILE_MOST + 5))
    text = read_now(tmp_path)
    assert "[cut: MEMORY.md is longer]" in text
    assert text.count("x") == FILE_MOST


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "USER.md").symlink_to(tmp_path / "secret")
    (workspace / "SOUL.md").symlink_to(workspace / "USER.md")
    assert read_now(workspace) == ""


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "SOUL.md")
    assert read_now(tmp_path) == ""
