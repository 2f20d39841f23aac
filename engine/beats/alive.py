"""Signs of life: which ends of a slot show that the heartbeat works, and who is told. Pure.

heartbeat.md §25 row 17. Somebody outside who expects a ping per slot notices when none comes,
whatever the reason: a dead process, a dead machine, beats that are paused or have no route.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from engine.decisions.heartbeat import DEFAULT_EVERY
from engine.messages.delivery import Delivery, Priority
from engine.messages.route import ping_route
from engine.roster.roster import AgentProfile
from jobs.ledger import Run, RunStatus, SkipReason
from jobs.wallclock import ms

PING: Final = "ping"  # kind of its message
FAIL: Final = "/fail"  # what is called when a beat failed, as healthchecks has it
# It did not run, and that is as it should be.
CALM: Final = frozenset(
    {
        SkipReason.QUIET_HOURS,
        SkipReason.EMPTY_HEARTBEAT_FILE,
        SkipReason.NO_TASKS_DUE,
        SkipReason.RESTING,
        SkipReason.NOTHING_CHANGED,
        SkipReason.RECENT_RUN,
    }
)


def lives(run: Run) -> bool | None:
    """Whether the end of a beat shows that beats work, that they do not, or neither."""
    match run.status:
        case RunStatus.OK:
            return True
        case RunStatus.FAILED:
            return False
        case RunStatus.SKIPPED if run.reason in CALM:
            return True
        case _:
            return None


def ping(run: Run, agent: AgentProfile, now: datetime) -> Delivery | None:
    """Return the ping of a slot that ended; None if nobody expects one, or there is none to send.

    It is worth nothing any more when the next slot comes: a late ping would be a lie.
    """
    url, well = agent.beat.ping, lives(run)
    if url is None or well is None or run.slot is None:
        return None
    return Delivery(
        key=f"{PING}:{run.id}",
        route=ping_route(url if well else failed(url)),
        text="ok" if well else "failed",
        kind=PING,
        created_at=now,
        expires_at=now + (agent.beat.period or DEFAULT_EVERY) / 2,
        agent_id=agent.agent_id,
        run_id=run.id,
        priority=Priority.BULK,
    )


def ping_words(sign: Delivery) -> dict[str, Any]:
    """Return what became of a ping, without the address: it may be a secret."""
    error = sign.last_error or {}
    words = {
        "atMs": ms(sign.created_at),
        "said": sign.text,
        "state": sign.state.value,
        "error": error.get("class") or sign.reason,
        "detail": error.get("detail"),
    }
    return {key: value for key, value in words.items() if value}


def failed(url: str) -> str:
    """Return where a failure is told, of where success is."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + FAIL))
