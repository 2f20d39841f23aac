"""Whether this engine may touch what a newer one wrote (operations.md §3.1).

Whoever writes the config, or starts, stops or removes a gateway, asks `refuse_older` first;
whoever only reads says `notice` once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine import __version__
from jobs.errors import StoreTooNew

OVERRIDE: Final = "ENGINE_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS"


def newer_stamp(values: Any, version: str = __version__) -> str | None:
    """The version that wrote the config last, if it is newer than this one (PEP 440).

    A file without a stamp was written by hand; a stamp nobody can read counts as our own.
    """
    stamp = _stamp(values)
    if not stamp or stamp == version:
        return None
    from packaging.version import InvalidVersion, Version

    try:
        return stamp if Version(stamp) > Version(version) else None
    except InvalidVersion:
        return None


def unreadable_stamp(values: Any) -> str | None:
    """A stamp that is no version: worth a warning, and nothing else."""
    stamp = _stamp(values)
    if not stamp or stamp == __version__:
        return None
    from packaging.version import InvalidVersion, Version

    try:
        Version(stamp)
    except InvalidVersion:
        return f'meta.lastTouchedVersion "{stamp}" is no version; it was taken for {__version__}'
    return None


def refuse_older(
    values: Any,
    environ: Mapping[str, str],
    *,
    newer: Path | None = None,
    version: str = __version__,
) -> None:
    """Raise unless this engine may change what ``values``, the plain config, describes.

    ``newer`` is the program the service names, where there is one.
    """
    stamp = newer_stamp(values, version)
    if stamp is None or environ.get(OVERRIDE, "").strip() == "1":
        return
    where = f" ({newer})" if newer is not None else ""
    raise StoreTooNew(
        f"this binary is {version} but the config was last written by {stamp}{where}."
        " Fix PATH, or reinstall the service from the newer one",
        fix=f"{newer or '<path of the newer engine>'} gateway install --force",
        override=f"{OVERRIDE}=1",
    )


def notice(values: Any, version: str = __version__) -> str | None:
    """The line a command that only reads says first; None where there is nothing to say."""
    stamp = newer_stamp(values, version)
    if stamp is None:
        return None
    return f"note: the config was last written by {stamp}; this binary is {version} and only reads"


def _stamp(values: Any) -> str:
    meta = values.get("meta") if isinstance(values, Mapping) else None
    stamp = meta.get("lastTouchedVersion") if isinstance(meta, Mapping) else None
    return stamp.strip() if isinstance(stamp, str) else ""
