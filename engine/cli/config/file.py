"""The config file of this home, for the commands that read and change it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.place import Place
from engine.clock import SystemClock

if TYPE_CHECKING:
    from engine.config.load import JobsCheck, Loaded


def check(at: Place, texts: Mapping[Path, bytes] | None = None) -> Loaded:
    """Load the file with its jobs; ``texts`` stand in for what files hold.

    `ConfigInvalid` says what is wrong.
    """
    from engine.config.load import load

    given = texts or {}
    return load(
        at.paths.config,
        at.environ,
        state=at.paths.state,
        cwd=Path.cwd(),
        home=at.paths.os_home,
        raw=given.get(at.paths.config),
        texts=given,
        jobs_check=_jobs_check(at),
        credentials=True,
    )


def _jobs_check(at: Place) -> JobsCheck:
    from engine.config import jobs

    now = SystemClock().now()

    def judge(config: Any) -> list[tuple[Any, str]]:
        return [*jobs.judge(config, now, at.zone, at.paths.config.parent)]

    return judge


def text_of(path: Path) -> str:
    """The text of a file; one that is not there is empty."""
    from engine.config import writing

    try:
        return writing.decoded(path, path.read_bytes())
    except FileNotFoundError:
        return ""


def composed(at: Place) -> Any:
    """The authored values, those of included files with them."""
    if "$include" not in repr(at.values):
        return at.values
    root = tree(at)
    return at.values if root is None else root.plain()


def tree(at: Place) -> Any:
    """The authored tree with its includes, each key knowing its place; None if unreadable."""
    from engine.config.compose import Composer

    roots = [Path(one) for one in at.environ.get("ENGINE_INCLUDE_ROOTS", "").split(":") if one]
    composer = Composer(at.paths.config.parent, roots)
    return composer.compose(at.paths.config)
