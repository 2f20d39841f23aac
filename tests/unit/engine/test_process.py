"""Programs run to their end: real ones, of this interpreter."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from engine import process
from engine.process import Ended

LOUD = "import sys; sys.stdout.write('x' * 500_000); sys.stdout.flush(); sys.exit(3)"


async def run(program: str, *, cwd: Path | None = None, drop_rest: bool = False) -> Ended:
    argv = [sys.executable, "-c", program]
    return await process.run(argv, env=os.environ, output_most=1000, cwd=cwd, drop_rest=drop_rest)


async def test_a_program_that_says_too_much_is_ended() -> None:
    end = await run(LOUD)
    assert (end.too_long, end.out) == (True, b"x" * 1000)
    assert end.code != 3


async def test_or_runs_on_to_its_own_end_with_the_rest_unheard() -> None:
    end = await run(LOUD, drop_rest=True)
    assert (end.too_long, end.out, end.code) == (True, b"x" * 1000, 3)


async def test_as_much_as_it_may_say_is_not_too_much() -> None:
    end = await run("print('x' * 999)", drop_rest=True)
    assert (end.too_long, len(end.out), end.code) == (False, 1000, 0)


async def test_words_nobody_keeps_are_signs_of_life_all_the_same() -> None:
    program = (
        "import sys, threading\n"
        "for _ in range(4): print('x' * 900, flush=True); threading.Event().wait(0.02)"
    )
    end = await process.run(
        [sys.executable, "-uc", program],
        env=os.environ,
        output_most=10,
        no_output_timeout=timedelta(seconds=10),
        drop_rest=True,
    )
    assert (end.code, end.silent) == (0, False)


async def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(OSError, match="nowhere") as refusal:
        await run("pass", cwd=nowhere)
    assert "the directory" in process.unstarted(refusal.value, sys.executable)
    with pytest.raises(OSError, match="no-such-program") as missing:
        await process.run(["no-such-program"], env=os.environ, output_most=10)
    told = process.unstarted(missing.value, "no-such-program")
    assert told == "'no-such-program' cannot be started: No such file or directory"


async def test_children_left_behind_do_not_keep_the_run_waiting() -> None:
    program = (
        "import subprocess, sys;"
        "subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait(60)']);"
        "print('done')"
    )
    end = await run(program)
    assert (end.code, end.out) == (0, b"done\n")
