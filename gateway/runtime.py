"""How a gateway's process uses the interpreter: its event loop, its threads, its garbage."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.001
YOUNG: Final = 20_000  # new objects between two looks for garbage; 700 is Python's own
OLD: Final = 50


def settle() -> None:
    """Let threads take turns sooner, and look for garbage less often.

    The store's writer waits for the interpreter between two statements: a millisecond, not
    five, behind a busy event loop. What was imported stays for good, so no collection needs
    to look at it again.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLD, OLD)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on the fast loop if the extra `fast` is installed, else on Python's own."""
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(main)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
