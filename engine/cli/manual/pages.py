"""The pages of the manual: which there are, where they lie, how they read without markup."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import wrap
from typing import Final

import engine
from jobs.errors import NotFound

# In reading order; each is a file of that name in `docs/`.
TOPICS: Final = (
    "quick-start",
    "heartbeat",
    "cron",
    "schedules",
    "delivery",
    "channels",
    "silence",
    "config",
    "secrets",
    "security",
    "operations",
    "migration",
    "protocol",
    "exit-codes",
    "files",
    "environment",
)
# Words people look for, and the page that has them.
ALSO: Final = {
    "quickstart": "quick-start",
    "start": "quick-start",
    "beats": "heartbeat",
    "jobs": "cron",
    "schedule": "schedules",
    "why": "silence",
    "gates": "silence",
    "telegram": "channels",
    "qq": "channels",
    "qqbot": "channels",
    "import": "migration",
    "openclaw": "migration",
    "exit": "exit-codes",
    "env": "environment",
    "service": "operations",
    "rpc": "protocol",
}
_LINK: Final = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_FENCE: Final = re.compile(r"^```\w*$")


def folder() -> Path:
    """Where the pages lie: in the package that was installed, or in the source tree."""
    package = Path(engine.__file__).parent
    packed = package / "manual"
    return packed if packed.is_dir() else package.parent / "docs"


def named(word: str) -> str | None:
    """Return the topic of a name, or None."""
    asked = word.strip().lower()
    return asked if asked in TOPICS else ALSO.get(asked)


def page(topic: str) -> str:
    """Return a page as it is written. Raises `NotFound` where the pages were not installed."""
    file = folder() / f"{topic}.md"
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise NotFound(
            f"the page {topic} is not there",
            why=f"{file}: {error.strerror}",
            fix="install the package anew, or read docs/ of its source",
        ) from error


def title(topic: str) -> str:
    """Return what a page is about, in a few words."""
    return page(topic).partition("\n")[0].removeprefix("# ").partition(": ")[2]


def plain(text: str, width: int = 100) -> str:
    """Return a page for a terminal: what is typed stands indented, links are their words. Pure."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif inside:
            lines.append(f"    {line}")
        elif set(line) <= set("|- ") and "-" in line:
            lines.pop()  # the rule below a table's head: neither is needed
        else:
            lines += _told(line, width)
    return "\n".join(lines) + "\n"


def _told(line: str, width: int) -> list[str]:
    line = _LINK.sub(r"\1", line).replace("**", "")
    if line.startswith("#"):
        return [line.lstrip("# ").upper()]
    if line.startswith("| "):
        first, *rest = (cell.strip() for cell in line.strip("| ").split(" | "))
        return wrap(
            f"{first}: {'; '.join(rest)}", width, initial_indent="  ", subsequent_indent="    "
        )
    return wrap(line, width) or [""]
