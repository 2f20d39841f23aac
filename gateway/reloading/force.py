"""The config everybody reads; replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.load import Loaded


@dataclass(frozen=True, slots=True)
class Recovered:
    """The last good config came back: for what, and where the broken files are now."""

    when: str  # start | reload
    because: str  # places of what was wrong, never what stands there
    clobbered: tuple[Path, ...]
    narrowed: bool = False  # it would have listened wider than the broken file asked for

    @property
    def warning(self) -> str:
        """The system event (operations.md §4.2)."""
        kept = ", ".join(path.name for path in self.clobbered)
        moment = "the gateway started" if self.when == "start" else "it was edited"
        told = (
            f"Config recovery warning: the config was invalid when {moment} ({self.because})."
            f" Config auto-restored from last-known-good; the broken text is kept as {kept}."
            " Compare: engine config diff --against clobbered"
        )
        if self.narrowed:
            told += ". The gateway listens on loopback only until it is restarted"
        return told


@dataclass(slots=True)
class InForce:
    """What is in force, and what is known of the file that is not."""

    loaded: Loaded
    refused: bool = False  # what the file says now is not in force
    unresolved: tuple[str, ...] = ()  # secrets the last reload could not resolve: older ones hold
    problem: str = ""  # why it is not, while it is not
    pending: tuple[str, ...] = ()  # changed keys that wait for a restart
    recovered: Recovered | None = None

    def state(self) -> dict[str, Any]:
        """What `config.get` tells of the file beside what stands in it."""
        told: dict[str, Any] = {"pendingRestart": list(self.pending)}
        if self.problem:
            told["notInForce"] = self.problem
        if self.recovered is not None:
            told["recovered"] = {
                "when": self.recovered.when,
                "clobbered": [str(path) for path in self.recovered.clobbered],
            }
        return told
