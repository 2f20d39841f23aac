"""What is put on record about the config: actions of the audit, and what they tell (§4.1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

RELOAD: Final = "config.reload"  # a change was taken over, or waits for a restart
RECOVER: Final = "config.recover"  # a broken file made room for the last good one
REVEAL: Final = "config.reveal"  # somebody looked at a secret
ACTIONS: Final = (RELOAD, RECOVER, REVEAL)


def reload_detail(
    paths: Sequence[str], kind: str, old: str, new: str, sentence: str
) -> dict[str, Any]:
    """Return what a line of `config.reload` tells: which keys, never what they hold."""
    return {
        "paths": list(paths),
        "class": kind,
        "oldHash": old,
        "newHash": new,
        "sentence": sentence,
    }
