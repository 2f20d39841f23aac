"""Named points at which a test may kill the process. Inert unless `ENGINE_TESTING=1`.

`ENGINE_CRASH_AT=before-commit:7` passes the point six times and dies the seventh.
"""

from __future__ import annotations

import os
import signal
from itertools import count

_ARMED = os.environ.get("ENGINE_CRASH_AT") if os.environ.get("ENGINE_TESTING") == "1" else None
_NAME, _, _TIME = (_ARMED or "").partition(":")
_LAST = int(_TIME or 1)
_passes = count(1)

POINTS = (
    "before-commit",  # a transaction of the store is whole, and not yet committed
    "after-commit",  # it is, and nobody has heard of it
    "after-claim",  # slot claimed, nothing run
    "after-turn",  # the agent answered, nothing recorded
    "after-outbox-commit",  # row written, nothing sent
    "mid-send",  # `sending` committed, the request is about to leave
    "after-send",  # the platform accepted, the receipt is not written
    "mid-apply",  # some jobs of the config are written, others not
    "mid-pause",  # one job of several is paused
    "mid-resume",  # one job of several goes on, its slots are recorded
    "after-backfill",  # rows written, nothing run
    "after-alarm",  # a dead man's alarm is written, nobody was told of it
    "mid-migration",  # some statements of a migration have run
)


def crash_point(name: str) -> None:
    """Die here, without cleanup, if a test asked for it by ``ENGINE_CRASH_AT``."""
    if _ARMED is not None and name == _NAME and next(_passes) == _LAST:
        os.kill(os.getpid(), signal.SIGKILL)
