"""Programs run to their end: real ones, of this interpreter, on both event loops."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from engine import process
from engine.process import Ended

LOUD = "import sys; sys.stdout.write('x' * 500_000); sys.stdout.flush(); sys.exit(3)"

MISSING = "No such file or directory"
Run = Callable[..., Ended]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["plain", "fast"])
def run(request: pytest.FixtureRequest) -> Run:
    """What becomes of a program must not depend on the loop."""

    def to_its_end(program: str, *, output_most: int = 1000, **more: Any) -> Ended:
        argv = [sys.executable, "-uc", program]
        with asyncio.Runner(loop_factory=request.param) as runner:
            ran = process.run(argv, env=os.environ, output_most=output_most, **more)
            return runner.run(ran)

    return to_its_end


def test_a_program_that_says_too_much_is_ended(run: Run) -> None:
    end = run(LOUD)
    assert (end.too_long, end.out) == (True, b"x" * 1000)
    assert end.code != 3


def test_or_runs_on_to_its_own_end_with_the_rest_unheard(run: Run) -> None:
    end = run(LOUD, drop_rest=True)
    assert (end.too_long, end.out, end.code) == (True, b"x" * 1000, 3)


def test_as_much_as_it_may_say_is_not_too_much(run: Run) -> None:
    end = run("print('x' * 999)", drop_rest=True)
    assert (end.too_long, len(end.out), end.code) == (False, 1000, 0)


def test_words_nobody_keeps_are_signs_of_life_all_the_same(run: Run) -> None:
    program = (
        "import sys, threading\n"
        "for _ in range(4): print('x' * 900, flush=True); threading.Event().wait(0.02)"
    )
    end = run(program, output_most=10, no_output_timeout=timedelta(seconds=10), drop_rest=True)
    assert (end.code, end.silent) == (0, False)


def test_a_directory_that_is_missing_is_named_not_the_program(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refusal:
        run("pass", cwd=tmp_path / "nowhere")
    told = process.unstarted(refusal.value, sys.executable, tmp_path / "nowhere")
    assert told == f"the directory '{tmp_path / 'nowhere'}' cannot be entered: {MISSING}"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_program_that_is_missing_is_named(loop: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(FileNotFoundError) as missing:
        runner.run(process.run(["no-such-program"], env=os.environ, output_most=10))
    told = process.unstarted(missing.value, "no-such-program", None)
    assert told == f"'no-such-program' cannot be started: {MISSING}"


def test_children_left_behind_do_not_keep_the_run_waiting(run: Run) -> None:
    program = (
        "import subprocess, sys;"
        "subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait(60)']);"
        "print('done')"
    )
    end = run(program)
    assert (end.code, end.out) == (0, b"done\n")


def test_a_program_that_never_reads_its_input_is_still_heard(run: Run) -> None:
    end = run("import os; os.close(0); print('done')", stdin=b"x" * 1_000_000)
    assert (end.code, end.out) == (0, b"done\n")


def test_a_program_that_is_gone_before_it_is_fed_is_still_heard(run: Run) -> None:
    assert run("import os; os._exit(4)", stdin=b"x").code == 4


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_what_a_program_is_given_it_reads_to_the_end(run: Run, size: int) -> None:
    end = run("import sys; print(len(sys.stdin.read()))", stdin=b"x" * size)
    assert end.out == b"%d\n" % size


def held_no_more(pipe: Path) -> bool:
    """Whether nobody has a pipe open; who was killed just now may take a moment to be gone."""
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(reading, 1) == b""
    except BlockingIOError:  # somebody has: until the last of them is gone
        watch = select.poll()
        watch.register(reading, select.POLLHUP)
        return bool(watch.poll(5000))
    finally:
        os.close(reading)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
def test_whenever_it_is_cancelled_nothing_of_a_program_is_left(
    factory: Callable[[], asyncio.AbstractEventLoop], turns: int, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    # A child of the program holds the pipe: who reads it is answered when nobody is left.
    argv = ["/bin/sh", "-c", f"exec 3<>{tmp_path}/pipe; sleep 1000; true"]

    async def story() -> None:
        running = asyncio.create_task(process.run(argv, env=os.environ, output_most=10))
        for _ in range(turns):
            await asyncio.tasks.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(running), timeout=5)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story())
    assert held_no_more(tmp_path / "pipe")
