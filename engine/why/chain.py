"""The links of the way and what they come to: the cause, the sentence, the line to paste.

The fourteen links and their codes are operations.md §10.1's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

EDIT: Final = '"${EDITOR:-vi}" '  # how a line to paste opens a file
_COMMANDS: Final = ("engine ", "loginctl ", "mv ", EDIT)
_AT_REST: Final = frozenset({"config", "setup", "channels"})  # groups that need no gateway
_NAMED: Final = 4  # words in which a command names its group: engine --profile NAME config
# A word that only the reader knows: such a line is filled in first, and joined to no other.
_BLANK: Final = re.compile(r"\b(?:YOUR_[A-Z_]+|NEW_[A-Z]+|AGENT|JOB|HOST|TEXT|MODEL)\b")


class Code(StrEnum):
    """The links of the way, in causal order. The list is closed."""

    CONFIG = "config"
    GATEWAY = "gateway"
    LOGOUT = "logout"
    SCHEDULER = "scheduler"
    HEARTBEAT = "heartbeat"
    WINDOW = "window"
    GATE = "gate"
    CHECKLIST = "checklist"
    MODEL = "model"
    REPLY = "reply"
    TARGET = "target"
    CHANNEL = "channel"
    POLICY = "policy"
    DELIVERY = "delivery"


class Standing(StrEnum):
    """How a link stands. Only a broken one can be the cause."""

    OK = "ok"
    BROKEN = "broken"
    WARN = "warn"
    WAITING = "waiting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link. ``what`` is a clause that can follow "because".

    ``fix`` is a command, an act, or says that there is nothing to do, and why.
    """

    code: Code
    state: Standing
    what: str
    reason: str = ""
    fix: str = ""

    @property
    def name(self) -> str:
        """`target`, or `target.no-route`: only what is wrong has a reason in its name."""
        wrong = self.state in (Standing.BROKEN, Standing.WARN)
        return f"{self.code}.{self.reason}" if wrong and self.reason else str(self.code)

    def to_json(self) -> dict[str, str]:
        """The shape of `links`."""
        words = {"code": self.name, "state": str(self.state), "what": self.what, "fix": self.fix}
        return {key: value for key, value in words.items() if value}


def read(words: Mapping[str, Any]) -> Link:
    """Return a link from its JSON: a gateway tells what it knows, the command adds the rest."""
    code, _, reason = str(words["code"]).partition(".")
    return Link(
        code=Code(code),
        state=Standing(words["state"]),
        reason=reason,
        what=str(words["what"]),
        fix=str(words.get("fix") or ""),
    )


def ok(code: Code, what: str) -> Link:
    """Return a link that holds."""
    return Link(code=code, state=Standing.OK, what=what)


def unknown(code: Code, what: str = "the config cannot be read") -> Link:
    """Return a link nobody can tell of."""
    return Link(code=code, state=Standing.UNKNOWN, what=what)


def broken(code: Code, reason: str, what: str, fix: str = "") -> Link:
    """Return a link nothing gets past."""
    return Link(code=code, state=Standing.BROKEN, reason=reason, what=what, fix=fix)


def warned(code: Code, reason: str, what: str, fix: str = "") -> Link:
    """Return a link that holds, and may not for long, or is not where to look."""
    return Link(code=code, state=Standing.WARN, reason=reason, what=what, fix=fix)


def waits(code: Code, reason: str, what: str, fix: str = "") -> Link:
    """Return a link that time alone will close."""
    return Link(code=code, state=Standing.WAITING, reason=reason, what=what, fix=fix)


def cause(chain: Sequence[Link]) -> Link | None:
    """Return the first broken link, which is why; None if none is."""
    return next((link for link in chain if link.state is Standing.BROKEN), None)


def fix_line(chain: Sequence[Link]) -> str:
    """Return what mends the broken links: one line to paste, or the first act that is needed.

    Settings come before the gateway starts, which stays in the foreground; what needs a gateway
    that runs is told after it, see `acts`.
    """
    wrong = [link for link in chain if link.state is Standing.BROKEN and is_act(link.fix)]
    commands = [link.fix for link in wrong if is_command(link.fix)]
    if starts := [one for one in commands if _starts(one)]:
        commands = [one for one in commands if not _starts(one) and not _asks(one)] + starts
    pasted = " && ".join(dict.fromkeys(commands))
    first = wrong[0].fix if wrong else ""
    return pasted or first


def acts(chain: Sequence[Link]) -> tuple[str, ...]:
    """Return what mends broken links beside the line to paste, because no command here does."""
    wrong = [link.fix for link in chain if link.state is Standing.BROKEN and is_act(link.fix)]
    pasted = fix_line(chain)
    told = pasted.split(" && ")
    rest = [fix for fix in dict.fromkeys(wrong) if fix not in told and fix != pasted]
    return tuple(f"once the gateway runs: {fix}" if is_command(fix) else fix for fix in rest)


def _starts(command: str) -> bool:
    return command.endswith(" gateway")


def _asks(command: str) -> bool:
    """Whether a command only works while a gateway runs."""
    return command.startswith("engine ") and not _AT_REST & set(command.split()[:_NAMED])


def is_act(fix: str) -> bool:
    """Whether there is something to do."""
    return bool(fix) and not fix.startswith("nothing")


def is_command(fix: str) -> bool:
    """Whether a remedy can be pasted as it stands."""
    plain = ", " not in fix and "(" not in fix and _BLANK.search(fix) is None
    return plain and fix.startswith(_COMMANDS)


def clause(sentence: str) -> str:
    """Return a sentence as it can follow "because"."""
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")
