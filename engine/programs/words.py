"""How a program's end is told to its agent (heartbeat.md §16, operations.md §13.1). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

TOLD_MOST: Final = 2000  # characters of its last words in an event
NAME_MOST: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a program ended."""

    code: int = 0  # negative: the signal
    took: timedelta
    said: str = ""  # its last words
    timed_out: bool = False
    killed: bool = False  # by its agent

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was asked for."""
        return self.code == 0 and not self.timed_out and not self.killed

    @property
    def how(self) -> str:
        """Its end in a word or two."""
        if self.timed_out:
            return "timed out"
        if self.killed:
            return "killed"
        return f"signal {-self.code}" if self.code < 0 else f"code {self.code}"


def name_of(command: str) -> str:
    """Return what a command is called among people: its first line, shortened."""
    line = " ".join(command.split())
    return line if len(line) <= NAME_MOST else f"{line[: NAME_MOST - 1]}…"


def unheard(end: End, *, notify: bool, quiet_too: bool) -> str:
    """Return why nobody is told of an end; nothing if its agent is."""
    if not notify:
        return "tools.exec.notifyOnExit is off"
    if end.killed and not end.said:
        return "its agent ended it, and it had said nothing"
    if end.succeeded and not end.said and not quiet_too:
        return "it succeeded and said nothing (tools.exec.notifyOnExitEmptySuccess)"
    return ""


def ended(name: str, ident: str, end: End) -> str:
    """Return the event of a program that ended."""
    verb = "finished" if end.succeeded else "failed"
    head = f"Exec {verb} ({name}, {short(ident)}, {end.how}, {end.took.total_seconds():.0f} s)"
    if not end.said:
        return f"{head}, without output"
    if len(end.said) <= TOLD_MOST:
        return f"{head}: {end.said}"
    return f"{head}: […] {end.said[-TOLD_MOST:]}\n[all of it: process log {ident}]"


def lost(name: str, ident: str, *, ended_now: bool) -> str:
    """Return the event of a program the gateway lost sight of when it stopped."""
    left = "what was left of it has been ended" if ended_now else "nothing of it runs any more"
    return (
        f"Exec was interrupted ({name}, {short(ident)}): the gateway stopped while it ran; {left}."
        " What it had done by then is not known, and what it said is lost."
    )


def short(ident: str) -> str:
    """Return the tail of an id that tells it from others; its head is the time."""
    return ident[-8:]
