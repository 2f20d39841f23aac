"""How a gateway's process uses the interpreter: set once, when everything is imported."""

from __future__ import annotations

import gc
import sys
from typing import Final

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
