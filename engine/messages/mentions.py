"""Patterns by which an agent feels addressed in a group, and how long one may take. Pure.

channels.md §3.3. A pattern is tried on words of strangers: one that could take long is not
tried at all, and of a long text only as much is looked at as its repeats allow.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

STEPS: Final = 1_000_000  # what one search may cost at worst
LONGEST: Final = 4000  # characters of a message that are looked at
_SHORTEST: Final = 64  # a pattern that could not even look at so many is not used
_MANY: Final = 16  # from so many times on, a repeat counts as one without end
_REPEAT: Final = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\})[?+]?")
_SPAN: Final = re.compile(r"\{(\d*)(,?)(\d*)\}")
_GROUP: Final = re.compile(r"\?(?:P<\w+>|<?[=!]|[aiLmsu]*(?:-[ims]+)?:|[aiLmsu]+(?=\))|#[^)]*)")


class _Hard(Exception):
    """A pattern whose cost is not bounded; the argument says why."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """How often a search may turn around: in so many ways, times the length once per repeat."""

    ways: int = 1
    repeats: int = 0
    variable: bool = False  # it can match in more than one way


@dataclass(frozen=True, slots=True)
class Mention:
    """One pattern, and how much of a text it is tried on."""

    pattern: re.Pattern[str]
    reach: int

    def hits(self, text: str) -> bool:
        """Whether it is found in the part of the text it may look at."""
        return self.pattern.search(text[: self.reach]) is not None


def fault(pattern: str) -> str:
    """Return why a pattern is not used, or ''."""
    found = _compiled(pattern)
    return found if isinstance(found, str) else ""


def addressed(patterns: Sequence[str], text: str) -> bool:
    """Whether a text calls the agent by one of its patterns; characters nobody sees aside."""
    if not patterns:
        return False
    seen = "".join(c for c in text[:LONGEST] if unicodedata.category(c) != "Cf")
    found = (_compiled(one) for one in patterns)
    return any(one.hits(seen) for one in found if isinstance(one, Mention))


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Mention | str:
    if not pattern.strip():
        return "it is empty"
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
        cost, end = _alternatives(pattern, 0)
        if end != len(pattern):
            raise _Hard("it could not be read to its end")
    except (re.error, RecursionError, OverflowError) as error:
        return f"it is no regular expression: {error}"
    except _Hard as hard:
        return str(hard)
    reach = int((STEPS / cost.ways) ** (1 / (cost.repeats + 1)))
    if reach < _SHORTEST:
        return "it has too many repeats and alternatives: a search could take too long"
    return Mention(compiled, min(reach, LONGEST))


def _alternatives(text: str, at: int) -> tuple[_Cost, int]:
    """Read up to the end of a group: its alternatives, then what it costs as a whole."""
    branches: list[_Cost] = []
    while True:
        branch, at = _sequence(text, at)
        branches.append(branch)
        if at >= len(text) or text[at] == ")":
            break
        at += 1  # the bar
    return _Cost(
        ways=sum(one.ways for one in branches),
        repeats=max(one.repeats for one in branches),
        variable=len(branches) > 1 or branches[0].variable,
    ), at


def _sequence(text: str, at: int) -> tuple[_Cost, int]:
    ways, repeats, variable = 1, 0, False
    while at < len(text) and text[at] not in "|)":
        atom, at = _atom(text, at)
        quantifier = _REPEAT.match(text, at)
        if quantifier is not None:
            at = quantifier.end()
            atom = _repeated(atom, quantifier[0])
        ways, repeats = ways * atom.ways, repeats + atom.repeats
        variable = variable or atom.variable
    return _Cost(ways, repeats, variable), at


def _atom(text: str, at: int) -> tuple[_Cost, int]:
    """Read one character, class or group."""
    match text[at]:
        case "\\":
            if text[at + 1] in "123456789":
                raise _Hard("it refers back to a group: a search could take too long")
            return _Cost(), at + 2
        case "[":
            return _Cost(), _class_end(text, at)
        case "(":
            return _group(text, at + 1)
        case _:
            return _Cost(), at + 1


def _class_end(text: str, at: int) -> int:
    at += 2 if text[at + 1] == "^" else 1
    first = at
    while text[at] != "]" or at == first:
        at += 2 if text[at] == "\\" else 1
    return at + 1


def _group(text: str, at: int) -> tuple[_Cost, int]:
    if text[at] == "?":
        found = _GROUP.match(text, at)
        if found is None:
            raise _Hard("it has a group of a kind that is not used here")
        at = found.end()
    cost, at = _alternatives(text, at)
    return cost, at + 1


def _repeated(atom: _Cost, quantifier: str) -> _Cost:
    least, most = _times(quantifier)
    if most == 1:
        return _Cost(atom.ways + 1 - least, atom.repeats, variable=True)
    if atom.variable:
        raise _Hard("it has a repeat within a repeat: a search could take too long")
    if most - least >= _MANY:
        return _Cost(1, 1, variable=True)
    return _Cost(most - least + 1, 0, variable=most != least)


def _times(quantifier: str) -> tuple[int, int]:
    endless = 1_000_000
    match quantifier[0]:
        case "*":
            return 0, endless
        case "+":
            return 1, endless
        case "?":
            return 0, 1
        case _:
            found = _SPAN.match(quantifier)
            if found is None:
                raise AssertionError(f"no quantifier: {quantifier!r}")
            least = int(found[1] or 0)
            most = int(found[3]) if found[3] else (endless if found[2] else least)
            return least, most
